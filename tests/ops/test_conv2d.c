#include "ops/gemm_definition.h"

#include <stdlib.h>

struct layer {                  /* one case; what is zero is absent */
    uint32_t images, h, w;      /* of x; images 0 counts as 1 */
    uint32_t c, outputs, kernel;
    uint32_t shortcut, shortcut2;   /* channels */
    uint32_t stride;            /* 0 counts as 1 */
    bool pad_end_only, upsample, odd_h, odd_w;     /* odd: upsampled to 2 h - 1, 2 w - 1 */
    int flags;                  /* OPTEST_BIAS */
    enum act act;
    enum { NO_RESIDUAL, RESIDUAL, RESIDUAL_IS_Y } residual;
    bool per_image;             /* columns of a wider table */
    uint32_t row_stride;        /* elements from pixel to pixel of x, shortcuts and y; 0: dense */
    float mean, spread;         /* of x; spread 0 counts as 1 */
    enum { NONE, LARGE, SMALL } winograd;   /* large enough for it; where weights are made in a cache alone */
};

struct operands {
    struct optest_weight w;
    float *x, *shortcut[2], *per_image, *residual;  /* absent: NULL */
    uint32_t out_h, out_w, channels;                /* channels: of y, outputs rounded up to 4 */
};

static uint32_t or_else(uint32_t value, uint32_t other)
{
    return value ? value : other;
}

static uint32_t out_size(const struct layer *l, uint32_t in, bool odd)
{
    if (l->upsample) return odd ? 2 * in - 1 : 2 * in;
    if (l->stride == 2) return l->pad_end_only ? in / 2 : (in + 1) / 2;
    return in;
}

static uint32_t all_k(const struct layer *l)
{
    return l->kernel * l->kernel * l->c + l->shortcut + l->shortcut2;
}

/* Products of one output value; (y, x) is the output pixel. Zero padding: a tap outside adds nothing. */
static struct dot dot_of(const struct layer *l, const struct operands *in, uint32_t image, uint32_t y, uint32_t x,
                         uint32_t o)
{
    uint32_t stride = or_else(l->stride, 1), up = l->upsample ? 2 : 1, taps = l->kernel * l->kernel;
    int pad = l->pad_end_only ? 0 : (int)l->kernel / 2;
    int seen_h = (int)(l->upsample ? in->out_h : l->h), seen_w = (int)(l->upsample ? in->out_w : l->w);
    const float *w = in->w.values + (size_t)o * l->c * taps;
    const float *own = in->w.shortcut + (size_t)o * (l->shortcut + l->shortcut2);
    size_t row = ((size_t)image * in->out_h + y) * in->out_w + x;
    struct dot d = { 0 };

    for (uint32_t tap = 0; tap < taps; tap++) {
        int iy = (int)(y * stride + tap / l->kernel) - pad, ix = (int)(x * stride + tap % l->kernel) - pad;
        if (iy < 0 || iy >= seen_h || ix < 0 || ix >= seen_w) continue;
        size_t pixel = ((size_t)image * l->h + (uint32_t)iy / up) * l->w + (uint32_t)ix / up;
        for (uint32_t c = 0; c < l->c; c++) dot_add(&d, in->x[pixel * l->c + c], w[c * taps + tap]);
    }
    for (uint32_t c = 0; c < l->shortcut; c++) dot_add(&d, in->shortcut[0][row * l->shortcut + c], own[c]);
    for (uint32_t c = 0; c < l->shortcut2; c++) dot_add(&d, in->shortcut[1][row * l->shortcut2 + c], own[l->shortcut + c]);
    return d;
}

/* F(4x4, 3x3)'s own error. Roundings are off by 2^-24 / sqrt 3 of what they round, as a deviation, and independent: of
 * independent inputs and weights, 6 of a transformed input, 12 of a transformed weight, c / 2 of a sum of c products, each a
 * partial sum, 6 of an output. On the way out each grows as its point does: by sum_i A[y, i]^2 |B^T[i]|^2 |G[i]|^2 along an
 * axis, where a result's 9 products grow by 1 each. Of an upsampled picture terms 1 to 4 are others, but those of 1 and 2, and of
 * 3 and 4, add up to the same. Six deviations; half as much again at a picture's corner, where a result has 4 of 9 products
 * and its tile nearly all. */
static double winograd_off(const struct optest *t, const struct layer *l, uint32_t y, uint32_t x, struct dot d)
{
    const double grown[4] = { 9.02, 8.58, 17.33, 94.33 };
    double roundings = (6 + 12 + l->c / 2.0 + 6) / 3;

    if (!l->winograd || !device_takes_winograd(t->device)) return 0;
    if (l->winograd == SMALL && device_has_kernel(t->device, "winograd_weights", "f32")) return 0;
    return 6 * 1.5 * 0x1p-24 * sqrt(grown[y % 4] * grown[x % 4] * roundings / 9 * d.squares);
}

static void definition(const struct optest *t, const struct layer *l, const struct operands *in, uint32_t row, double *y,
                       double *tolerance)
{
    uint32_t pixels = in->out_h * in->out_w, image = row / pixels, at = row % pixels;

    for (uint32_t o = 0; o < in->channels; o++) {
        y[o] = 0;
        tolerance[o] = 1e-30;                       /* columns beyond the outputs are 0, exactly */
        if (o >= l->outputs) continue;
        struct dot d = dot_of(l, in, image, at / in->out_w, at % in->out_w, o);
        double bias = in->w.bias ? in->w.bias[o] : 0;
        if (in->w.bias && in->w.device.shortcut) bias += in->w.shortcut_bias[o];
        double shift = in->per_image ? in->per_image[(size_t)image * l->outputs + o] : 0;
        double value = finish(t, d, all_k(l), bias + shift, fabs(bias) + fabs(shift),
                              l->act, &tolerance[o]);
        tolerance[o] += winograd_off(t, l, at / in->out_w, at % in->out_w, d);
        y[o] = finish_store(t, value, in->residual ? in->residual[(size_t)row * in->channels + o] : 0, &tolerance[o]);
    }
}

static void compare(struct optest *t, const struct layer *l, const struct operands *in, const float *got)
{
    uint32_t rows = l->images * in->out_h * in->out_w;
    uint32_t samples = optest_samples(rows, (double)all_k(l) * l->outputs);
    size_t count = (size_t)samples * in->channels;
    double *want = optest_host(t, count * sizeof *want), *tolerance = optest_host(t, count * sizeof *tolerance);
    float *part = optest_host(t, count * sizeof *part);

    optest_all_written(t, got, (size_t)rows * in->channels);
    for (uint32_t i = 0; i < samples; i++) {
        uint32_t row = optest_sample(t, i, samples, rows);
        size_t at = (size_t)i * in->channels;
        definition(t, l, in, row, want + at, tolerance + at);
        memcpy(part + at, got + (size_t)row * in->channels, in->channels * sizeof *got);
    }
    optest_close(t, part, want, tolerance, samples, in->channels);
}

/* A picture [N, h, w, c] of its own, or columns of wider pixels. */
static struct tensor picture(struct optest *t, uint32_t n, uint32_t h, uint32_t w, uint32_t c, uint32_t row_stride,
                             const float *values)
{
    uint32_t stride = or_else(row_stride, c);
    return optest_columns(t, t->dtype, 4, (uint32_t[]) { n, h, w, c }, (stride - c) / 8 * 4, stride, values);
}

static void conv2d(struct optest *t, struct layer l)
{
    l.images = or_else(l.images, 1);
    struct operands in = {
        .w = optest_weight_and_shortcut(t, l.outputs, l.c, l.kernel, l.shortcut + l.shortcut2, l.flags), .out_h = out_size(&l, l.h, l.odd_h),
        .out_w = out_size(&l, l.w, l.odd_w), .channels = (l.outputs + 3) / 4 * 4,
    };
    struct conv conv = { .stride = l.stride, .pad_end_only = l.pad_end_only, .upsample = l.upsample };
    struct epilogue e = { .act = l.act };
    size_t pixels = (size_t)l.images * l.h * l.w, out_pixels = (size_t)l.images * in.out_h * in.out_w;
    float spread = l.spread > 0 ? l.spread : 1;

    t->half_sums = strstr(t->combination, "matrix") && l.upsample && l.kernel == 3 && !l.odd_h && !l.odd_w;
    in.x = optest_random(t, pixels * l.c, l.mean, spread);
    struct tensor x = picture(t, l.images, l.h, l.w, l.c, l.row_stride, in.x);
    for (int i = 0; i < 2; i++) {
        uint32_t c = i ? l.shortcut2 : l.shortcut;
        if (!c) continue;
        in.shortcut[i] = optest_random(t, out_pixels * c, l.mean, spread);
        *(i ? &conv.shortcut2 : &conv.shortcut) = picture(t, l.images, in.out_h, in.out_w, c, l.row_stride, in.shortcut[i]);
    }
    if (l.residual) in.residual = optest_random(t, out_pixels * in.channels, 0, 1);
    if (l.per_image) {
        in.per_image = optest_random_f32(t, (size_t)l.images * l.outputs, 0, 1);
        e.per_image = optest_columns(t, DTYPE_F32, 2, (uint32_t[]) { l.images, l.outputs }, 8, l.outputs + 20,
                                     in.per_image);
    }
    struct tensor y = picture(t, l.images, in.out_h, in.out_w, in.channels, l.row_stride,
                              l.residual == RESIDUAL_IS_Y ? in.residual : NULL);
    if (l.residual == RESIDUAL) e.residual = picture(t, l.images, in.out_h, in.out_w, in.channels, 0, in.residual);
    if (l.residual == RESIDUAL_IS_Y) e.residual = y;

    op_conv2d(optest_pass(t), y, x, &in.w.device, &conv, &e);
    optest_run(t);
    compare(t, &l, &in, optest_read(t, y));
}

static void resblock_first(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 16, .w = 16, .c = 320, .outputs = 320, .kernel = 3,
                               .flags = OPTEST_BIAS, .per_image = true, .winograd = SMALL });
}

static void resblock_second(struct optest *t)
{
    conv2d(t, (struct layer) { .h = 8, .w = 8, .c = 1280, .outputs = 320, .kernel = 3, .flags = OPTEST_BIAS,
                               .residual = RESIDUAL, .winograd = SMALL });
}

static void of_1x1(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 9, .w = 16, .c = 640, .outputs = 320, .kernel = 1, .flags = OPTEST_BIAS });
}

static void all_of_the_epilogue(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 13, .w = 11, .c = 20, .outputs = 36, .kernel = 3, .flags = OPTEST_BIAS,
                               .per_image = true, .act = OP_ACT_SILU, .residual = RESIDUAL });
}

/* A picture as a block of pixels, a narrow one, channels of all kinds, one that Winograd takes, one that is upsampled. */
static void shortcuts(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 16, .w = 16, .c = 320, .shortcut = 640, .shortcut2 = 320, .outputs = 320,
                               .kernel = 3, .flags = OPTEST_BIAS, .winograd = SMALL });
    conv2d(t, (struct layer) { .images = 2, .h = 8, .w = 8, .c = 128, .shortcut = 192, .outputs = 128, .kernel = 3,
                               .flags = OPTEST_BIAS, .winograd = SMALL });
    conv2d(t, (struct layer) { .images = 2, .h = 13, .w = 11, .c = 20, .shortcut = 12, .shortcut2 = 36, .outputs = 36,
                               .kernel = 3, .per_image = true, .residual = RESIDUAL });
    conv2d(t, (struct layer) { .h = 33, .w = 40, .c = 32, .shortcut = 40, .shortcut2 = 8, .outputs = 68, .kernel = 3,
                               .row_stride = 88, .flags = OPTEST_BIAS, .residual = RESIDUAL_IS_Y, .winograd = LARGE });
    conv2d(t, (struct layer) { .images = 2, .h = 5, .w = 7, .c = 16, .shortcut = 24, .outputs = 3, .kernel = 3,
                               .upsample = true, .flags = OPTEST_BIAS });
    conv2d(t, (struct layer) { .images = 2, .h = 15, .w = 7, .c = 16, .shortcut = 8, .outputs = 12, .kernel = 3,
                               .stride = 2 });
}

static void latent_in(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 32, .w = 32, .c = 4, .outputs = 320, .kernel = 3,
                               .flags = OPTEST_BIAS });
}

static void latent_out(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 32, .w = 32, .c = 320, .outputs = 4, .kernel = 3,
                               .flags = OPTEST_BIAS });
}

static void three_colours(struct optest *t)
{
    conv2d(t, (struct layer) { .h = 40, .w = 24, .c = 128, .outputs = 3, .kernel = 3, .flags = OPTEST_BIAS });
}

/* 18 MB in f16: more than the processor leaves in its caches. */
static void three_colours_of_many_pixels(struct optest *t)
{
    uint32_t side = optest_groups_are_slow(t) ? 20 : 1500;
    conv2d(t, (struct layer) { .h = side, .w = side, .c = 4, .outputs = 3, .kernel = 1, .flags = OPTEST_BIAS });
}

static void odd_pictures(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 33, .w = 47, .c = 20, .outputs = 12, .kernel = 3,
                               .flags = OPTEST_BIAS });
    conv2d(t, (struct layer) { .h = 63, .w = 63, .c = 12, .outputs = 20, .kernel = 3, .residual = RESIDUAL_IS_Y });
}

static void tiny_pictures(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 5, .h = 1, .w = 1, .c = 8, .outputs = 8, .kernel = 3 });
    conv2d(t, (struct layer) { .images = 3, .h = 1, .w = 7, .c = 8, .outputs = 8, .kernel = 3 });
    conv2d(t, (struct layer) { .images = 3, .h = 2, .w = 1, .c = 8, .outputs = 8, .kernel = 3 });
}

static void transformed_tiles(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 32, .w = 36, .c = 48, .outputs = 68, .kernel = 3, .flags = OPTEST_BIAS,
                               .per_image = true, .residual = RESIDUAL, .winograd = LARGE });
    conv2d(t, (struct layer) { .images = 3, .h = 31, .w = 45, .c = 32, .outputs = 36, .kernel = 3, .row_stride = 72,
                               .flags = OPTEST_BIAS, .residual = RESIDUAL_IS_Y, .winograd = LARGE });
    conv2d(t, (struct layer) { .h = 64, .w = 64, .c = 320, .outputs = 320, .kernel = 3, .winograd = LARGE });
    conv2d(t, (struct layer) { .images = 2, .h = 8, .w = 8, .c = 272, .outputs = 68, .kernel = 3, .flags = OPTEST_BIAS,
                               .per_image = true, .residual = RESIDUAL, .winograd = SMALL });
}

/* The last tile of a row, or of a column, half outside; more than a band. */
static void transformed_upsampled(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 16, .w = 17, .c = 48, .outputs = 68, .kernel = 3, .upsample = true,
                               .flags = OPTEST_BIAS, .per_image = true, .residual = RESIDUAL, .winograd = LARGE });
    conv2d(t, (struct layer) { .images = 3, .h = 15, .w = 22, .c = 32, .outputs = 36, .kernel = 3, .upsample = true,
                               .row_stride = 72, .flags = OPTEST_BIAS, .residual = RESIDUAL_IS_Y, .winograd = LARGE });
    conv2d(t, (struct layer) { .h = 1, .w = 130, .c = 32, .outputs = 32, .kernel = 3, .upsample = true, .winograd = LARGE });
    conv2d(t, (struct layer) { .images = 2, .h = 65, .w = 102, .c = 32, .outputs = 32, .kernel = 3, .upsample = true,
                               .flags = OPTEST_BIAS, .winograd = LARGE });
    conv2d(t, (struct layer) { .h = 32, .w = 32, .c = 320, .outputs = 320, .kernel = 3, .upsample = true, .winograd = LARGE });
    if (!optest_groups_are_slow(t))              /* weights that are kept for some columns at a time */
        conv2d(t, (struct layer) { .h = 8, .w = 8, .c = 1280, .outputs = 1028, .kernel = 3, .upsample = true, .flags = OPTEST_BIAS,
                                   .per_image = true, .residual = RESIDUAL, .winograd = LARGE });
    conv2d(t, (struct layer) { .images = 3, .h = 4, .w = 4, .c = 144, .outputs = 36, .kernel = 3, .upsample = true,
                               .flags = OPTEST_BIAS, .winograd = SMALL });
}

/* One row of tiles; more than a band. */
static void transformed_bands(struct optest *t)
{
    conv2d(t, (struct layer) { .h = 3, .w = 260, .c = 32, .outputs = 32, .kernel = 3, .winograd = LARGE });
    conv2d(t, (struct layer) { .images = 2, .h = 130, .w = 204, .c = 32, .outputs = 32, .kernel = 3, .flags = OPTEST_BIAS,
                               .winograd = LARGE });
}

/* x and y of more bytes than a storage buffer must span. */
static void transformed_beyond_128_mib(struct optest *t)
{
    if (!optest_groups_are_slow(t))
        conv2d(t, (struct layer) { .h = 1030, .w = 1040, .c = 32, .outputs = 32, .kernel = 3, .winograd = LARGE });
}

/* A picture's bits do not depend on the pictures beside it, nor on threads. */
static void alone(struct optest *t, uint32_t h, uint32_t w, uint32_t c)
{
    const uint32_t count = h * w * c, threads[] = { 2, 1, 3 };
    float *first = malloc(2 * count * sizeof *first);

    for (uint32_t i = 0; i < 3; i++) {
        optest_reopen(t, (int)threads[i]);
        struct optest_weight weight = optest_weight(t, c, c, 3, OPTEST_BIAS);
        float *x = optest_random(t, 2 * count, 0, 1);
        uint32_t images = i == 2 ? 1 : 2;
        struct tensor xt = picture(t, images, h, w, c, 0, images == 1 ? x + count : x), y = picture(t, images, h, w, c, 0, NULL);
        op_conv2d(optest_pass(t), y, xt, &weight.device, NULL, NULL);
        optest_run(t);
        float *got = optest_read(t, y);
        if (i == 0) memcpy(first, got, 2 * count * sizeof *first);
        else if (i == 1) assert_memory_equal(got, first, 2 * count * sizeof *got);
        else assert_memory_equal(got, first + count, count * sizeof *got);
    }
    free(first);
}

static void transformed_alone(struct optest *t)
{
    alone(t, 33, 37, 32);
    alone(t, 8, 8, 160);
}

static void stride_2(struct optest *t)
{
    conv2d(t, (struct layer) { .h = 16, .w = 24, .c = 64, .outputs = 64, .kernel = 3, .stride = 2,
                               .flags = OPTEST_BIAS });
    conv2d(t, (struct layer) { .images = 2, .h = 33, .w = 47, .c = 12, .outputs = 20, .kernel = 3, .stride = 2 });
    conv2d(t, (struct layer) { .images = 2, .h = 33, .w = 46, .c = 12, .outputs = 20, .kernel = 3, .stride = 2 });
}

static void pad_end_only(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 16, .w = 24, .c = 36, .outputs = 36, .kernel = 3, .stride = 2,
                               .pad_end_only = true, .flags = OPTEST_BIAS });
    conv2d(t, (struct layer) { .h = 33, .w = 47, .c = 12, .outputs = 20, .kernel = 3, .stride = 2,
                               .pad_end_only = true });
}

static void upsampled(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 8, .w = 12, .c = 64, .outputs = 64, .kernel = 3, .upsample = true,
                               .flags = OPTEST_BIAS, .winograd = LARGE });
    conv2d(t, (struct layer) { .images = 3, .h = 7, .w = 9, .c = 32, .outputs = 68, .kernel = 3, .upsample = true,
                               .flags = OPTEST_BIAS, .per_image = true, .act = OP_ACT_SILU, .residual = RESIDUAL });
    conv2d(t, (struct layer) { .images = 2, .h = 1, .w = 1, .c = 24, .outputs = 4, .kernel = 3, .upsample = true });
}

/* y spans 131 MiB: windows of rows, in which each phase has pixels. */
static void upsampled_beyond_128_mib(struct optest *t)
{
    conv2d(t, (struct layer) { .h = 130, .w = 258, .c = 8, .outputs = 4, .kernel = 3, .upsample = true,
                               .row_stride = t->dtype == DTYPE_F32 ? 256 : 512, .residual = RESIDUAL_IS_Y });
}

static void upsampled_to_odd(struct optest *t)
{
    for (int odd = 1; odd < 4; odd++)
        conv2d(t, (struct layer) { .images = 2, .h = 9, .w = 12, .c = 12, .outputs = 20, .kernel = 3,
                                   .upsample = true, .odd_h = odd & 1, .odd_w = odd & 2 });
}

static void column_ranges(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 13, .w = 17, .c = 20, .shortcut = 24, .shortcut2 = 8, .outputs = 36, .kernel = 3,
                               .row_stride = 72, .flags = OPTEST_BIAS, .residual = RESIDUAL_IS_Y });
}

static void mean_of_1000(struct optest *t)
{
    conv2d(t, (struct layer) { .h = 10, .w = 10, .c = 64, .outputs = 64, .kernel = 3, .mean = 1000 });
}

static void every_width(struct optest *t)
{
    static const uint32_t outputs[] = { 1, 2, 4, 12, 28, 60, 64, 68, 132 };
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        conv2d(t, (struct layer) { .h = 5, .w = 3 + (uint32_t)i, .c = 4 + 4 * (uint32_t)i, .outputs = outputs[i],
                                   .kernel = 3, .flags = OPTEST_BIAS });
}

/* Few channels in pixels of 1 KiB: x and y span 131 MiB each at the cost of a small product. Where a device works on
 * ranges of rows, a pixel at the edge of one still sees its neighbours in the other. */
static void beyond_128_mib(struct optest *t)
{
    conv2d(t, (struct layer) { .h = 260, .w = 515, .c = 8, .outputs = 20, .kernel = 3, .flags = OPTEST_BIAS,
                               .row_stride = t->dtype == DTYPE_F32 ? 256 : 512, .residual = RESIDUAL_IS_Y });
}

static void two_images_beyond_128_mib(struct optest *t)
{
    conv2d(t, (struct layer) { .images = 2, .h = 260, .w = 261, .c = 4, .shortcut = 4, .shortcut2 = 4, .outputs = 4, .kernel = 3,
                               .row_stride = t->dtype == DTYPE_F32 ? 256 : 512, .stride = 2, .per_image = true });
}

static struct tensor rows_of(struct tensor x, uint32_t first, uint32_t count)
{
    x.offset += (uint64_t)first * x.shape[2] * x.stride * dtype_size(x.dtype);
    x.shape[1] = count;
    return x;
}

/* Bands at the top, in the middle and at the bottom have the bits of the whole picture's rows. */
static void bands(struct optest *t)
{
    enum { H = 48, W = 64, C = 32, BAND = 16 };
    static const uint32_t outputs[] = { 64, 36, 3 };

    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        uint32_t channels = (outputs[i] + 3) / 4 * 4;
        struct optest_weight w = optest_weight(t, outputs[i], C, 3, OPTEST_BIAS);
        struct tensor x = optest_tensor(t, t->dtype, 4, (uint32_t[]) { 1, H, W, C }, optest_random(t, H * W * C, 0, 1));
        struct tensor y = optest_tensor(t, t->dtype, 4, (uint32_t[]) { 1, H, W, channels }, NULL);
        struct tensor banded = optest_tensor(t, t->dtype, 4, (uint32_t[]) { 1, H, W, channels }, NULL);
        struct pass *pass = optest_pass(t);
        op_conv2d(pass, y, x, &w.device, NULL, NULL);
        for (uint32_t first = 0; first < H; first += BAND) {
            bool above = first > 0, below = first + BAND < H;
            op_conv2d(pass, rows_of(banded, first, BAND), rows_of(x, first - above, BAND + above + below), &w.device,
                      &(struct conv) { .above = above, .below = below }, NULL);
        }
        optest_run(t);
        assert_memory_equal(optest_read(t, banded), optest_read(t, y), sizeof(float) * H * W * channels);
    }
}

static void refusals(struct optest *t)
{
    struct optest_weight w = optest_weight(t, 20, 12, 3, OPTEST_BIAS);
    struct tensor x = picture(t, 1, 8, 6, 12, 0, NULL), x8 = picture(t, 1, 8, 6, 8, 0, NULL);
    struct tensor y = picture(t, 1, 8, 6, 20, 0, NULL), small = picture(t, 1, 4, 6, 20, 0, NULL);
    struct optest_weight beside = optest_weight_and_shortcut(t, 20, 12, 3, 4, OPTEST_BIAS);
    struct tensor four = picture(t, 1, 8, 6, 4, 0, NULL), other = picture(t, 1, 8, 5, 4, 0, NULL), two = picture(t, 2, 8, 6, 12, 0, NULL);

    op_conv2d(optest_pass(t), y, x8, &w.device, NULL, NULL);
    optest_refused(t, "conv2d: x has 8 channels, the weight takes 12");
    op_conv2d(optest_pass(t), small, x, &w.device, NULL, NULL);
    optest_refused(t, "conv2d: y must be [1, 8, 6, 20]");
    op_conv2d(optest_pass(t), y, x, &w.device, &(struct conv) { .stride = 2 }, NULL);
    optest_refused(t, "conv2d: y must be [1, 4, 3, 20]");
    op_conv2d(optest_pass(t), y, x, &w.device, &(struct conv) { .upsample = true }, NULL);
    optest_refused(t, "conv2d: y must be [1, 16, 12, 20]");
    op_conv2d(optest_pass(t), x, x, &w.device, NULL, NULL);
    optest_refused(t, "conv2d: y must be [1, 8, 6, 20]");
    op_conv2d(optest_pass(t), y, two, &w.device, NULL, NULL);
    optest_refused(t, "conv2d: x and y must be [N, H, W, C] of one type");
    op_conv2d(optest_pass(t), y, x, &w.device, &(struct conv) { .shortcut = x8 }, NULL);
    optest_refused(t, "conv2d: the shortcut has 8 channels, the weight takes 0");
    op_conv2d(optest_pass(t), y, x, &beside.device, NULL, NULL);
    optest_refused(t, "conv2d: the shortcut has 0 channels, the weight takes 4");
    op_conv2d(optest_pass(t), y, x, &beside.device, &(struct conv) { .shortcut = other }, NULL);
    optest_refused(t, "conv2d: the shortcut and y differ in size or type");
    op_conv2d(optest_pass(t), y, x, &beside.device, &(struct conv) { .shortcut = four }, &(struct epilogue) { .act = OP_ACT_SILU });
    optest_refused(t, "conv2d: a shortcut goes with no activation");
    op_conv2d(optest_pass(t), y, x, &w.device, &(struct conv) { .upsample = true, .stride = 2 }, NULL);
    optest_refused(t, "conv2d: upsampling goes with stride 1 and an odd kernel");
    op_conv2d(optest_pass(t), y, x, &w.device, NULL, &(struct epilogue) { .residual = x });
    optest_refused(t, "conv2d: residual and y differ");

    w.device.kernel_h = w.device.kernel_w = 1;
    op_conv2d(optest_pass(t), y, x, &w.device, NULL, NULL);
    optest_refused(t, "conv2d: the weight is not packed for 20 outputs of 12 values");
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "2x16x16x320 -> 320 per image", resblock_first },
        { "8x8x1280 -> 320 residual", resblock_second },
        { "1x1, 640 -> 320", of_1x1 },
        { "13x11x20 -> 36, all of the epilogue", all_of_the_epilogue },
        { "shortcuts", shortcuts },
        { "latent in, 4 -> 320", latent_in },
        { "latent out, 320 -> 4", latent_out },
        { "three colours", three_colours },
        { "three colours of many pixels", three_colours_of_many_pixels },
        { "33x47 and 63x63", odd_pictures },
        { "pictures of one pixel, row, column", tiny_pictures },
        { "transformed tiles", transformed_tiles },
        { "transformed tiles, upsampled", transformed_upsampled },
        { "transformed tiles in bands", transformed_bands },
        { "transformed tiles beyond 128 MiB", transformed_beyond_128_mib },
        { "transformed tiles, alone and in company", transformed_alone },
        { "stride 2", stride_2 },
        { "stride 2, padded at the end only", pad_end_only },
        { "upsampled", upsampled },
        { "upsampled beyond 128 MiB", upsampled_beyond_128_mib },
        { "upsampled to odd sizes", upsampled_to_odd },
        { "column ranges", column_ranges },
        { "mean of 1000", mean_of_1000 },
        { "every width", every_width },
        { "beyond 128 MiB", beyond_128_mib },
        { "two images beyond 128 MiB", two_images_beyond_128_mib },
        { "bands of a picture", bands },
        { "refusals", refusals },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
