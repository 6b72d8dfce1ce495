#include "ops/fits.h"

#include <math.h>

#include "attention.h"

static bool shapes_fit(struct pass *pass, struct tensor y, struct tensor q, struct tensor k, struct tensor v,
                       uint32_t heads, bool causal)
{
    uint32_t c = tensor_channels(q);

    if (q.dims == 3 && y.dims == 3 && q.shape[0] == 1) y.shape[0] = 1;

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

/* Of what queries are made; all absent: they are there. */
struct making {
    struct tensor x, w;
    struct norm norm;
    float eps;
};

static void dispatch(struct pass *pass, struct tensor y, struct tensor q, struct tensor k, struct tensor v, uint32_t heads,
                     bool causal, const struct making *made)
{
    uint32_t channels = tensor_channels(y), head_dim = channels / heads, images = q.shape[0], queries = y.shape[1];
    uint32_t inputs = tensor_channels(made->x);

    pass_dispatch(pass, &(struct dispatch) {
        .kernel      = "attention",
        .variant     = dtype_name(y.dtype),
        .reads       = { tensor_all(q), tensor_all(k), tensor_all(v), tensor_span(made->w),
                         tensor_all(made->norm.gamma), tensor_all(made->norm.beta) },
        .writes      = { tensor_span(y) },
        .params      = &(struct attention_params) {
            .images = images, .heads = heads, .head_dim = head_dim, .copies = y.shape[0] / images, .q_rows = queries,
            .k_rows = k.shape[1], .q_stride = q.stride, .k_stride = k.stride, .v_stride = v.stride, .y_stride = y.stride,
            .causal = causal, .scale = 1.0f / sqrtf((float)head_dim), .inputs = inputs, .eps = made->eps },
        .params_size = sizeof(struct attention_params),
        .rows        = queries,
        .batch       = images * heads,
        .flops       = (4.0 * k.shape[1] + 2.0 * inputs) * images * channels * queries,
    });
}

void op_attention(struct pass *pass, struct tensor y, struct tensor q, struct tensor k, struct tensor v,
                  uint32_t heads, bool causal)
{
    static const struct making nothing;

    if (!pass_failed(pass) && shapes_fit(pass, y, q, k, v, heads, causal)) dispatch(pass, y, q, k, v, heads, causal, &nothing);
}

static bool makes_queries(struct pass *pass, const struct weight *w, uint32_t heads)
{
    return device_joins_norms(pass_device(pass)) && !tensor_is(w->bias) && w->outputs <= heads * ATTENTION_WIDEST_MADE;
}

void op_cross_attention(struct pass *pass, struct tensor y, struct tensor x, const struct norm *norm, float eps,
                        const struct weight *w, struct tensor k, struct tensor v, uint32_t heads)
{
    if (makes_queries(pass, w, heads)) {
        if (linear_fits(pass, y, x, w, NULL) && layer_norm_fits(pass, x, norm) && shapes_fit(pass, y, y, k, v, heads, false))
            dispatch(pass, y, x, k, v, heads, false, &(struct making) { x, w->packed, *norm, eps });
        return;
    }
    size_t mark = scratch_mark(pass);
    struct tensor q = scratch_like(pass, y);

    op_layer_norm_linear(pass, q, x, norm, eps, w, NULL);
    op_attention(pass, y, q, k, v, heads, false);
    scratch_release(pass, mark);
}
