#include "ops/ops.h"

#include "gemm.h"
#include "group_norm.h"

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

void op_group_norm(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, const struct norm *norm,
                   uint32_t groups, float eps, enum act act)
{
    if (pass_failed(pass) || !shapes_fit(pass, y, x, x2, norm, groups) ||
        !pass_expect(pass, act == OP_ACT_NONE || act == OP_ACT_SILU, "group_norm: only SiLU may follow"))
        return;

    uint32_t images = x.shape[0], pixels = tensor_rows(x) / images;
    struct group_norm_params p = {
        .images = images, .pixels = pixels, .c1 = tensor_channels(x), .c2 = tensor_channels(x2),
        .x1_stride = x.stride, .x2_stride = x2.stride, .y_stride = y.stride, .groups = groups,
        .chunks = (pixels + GROUP_NORM_CHUNK - 1) / GROUP_NORM_CHUNK,
        .act = act == OP_ACT_SILU ? ACT_SILU : ACT_NONE, .eps = eps,
    };
    size_t mark = scratch_mark(pass);
    struct tensor partial = scratch_f32(pass, images * p.chunks * groups, 2);
    struct tensor stats = scratch_f32(pass, images * groups, 2);
    struct span partial_span = tensor_span(partial), stats_span = tensor_span(stats);
    struct span xs = tensor_span(x), x2s = tensor_span(x2);
    partial_span.row_bytes = stats_span.row_bytes = 0;

    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "group_norm_stats", .variant = dtype_name(x.dtype), .reads = { xs, x2s },
        .writes = { partial_span }, .params = &p, .params_size = sizeof p, .rows = p.chunks, .batch = images });
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "group_norm_finish", .variant = "f32", .reads = { partial_span },
        .writes = { stats_span }, .params = &p, .params_size = sizeof p, .rows = images * groups });
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "group_norm_apply", .variant = dtype_name(x.dtype),
        .reads = { xs, x2s, stats_span, tensor_span(norm->gamma), tensor_span(norm->beta) },
        .writes = { tensor_span(y) }, .params = &p, .params_size = sizeof p, .rows = images * pixels });
    scratch_release(pass, mark);
}
