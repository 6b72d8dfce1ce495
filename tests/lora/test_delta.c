/* The deltas of LoRA, LoHa, LoKr, (IA)3, GLoRA, DoRA and whole weights against their formulas in double (spec/lora.md 2.2,
 * 2.3), as plain loops. */
#include "one_module.h"

/* sum over r of u[o, r] d[r, c] */
static double dot(const double *u, const double *d, size_t o, size_t c, size_t rank, size_t cols)
{
    double sum = 0;
    for (size_t r = 0; r < rank; r++) sum += u[o * rank + r] * d[r * cols + c];
    return sum;
}

/* ---- LoRA, LoCon -------------------------------------------------------- */

static void lora_linear(void **state)
{
    double want[13 * 37];
    struct one one;
    (void)state;
    one_begin(&one);
    const double *u = one_add(&one, "lora_up.weight", 1, 2, 13, 5, 1, 1);
    const double *d = one_add(&one, "lora_down.weight", 1, 2, 5, 37, 1, 1);
    one_add_value(&one, "alpha", 2);
    for (size_t o = 0; o < 13; o++)
        for (size_t i = 0; i < 37; i++) want[o * 37 + i] = 2.0 / 5 * dot(u, d, o, i, 5, 37);
    const struct lora_module *m = one_open(&one, 2, 13, 37, 1, 1);
    assert_int_equal(m->rank, 5);
    one_check_delta(&one, want, NULL, "lora");
    one_end(&one);
}

/* DyLoRA: the first k ranks, but alpha / r of all. */
static void lora_keeps_first_ranks(void **state)
{
    double want[6 * 7];
    float delta[6 * 7], up[6 * 9], down[2 * 7];
    const struct lora_use use = { .strength = 1, .keep = 2 };
    struct tinct_err err;
    struct one one;
    (void)state;
    one_begin(&one);
    const double *u = one_add(&one, "lora_up.weight", 1, 2, 6, 4, 1, 1), *d = one_add(&one, "lora_down.weight", 1, 2, 4, 7, 1, 1);
    one_add_value(&one, "alpha", 4);
    for (size_t o = 0; o < 6; o++)
        for (size_t i = 0; i < 7; i++) want[o * 7 + i] = u[o * 4] * d[i] + u[o * 4 + 1] * d[7 + i];
    const struct lora_module *m = one_open(&one, 2, 6, 7, 1, 1);
    assert_true(lora_delta(delta, m, use, NULL, &err));
    one_compare(delta, want, 42, one_tolerance, "dyn");
    assert_int_equal(lora_factor_rank(m, use), 2);
    assert_true(lora_factors(up, 9, down, m, use, &err));
    for (size_t o = 0; o < 6; o++)
        for (size_t i = 0; i < 7; i++) delta[o * 7 + i] = up[o * 9] * down[i] + up[o * 9 + 1] * down[7 + i];
    one_compare(delta, want, 42, one_tolerance, "dyn factors");
    one_end(&one);
}

/* A 1x1 convolution's factors may be 2-D or 4-D whatever the layer is (spec 1.2). */
static void lora_one_by_one(void **state)
{
    (void)state;
    for (int form = 0; form < 4; form++) {
        double want[8 * 6];
        struct one one;
        one_begin(&one);
        const double *u = one_add(&one, "lora_up.weight", 1, form & 1 ? 4 : 2, 8, 3, 1, 1);
        const double *d = one_add(&one, "lora_down.weight", 1, form & 1 ? 4 : 2, 3, 6, 1, 1);
        for (size_t o = 0; o < 8; o++)
            for (size_t i = 0; i < 6; i++) want[o * 6 + i] = dot(u, d, o, i, 3, 6);
        one_open(&one, form & 2 ? 4 : 2, 8, 6, 1, 1);
        one_check_delta(&one, want, NULL, "1x1"); /* without alpha the scale is 1 */
        one_end(&one);
    }
}

static void locon_3x3(void **state)
{
    enum { O = 6, I = 5, K = 9, R = 7 };
    double want[O * I * K];
    struct one one;
    (void)state;
    one_begin(&one);
    const double *u = one_add(&one, "lora_up.weight", 1, 4, O, R, 1, 1), *d = one_add(&one, "lora_down.weight", 1, 4, R, I, 3, 3);
    one_add_value(&one, "alpha", 1);
    for (size_t o = 0; o < O; o++)
        for (size_t c = 0; c < I * K; c++) want[o * I * K + c] = 1.0 / R * dot(u, d, o, c, R, I * K);
    one_open(&one, 4, O, I, 3, 3);
    one_check_delta(&one, want, NULL, "locon");
    one_end(&one);
}

/* scale sum U[o,m] M[m,n,y,x] D[n,i], the ranks on both sides different */
static void locon_tucker(void **state)
{
    enum { O = 6, I = 5, K = 9, RM = 4, RN = 3 };
    double want[O * I * K];
    float up[O * RM], down[RM * I * K], product[O * I * K];
    struct tinct_err err;
    struct one one;
    (void)state;
    one_begin(&one);
    const double *u = one_add(&one, "lora_up.weight", 1, 4, O, RM, 1, 1);
    const double *mid = one_add(&one, "lora_mid.weight", 1, 4, RM, RN, 3, 3);
    const double *d = one_add(&one, "lora_down.weight", 1, 4, RN, I, 1, 1);
    one_add_value(&one, "alpha", 2);
    for (size_t o = 0; o < O; o++)
        for (size_t i = 0; i < I; i++)
            for (size_t k = 0; k < K; k++) {
                double sum = 0;
                for (size_t m = 0; m < RM; m++)
                    for (size_t n = 0; n < RN; n++) sum += u[o * RM + m] * mid[(m * RN + n) * K + k] * d[n * I + i];
                want[(o * I + i) * K + k] = 2.0 / RN * sum;
            }
    const struct lora_module *m = one_open(&one, 4, O, I, 3, 3);
    one_check_delta(&one, want, NULL, "tucker");
    assert_int_equal(lora_factor_rank(m, one_whole), RM);
    assert_true(lora_factors(up, RM, down, m, one_whole, &err));
    for (size_t o = 0; o < O; o++)
        for (size_t c = 0; c < I * K; c++) {
            double sum = 0;
            for (size_t r = 0; r < RM; r++) sum += (double)up[o * RM + r] * (double)down[r * I * K + c];
            product[o * I * K + c] = (float)(m->scale * sum);
        }
    one_compare(product, want, O * I * K, one_tolerance, "tucker factors");
    one_end(&one);
}

/* A1111's "bias": as the weight, added before the scale. */
static void lora_with_fixed_part(void **state)
{
    double want[4 * 6];
    struct one one;
    (void)state;
    one_begin(&one);
    const double *u = one_add(&one, "lora_up.weight", 1, 2, 4, 2, 1, 1), *d = one_add(&one, "lora_down.weight", 1, 2, 2, 6, 1, 1);
    const double *fixed = one_add(&one, "bias", 1, 2, 4, 6, 1, 1);
    one_add_value(&one, "scale", 0.75f);
    one_add_value(&one, "alpha", 100);
    for (size_t o = 0; o < 4; o++)
        for (size_t i = 0; i < 6; i++) want[o * 6 + i] = 0.75 * (dot(u, d, o, i, 2, 6) + fixed[o * 6 + i]);
    const struct lora_module *m = one_open(&one, 2, 4, 6, 1, 1);
    assert_int_equal(lora_factor_rank(m, one_whole), 0);
    one_check_delta(&one, want, NULL, "fixed");
    one_end(&one);
}

/* ---- LoHa, LoKr --------------------------------------------------------- */

static void loha(void **state)
{
    enum { O = 7, I = 4, K = 9, R = 3 };
    double want[O * I * K];
    struct one one;
    (void)state;
    one_begin(&one);
    const double *a1 = one_add(&one, "hada_w1_a", 1, 2, O, R, 1, 1), *b1 = one_add(&one, "hada_w1_b", 1, 2, R, I * K, 1, 1);
    const double *a2 = one_add(&one, "hada_w2_a", 1, 2, O, R, 1, 1), *b2 = one_add(&one, "hada_w2_b", 1, 2, R, I * K, 1, 1);
    one_add_value(&one, "alpha", 1);
    for (size_t o = 0; o < O; o++)
        for (size_t c = 0; c < I * K; c++)
            want[o * I * K + c] = 1.0 / R * dot(a1, b1, o, c, R, I * K) * dot(a2, b2, o, c, R, I * K);
    one_open(&one, 4, O, I, 3, 3);
    one_check_delta(&one, want, NULL, "loha"); /* once scaled, not twice as LyCORIS' merge had it */
    one_end(&one);
}

static double tucker_at(const double *a, const double *t, const double *b, size_t o, size_t i, size_t k, size_t rank,
                        size_t out, size_t in, size_t taps)
{
    double sum = 0;
    for (size_t m = 0; m < rank; m++)
        for (size_t n = 0; n < rank; n++) sum += t[(m * rank + n) * taps + k] * a[m * out + o] * b[n * in + i];
    return sum;
}

static void loha_tucker(void **state)
{
    enum { O = 6, I = 5, K = 9, R = 3 };
    double want[O * I * K];
    struct one one;
    (void)state;
    one_begin(&one);
    const double *t1 = one_add(&one, "hada_t1", 1, 4, R, R, 3, 3), *t2 = one_add(&one, "hada_t2", 1, 4, R, R, 3, 3);
    const double *a1 = one_add(&one, "hada_w1_a", 1, 2, R, O, 1, 1), *b1 = one_add(&one, "hada_w1_b", 1, 2, R, I, 1, 1);
    const double *a2 = one_add(&one, "hada_w2_a", 1, 2, R, O, 1, 1), *b2 = one_add(&one, "hada_w2_b", 1, 2, R, I, 1, 1);
    one_add_value(&one, "alpha", 1.5f);
    for (size_t o = 0; o < O; o++)
        for (size_t i = 0; i < I; i++)
            for (size_t k = 0; k < K; k++)
                want[(o * I + i) * K + k] = 0.5 * tucker_at(a1, t1, b1, o, i, k, R, O, I, K) *
                                            tucker_at(a2, t2, b2, o, i, k, R, O, I, K);
    one_open(&one, 4, O, I, 3, 3);
    one_check_delta(&one, want, NULL, "loha tucker");
    one_end(&one);
}

/* W1 [2, 3] and W2 [4, 5, 9], each whole or of factors, the second also with a core. */
static void lokr_form(bool factors1, int form2)
{
    enum { A = 2, C = 3, B = 4, D = 5, K = 9, R = 2 };
    double w1[A * C], w2[B * D * K], want[A * B * C * D * K], scale = 3.0 / R;
    struct one one;
    one_begin(&one);
    if (factors1) {
        const double *a = one_add(&one, "lokr_w1_a", 1, 2, A, R, 1, 1), *b = one_add(&one, "lokr_w1_b", 1, 2, R, C, 1, 1);
        for (size_t i = 0; i < A * C; i++) w1[i] = dot(a, b, i / C, i % C, R, C);
    } else {
        memcpy(w1, one_add(&one, "lokr_w1", 1, 2, A, C, 1, 1), sizeof w1);
    }
    if (form2 == 0) {
        memcpy(w2, one_add(&one, "lokr_w2", 1, 4, B, D, 3, 3), sizeof w2);
        if (!factors1) scale = 1; /* both whole: alpha counts for nothing */
    } else if (form2 == 1) {
        const double *a = one_add(&one, "lokr_w2_a", 1, 2, B, R, 1, 1), *b = one_add(&one, "lokr_w2_b", 1, 2, R, D * K, 1, 1);
        for (size_t i = 0; i < B * D * K; i++) w2[i] = dot(a, b, i / (D * K), i % (D * K), R, D * K);
    } else {
        const double *t = one_add(&one, "lokr_t2", 1, 4, R, R, 3, 3);
        const double *a = one_add(&one, "lokr_w2_a", 1, 2, R, B, 1, 1), *b = one_add(&one, "lokr_w2_b", 1, 2, R, D, 1, 1);
        for (size_t i = 0; i < B * D * K; i++) w2[i] = tucker_at(a, t, b, i / (D * K), i / K % D, i % K, R, B, D, K);
    }
    one_add_value(&one, "alpha", 3);
    for (size_t i = 0; i < A; i++)
        for (size_t p = 0; p < B; p++)
            for (size_t j = 0; j < C; j++)
                for (size_t q = 0; q < D; q++)
                    for (size_t k = 0; k < K; k++)
                        want[((i * B + p) * C * D + j * D + q) * K + k] = scale * w1[i * C + j] * w2[(p * D + q) * K + k];
    one_open(&one, 4, A * B, C * D, 3, 3);
    one_check_delta(&one, want, NULL, "lokr");
    one_end(&one);
}

static void lokr(void **state)
{
    (void)state;
    for (int factors1 = 0; factors1 < 2; factors1++)
        for (int form2 = 0; form2 < 3; form2++) lokr_form(factors1, form2);
}

/* ---- types that read the weight ----------------------------------------- */

static void ia3(void **state)
{
    (void)state;
    for (int on_input = 0; on_input < 2; on_input++) {
        enum { O = 5, I = 4, K = 9 };
        double want[O * I * K], *w;
        float *w0 = one_weight(&w, O * I * K);
        struct one one;
        one_begin(&one);
        const double *v = on_input ? one_add(&one, "weight", 1, 4, 1, I, 1, 1) : one_add(&one, "weight", 1, 4, 1, O, 1, 1);
        one_add_value(&one, "on_input", (float)on_input);
        for (size_t i = 0; i < O * I * K; i++) want[i] = w[i] * v[on_input ? i / K % I : i / (I * K)];
        one_open(&one, 4, O, I, 3, 3);
        one_check_delta(&one, want, w0, "ia3");
        one_end(&one);
        free(w0);
        free(w);
    }
}

/* scale (b1 b2 + (W a1) a2), and the old files' b2 b1 + (W a2) a1. */
static void glora(void **state)
{
    enum { O = 6, I = 7, R = 3 };
    (void)state;
    for (int old = 0; old < 2; old++) {
        double want[O * I], *w;
        float *w0 = one_weight(&w, O * I);
        struct one one;
        one_begin(&one);
        const double *first = one_add(&one, old ? "a2.weight" : "a1.weight", 1, 2, I, R, 1, 1);
        const double *second = one_add(&one, old ? "a1.weight" : "a2.weight", 1, 2, R, I, 1, 1);
        const double *left = one_add(&one, old ? "b2.weight" : "b1.weight", 1, 2, O, R, 1, 1);
        const double *right = one_add(&one, old ? "b1.weight" : "b2.weight", 1, 2, R, I, 1, 1);
        one_add_value(&one, "alpha", 6);
        for (size_t o = 0; o < O; o++)
            for (size_t j = 0; j < I; j++) {
                double sum = dot(left, right, o, j, R, I);
                for (size_t i = 0; i < I; i++) sum += w[o * I + i] * dot(first, second, i, j, R, I);
                want[o * I + j] = 2 * sum;
            }
        assert_int_equal(one_open(&one, 2, O, I, 1, 1)->rank, R);
        one_check_delta(&one, want, w0, old ? "old glora" : "glora");
        one_end(&one);
        free(w0);
        free(w);
    }
}

static void dora(const char *key, uint32_t dims, bool over_rows, uint32_t out, uint32_t in)
{
    enum { K = 4, R = 2, MOST = 8 * 8 * K };
    double want[MOST], v[MOST], *w;
    float *w0 = one_weight(&w, (size_t)out * in * K);
    struct one one;
    size_t total = (size_t)out * in * K;
    one_begin(&one);
    const double *u = one_add(&one, "lora_up.weight", 1, 4, out, R, 1, 1), *d = one_add(&one, "lora_down.weight", 1, 4, R, in, 2, 2);
    bool conv_out = !strcmp(key, "lora_magnitude_vector") && dims == 4; /* PEFT: [1, out, 1, 1] */
    uint32_t length = over_rows ? out : in, first = dims == 1 || (over_rows && !conv_out) ? length : 1;
    const double *m = one_add(&one, key, 1, dims, first, first == 1 ? length : 1, 1, 1);
    one_add_value(&one, "alpha", 1);
    for (size_t i = 0; i < total; i++) v[i] = w[i] + 1.0 / R * dot(u, d, i / (in * K), i % (in * K), R, in * K);
    for (size_t i = 0; i < total; i++) {
        double norm = 0;
        size_t at = over_rows ? i / (in * K) : i / K % in;
        for (size_t j = 0; j < total; j++)
            if ((over_rows ? j / (in * K) : j / K % in) == at) norm += v[j] * v[j];
        want[i] = m[at] * v[i] / (sqrt(norm) + 1.1920929e-7) - w[i];
    }
    one_open(&one, 4, out, in, 2, 2);
    one_check_delta(&one, want, w0, key);
    one_end(&one);
    free(w0);
    free(w);
}

/* Both axes, also where the layer is square and only the magnitude's shape tells them apart. */
static void dora_on_both_axes(void **state)
{
    (void)state;
    dora("dora_scale", 4, true, 6, 5);
    dora("dora_scale", 4, false, 6, 5);
    dora("dora_scale", 4, true, 6, 6);
    dora("dora_scale", 4, false, 6, 6);
    dora("dora_scale", 1, true, 6, 5);
    dora("dora_scale", 1, false, 6, 6); /* told by nothing: LyCORIS' first form */
    dora("lora_magnitude_vector", 1, true, 6, 6);
    dora("lora_magnitude_vector", 4, true, 6, 5);
    dora("magnitude", 1, true, 6, 6);
}

/* ---- as they are -------------------------------------------------------- */

static void full_norm_and_biases(void **state)
{
    float bias[6];
    double half[6];
    struct tinct_err err;
    struct one one;
    (void)state;
    one_begin(&one);
    const double *diff = one_add(&one, "diff", 1, 2, 6, 4, 1, 1), *diff_b = one_add(&one, "diff_b", 1, 1, 6, 1, 1, 1);
    struct lora_module *m = one_open(&one, 2, 6, 4, 1, 1);
    one_check_delta(&one, diff, NULL, "diff");
    assert_true(lora_changes_bias(m));
    assert_true(lora_bias_delta(bias, m, one_half, &err));
    for (int i = 0; i < 6; i++) half[i] = 0.5 * diff_b[i];
    one_compare(bias, half, 6, one_tolerance, "diff_b");
    one_end(&one);

    one_begin(&one);
    const double *w = one_add(&one, "w_norm", 1, 1, 6, 1, 1, 1), *b = one_add(&one, "b_norm", 1, 1, 6, 1, 1, 1);
    m = one_open(&one, 1, 6, 1, 1, 1);
    one_check_delta(&one, w, NULL, "w_norm");
    assert_true(lora_bias_delta(bias, m, one_whole, &err));
    one_compare(bias, b, 6, one_tolerance, "b_norm");
    one_end(&one);

    one_begin(&one);
    one_add(&one, "lora_A.weight", 1, 2, 2, 4, 1, 1);
    one_add(&one, "lora_B.weight", 1, 2, 6, 2, 1, 1);
    const double *up_bias = one_add(&one, "lora_B.bias", 1, 1, 6, 1, 1, 1);
    one_add_value(&one, "alpha", 1);
    m = one_open(&one, 2, 6, 4, 1, 1);
    assert_true(lora_bias_delta(bias, m, one_whole, &err));
    for (int i = 0; i < 6; i++) half[i] = 0.5 * up_bias[i]; /* alpha / r */
    one_compare(bias, half, 6, one_tolerance, "lora_B.bias");
    one_end(&one);
}

/* Replaces the weight at any strength but 0. */
static void set_weight(void **state)
{
    double want[6 * 4], *w;
    float delta[6 * 4], *w0 = one_weight(&w, 24);
    struct tinct_err err;
    struct one one;
    (void)state;
    one_begin(&one);
    const double *value = one_add(&one, "set_weight", 1, 2, 6, 4, 1, 1);
    struct lora_module *m = one_open(&one, 2, 6, 4, 1, 1);
    for (int i = 0; i < 24; i++) want[i] = value[i] - w[i];
    assert_true(lora_needs_weight(m));
    assert_true(lora_delta(delta, m, one_half, w0, &err));
    one_compare(delta, want, 24, one_tolerance, "set_weight");
    assert_true(lora_delta(delta, m, (struct lora_use) { 0 }, w0, &err));
    for (int i = 0; i < 24; i++) assert_true(delta[i] == 0);
    one_end(&one);
    free(w0);
    free(w);
}

static void too_large_results_are_refused(void **state)
{
    float delta[4];
    struct tinct_err err;
    struct one one;
    (void)state;
    one_begin(&one);
    one_add(&one, "lora_up.weight", 1e30, 2, 2, 1, 1, 1);
    one_add(&one, "lora_down.weight", 1e30, 2, 1, 2, 1, 1);
    struct lora_module *m = one_open(&one, 2, 2, 2, 1, 1);
    check_refused(lora_delta(delta, m, one_whole, NULL, &err), &err, TINCT_ERR_FORMAT, "layer: its change of the weight is NaN or Inf");
    one_end(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lora_linear),
        cmocka_unit_test(lora_keeps_first_ranks),
        cmocka_unit_test(lora_one_by_one),
        cmocka_unit_test(locon_3x3),
        cmocka_unit_test(locon_tucker),
        cmocka_unit_test(lora_with_fixed_part),
        cmocka_unit_test(loha),
        cmocka_unit_test(loha_tucker),
        cmocka_unit_test(lokr),
        cmocka_unit_test(ia3),
        cmocka_unit_test(glora),
        cmocka_unit_test(dora_on_both_axes),
        cmocka_unit_test(full_norm_and_biases),
        cmocka_unit_test(set_weight),
        cmocka_unit_test(too_large_results_are_refused),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
