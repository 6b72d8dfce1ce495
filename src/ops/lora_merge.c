#include "ops/ops.h"

#include "lora_merge.h"

static bool is_packed(struct tensor t, enum dtype dtype, struct tensor like)
{
    like.dtype = dtype;
    return tensor_same(t, like) && tensor_is_dense(t);
}

static bool operands_fit(struct pass *pass, struct tensor y, struct tensor w0, struct tensor a, struct tensor b,
                         struct tensor delta, struct tensor beyond)
{
    uint32_t ranks = tensor_channels(a);

    return pass_expect(pass, y.dtype == DTYPE_F16 && y.dims == 3 && y.shape[1] % 4 == 0 && y.shape[2] == 64 &&
                       tensor_is_dense(y), "lora_merge: y must be packed f16, [panels, k, 64]") &&
           pass_expect(pass, is_packed(w0, w0.dtype, y) && (w0.dtype == DTYPE_F16 || w0.dtype == DTYPE_F32),
                       "lora_merge: w0 must be packed like y, f16 or f32") &&
           pass_expect(pass, tensor_is(a) == tensor_is(b) && (tensor_is(a) || tensor_is(delta)),
                       "lora_merge: a and b, or delta, or all three") &&
           pass_expect(pass, !tensor_is(a) || (a.dtype == DTYPE_F32 && a.dims == 2 && a.shape[0] == y.shape[1] &&
                                               ranks % 4 == 0 && tensor_is_dense(a)),
                       "lora_merge: a must be f32 [%u, ranks], ranks a multiple of 4", y.shape[1]) &&
           pass_expect(pass, !tensor_is(b) || (b.dtype == DTYPE_F32 && b.dims == 3 && b.shape[0] == y.shape[0] &&
                                               b.shape[1] == ranks && b.shape[2] == 64 && tensor_is_dense(b)),
                       "lora_merge: b must be f32 [%u, %u, 64]", y.shape[0], ranks) &&
           pass_expect(pass, !tensor_is(delta) || is_packed(delta, DTYPE_F32, y),
                       "lora_merge: delta must be packed like y, f32") &&
           pass_expect(pass, tensor_is_vector(beyond, 1), "lora_merge: beyond must hold one value");
}

void op_lora_merge(struct pass *pass, struct tensor y, struct tensor w0, struct tensor a, struct tensor b,
                   struct tensor delta, struct tensor beyond)
{
    const struct tensor none = { 0 };
    bool half = w0.dtype == DTYPE_F16;
    uint32_t rows = tensor_rows(y), ranks = tensor_is(a) ? tensor_channels(a) : 0;

    if (pass_failed(pass) || !operands_fit(pass, y, w0, a, b, delta, beyond)) return;
    pass_dispatch(pass, &(struct dispatch) {
        .kernel      = "lora_merge",
        .variant     = "f32",
        .reads       = { tensor_span(half ? w0 : none), tensor_span(half ? none : w0), tensor_span(a), tensor_span(b),
                         tensor_span(delta) },
        .writes      = { tensor_span(y), tensor_all(beyond) },
        .params      = &(struct lora_merge_params) { rows, y.shape[1], ranks,
                                                     (half ? MERGE_HALF : 0) | (tensor_is(delta) ? MERGE_DELTA : 0) },
        .params_size = sizeof(struct lora_merge_params),
        .rows        = rows,
        .columns     = 64,
        .flops       = 2.0 * rows * 64 * ranks,
    });
}
