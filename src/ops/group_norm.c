#include "ops/ops.h"

#include "gemm.h"
#include "group_norm.h"

static const struct tensor none;

static uint32_t chunks_of(uint32_t pixels)
{
    return (pixels + GROUP_NORM_CHUNK - 1) / GROUP_NORM_CHUNK;
}

static bool shapes_fit(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, const struct norm *norm,
                       uint32_t groups)
{
    uint32_t c = tensor_channels(x) + tensor_channels(x2);

    return pass_expect(pass, tensor_channels(y) == c && tensor_rows(y) == tensor_rows(x) && y.dtype == x.dtype &&
                             y.shape[0] == x.shape[0],
                       "group_norm: y must be %u rows of %u channels, of x's type", tensor_rows(x), c) &&
           pass_expect(pass, !tensor_is(x2) || (tensor_rows(x2) == tensor_rows(x) && x2.dtype == x.dtype),
                       "group_norm: x and x2 differ in size or type") &&
           pass_expect(pass, groups && c % groups == 0, "group_norm: %u channels in %u groups", c, groups) &&
           pass_expect(pass, tensor_is_vector(norm->gamma, c) && tensor_is_vector(norm->beta, c),
                       "group_norm: gamma and beta must hold %u values", c) &&
           pass_expect(pass, tensor_channels(x) % 4 == 0 && tensor_channels(x2) % 4 == 0 && x.stride % 4 == 0 &&
                             x2.stride % 4 == 0 && y.stride % 4 == 0,
                       "group_norm: channels and strides must be multiples of 4");
}

static struct group_norm_params params_of(struct tensor x, struct tensor x2, uint32_t groups, float eps)
{
    uint32_t images = x.shape[0], pixels = tensor_rows(x) / images;

    return (struct group_norm_params) {
        .images = images, .pixels = pixels, .c1 = tensor_channels(x), .c2 = tensor_channels(x2), .x1_stride = x.stride,
        .x2_stride = x2.stride, .groups = groups, .chunks = chunks_of(pixels), .eps = eps,
    };
}

static void write_to(struct group_norm_params *p, struct tensor y, enum act act)
{
    p->y_stride = y.stride;
    p->act = act == OP_ACT_SILU ? ACT_SILU : ACT_NONE;
}

static void dispatch_parts(struct pass *pass, const struct group_norm_params *p, struct tensor parts, struct tensor x,
                           struct tensor x2)
{
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "group_norm_stats", .variant = dtype_name(x.dtype), .reads = { tensor_span(x), tensor_span(x2) },
        .writes = { tensor_all(parts) }, .params = p, .params_size = sizeof *p, .rows = p->chunks, .batch = p->images });
}

static void dispatch_stats(struct pass *pass, const struct group_norm_params *p, struct tensor stats, struct tensor parts)
{
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "group_norm_finish", .variant = "f32", .reads = { tensor_all(parts) }, .writes = { tensor_all(stats) },
        .params = p, .params_size = sizeof *p, .rows = p->images * p->groups });
}

static void dispatch_apply(struct pass *pass, const struct group_norm_params *p, struct tensor y, struct tensor x,
                           struct tensor x2, struct tensor stats, const struct norm *norm)
{
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "group_norm_apply", .variant = dtype_name(x.dtype),
        .reads = { tensor_span(x), tensor_span(x2), tensor_all(stats), tensor_span(norm->gamma), tensor_span(norm->beta) },
        .writes = { tensor_span(y) }, .params = p, .params_size = sizeof *p, .rows = p->images * p->pixels });
}

void op_group_norm(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, const struct norm *norm,
                   uint32_t groups, float eps, enum act act)
{
    if (pass_failed(pass) || !shapes_fit(pass, y, x, x2, norm, groups) ||
        !pass_expect(pass, act == OP_ACT_NONE || act == OP_ACT_SILU, "group_norm: only SiLU may follow"))
        return;

    struct group_norm_params p = params_of(x, x2, groups, eps);
    size_t mark = scratch_mark(pass);
    struct tensor parts = scratch_f32(pass, p.images * p.chunks * groups, 2);
    struct tensor stats = scratch_f32(pass, p.images * groups, 2);

    write_to(&p, y, act);
    dispatch_parts(pass, &p, parts, x, x2);
    dispatch_stats(pass, &p, stats, parts);
    dispatch_apply(pass, &p, y, x, x2, stats, norm);
    scratch_release(pass, mark);
}

/* ---- whole ----------------------------------------------------------------- */

/* Chosen by one picture's shape and the device alone. */
static bool takes_whole(struct pass *pass, const struct group_norm_params *p, enum dtype dtype)
{
    uint32_t width = (p->c1 + p->c2) / p->groups, sets = group_norm_sets(width);

    return p->groups % sets == 0 && (uint64_t)p->pixels * (sets * width / 4) <= GROUP_NORM_WHOLE &&
           device_has_kernel(pass_device(pass), "group_norm_whole", dtype_name(dtype));
}

static struct span images_of(struct tensor t, uint32_t first, uint32_t images)
{
    struct span s = tensor_span(t);
    uint64_t image_bytes = s.row_bytes * (tensor_rows(t) / t.shape[0]), whole = s.size;

    s.offset += first * image_bytes;
    s.size = first + images < t.shape[0] ? images * image_bytes : whole - first * image_bytes;
    s.row_bytes = 0;                         /* its rows are groups: no window of y's rows may be taken, as y may be x */
    return s;
}

/* In one dispatch, or one for as many images as a storage buffer surely spans. */
static void whole(struct pass *pass, struct group_norm_params p, struct tensor y, struct tensor x, struct tensor x2,
                  const struct norm *norm)
{
    const uint64_t most_bytes = 64u << 20;
    uint32_t all = p.images;
    uint64_t fit = most_bytes / (tensor_span(y).row_bytes * p.pixels), step = fit ? fit : 1;

    for (uint32_t first = 0; first < all; first += p.images) {
        p.images = all - first < step ? all - first : (uint32_t)step;
        pass_dispatch(pass, &(struct dispatch) {
            .kernel = "group_norm_whole", .variant = dtype_name(x.dtype),
            .reads = { images_of(x, first, p.images), tensor_is(x2) ? images_of(x2, first, p.images) : tensor_span(x2),
                       tensor_span(norm->gamma), tensor_span(norm->beta) },
            .writes = { images_of(y, first, p.images) }, .params = &p, .params_size = sizeof p,
            .rows = p.groups / group_norm_sets((p.c1 + p.c2) / p.groups), .batch = p.images });
    }
}

void op_group_norm_whole(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, const struct norm *norm,
                         uint32_t groups, float eps, enum act act)
{
    if (pass_failed(pass) || !shapes_fit(pass, y, x, x2, norm, groups)) return;

    struct group_norm_params p = params_of(x, x2, groups, eps);
    write_to(&p, y, act);
    if ((act == OP_ACT_NONE || act == OP_ACT_SILU) && takes_whole(pass, &p, x.dtype)) whole(pass, p, y, x, x2, norm);
    else op_group_norm(pass, y, x, x2, norm, groups, eps, act);
}

/* ---- in parts -------------------------------------------------------------- */

struct tensor scratch_group_norm_parts(struct pass *pass, uint32_t pixels, uint32_t groups)
{
    return scratch_f32(pass, chunks_of(pixels) * groups, 2);
}

static bool is_part(struct pass *pass, struct tensor x, uint32_t groups)
{
    return pass_expect(pass, x.dims == 4 && x.shape[0] == 1 && groups && tensor_channels(x) % groups == 0 &&
                             tensor_channels(x) % 4 == 0 && x.stride % 4 == 0,
                       "group_norm: a part must be [1, h, W, C], C a multiple of 4 and of %u groups", groups);
}

void op_group_norm_parts(struct pass *pass, struct tensor parts, struct tensor x, uint32_t first_pixel, uint32_t groups)
{
    uint32_t first = first_pixel / GROUP_NORM_CHUNK * groups, rows = chunks_of(tensor_rows(x)) * groups;

    if (pass_failed(pass) || !is_part(pass, x, groups) ||
        !pass_expect(pass, first_pixel % GROUP_NORM_CHUNK == 0 && tensor_is_dense(parts) && tensor_channels(parts) == 2 &&
                           first <= tensor_rows(parts) && rows <= tensor_rows(parts) - first,
                     "group_norm: pixels from %u on are no part", first_pixel))
        return;

    struct group_norm_params p = params_of(x, none, groups, 0);
    parts.offset += (uint64_t)first * 2 * sizeof(float);
    parts.shape[0] = rows;
    dispatch_parts(pass, &p, parts, x, none);
}

void op_group_norm_stats(struct pass *pass, struct tensor stats, struct tensor parts, uint32_t pixels, uint32_t channels,
                         uint32_t groups, float eps)
{
    struct group_norm_params p = { .images = 1, .pixels = pixels, .c1 = channels, .groups = groups,
                                   .chunks = chunks_of(pixels), .eps = eps };

    if (pass_failed(pass) ||
        !pass_expect(pass, tensor_rows(parts) == p.chunks * groups && tensor_rows(stats) == groups &&
                           tensor_channels(stats) == 2,
                     "group_norm: the parts are not those of %u pixels", pixels))
        return;
    dispatch_stats(pass, &p, stats, parts);
}

void op_group_norm_apply(struct pass *pass, struct tensor y, struct tensor x, struct tensor stats, const struct norm *norm,
                         uint32_t groups, enum act act)
{
    if (pass_failed(pass) || !is_part(pass, x, groups) || !shapes_fit(pass, y, x, none, norm, groups) ||
        !pass_expect(pass, tensor_rows(stats) == groups && (act == OP_ACT_NONE || act == OP_ACT_SILU),
                     "group_norm: statistics of %u groups and SiLU at most", groups))
        return;

    struct group_norm_params p = params_of(x, none, groups, 0);
    write_to(&p, y, act);
    dispatch_apply(pass, &p, y, x, none, stats, norm);
}
