/* op_linear and op_conv2d: one GEMM family (shaders/gemm.h). */
#include "ops/ops.h"

#include "ops/fits.h"

#include "gemm.h"
#include "winograd.h"

static const uint32_t act_code[] = {
    [OP_ACT_NONE] = ACT_NONE, [OP_ACT_SILU] = ACT_SILU, [OP_ACT_GELU] = ACT_GELU, [OP_ACT_QUICK_GELU] = ACT_QUICK_GELU,
};

static bool weight_is_sound(struct pass *pass, const char *op, const struct weight *w)
{
    uint32_t k = w->kernel_h * w->kernel_w * w->inputs + w->shortcut;
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

static bool is_aligned(struct tensor t)
{
    return !tensor_is(t) || (tensor_channels(t) % 4 == 0 && t.stride % 4 == 0);
}

struct sources {                     /* what a GEMM reads: x for its taps, then two of y's rows */
    struct tensor x, beside, beside2;
    struct norm norm;                /* of x's rows, or none */
};

static bool alignment_is_kept(struct pass *pass, const char *op, struct tensor y, struct sources s)
{
    bool ok = y.stride % 4 == 0 && is_aligned(s.x) && is_aligned(s.beside) && is_aligned(s.beside2);
    return pass_expect(pass, ok, "%s: channels and strides must be multiples of 4", op);
}

/* Fills in what linear and conv2d share and dispatches. p holds the geometry and k already. */
static void gemm_dispatch(struct pass *pass, struct gemm_params p, struct tensor y, struct sources s, const struct weight *w,
                          const struct epilogue *e)
{
    static const struct epilogue nothing;

    if (!e) e = &nothing;
    p.cols = w->outputs;
    p.c1 = tensor_channels(s.x);
    p.c2 = tensor_channels(s.beside);
    p.c3 = tensor_channels(s.beside2);
    p.x1_stride = s.x.stride;
    p.x2_stride = s.beside.stride;
    p.x3_stride = s.beside2.stride;
    p.y_stride = y.stride;
    p.residual_stride = e->residual.stride;
    p.per_image_stride = e->per_image.stride;
    p.flags |= (tensor_is(w->bias) ? GEMM_BIAS : 0) | (tensor_is(e->per_image) ? GEMM_PER_IMAGE : 0) |
              (tensor_is(e->residual) ? GEMM_RESIDUAL : 0);
    p.act = w->geglu ? ACT_GEGLU : act_code[e->act];
    p.scale = 1.0f;

    uint32_t taps = p.flags & GEMM_PHASES ? 4 : p.kernel_h * p.kernel_w;
    pass_dispatch(pass, &(struct dispatch) {
        .kernel      = "gemm",
        .variant     = dtype_name(s.x.dtype),
        .reads       = { tensor_all(s.x), tensor_all(s.beside), tensor_span(w->packed), tensor_span(w->bias), tensor_all(e->per_image),
                         tensor_span(e->residual), tensor_all(s.beside2), tensor_all(s.norm.gamma), tensor_all(s.norm.beta) },
        .writes      = { tensor_span(y) },
        .params      = &p,
        .params_size = sizeof p,
        .rows        = p.rows,
        .columns     = p.cols,
        .flops       = 2.0 * p.rows * p.cols * (taps * p.c1 + p.c2 + p.c3),
    });
}

bool linear_fits(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct epilogue *e)
{
    uint32_t rows = tensor_rows(x), outputs = w->geglu ? w->outputs / 2 : w->outputs;

    return !pass_failed(pass) && weight_is_sound(pass, "linear", w) &&
           pass_expect(pass, w->kernel_h == 1 && w->kernel_w == 1 && !w->shortcut, "linear: the weight is a %ux%u convolution",
                       w->kernel_h, w->kernel_w) &&
           pass_expect(pass, tensor_channels(x) == w->inputs, "linear: x has %u channels, the weight takes %u",
                       tensor_channels(x), w->inputs) &&
           pass_expect(pass, tensor_channels(y) == outputs && tensor_rows(y) == rows && y.dtype == x.dtype,
                       "linear: y must be %u rows of %u %s", rows, outputs, dtype_name(x.dtype)) &&
           epilogue_fits(pass, "linear", y, w, e) && alignment_is_kept(pass, "linear", y, (struct sources) { .x = x });
}

static void linear(struct pass *pass, struct tensor y, struct sources s, float eps, const struct weight *w,
                   const struct epilogue *e)
{
    if (!linear_fits(pass, y, s.x, w, e)) return;

    uint32_t rows = tensor_rows(s.x), per_image_rows = rows / y.shape[0];
    struct gemm_params p = {
        .rows = rows, .k = w->packed.shape[1], .kernel_h = 1, .kernel_w = 1, .stride = 1, .upsample = 1,
        .in_h = 1, .in_w = per_image_rows, .out_h = 1, .out_w = per_image_rows,
        .flags = tensor_is(s.norm.gamma) ? GEMM_NORM : 0, .eps = eps,
    };
    gemm_dispatch(pass, p, y, s, w, e);
}

void op_linear(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct epilogue *e)
{
    linear(pass, y, (struct sources) { .x = x }, 0, w, e);
}

void op_layer_norm_linear(struct pass *pass, struct tensor y, struct tensor x, const struct norm *norm, float eps,
                          const struct weight *w, const struct epilogue *e)
{
    if (device_joins_norms(pass_device(pass))) {
        if (layer_norm_fits(pass, x, norm)) linear(pass, y, (struct sources) { .x = x, .norm = *norm }, eps, w, e);
        return;
    }
    size_t mark = scratch_mark(pass);
    struct tensor n = scratch_like(pass, x);

    op_layer_norm(pass, n, x, norm, eps);
    op_linear(pass, y, n, w, e);
    scratch_release(pass, mark);
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

/* Upsampled to an even size, with nothing cut off? */
static bool is_doubled(struct tensor y, struct tensor x)
{
    return y.shape[1] == 2 * x.shape[1] && y.shape[2] == 2 * x.shape[2];
}

/* ---- Winograd --------------------------------------------------------------------- */

static const uint32_t tile_side = 4;

static uint32_t winograd_flags(const struct conv *c)
{
    return GEMM_WINOGRAD | (c->upsample ? GEMM_DOUBLED : 0);
}

static uint32_t points(const struct conv *c)
{
    return GEMM_PARTS(winograd_flags(c));
}

static uint32_t tiles_of(struct tensor y)
{
    return (y.shape[1] + tile_side - 1) / tile_side * ((y.shape[2] + tile_side - 1) / tile_side);
}

/* The device's kernel for them, or its GEMM, makes the transformed weights. */
static bool winograd_keeps_weights(struct pass *pass)
{
    return device_has_kernel(pass_device(pass), "winograd_weights", "f32");
}

/* Are there outputs enough to pay for making the weights? Kept ones cost more. Else making one costs what it is to multiply it
 * with five tiles more. */
static bool enough_tiles(struct tensor y, const struct conv *c, bool keeps)
{
    uint32_t taps = c->upsample ? 4 : 9, pixels = y.shape[1] * y.shape[2];       /* 4: of a phase */

    return keeps ? tiles_of(y) >= 16 : taps * pixels > points(c) * (tiles_of(y) + 5);
}

/* Chosen by one picture's shape and the device alone. */
static bool winograd_pays(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct conv *c,
                          const struct epilogue *e)
{
    const uint32_t least_channels = 32;

    return w->kernel_h == 3 && w->kernel_w == 3 && c->stride <= 1 && !c->pad_end_only &&
           (!c->upsample || is_doubled(y, x)) &&
           (!e || e->act == OP_ACT_NONE) && w->inputs % 16 == 0 && w->inputs >= least_channels && w->outputs % 4 == 0 &&
           w->outputs >= least_channels && x.dtype == DTYPE_F32 && enough_tiles(y, c, winograd_keeps_weights(pass)) &&
           device_takes_winograd(pass_device(pass));
}

/* For the products: w as it is packed, or [points, panels, inputs, 64] f32. */
static struct tensor winograd_weights(struct pass *pass, const struct weight *w, const struct conv *c)
{
    if (!winograd_keeps_weights(pass)) return w->packed;

    uint32_t panels = w->packed.shape[0];
    struct tensor u = tensor_reshape(scratch_f32(pass, points(c) * panels * w->inputs, 64), 3,
                                     (uint32_t[]) { points(c) * panels, w->inputs, 64 });
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "winograd_weights", .variant = "f32", .reads = { tensor_span(w->packed) }, .writes = { tensor_all(u) },
        .params = &(struct winograd_weights_params) { panels, w->inputs, w->packed.shape[1], winograd_flags(c) },
        .params_size = sizeof(struct winograd_weights_params), .rows = panels * w->inputs });
    return u;
}

static void band_in(struct pass *pass, struct winograd_params p, struct tensor v, struct tensor x)
{
    p.channels = tensor_channels(x);
    p.x_stride = x.stride;
    p.v_stride = v.stride;
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "winograd_in", .variant = "f32", .reads = { tensor_all(x) }, .writes = { tensor_all(v) }, .params = &p,
        .params_size = sizeof p, .rows = p.tiles });
}

static void band_products(struct pass *pass, struct winograd_params band, struct tensor m, struct tensor v, const struct weight *w,
                          struct tensor u)
{
    uint32_t rows = tensor_rows(v);
    struct gemm_params p = {
        .rows = rows, .cols = w->outputs, .k = u.shape[1], .c1 = w->inputs, .x1_stride = v.stride,
        .y_stride = m.stride, .kernel_h = 1, .kernel_w = 1, .stride = 1, .upsample = 1, .in_h = 1, .in_w = rows, .out_h = 1,
        .out_w = rows, .flags = band.flags, .scale = 1.0f,
    };
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "gemm", .variant = "f32", .reads = { tensor_all(v), { 0 }, tensor_span(u) },
        .writes = { tensor_span(m) }, .params = &p, .params_size = sizeof p, .rows = rows, .columns = p.cols,
        .flops = 2.0 * GEMM_PARTS(band.flags) * band.tiles * p.cols * p.c1 });
}

static void band_out(struct pass *pass, struct winograd_params p, struct tensor y, struct tensor m, const struct weight *w,
                     const struct epilogue *e)
{
    p.channels = w->outputs;
    p.v_stride = m.stride;
    p.y_stride = y.stride;
    p.residual_stride = e->residual.stride;
    p.per_image_stride = e->per_image.stride;
    p.flags |= (tensor_is(w->bias) ? GEMM_BIAS : 0) | (tensor_is(e->per_image) ? GEMM_PER_IMAGE : 0) |
               (tensor_is(e->residual) ? GEMM_RESIDUAL : 0);
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "winograd_out", .variant = "f32",
        .reads = { tensor_all(m), tensor_all(w->bias), tensor_all(e->per_image), tensor_all(e->residual) }, .writes = { tensor_span(y) },
        .params = &p, .params_size = sizeof p, .rows = p.tiles });
}

/* [points, part_rows, channels] with a stride of an odd number of cache lines: where part_rows is odd, too, a tile's values do not
 * crowd into few sets of a cache. */
static struct tensor parts_of_tiles(struct pass *pass, uint32_t rows, uint32_t channels)
{
    uint32_t lines = (channels + 15) / 16;

    return tensor_columns(scratch_f32(pass, rows, (lines | 1) * 16), 0, channels);
}

/* In bands of tiles whose transforms fit a last cache. */
static void winograd_bands(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct conv *c,
                           const struct epilogue *e)
{
    const uint32_t band_bytes = 12u << 20, least_band = 64;
    uint32_t all = y.shape[0] * tiles_of(y), band = band_bytes / (points(c) * 4 * (w->inputs + w->outputs));
    size_t mark = scratch_mark(pass);
    struct tensor u = winograd_weights(pass, w, c);

    if (band < least_band) band = least_band;
    band = (all + (all + band - 1) / band - 1) / ((all + band - 1) / band);
    /* Few fit a cache however they lie; kernels for kept weights take 16 rows at a time. */
    uint32_t part_rows = band < 32 || winograd_keeps_weights(pass) ? band : band | 1;
    struct tensor v = parts_of_tiles(pass, points(c) * part_rows, w->inputs);
    struct tensor m = parts_of_tiles(pass, points(c) * part_rows, w->outputs);
    for (uint32_t first = 0; first < all; first += band) {
        struct winograd_params p = { .first = first, .tiles = all - first < band ? all - first : band, .part_rows = part_rows,
                                     .h = y.shape[1], .w = y.shape[2], .in_h = x.shape[1], .above = c->above ? 1 : 0,
                                     .flags = winograd_flags(c) };
        band_in(pass, p, v, x);
        band_products(pass, p, m, v, w, u);
        band_out(pass, p, y, m, w, e);
    }
    scratch_release(pass, mark);
}

static struct tensor columns_of(struct tensor t, uint32_t first, uint32_t count)
{
    return tensor_is(t) ? tensor_columns(t, first, count) : t;
}

/* By columns of y, where weights are kept: those of all may be more than a storage buffer must span. */
static void conv2d_winograd(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w,
                            const struct conv *c, const struct epilogue *e)
{
    const uint32_t most_bytes = 120u << 20, panel_bytes = points(c) * w->inputs * 64 * (uint32_t)sizeof(float);
    uint32_t panels = w->packed.shape[0];
    struct epilogue all = e ? *e : (struct epilogue) { 0 };

    if (winograd_keeps_weights(pass)) panels = panel_bytes < most_bytes ? most_bytes / panel_bytes : 1;
    for (uint32_t panel = 0; panel < w->packed.shape[0]; panel += panels) {
        uint32_t first = panel * 64, left = w->packed.shape[0] - panel, some = left < panels ? left : panels;
        uint32_t count = w->outputs - first < some * 64 ? w->outputs - first : some * 64;
        struct weight part = *w;
        part.packed = tensor_image(w->packed, panel, some);
        part.bias = columns_of(w->bias, first, count);
        part.outputs = count;
        winograd_bands(pass, tensor_columns(y, first, count), x, &part, c,
                       &(struct epilogue) { .per_image = columns_of(all.per_image, first, count),
                                            .residual = columns_of(all.residual, first, count) });
    }
}

/* ---- convolutions ------------------------------------------------------------------- */

/* What shortcut reads has y's rows. */
static bool has_rows_of(struct tensor t, struct tensor y)
{
    return !tensor_is(t) || (t.dims == 4 && t.shape[0] == y.shape[0] && t.shape[1] == y.shape[1] &&
                             t.shape[2] == y.shape[2] && t.dtype == y.dtype);
}

static bool shortcut_fits(struct pass *pass, struct tensor y, const struct weight *w, const struct conv *c,
                          const struct epilogue *e)
{
    uint32_t channels = tensor_channels(c->shortcut) + tensor_channels(c->shortcut2);

    return pass_expect(pass, channels == w->shortcut, "conv2d: the shortcut has %u channels, the weight takes %u", channels,
                       w->shortcut) &&
           pass_expect(pass, has_rows_of(c->shortcut, y) && has_rows_of(c->shortcut2, y),
                       "conv2d: the shortcut and y differ in size or type") &&
           pass_expect(pass, !w->shortcut || !e || e->act == OP_ACT_NONE, "conv2d: a shortcut goes with no activation");
}

/* y = shortcut w' + residual, by itself. */
static void conv2d_shortcut(struct pass *pass, struct tensor y, const struct weight *w, const struct conv *c,
                            struct tensor residual)
{
    uint32_t taps = w->kernel_h * w->kernel_w * w->inputs, k = w->packed.shape[1], pixels[] = { y.shape[1], y.shape[2] };
    const struct weight own = {
        .packed = tensor_view(w->packed.buffer, w->packed.offset + (uint64_t)taps * 64 * dtype_size(DTYPE_F16), DTYPE_F16, 2,
                              (uint32_t[]) { w->packed.shape[0] * k - taps, 64 }),
        .outputs = w->outputs };
    struct gemm_params p = {
        .rows = tensor_rows(y), .k = k, .kernel_h = 1, .kernel_w = 1, .stride = 1, .upsample = 1,
        .in_h = pixels[0], .in_w = pixels[1], .out_h = pixels[0], .out_w = pixels[1],
    };
    gemm_dispatch(pass, p, y, (struct sources) { .x = c->shortcut, .beside = c->shortcut2 }, &own,
                  &(struct epilogue) { .residual = residual });
}

/* The taps' sum, and the shortcut's in the same GEMM. */
static void conv2d_taps(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct conv *c,
                        const struct epilogue *e)
{
    if (!tensor_is(c->shortcut) && winograd_pays(pass, y, x, w, c, e)) {
        conv2d_winograd(pass, y, x, w, c, e);
        return;
    }
    uint32_t pad = c->pad_end_only ? 0 : w->kernel_h / 2;
    struct gemm_params p = {
        .rows = tensor_rows(y), .k = w->packed.shape[1], .kernel_h = w->kernel_h, .kernel_w = w->kernel_w,
        .stride = c->stride ? c->stride : 1, .pad_top = pad - (c->above ? 1 : 0), .pad_left = pad,
        .upsample = c->upsample ? 2 : 1, .in_h = x.shape[1], .in_w = x.shape[2], .out_h = y.shape[1], .out_w = y.shape[2],
    };
    if (c->upsample && w->kernel_h == 3 && w->kernel_w == 3 && is_doubled(y, x) && !tensor_is(c->shortcut))
        p.flags = GEMM_PHASES;
    gemm_dispatch(pass, p, y, (struct sources) { .x = x, .beside = c->shortcut, .beside2 = c->shortcut2 }, w, e);
}

/* The sum in two: where Winograd does the taps, or a device's GEMM rounds them otherwise than 1x1 convolutions. */
static void conv2d_in_two(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct conv *c,
                          const struct epilogue *e)
{
    struct epilogue added = e ? *e : (struct epilogue) { 0 };
    struct conv taps = *c;

    conv2d_shortcut(pass, y, w, c, added.residual);
    added.residual = y;
    taps.shortcut = taps.shortcut2 = (struct tensor) { 0 };
    conv2d_taps(pass, y, x, w, &taps, &added);
}

void op_conv2d(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct conv *c,
               const struct epilogue *e)
{
    static const struct conv plain;

    if (!c) c = &plain;
    uint32_t stride = c->stride ? c->stride : 1, up = c->upsample ? 2 : 1;
    uint32_t pad = c->pad_end_only ? 0 : w->kernel_h / 2;
    uint32_t pads = c->pad_end_only ? w->kernel_h / 2 : 2 * pad;      /* begin and end together */
    uint32_t given = (c->above ? 1 : 0) + (c->below ? 1 : 0);         /* rows instead of zeros */

    if (pass_failed(pass) || !weight_is_sound(pass, "conv2d", w) ||
        !pass_expect(pass, x.dims == 4 && y.dims == 4 && x.shape[0] == y.shape[0] && x.dtype == y.dtype,
                     "conv2d: x and y must be [N, H, W, C] of one type") ||
        !pass_expect(pass, up == 1 || (stride == 1 && w->kernel_h % 2 == 1),
                     "conv2d: upsampling goes with stride 1 and an odd kernel") ||
        !pass_expect(pass, !given || (w->kernel_h == 3 && stride == 1 && up == 1 && x.shape[1] > given),
                     "conv2d: only bands of 3x3 convolutions of stride 1 have rows above and below") ||
        !pass_expect(pass, tensor_channels(x) == w->inputs, "conv2d: x has %u channels, the weight takes %u",
                     tensor_channels(x), w->inputs))
        return;

    uint32_t out_h = (seen(x.shape[1], up, y.shape[1]) + pads - given - w->kernel_h) / stride + 1;
    uint32_t out_w = (seen(x.shape[2], up, y.shape[2]) + pads - w->kernel_w) / stride + 1;
    if (!pass_expect(pass, y.shape[1] == out_h && y.shape[2] == out_w && y.shape[3] == round_up_4(w->outputs),
                     "conv2d: y must be [%u, %u, %u, %u]", x.shape[0], out_h, out_w, round_up_4(w->outputs)) ||
        !pass_expect(pass, !w->geglu, "conv2d: a GEGLU weight") || !epilogue_fits(pass, "conv2d", y, w, e) ||
        !shortcut_fits(pass, y, w, c, e) ||
        !alignment_is_kept(pass, "conv2d", y, (struct sources) { .x = x, .beside = c->shortcut, .beside2 = c->shortcut2 }))
        return;
    if (w->shortcut && (winograd_pays(pass, y, x, w, c, e) || !device_joins_shortcuts(pass_device(pass))))
        conv2d_in_two(pass, y, x, w, c, e);
    else conv2d_taps(pass, y, x, w, c, e);
}
