#include "ops/optest.h"

static const struct tensor none;

struct mix_case {
    uint32_t results, floats, others, count;       /* operands in f32, then others as activations are */
    bool y_float;                       /* f32 where activations are f16 */
    bool in_place;                      /* y is the floats' entries from the second on */
    uint32_t gap;                       /* between entries */
    float size;                         /* of x's values */
};

/* At most K roundings of fp32, of a product and of the sum so far, and one to what is stored. */
static void definition(const struct optest *t, const struct mix_case *c, const float *x, const float *a, double *want, double *tolerance)
{
    for (size_t m = 0; m < c->results; m++)
        for (size_t i = 0; i < c->count; i++) {
            double sum = 0, absolute = 0;
            for (size_t k = 0; k < c->floats + c->others; k++) {
                double product = a[k * OP_MIX_RESULTS + m] == 0 ? 0 : (double)a[k * OP_MIX_RESULTS + m] * x[k * c->count + i];
                sum += product;
                absolute += fabs(product);
            }
            want[m * c->count + i] = sum;
            tolerance[m * c->count + i] = (c->floats + c->others) * 0x1p-24 * absolute + (c->y_float ? 0 : optest_store(t, sum));
        }
}

/* Weights of a sampler: most are 0 or 1. */
static float *random_weights(struct optest *t, uint32_t operands)
{
    float *a = optest_random_f32(t, (size_t)operands * OP_MIX_RESULTS, 0, 8);

    for (uint32_t i = 0; i < operands * OP_MIX_RESULTS; i++)
        if (a[i] > 0) a[i] = i % 3 ? 0 : 1;
    return a;
}

static struct tensor entries(struct optest *t, enum dtype type, const struct mix_case *c, uint32_t count, uint32_t gap, const float *x)
{
    if (!count) return (struct tensor) { 0 };
    return optest_columns(t, type, 2, (uint32_t[]) { count, c->count }, 0, c->count + gap, x);
}

static void mix_of(struct optest *t, struct mix_case c)
{
    size_t floats = (size_t)c.floats * c.count, others = (size_t)c.others * c.count, results = (size_t)c.results * c.count;
    float *x = optest_host(t, (floats + others) * sizeof *x), *a = random_weights(t, c.floats + c.others);
    double *want = optest_host(t, results * sizeof *want), *tolerance = optest_host(t, results * sizeof *tolerance);

    if (floats) memcpy(x, optest_random_f32(t, floats, 0, c.size), floats * sizeof *x);
    if (others) memcpy(x + floats, optest_random(t, others, 0, c.size), others * sizeof *x);
    struct tensor xt = entries(t, DTYPE_F32, &c, c.floats, c.gap, x), x2 = entries(t, t->dtype, &c, c.others, c.gap / 2, x + floats);
    struct tensor at = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { c.floats + c.others, OP_MIX_RESULTS }, a);
    struct tensor yt = c.in_place ? tensor_image(xt, 1, c.results)
                                  : entries(t, c.y_float ? DTYPE_F32 : t->dtype, &c, c.results, 2 * c.gap, NULL);

    op_mix(optest_pass(t), yt, xt, x2, at);
    optest_run(t);
    definition(t, &c, x, a, want, tolerance);
    float *got = optest_read(t, c.in_place ? xt : yt);
    if (c.in_place) {
        assert_memory_equal(got, x, c.count * sizeof *got);
        got += c.count;
    }
    optest_all_written(t, got, results);
    optest_close(t, got, want, tolerance, c.results, c.count);
}

static void sampler_512(struct optest *t)
{
    mix_of(t, (struct mix_case) { 8, 9, 2, 64 * 64 * 4, .y_float = true, .size = 15 });
}
static void in_place(struct optest *t)
{
    mix_of(t, (struct mix_case) { 7, 9, 33, 13 * 37 * 4, .y_float = true, .in_place = true, .size = 15 });
}
static void with_gaps(struct optest *t)
{
    mix_of(t, (struct mix_case) { 8, 11, 3, 13 * 37 * 4, .y_float = true, .in_place = true, .gap = 64, .size = 15 });
    mix_of(t, (struct mix_case) { 5, 0, 3, 13 * 37 * 4, .gap = 24, .size = 3 });
}
static void to_floats(struct optest *t) { mix_of(t, (struct mix_case) { 1, 0, 33, 13 * 37 * 4, .y_float = true, .size = 3 }); }
static void to_the_unet(struct optest *t) { mix_of(t, (struct mix_case) { 1, 9, 0, 13 * 37 * 4, .size = 3 }); }
static void activations(struct optest *t) { mix_of(t, (struct mix_case) { 3, 0, 5, 1028, .size = 3 }); }
static void a_row_of_a_table(struct optest *t)
{
    mix_of(t, (struct mix_case) { 1, 32, 0, 20160, .y_float = true, .size = 2 });
}
static void smallest(struct optest *t) { mix_of(t, (struct mix_case) { 1, 1, 0, 4, .size = 1 }); }
/* Of 8 lanes, as the soft core has them; larger workgroups are for latents that no picture has. */
static void beyond_65535_groups(struct optest *t)
{
    mix_of(t, (struct mix_case) { 1, 2, 0, 8 * 4 * (65535 + 3) + 4, .y_float = true, .size = 1 });
}

/* An operand of weight 0 may hold anything, as a place that nobody has written yet does; one of weight 1 alone is a copy. */
static void weights_of_0_and_1_are_exact(struct optest *t)
{
    enum { COUNT = 36 };
    float *x = optest_random_f32(t, 3 * COUNT, 0, 1000), a[3 * OP_MIX_RESULTS] = { [OP_MIX_RESULTS] = 1, [1] = 2 };

    for (int i = 0; i < COUNT; i++) x[i] = i % 2 ? NAN : INFINITY;
    x[COUNT] = 0x1p-140f;                    /* may become 0, nothing else */
    struct tensor xt = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 3, COUNT }, x);
    struct tensor at = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 3, OP_MIX_RESULTS }, a);
    struct tensor yt = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 2, COUNT }, NULL);
    op_mix(optest_pass(t), yt, xt, none, at);
    optest_run(t);
    float *got = optest_read(t, yt);
    assert_true(got[0] == 0 || got[0] == 0x1p-140f);
    assert_memory_equal(got + 1, x + COUNT + 1, (COUNT - 1) * sizeof *got);
    for (int i = 0; i < COUNT; i++) assert_false(isfinite(got[COUNT + i]));
}

static void refusals(struct optest *t)
{
    struct tensor a = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 3, OP_MIX_RESULTS }, NULL);
    struct tensor x = optest_tensor(t, DTYPE_F32, 4, (uint32_t[]) { 3, 2, 2, 4 }, NULL);
    struct tensor half = optest_tensor(t, DTYPE_F16, 2, (uint32_t[]) { 3, 16 }, NULL);
    struct tensor y = optest_tensor(t, DTYPE_F32, 3, (uint32_t[]) { 1, 4, 4 }, NULL);
    struct tensor nine = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 9, 16 }, NULL);
    struct tensor large = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 1, 20 }, NULL);

    op_mix(optest_pass(t), nine, x, none, a);
    optest_refused(t, "mix: 1 to 8 results");
    op_mix(optest_pass(t), large, x, none, a);
    optest_refused(t, "mix: y's entries must be as large as x's");
    op_mix(optest_pass(t), y, tensor_image(x, 0, 2), none, a);
    optest_refused(t, "mix: a must be f32 [2, 8]");
    op_mix(optest_pass(t), y, half, none, a);
    optest_refused(t, "mix: operands must be dense, the first f32");
    op_mix(optest_pass(t), y, none, none, a);
    optest_refused(t, "mix: a must be f32 [0, 8]");
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "9 operands of 64x64x4 and 2 answers", sampler_512 },
        { "in place", in_place },
        { "with gaps", with_gaps },
        { "33 activations to f32", to_floats },
        { "f32 to activations", to_the_unet },
        { "activations alone", activations },
        { "a row of a table", a_row_of_a_table },
        { "one operand of 4", smallest },
        { "beyond 65535 groups", beyond_65535_groups },
        { "weights of 0 and 1 are exact", weights_of_0_and_1_are_exact },
        { "refusals", refusals },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
