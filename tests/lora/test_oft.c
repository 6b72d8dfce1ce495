/* The deltas of orthogonal finetuning (Diag-OFT, the old OFT, BOFT) against their formulas in double (spec/lora.md 2.3). */
#include "one_module.h"

/* r = (1 + q) (1 - q)^-1 by Gauss' elimination on rows of the transposed system. */
static void cayley(double *r, const double *q, size_t b)
{
    double a[8][8], x[8][8] = { { 0 } };
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < b; j++) {
            a[i][j] = (i == j) - q[j * b + i]; /* (1 - q)^T */
            x[i][j] = (i == j) + q[j * b + i];
        }
    for (size_t k = 0; k < b; k++)
        for (size_t i = 0; i < b; i++) {
            if (i == k) continue;
            double f = a[i][k] / a[k][k];
            for (size_t j = 0; j < b; j++) {
                a[i][j] -= f * a[k][j];
                x[i][j] -= f * x[k][j];
            }
        }
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < b; j++) r[j * b + i] = x[i][j] / a[i][i];
}

/* alpha is the constraint: |Q| over all blocks stays below alpha * out. */
static void skew(double *q, const double *blocks, size_t count, size_t b, double limit)
{
    double norm = 0;
    for (size_t n = 0; n < count; n++)
        for (size_t i = 0; i < b; i++)
            for (size_t j = 0; j < b; j++) {
                double v = blocks[(n * b + i) * b + j] - blocks[(n * b + j) * b + i];
                q[(n * b + i) * b + j] = v;
                norm += v * v;
            }
    for (size_t i = 0; limit > 0 && sqrt(norm) > limit && i < count * b * b; i++) q[i] *= limit / sqrt(norm);
}

static void diag_oft(void **state)
{
    enum { N = 3, B = 4, O = N * B, I = 5 };
    (void)state;
    for (int form = 0; form < 4; form++) {
        bool constrained = form & 1, rescaled = form & 2;
        double q[N * B * B], r[B * B], want[O * I], *w;
        float delta[O * I], *w0 = one_weight(&w, O * I);
        struct tinct_err err;
        struct one one;
        one_begin(&one);
        const double *blocks = one_add(&one, "oft_blocks", 0.5, 3, N, B, B, 1);
        const double *rescale = rescaled ? one_add(&one, "rescale", 1, 2, O, 1, 1, 1) : NULL;
        one_add_value(&one, "alpha", constrained ? 0.05f : 0);
        skew(q, blocks, N, B, constrained ? (double)0.05f * O : 0);
        struct lora_module *m = one_open(&one, 2, O, I, 1, 1);
        for (int half = 0; half < 2; half++) {
            double s = half ? 0.5 : 1;
            for (size_t n = 0; n < N; n++) {
                cayley(r, q + n * B * B, B);
                for (size_t i = 0; i < B; i++)
                    for (size_t c = 0; c < I; c++) {
                        double sum = w[(n * B + i) * I + c];
                        for (size_t j = 0; j < B; j++) sum += s * (r[j * B + i] - (i == j)) * w[(n * B + j) * I + c];
                        want[(n * B + i) * I + c] = sum * (rescale ? rescale[n * B + i] : 1) - w[(n * B + i) * I + c];
                    }
            }
            assert_true(lora_delta(delta, m, half ? one_half : one_whole, w0, &err));
            one_compare(delta, want, O * I, one_tolerance, "oft");
        }
        one_end(&one);
        free(w0);
        free(w);
    }
}

/* oft_diag holds R itself. */
static void old_oft(void **state)
{
    enum { N = 2, B = 3, O = N * B, I = 4 };
    double want[O * I], *w;
    float *w0 = one_weight(&w, O * I);
    struct one one;
    (void)state;
    one_begin(&one);
    const double *r = one_add(&one, "oft_diag", 1, 3, N, B, B, 1);
    for (size_t o = 0; o < O; o++)
        for (size_t c = 0; c < I; c++) {
            double sum = -w[o * I + c];
            for (size_t j = 0; j < B; j++) sum += r[(o / B * B + j) * B + o % B] * w[(o / B * B + j) * I + c];
            want[o * I + c] = sum;
        }
    one_open(&one, 2, O, I, 1, 1);
    one_check_delta(&one, want, w0, "old oft");
    one_end(&one);
    free(w0);
    free(w);
}

/* Stage i: rows in pairs 2^i b/2 apart come together, blocks are multiplied, rows go back. */
static void boft(void **state)
{
    enum { M = 3, N = 4, B = 4, O = N * B, I = 3 };
    double q[M * N * B * B], r[B * B], x[O * I], y[O * I], *w;
    float delta[O * I], *w0 = one_weight(&w, O * I);
    struct tinct_err err;
    struct one one;
    (void)state;
    one_begin(&one);
    const double *blocks = one_add(&one, "oft_blocks", 0.5, 4, M, N, B, B);
    one_add_value(&one, "alpha", 0);
    skew(q, blocks, M * N, B, 0);
    struct lora_module *m = one_open(&one, 2, O, I, 1, 1);
    assert_int_equal(m->type, LORA_BOFT);
    for (int half = 0; half < 2; half++) {
        double s = half ? 0.5 : 1;
        memcpy(x, w, sizeof x);
        for (size_t stage = 0; stage < M; stage++) {
            size_t k = ((size_t)1 << stage) * (B / 2);
            size_t from[O]; /* old row of each new place */
            for (size_t c = 0, at = 0; c < O / (2 * k); c++)
                for (size_t i = 0; i < k; i++)
                    for (size_t g = 0; g < 2; g++) from[at++] = (c * 2 + g) * k + i;
            for (size_t n = 0; n < N; n++) {
                cayley(r, q + (stage * N + n) * B * B, B);
                for (size_t i = 0; i < B; i++)
                    for (size_t c = 0; c < I; c++) {
                        double sum = 0;
                        for (size_t j = 0; j < B; j++)
                            sum += (s * r[i * B + j] + (1 - s) * (i == j)) * x[from[n * B + j] * I + c];
                        y[from[n * B + i] * I + c] = sum;
                    }
            }
            memcpy(x, y, sizeof x);
        }
        for (size_t i = 0; i < O * I; i++) x[i] -= w[i];
        assert_true(lora_delta(delta, m, half ? one_half : one_whole, w0, &err));
        one_compare(delta, x, O * I, one_tolerance, "boft");
    }
    one_end(&one);
    free(w0);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diag_oft),
        cmocka_unit_test(old_oft),
        cmocka_unit_test(boft),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
