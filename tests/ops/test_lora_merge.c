#include "ops/optest.h"

#include "tensor/convert.h"

enum { PANEL = 64 };

struct merge_case {
    uint32_t panels, k, ranks;
    enum dtype w0;
    bool delta, in_place;
    float size, terms;              /* of w0's values; of a's, b's and delta's */
};

struct merge_values {
    float *w0, *a, *b, *delta;      /* a [k, ranks], b [panels, ranks, 64] */
};

/* One rounding of the exact sum: half a step of fp16, and what fp32 sums of ranks + 2 terms are off before it. */
static void definition(const struct merge_case *c, const struct merge_values *v, size_t at, double *want,
                       double *tolerance)
{
    size_t row = at / PANEL, column = at % PANEL, panel = row / c->k, k = row % c->k;
    double sum = v->w0[at], absolute = fabs(sum);

    if (c->delta) {
        sum += v->delta[at];
        absolute += fabs((double)v->delta[at]);
    }
    for (size_t r = 0; r < c->ranks; r++) {
        double product = (double)v->a[k * c->ranks + r] * v->b[(panel * c->ranks + r) * PANEL + column];
        sum += product;
        absolute += fabs(product);
    }
    int exponent;
    frexp(sum, &exponent);
    *want = sum;
    *tolerance = ldexp(0.5, (exponent < -13 ? -13 : exponent) - 11) + sqrt(c->ranks + 3.0) * 0x1p-24 * absolute;
}

static struct merge_values random_merge(struct optest *t, const struct merge_case *c)
{
    size_t count = (size_t)c->panels * c->k * PANEL;
    struct merge_values v = {
        .w0 = optest_random_f32(t, count, 0, c->size),
        .a = optest_random_f32(t, (size_t)c->k * c->ranks, 0, c->terms),
        .b = optest_random_f32(t, (size_t)c->panels * c->ranks * PANEL, 0, 1),
        .delta = optest_random_f32(t, c->delta ? count : 0, 0, c->terms),
    };
    for (size_t i = 0; c->w0 == DTYPE_F16 && i < count; i++)
        v.w0[i] = convert_f16_to_f32(convert_f32_to_f16(v.w0[i]));
    return v;
}

/* y, read back as fp32. *flag: what `beyond` holds then. */
static float *merged(struct optest *t, const struct merge_case *c, const struct merge_values *v, float *flag)
{
    const uint32_t packed[] = { c->panels, c->k, PANEL };
    const float zero = 0;
    struct tensor none = { 0 }, beyond = optest_vector(t, 1, &zero);
    struct tensor w0 = optest_tensor(t, c->w0, 3, packed, v->w0);
    struct tensor y = c->in_place ? w0 : optest_tensor(t, DTYPE_F16, 3, packed, NULL);
    struct tensor a = none, b = none, delta = none;

    if (c->ranks) {
        a = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { c->k, c->ranks }, v->a);
        b = optest_tensor(t, DTYPE_F32, 3, (uint32_t[]) { c->panels, c->ranks, PANEL }, v->b);
    }
    if (c->delta) delta = optest_tensor(t, DTYPE_F32, 3, packed, v->delta);
    op_lora_merge(optest_pass(t), y, w0, a, b, delta, beyond);
    optest_run(t);
    *flag = *optest_read(t, beyond);
    return optest_read(t, y);
}

static void merge_of(struct optest *t, struct merge_case c)
{
    struct merge_values v = random_merge(t, &c);
    uint32_t rows = c.panels * c.k, samples = optest_samples(rows, PANEL * (c.ranks + 4.0));
    size_t count = (size_t)samples * PANEL;
    double *want = optest_host(t, count * sizeof *want), *tolerance = optest_host(t, count * sizeof *tolerance);
    float *part = optest_host(t, count * sizeof *part), flag, *got = merged(t, &c, &v, &flag);

    assert_true(flag == 0);
    optest_all_written(t, got, (size_t)rows * PANEL);
    for (uint32_t i = 0; i < samples; i++) {
        size_t row = optest_sample(t, i, samples, rows);
        for (size_t n = 0; n < PANEL; n++)
            definition(&c, &v, row * PANEL + n, &want[i * PANEL + n], &tolerance[i * PANEL + n]);
        memcpy(part + (size_t)i * PANEL, got + row * PANEL, PANEL * sizeof *got);
    }
    optest_close(t, part, want, tolerance, samples, PANEL);
}

static void linear_320(struct optest *t)
{
    merge_of(t, (struct merge_case) { 5, 320, 32, DTYPE_F16, .in_place = true, .size = 0.1f, .terms = 0.01f });
}
static void conv_1280(struct optest *t)
{
    merge_of(t, (struct merge_case) { 2, 11520, 16, DTYPE_F16, .in_place = true, .size = 0.1f, .terms = 0.01f });
}
static void from_f32(struct optest *t)
{
    merge_of(t, (struct merge_case) { 3, 736, 20, DTYPE_F32, .size = 0.1f, .terms = 0.02f });
}
static void least_rank(struct optest *t)
{
    merge_of(t, (struct merge_case) { 1, 32, 4, DTYPE_F16, .size = 1, .terms = 0.5f });
}
static void stacked_ranks(struct optest *t)
{
    merge_of(t, (struct merge_case) { 3, 96, 33 * 128, DTYPE_F16, .in_place = true, .size = 0.1f, .terms = 0.01f });
}
static void dense(struct optest *t)
{
    merge_of(t, (struct merge_case) { 2, 352, 0, DTYPE_F16, .delta = true, .in_place = true, .size = 1, .terms = 0.1f });
}
static void dense_and_ranks(struct optest *t)
{
    merge_of(t, (struct merge_case) { 4, 64, 12, DTYPE_F32, .delta = true, .size = 1, .terms = 0.1f });
}
static void small_values(struct optest *t)       /* halves below 2^-14 */
{
    merge_of(t, (struct merge_case) { 2, 320, 8, DTYPE_F16, .in_place = true, .size = 4e-5f, .terms = 1e-5f });
}
static void large_values(struct optest *t)
{
    merge_of(t, (struct merge_case) { 2, 320, 8, DTYPE_F32, .size = 60000, .terms = 500 });
}
static void beyond_128_mib(struct optest *t)
{
    merge_of(t, (struct merge_case) { 97, 11520, 4, DTYPE_F16, .in_place = true, .size = 0.1f, .terms = 0.01f });
}

/* The sum must be rounded once: 1 + 2^-11 + 2^-12 lies above the middle of 1 and its next half, 1 + 2^-11 on it.
 * Rounded in two steps both come out as 1. */
static void rounded_once_to_even(struct optest *t)
{
    struct merge_case c = { 1, 32, 4, DTYPE_F16, .delta = true };
    float *ones = optest_host(t, 32 * PANEL * sizeof(float)), flag;
    struct merge_values v = { ones, optest_host(t, 32 * 4 * sizeof(float)), optest_host(t, 4 * PANEL * sizeof(float)),
                              optest_host(t, 32 * PANEL * sizeof(float)) };

    for (int i = 0; i < 32 * PANEL; i++) ones[i] = 1;
    for (int i = 0; i < 32 * PANEL; i++) v.delta[i] = 0x1p-11f;
    for (int k = 0; k < 32; k++) v.a[k * 4] = k % 2 ? 0x1p-12f : 0;
    for (int n = 0; n < PANEL; n++) v.b[n] = 1;
    float *got = merged(t, &c, &v, &flag);
    for (int i = 0; i < 32 * PANEL; i++)
        assert_true(got[i] == (i / PANEL % 2 ? 1 + 0x1p-10f : 1));
}

/* 65519 is the largest that fits, as 65504; one value of 65520, -Inf or NaN is told. */
static void beyond_is_told(struct optest *t)
{
    struct merge_case c = { 2, 64, 0, DTYPE_F16, .delta = true };
    const float added[] = { 65519 - 60000.0f, 65520 - 60000.0f, -INFINITY, NAN };

    for (int i = 0; i < 4; i++) {
        struct merge_values v = { .w0 = optest_host(t, 2 * 64 * PANEL * sizeof(float)),
                                  .delta = optest_host(t, 2 * 64 * PANEL * sizeof(float)) };
        float flag;
        for (int j = 0; j < 2 * 64 * PANEL; j++) v.w0[j] = 60000;
        v.delta[77 * PANEL + 13] = added[i];
        float *got = merged(t, &c, &v, &flag);
        assert_true(flag == (i ? 1 : 0));
        assert_true(got[77 * PANEL + 12] == 60000 && (i || got[77 * PANEL + 13] == 65504));
    }
}

static void refusals(struct optest *t)
{
    const uint32_t packed[] = { 2, 32, PANEL };
    struct tensor none = { 0 }, y = optest_tensor(t, DTYPE_F16, 3, packed, NULL), beyond = optest_vector(t, 1, NULL);
    struct tensor a = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 32, 8 }, NULL);
    struct tensor odd = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 32, 6 }, NULL);
    struct tensor b = optest_tensor(t, DTYPE_F32, 3, (uint32_t[]) { 2, 8, PANEL }, NULL);
    struct tensor short_b = optest_tensor(t, DTYPE_F32, 3, (uint32_t[]) { 1, 8, PANEL }, NULL);
    struct tensor full = optest_tensor(t, DTYPE_F32, 3, packed, NULL);

    op_lora_merge(optest_pass(t), full, y, a, b, none, beyond);
    optest_refused(t, "y must be packed f16");
    op_lora_merge(optest_pass(t), y, a, a, b, none, beyond);
    optest_refused(t, "w0 must be packed like y");
    op_lora_merge(optest_pass(t), y, y, none, none, none, beyond);
    optest_refused(t, "a and b, or delta");
    op_lora_merge(optest_pass(t), y, y, a, none, full, beyond);
    optest_refused(t, "a and b, or delta");
    op_lora_merge(optest_pass(t), y, y, odd, b, none, beyond);
    optest_refused(t, "a must be f32 [32, ranks]");
    op_lora_merge(optest_pass(t), y, y, a, short_b, none, beyond);
    optest_refused(t, "b must be f32 [2, 8, 64]");
    op_lora_merge(optest_pass(t), y, y, a, b, y, beyond);
    optest_refused(t, "delta must be packed like y");
    op_lora_merge(optest_pass(t), y, y, a, b, none, a);
    optest_refused(t, "beyond must hold one value");
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "320x320 rank 32 in place", linear_320 },
        { "11520 rows, rank 16", conv_1280 },
        { "from f32, rank 20", from_f32 },
        { "rank 4", least_rank },
        { "33 LoRAs of rank 128", stacked_ranks },
        { "delta alone", dense },
        { "delta and ranks", dense_and_ranks },
        { "values below 2^-14", small_values },
        { "values of 60000", large_values },
        { "beyond 128 MiB", beyond_128_mib },
        { "rounded once, to even", rounded_once_to_even },
        { "beyond fp16", beyond_is_told },
        { "refusals", refusals },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
