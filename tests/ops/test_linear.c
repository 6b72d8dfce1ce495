#include "ops/gemm_definition.h"

struct layer {                  /* one case; what is zero is absent */
    uint32_t images, tokens, inputs, outputs;      /* images 0 counts as 1 */
    int flags;                  /* OPTEST_BIAS, OPTEST_GEGLU */
    enum act act;
    enum { NO_RESIDUAL, RESIDUAL, RESIDUAL_IS_Y } residual;
    bool per_image;             /* columns of a wider table */
    uint32_t x_stride, y_stride;                    /* elements; 0: dense */
    float mean, spread;         /* of x; spread 0 counts as 1 */
    bool norm;                  /* op_layer_norm_linear */
};

struct operands {
    struct optest_weight w;
    float *x, *per_image, *residual;               /* absent: NULL */
    float *gamma, *beta;
    uint32_t rows, channels;                        /* of y */
    struct input_row row;                           /* [inputs], normalised where that is wanted */
};

static const float eps = 1e-5f;

static void take_row(const struct optest *t, const struct layer *l, struct operands *in, uint32_t row)
{
    for (uint32_t c = 0; c < l->inputs; c++) in->row.x[c] = in->x[(size_t)row * l->inputs + c];
    if (l->norm) input_row_normalise(t, &in->row, l->inputs, in->gamma, in->beta, eps);
}

/* One output before the residual: act(x . w[o] + bias[o] + per_image[image][o]). */
static double output(const struct optest *t, const struct layer *l, const struct operands *in, uint32_t row, uint32_t o,
                     enum act act, double *off)
{
    double inputs_off, value;
    struct dot d = input_row_dot(&in->row, l->inputs, in->w.values + (size_t)o * l->inputs, &inputs_off);
    double bias = in->w.bias ? in->w.bias[o] : 0;
    double shift = in->per_image ? in->per_image[(size_t)(row / l->tokens) * l->outputs + o] : 0;

    value = finish(t, d, l->inputs, bias + shift, fabs(bias) + fabs(shift), act, off);
    *off += 1.13 * inputs_off;
    return value;
}

static void definition(const struct optest *t, const struct layer *l, struct operands *in, uint32_t row, double *y,
                       double *tolerance)
{
    take_row(t, l, in, row);
    for (uint32_t o = 0; o < in->channels; o++) {
        double off, value;
        if (l->flags & OPTEST_GEGLU) {
            double gate_off, v = output(t, l, in, row, o, OP_ACT_NONE, &off);
            double gate = output(t, l, in, row, in->channels + o, OP_ACT_GELU, &gate_off);
            off = off * fabs(gate) + gate_off * fabs(v) + off * gate_off + 0x1p-24 * fabs(v * gate);
            value = v * gate;
        } else {
            value = output(t, l, in, row, o, l->act, &off);
        }
        y[o] = finish_store(t, value, in->residual ? in->residual[(size_t)row * in->channels + o] : 0, &off);
        tolerance[o] = off;
    }
}

static void compare(struct optest *t, const struct layer *l, struct operands *in, const float *got)
{
    uint32_t samples = optest_samples(in->rows, (double)l->inputs * l->outputs);
    size_t count = (size_t)samples * in->channels;
    double *want = optest_host(t, count * sizeof *want), *tolerance = optest_host(t, count * sizeof *tolerance);
    float *part = optest_host(t, count * sizeof *part);

    optest_all_written(t, got, (size_t)in->rows * in->channels);
    for (uint32_t i = 0; i < samples; i++) {
        uint32_t row = optest_sample(t, i, samples, in->rows);
        size_t at = (size_t)i * in->channels;
        definition(t, l, in, row, want + at, tolerance + at);
        memcpy(part + at, got + (size_t)row * in->channels, in->channels * sizeof *got);
    }
    optest_close(t, part, want, tolerance, samples, in->channels);
}

static uint32_t or_else(uint32_t value, uint32_t other)
{
    return value ? value : other;
}

static void linear(struct optest *t, struct layer l)
{
    l.images = or_else(l.images, 1);
    struct operands in = {
        .w = optest_weight(t, l.outputs, l.inputs, 1, l.flags), .rows = l.images * l.tokens,
        .channels = l.flags & OPTEST_GEGLU ? l.outputs / 2 : l.outputs, .row = input_row_of(t, l.inputs),
    };
    const uint32_t x_shape[] = { l.images, l.tokens, l.inputs }, y_shape[] = { l.images, l.tokens, in.channels };
    struct epilogue e = { .act = l.act };
    uint32_t x_stride = or_else(l.x_stride, l.inputs), y_stride = or_else(l.y_stride, in.channels);

    in.x = optest_random(t, (size_t)in.rows * l.inputs, l.mean, l.spread > 0 ? l.spread : 1);
    if (l.residual) in.residual = optest_random(t, (size_t)in.rows * in.channels, 0, 1);
    if (l.per_image) {
        in.per_image = optest_random_f32(t, (size_t)l.images * l.outputs, 0, 1);
        e.per_image = optest_columns(t, DTYPE_F32, 2, (uint32_t[]) { l.images, l.outputs }, 8, l.outputs + 20,
                                     in.per_image);
    }
    struct tensor x = optest_columns(t, t->dtype, 3, x_shape, (x_stride - l.inputs) / 8 * 4, x_stride, in.x);
    struct tensor y = optest_columns(t, t->dtype, 3, y_shape, (y_stride - in.channels) / 8 * 4, y_stride,
                                     l.residual == RESIDUAL_IS_Y ? in.residual : NULL);
    if (l.residual == RESIDUAL) e.residual = optest_tensor(t, t->dtype, 3, y_shape, in.residual);
    if (l.residual == RESIDUAL_IS_Y) e.residual = y;

    if (l.norm) {
        in.gamma = optest_random_f32(t, l.inputs, 1, 0.5f);
        in.beta = optest_random_f32(t, l.inputs, 0, 1);
        struct norm norm = { optest_vector(t, l.inputs, in.gamma), optest_vector(t, l.inputs, in.beta) };
        op_layer_norm_linear(optest_pass(t), y, x, &norm, eps, &in.w.device, &e);
    } else {
        op_linear(optest_pass(t), y, x, &in.w.device, &e);
    }
    optest_run(t);
    compare(t, &l, &in, optest_read(t, y));
}

static void unet_projection(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 4096, .inputs = 320, .outputs = 320, .flags = OPTEST_BIAS,
                               .residual = RESIDUAL_IS_Y });
}

static void context_keys(struct optest *t)
{
    linear(t, (struct layer) { .images = 2, .tokens = 77, .inputs = 768, .outputs = 320 });
}

static void clip_widening(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 77, .inputs = 768, .outputs = 3072, .flags = OPTEST_BIAS,
                               .act = OP_ACT_QUICK_GELU });
}

static void clip_narrowing(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 77, .inputs = 3072, .outputs = 768, .flags = OPTEST_BIAS,
                               .residual = RESIDUAL });
}

static void unet_geglu(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 256, .inputs = 320, .outputs = 2560, .flags = OPTEST_BIAS | OPTEST_GEGLU });
}

static void small_geglu(struct optest *t)
{
    linear(t, (struct layer) { .images = 2, .tokens = 37, .inputs = 20, .outputs = 88,
                               .flags = OPTEST_BIAS | OPTEST_GEGLU, .residual = RESIDUAL });
}

static void time_embedding(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 1, .inputs = 320, .outputs = 1280, .flags = OPTEST_BIAS, .act = OP_ACT_SILU });
}

static void odd_sizes(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 13 * 37, .inputs = 44, .outputs = 100, .flags = OPTEST_BIAS,
                               .act = OP_ACT_GELU, .residual = RESIDUAL });
}

static void column_ranges(struct optest *t)
{
    linear(t, (struct layer) { .images = 2, .tokens = 77, .inputs = 44, .outputs = 132, .flags = OPTEST_BIAS,
                               .x_stride = 172, .y_stride = 396, .residual = RESIDUAL_IS_Y });
}

static void per_image_columns(struct optest *t)
{
    linear(t, (struct layer) { .images = 3, .tokens = 35, .inputs = 64, .outputs = 68, .flags = OPTEST_BIAS,
                               .per_image = true, .act = OP_ACT_SILU, .residual = RESIDUAL });
}

static void mean_of_1000(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 77, .inputs = 320, .outputs = 64, .flags = OPTEST_BIAS, .mean = 1000 });
}

/* Activations far out: exp over- and underflows on the way, the result must not. */
static void act_far_out(struct optest *t)
{
    for (int act = OP_ACT_SILU; act <= OP_ACT_QUICK_GELU; act++)
        linear(t, (struct layer) { .tokens = 67, .inputs = 32, .outputs = 64, .act = (enum act)act, .spread = 500 });
}

static void every_row_count(struct optest *t)
{
    static const uint32_t rows[] = { 1, 3, 7, 9, 17, 33, 65, 130 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        linear(t, (struct layer) { .tokens = rows[i], .inputs = 36, .outputs = 68, .flags = OPTEST_BIAS });
}

static void every_width(struct optest *t)
{
    static const uint32_t outputs[] = { 4, 12, 28, 60, 68, 132 };
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        linear(t, (struct layer) { .tokens = 21, .inputs = 4 + 4 * (uint32_t)i, .outputs = outputs[i],
                                   .flags = OPTEST_BIAS, .residual = RESIDUAL });
}

/* Widths of one chunk of k and of several, steps of it and less, text and pictures. */
static void normalised(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 300, .inputs = 320, .outputs = 960, .norm = true });
    linear(t, (struct layer) { .images = 2, .tokens = 130, .inputs = 1280, .outputs = 192, .flags = OPTEST_BIAS, .norm = true });
    linear(t, (struct layer) { .images = 2, .tokens = 77, .inputs = 768, .outputs = 132, .flags = OPTEST_BIAS, .norm = true,
                               .act = OP_ACT_QUICK_GELU });
    linear(t, (struct layer) { .images = 2, .tokens = 37, .inputs = 44, .outputs = 88, .norm = true,
                               .flags = OPTEST_BIAS | OPTEST_GEGLU, .residual = RESIDUAL });
    linear(t, (struct layer) { .tokens = 65, .inputs = 4, .outputs = 20, .norm = true, .y_stride = 44 });
}

static void normalised_mean_of_1000(struct optest *t)
{
    linear(t, (struct layer) { .tokens = 140, .inputs = 320, .outputs = 64, .mean = 1000, .norm = true });
}

/* Few rows and columns, and sums so long that units of a GPU take slices of them: 5, 8, and 2 of many tiles. */
static void long_sums(struct optest *t)
{
    linear(t, (struct layer) { .images = 2, .tokens = 20, .inputs = 2560, .outputs = 192, .flags = OPTEST_BIAS, .residual = RESIDUAL });
    linear(t, (struct layer) { .images = 9, .tokens = 64, .inputs = 1280, .outputs = 64, .act = OP_ACT_SILU });
    linear(t, (struct layer) { .images = 40, .tokens = 100, .inputs = 320, .outputs = 180, .flags = OPTEST_BIAS });
}

/* Few channels in rows of 1 KiB: x and y span 130 MiB each at the cost of a small product. */
static void beyond_128_mib(struct optest *t)
{
    uint32_t stride = t->dtype == DTYPE_F32 ? 256 : 512;
    linear(t, (struct layer) { .tokens = 130 * 1024 + 5, .inputs = 8, .outputs = 20, .flags = OPTEST_BIAS,
                               .x_stride = stride, .y_stride = stride, .residual = RESIDUAL_IS_Y });
}

static void refusals(struct optest *t)
{
    struct optest_weight w = optest_weight(t, 64, 36, 1, OPTEST_BIAS), conv = optest_weight(t, 64, 36, 3, 0);
    struct optest_weight geglu = optest_weight(t, 64, 36, 1, OPTEST_GEGLU);
    struct tensor x = optest_tensor(t, t->dtype, 2, (uint32_t[]) { 5, 36 }, NULL);
    struct tensor wide = optest_tensor(t, t->dtype, 2, (uint32_t[]) { 5, 40 }, NULL);
    struct tensor y = optest_tensor(t, t->dtype, 2, (uint32_t[]) { 5, 64 }, NULL);
    struct tensor half = optest_tensor(t, t->dtype, 2, (uint32_t[]) { 5, 32 }, NULL);
    struct tensor long_y = optest_tensor(t, t->dtype, 2, (uint32_t[]) { 6, 64 }, NULL);
    struct tensor other = optest_tensor(t, t->dtype == DTYPE_F32 ? DTYPE_F16 : DTYPE_F32, 2, y.shape, NULL);
    struct tensor ragged = optest_columns(t, t->dtype, 2, x.shape, 0, 38, NULL);

    op_linear(optest_pass(t), y, wide, &w.device, NULL);
    optest_refused(t, "linear: x has 40 channels, the weight takes 36");
    op_linear(optest_pass(t), long_y, x, &w.device, NULL);
    optest_refused(t, "linear: y must be 5 rows of 64");
    op_linear(optest_pass(t), half, x, &w.device, NULL);
    optest_refused(t, "linear: y must be 5 rows of 64");
    op_linear(optest_pass(t), y, x, &geglu.device, NULL);
    optest_refused(t, "linear: y must be 5 rows of 32");
    op_linear(optest_pass(t), other, x, &w.device, NULL);
    optest_refused(t, "linear: y must be 5 rows of 64");
    op_linear(optest_pass(t), y, x, &conv.device, NULL);
    optest_refused(t, "linear: the weight is a 3x3 convolution");
    op_linear(optest_pass(t), y, ragged, &w.device, NULL);
    optest_refused(t, "linear: channels and strides must be multiples of 4");
    op_linear(optest_pass(t), y, x, &w.device, &(struct epilogue) { .residual = long_y });
    optest_refused(t, "linear: residual and y differ");
    op_linear(optest_pass(t), y, x, &w.device, &(struct epilogue) { .per_image = wide });
    optest_refused(t, "linear: per_image must be f32");
    op_linear(optest_pass(t), half, x, &geglu.device, &(struct epilogue) { .act = OP_ACT_SILU });
    optest_refused(t, "linear: a GEGLU takes no other activation");

    struct norm norm = { optest_vector(t, 36, NULL), optest_vector(t, 32, NULL) };
    op_layer_norm_linear(optest_pass(t), y, x, &norm, eps, &w.device, NULL);
    optest_refused(t, "layer_norm: gamma and beta must hold 36 values");
    norm.beta = norm.gamma;
    op_layer_norm_linear(optest_pass(t), y, ragged, &norm, eps, &w.device, NULL);
    optest_refused(t, "layer_norm: rows must be dense, channels a multiple of 4");
    op_layer_norm_linear(optest_pass(t), long_y, x, &norm, eps, &w.device, NULL);
    optest_refused(t, "linear: y must be 5 rows of 64");

    w.device.inputs = 68;
    op_linear(optest_pass(t), y, x, &w.device, NULL);
    optest_refused(t, "linear: the weight is not packed for 64 outputs of 68 values");
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "4096x320 -> 320 onto itself", unet_projection },
        { "2x77x768 -> 320", context_keys },
        { "77x768 -> 3072 quick gelu", clip_widening },
        { "77x3072 -> 768 residual", clip_narrowing },
        { "256x320 -> geglu 1280", unet_geglu },
        { "2x37x20 -> geglu 44 residual", small_geglu },
        { "1x320 -> 1280 silu", time_embedding },
        { "13x37 rows, 44 -> 100 gelu", odd_sizes },
        { "x and y column ranges", column_ranges },
        { "per image, column range", per_image_columns },
        { "mean of 1000", mean_of_1000 },
        { "long sums", long_sums },
        { "normalised", normalised },
        { "normalised, mean of 1000", normalised_mean_of_1000 },
        { "activations far out", act_far_out },
        { "every row count", every_row_count },
        { "every width", every_width },
        { "beyond 128 MiB", beyond_128_mib },
        { "refusals", refusals },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
