#include "ops/ops.h"

#include <math.h>

#include "attention.h"

static bool shapes_fit(struct pass *pass, struct tensor y, struct tensor q, struct tensor k, struct tensor v,
                       uint32_t heads, bool causal)
{
    uint32_t c = tensor_channels(q);

    return pass_expect(pass, q.dims == 3 && k.dims == 3 && tensor_same(y, q) && tensor_same(k, v) && k.dtype == q.dtype,
                       "attention: y and q, k and v must be alike, [N, T, C] of one type") &&
           pass_expect(pass, k.shape[0] == q.shape[0] && tensor_channels(k) == c,
                       "attention: q is [%u, T, %u], k is [%u, S, %u]", q.shape[0], c, k.shape[0], tensor_channels(k)) &&
           pass_expect(pass, heads && c % heads == 0 && c / heads % 4 == 0 && c / heads <= 512,
                       "attention: %u heads in %u channels; a head has 4 to 512 channels, a multiple of 4", heads, c) &&
           pass_expect(pass, !causal || q.shape[1] == k.shape[1], "attention: causal with %u queries and %u keys",
                       q.shape[1], k.shape[1]) &&
           pass_expect(pass, q.stride % 4 == 0 && k.stride % 4 == 0 && v.stride % 4 == 0 && y.stride % 4 == 0,
                       "attention: strides must be multiples of 4");
}

void op_attention(struct pass *pass, struct tensor y, struct tensor q, struct tensor k, struct tensor v,
                  uint32_t heads, bool causal)
{
    if (pass_failed(pass) || !shapes_fit(pass, y, q, k, v, heads, causal)) return;

    uint32_t head_dim = tensor_channels(q) / heads, images = q.shape[0];
    struct span qs = tensor_span(q), ks = tensor_span(k), vs = tensor_span(v);
    qs.row_bytes = ks.row_bytes = vs.row_bytes = 0;

    pass_dispatch(pass, &(struct dispatch) {
        .kernel      = "attention",
        .variant     = dtype_name(q.dtype),
        .reads       = { qs, ks, vs },
        .writes      = { tensor_span(y) },
        .params      = &(struct attention_params) {
            .images = images, .heads = heads, .head_dim = head_dim, .q_rows = q.shape[1], .k_rows = k.shape[1],
            .q_stride = q.stride, .k_stride = k.stride, .v_stride = v.stride, .y_stride = y.stride,
            .causal = causal, .scale = 1.0f / sqrtf((float)head_dim) },
        .params_size = sizeof(struct attention_params),
        .rows        = q.shape[1],
        .batch       = images * heads,
        .flops       = 4.0 * images * tensor_channels(q) * q.shape[1] * k.shape[1],
    });
}
