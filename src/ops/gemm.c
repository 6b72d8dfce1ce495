/* op_linear and op_conv2d: one GEMM family (shaders/gemm.h). */
#include "ops/ops.h"

#include "gemm.h"

static const uint32_t act_code[] = {
    [OP_ACT_NONE] = ACT_NONE, [OP_ACT_SILU] = ACT_SILU, [OP_ACT_GELU] = ACT_GELU, [OP_ACT_QUICK_GELU] = ACT_QUICK_GELU,
};

static bool weight_is_sound(struct pass *pass, const char *op, const struct weight *w)
{
    uint32_t k = w->kernel_h * w->kernel_w * w->inputs;
    return pass_expect(pass, w->packed.dtype == DTYPE_F16 && w->packed.dims == 3 &&
                             w->packed.shape[0] == (w->outputs + 63) / 64 && w->packed.shape[1] == (k + 31) / 32 * 32 &&
                             w->packed.shape[2] == 64,
                       "%s: the weight is not packed for %u outputs of %u values", op, w->outputs, k) &&
           pass_expect(pass, !tensor_is(w->bias) || tensor_is_vector(w->bias, w->outputs), "%s: bias must hold %u values",
                       op, w->outputs) &&
           pass_expect(pass, !w->geglu || w->outputs % 8 == 0, "%s: a GEGLU of %u columns", op, w->outputs);
}

/* y's rows and channels are known to fit; checks what the epilogue brings. */
static bool epilogue_fits(struct pass *pass, const char *op, struct tensor y, const struct weight *w,
                          const struct epilogue *e)
{
    if (!e) return true;
    return pass_expect(pass, !tensor_is(e->residual) || tensor_same(e->residual, y), "%s: residual and y differ", op) &&
           pass_expect(pass, !tensor_is(e->per_image) || (e->per_image.dtype == DTYPE_F32 && !w->geglu &&
                                                          tensor_channels(e->per_image) == w->outputs &&
                                                          tensor_rows(e->per_image) == y.shape[0]),
                       "%s: per_image must be f32 [%u, %u]", op, y.shape[0], w->outputs) &&
           pass_expect(pass, !w->geglu || e->act == OP_ACT_NONE, "%s: a GEGLU takes no other activation", op);
}

static bool alignment_is_kept(struct pass *pass, const char *op, struct tensor y, struct tensor x, struct tensor x2)
{
    bool ok = tensor_channels(x) % 4 == 0 && x.stride % 4 == 0 && y.stride % 4 == 0 &&
              (!tensor_is(x2) || (tensor_channels(x2) % 4 == 0 && x2.stride % 4 == 0));
    return pass_expect(pass, ok, "%s: channels and strides must be multiples of 4", op);
}

/* Fills in what linear and conv2d share and dispatches. p holds the geometry and the sources already. */
static void gemm_dispatch(struct pass *pass, struct gemm_params p, struct tensor y, struct tensor x, struct tensor x2,
                          const struct weight *w, const struct epilogue *e)
{
    static const struct epilogue nothing;

    if (!e) e = &nothing;
    p.cols = w->outputs;
    p.k = w->packed.shape[1];
    p.c1 = tensor_channels(x);
    p.c2 = tensor_channels(x2);
    p.x1_stride = x.stride;
    p.x2_stride = x2.stride;
    p.y_stride = y.stride;
    p.residual_stride = e->residual.stride;
    p.per_image_stride = e->per_image.stride;
    p.flags |= (tensor_is(w->bias) ? GEMM_BIAS : 0) | (tensor_is(e->per_image) ? GEMM_PER_IMAGE : 0) |
              (tensor_is(e->residual) ? GEMM_RESIDUAL : 0);
    p.act = w->geglu ? ACT_GEGLU : act_code[e->act];
    p.scale = 1.0f;

    struct span per_image = tensor_span(e->per_image);
    per_image.row_bytes = 0;                     /* its rows are images, not output rows */
    struct span source = tensor_span(x), source2 = tensor_span(x2);
    source.row_bytes = source2.row_bytes = 0;    /* a row of y sees many of theirs */

    pass_dispatch(pass, &(struct dispatch) {
        .kernel      = "gemm",
        .variant     = dtype_name(x.dtype),
        .reads       = { source, source2, tensor_span(w->packed), tensor_span(w->bias), per_image,
                         tensor_span(e->residual) },
        .writes      = { tensor_span(y) },
        .params      = &p,
        .params_size = sizeof p,
        .rows        = p.rows,
        .columns     = p.cols,
        .flops       = 2.0 * p.rows * p.cols * (p.flags & GEMM_PHASES ? 4 : w->kernel_h * w->kernel_w) * w->inputs,
    });
}

void op_linear(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct epilogue *e)
{
    const struct tensor none = { 0 };
    uint32_t rows = tensor_rows(x), outputs = w->geglu ? w->outputs / 2 : w->outputs;

    if (pass_failed(pass) || !weight_is_sound(pass, "linear", w) ||
        !pass_expect(pass, w->kernel_h == 1 && w->kernel_w == 1, "linear: the weight is a %ux%u convolution", w->kernel_h,
                     w->kernel_w) ||
        !pass_expect(pass, tensor_channels(x) == w->inputs, "linear: x has %u channels, the weight takes %u",
                     tensor_channels(x), w->inputs) ||
        !pass_expect(pass, tensor_channels(y) == outputs && tensor_rows(y) == rows && y.dtype == x.dtype,
                     "linear: y must be %u rows of %u %s", rows, outputs, dtype_name(x.dtype)) ||
        !epilogue_fits(pass, "linear", y, w, e) || !alignment_is_kept(pass, "linear", y, x, none))
        return;

    uint32_t per_image_rows = rows / y.shape[0];
    struct gemm_params p = {
        .rows = rows, .kernel_h = 1, .kernel_w = 1, .stride = 1, .upsample = 1,
        .in_h = 1, .in_w = per_image_rows, .out_h = 1, .out_w = per_image_rows,
    };
    gemm_dispatch(pass, p, y, x, none, w, e);
}

static uint32_t round_up_4(uint32_t n)
{
    return (n + 3) / 4 * 4;
}

/* Pixels that the convolution sees along one axis: upsampled to an odd size, one is cut off. */
static uint32_t seen(uint32_t in, uint32_t up, uint32_t out)
{
    return up == 2 && out == 2 * in - 1 ? out : in * up;
}

void op_conv2d(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct conv *c,
               const struct epilogue *e)
{
    static const struct conv plain;

    if (!c) c = &plain;
    uint32_t stride = c->stride ? c->stride : 1, up = c->upsample ? 2 : 1;
    uint32_t pad = c->pad_end_only ? 0 : w->kernel_h / 2;
    uint32_t pads = c->pad_end_only ? w->kernel_h / 2 : 2 * pad;      /* begin and end together */

    if (pass_failed(pass) || !weight_is_sound(pass, "conv2d", w) ||
        !pass_expect(pass, x.dims == 4 && y.dims == 4 && x.shape[0] == y.shape[0] && x.dtype == y.dtype,
                     "conv2d: x and y must be [N, H, W, C] of one type") ||
        !pass_expect(pass, !tensor_is(c->x2) || (c->x2.dims == 4 && c->x2.shape[0] == x.shape[0] &&
                                                 c->x2.shape[1] == x.shape[1] && c->x2.shape[2] == x.shape[2] &&
                                                 c->x2.dtype == x.dtype),
                     "conv2d: x and x2 differ in size or type") ||
        !pass_expect(pass, up == 1 || (stride == 1 && w->kernel_h % 2 == 1),
                     "conv2d: upsampling goes with stride 1 and an odd kernel") ||
        !pass_expect(pass, tensor_channels(x) + tensor_channels(c->x2) == w->inputs,
                     "conv2d: x has %u channels, the weight takes %u", tensor_channels(x) + tensor_channels(c->x2),
                     w->inputs))
        return;

    uint32_t out_h = (seen(x.shape[1], up, y.shape[1]) + pads - w->kernel_h) / stride + 1;
    uint32_t out_w = (seen(x.shape[2], up, y.shape[2]) + pads - w->kernel_w) / stride + 1;
    if (!pass_expect(pass, y.shape[1] == out_h && y.shape[2] == out_w && y.shape[3] == round_up_4(w->outputs),
                     "conv2d: y must be [%u, %u, %u, %u]", x.shape[0], out_h, out_w, round_up_4(w->outputs)) ||
        !pass_expect(pass, !w->geglu, "conv2d: a GEGLU weight") || !epilogue_fits(pass, "conv2d", y, w, e) ||
        !alignment_is_kept(pass, "conv2d", y, x, c->x2))
        return;

    struct gemm_params p = {
        .rows = tensor_rows(y), .kernel_h = w->kernel_h, .kernel_w = w->kernel_w, .stride = stride, .pad_top = pad,
        .pad_left = pad, .upsample = up, .in_h = x.shape[1], .in_w = x.shape[2], .out_h = out_h, .out_w = out_w,
    };
    if (up == 2 && w->kernel_h == 3 && w->kernel_w == 3 && out_h == 2 * p.in_h && out_w == 2 * p.in_w)
        p.flags = GEMM_PHASES;
    gemm_dispatch(pass, p, y, x, c->x2, w, e);
}
