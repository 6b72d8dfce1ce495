#include "ops/gemm_definition.h"

#include "group_norm.h"

struct norm_case {              /* what is zero is absent */
    uint32_t images, h, w, c1, c2, groups;          /* images 0 counts as 1 */
    enum act act;
    bool in_place;
    uint32_t row_stride;        /* elements from pixel to pixel of x, x2 and y; 0: dense */
    float mean, spread;
    double eps;                 /* 0: 1e-5 */
};

struct operands {
    const float *x1, *x2, *gamma, *beta;
};

static float value_at(const struct norm_case *n, const struct operands *in, size_t pixel, uint32_t c)
{
    return c < n->c1 ? in->x1[pixel * n->c1 + c] : in->x2[pixel * n->c2 + c - n->c1];
}

struct statistics {
    double mean, rstd, mean_off, rstd_share;        /* the last two: how far fp32 may be off, and the same relative */
};

/* Mean and variance of one group of one image, two sweeps.
 *
 * A chunk's mean is a sum of n values of size m: a random walk of roundings of 2^-24 of the sum so far, sqrt(n) 2^-24 m
 * is three deviations where they are added one by one. Chunks' means are combined one after the other, a rounding
 * each. The same holds for the squares, all positive, of which rstd takes half the relative error. */
static struct statistics statistics_of(const struct norm_case *n, const struct operands *in, uint32_t image,
                                       uint32_t group)
{
    uint32_t pixels = n->h * n->w, width = (n->c1 + n->c2) / n->groups;
    double mean = 0, var = 0, largest = 0, count = (double)pixels * width;

    for (uint32_t p = 0; p < pixels; p++)
        for (uint32_t c = 0; c < width; c++) {
            double x = value_at(n, in, (size_t)image * pixels + p, group * width + c);
            mean += x;
            largest = fmax(largest, fabs(x));
        }
    mean /= count;
    for (uint32_t p = 0; p < pixels; p++)
        for (uint32_t c = 0; c < width; c++) {
            double d = value_at(n, in, (size_t)image * pixels + p, group * width + c) - mean;
            var += d * d;
        }
    double walk = sqrt(fmin(GROUP_NORM_CHUNK * width, count)) + sqrt((double)pixels / GROUP_NORM_CHUNK);
    double var_off = var / count * 2 * walk * 0x1p-24 + walk * 0x1p-24 * largest * walk * 0x1p-24 * largest;

    return (struct statistics) {
        .mean = mean, .rstd = 1 / sqrt(var / count + n->eps), .mean_off = walk * 0x1p-24 * largest,
        .rstd_share = 0.5 * var_off / (var / count + n->eps) + 4 * 0x1p-24,
    };
}

static void compare(struct optest *t, const struct norm_case *n, const struct operands *in, const float *got)
{
    uint32_t pixels = n->h * n->w, rows = n->images * pixels, channels = n->c1 + n->c2;
    uint32_t samples = optest_samples(rows, 50.0 * channels);
    size_t count = (size_t)samples * channels;
    struct statistics *stats = optest_host(t, (size_t)n->images * n->groups * sizeof *stats);
    double *want = optest_host(t, count * sizeof *want), *tolerance = optest_host(t, count * sizeof *tolerance);
    float *part = optest_host(t, count * sizeof *part);

    optest_all_written(t, got, (size_t)rows * channels);
    for (uint32_t i = 0; i < n->images * n->groups; i++) stats[i] = statistics_of(n, in, i / n->groups, i % n->groups);
    for (uint32_t i = 0; i < samples; i++) {
        size_t row = optest_sample(t, i, samples, rows);
        for (uint32_t c = 0; c < channels; c++) {
            const struct statistics *s = &stats[row / pixels * n->groups + c / (channels / n->groups)];
            double normal = (value_at(n, in, row, c) - s->mean) * s->rstd, scaled = normal * in->gamma[c];
            double z = scaled + in->beta[c];
            double off = fabs(s->rstd * in->gamma[c]) * s->mean_off + fabs(scaled) * (s->rstd_share + 3 * 0x1p-24) +
                         0x1p-24 * (fabs(z) + fabs(in->beta[c]));
            size_t at = (size_t)i * channels + c;
            want[at] = act_of(n->act, z);
            tolerance[at] = act_off(n->act, z, off) + optest_store(t, want[at]);
            part[at] = got[row * channels + c];
        }
    }
    optest_close(t, part, want, tolerance, samples, channels);
}

static struct tensor picture(struct optest *t, const struct norm_case *n, uint32_t c, const float *values)
{
    uint32_t stride = n->row_stride ? n->row_stride : c;
    return optest_columns(t, t->dtype, 4, (uint32_t[]) { n->images, n->h, n->w, c }, (stride - c) / 8 * 4, stride,
                          values);
}

typedef void group_norm_op(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, const struct norm *norm,
                           uint32_t groups, float eps, enum act act);

static void run_op(struct optest *t, const struct norm_case *n, const struct operands *in, const struct norm *norm,
                   group_norm_op *op)
{
    const struct tensor none = { 0 };
    struct tensor x = picture(t, n, n->c1, in->x1), x2 = n->c2 ? picture(t, n, n->c2, in->x2) : none;
    struct tensor y = n->in_place ? x : picture(t, n, n->c1 + n->c2, NULL);

    op(optest_pass(t), y, x, x2, norm, n->groups, (float)n->eps, n->act);
    optest_run(t);
    compare(t, n, in, optest_read(t, y));
}

/* Also in one dispatch, where the device has a kernel for it. */
static void run_on(struct optest *t, const struct norm_case *n, struct operands *in)
{
    uint32_t channels = n->c1 + n->c2;

    in->gamma = optest_random_f32(t, channels, 1, 0.5f);
    in->beta = optest_random_f32(t, channels, 0, 1);
    struct norm norm = { optest_vector(t, channels, in->gamma), optest_vector(t, channels, in->beta) };

    run_op(t, n, in, &norm, op_group_norm);
    if (device_has_kernel(t->device, "group_norm_whole", dtype_name(t->dtype)))
        run_op(t, n, in, &norm, op_group_norm_whole);
}

static void group_norm(struct optest *t, struct norm_case n)
{
    if (!n.images) n.images = 1;
    n.eps = (float)(n.eps > 0 ? n.eps : 1e-5);
    size_t pixels = (size_t)n.images * n.h * n.w;
    struct operands in = { .x1 = optest_random(t, pixels * n.c1, n.mean, n.spread) };

    if (n.c2) in.x2 = optest_random(t, pixels * n.c2, n.mean + 1, n.spread / 2);
    run_on(t, &n, &in);
}

static void unet_silu(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 2, .h = 64, .w = 64, .c1 = 320, .groups = 32, .act = OP_ACT_SILU,
                                       .spread = 2 });
}

static void transformer_in(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 2, .h = 8, .w = 8, .c1 = 1280, .groups = 32, .spread = 2, .eps = 1e-6 });
}

static void vae_in_place(struct optest *t)
{
    group_norm(t, (struct norm_case) { .h = 128, .w = 96, .c1 = 128, .groups = 32, .act = OP_ACT_SILU, .spread = 5,
                                       .in_place = true, .eps = 1e-6 });
}

/* 30 channels a group: one of them begins in x and ends in x2. */
static void skip_straddles(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 2, .h = 16, .w = 16, .c1 = 640, .c2 = 320, .groups = 32,
                                       .act = OP_ACT_SILU, .spread = 2 });
}

static void small_skip(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 3, .h = 13, .w = 37, .c1 = 12, .c2 = 24, .groups = 4, .spread = 1 });
}

static void odd_pictures(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 2, .h = 33, .w = 47, .c1 = 64, .groups = 32, .act = OP_ACT_SILU,
                                       .spread = 1, .in_place = true });
    group_norm(t, (struct norm_case) { .h = 63, .w = 63, .c1 = 96, .groups = 32, .spread = 1 });
}

static void one_channel_groups(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 2, .h = 9, .w = 31, .c1 = 32, .groups = 32, .spread = 1 });
}

static void one_group(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 2, .h = 17, .w = 31, .c1 = 20, .groups = 1, .spread = 1 });
}

static void around_a_chunk(struct optest *t)
{
    for (uint32_t pixels = GROUP_NORM_CHUNK - 1; pixels <= GROUP_NORM_CHUNK + 1; pixels++)
        group_norm(t, (struct norm_case) { .images = 2, .h = 1, .w = pixels, .c1 = 64, .groups = 32, .spread = 1 });
    group_norm(t, (struct norm_case) { .h = 1, .w = 1, .c1 = 64, .groups = 8, .spread = 1 });
}

static void column_ranges(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 2, .h = 13, .w = 21, .c1 = 24, .c2 = 8, .groups = 8, .row_stride = 52,
                                       .spread = 1 });
}

static void mean_of_1000(struct optest *t)
{
    group_norm(t, (struct norm_case) { .images = 2, .h = 40, .w = 40, .c1 = 320, .groups = 32, .mean = 1000, .spread = 1 });
}

static void beyond_128_mib(struct optest *t)
{
    group_norm(t, (struct norm_case) { .h = 130, .w = 208, .c1 = t->dtype == DTYPE_F32 ? 1280 : 2560, .groups = 32,
                                       .act = OP_ACT_SILU, .spread = 1, .in_place = true });
}

static void many_images(struct optest *t)        /* images times groups beyond 65535 */
{
    group_norm(t, (struct norm_case) { .images = 2100, .h = 3, .w = 1, .c1 = 32, .groups = 32, .spread = 1 });
}

static void constant_picture(struct optest *t)   /* variance 0: eps alone keeps it finite, and y is beta */
{
    struct norm_case n = { .images = 1, .h = 16, .w = 20, .c1 = 64, .groups = 32, .eps = (float)1e-5 };
    float *x = optest_host(t, 16 * 20 * 64 * sizeof *x);

    for (int i = 0; i < 16 * 20 * 64; i++) x[i] = 2.5f;
    run_on(t, &n, &(struct operands) { .x1 = x });
}

static void refusals(struct optest *t)
{
    struct norm_case n = { .images = 1, .h = 4, .w = 5 }, taller = { .images = 1, .h = 5, .w = 5 };
    struct tensor x = picture(t, &n, 32, NULL), y = picture(t, &n, 40, NULL), tall = picture(t, &taller, 8, NULL);
    struct tensor x2 = picture(t, &n, 8, NULL), none = { 0 };
    struct norm n32 = { optest_vector(t, 32, NULL), optest_vector(t, 32, NULL) };
    struct norm n40 = { optest_vector(t, 40, NULL), optest_vector(t, 40, NULL) };

    op_group_norm(optest_pass(t), y, x, none, &n32, 8, 1e-5f, OP_ACT_NONE);
    optest_refused(t, "group_norm: y must be 20 rows of 32 channels");
    op_group_norm(optest_pass(t), x, x, x2, &n40, 8, 1e-5f, OP_ACT_NONE);
    optest_refused(t, "group_norm: y must be 20 rows of 40 channels");
    op_group_norm(optest_pass(t), y, x, tall, &n40, 8, 1e-5f, OP_ACT_NONE);
    optest_refused(t, "group_norm: x and x2 differ in size or type");
    op_group_norm(optest_pass(t), y, x, x2, &n40, 32, 1e-5f, OP_ACT_NONE);
    optest_refused(t, "group_norm: 40 channels in 32 groups");
    op_group_norm(optest_pass(t), y, x, x2, &n40, 0, 1e-5f, OP_ACT_NONE);
    optest_refused(t, "group_norm: 40 channels in 0 groups");
    op_group_norm(optest_pass(t), y, x, x2, &n32, 8, 1e-5f, OP_ACT_NONE);
    optest_refused(t, "group_norm: gamma and beta must hold 40 values");
    op_group_norm(optest_pass(t), y, x, x2, &n40, 8, 1e-5f, OP_ACT_GELU);
    optest_refused(t, "group_norm: only SiLU may follow");
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "2x64x64x320 silu", unet_silu },
        { "2x8x8x1280", transformer_in },
        { "128x96x128 silu in place", vae_in_place },
        { "640 + 320, a group in both", skip_straddles },
        { "12 + 24 in 4 groups", small_skip },
        { "33x47 and 63x63", odd_pictures },
        { "groups of one channel", one_channel_groups },
        { "one group", one_group },
        { "around a chunk of pixels", around_a_chunk },
        { "column ranges", column_ranges },
        { "mean of 1000", mean_of_1000 },
        { "constant picture", constant_picture },
        { "beyond 65535 groups", many_images },
        { "beyond 128 MiB", beyond_128_mib },
        { "refusals", refusals },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
