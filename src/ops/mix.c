#include "ops/ops.h"

#include "mix.h"

_Static_assert(MIX_RESULTS == OP_MIX_RESULTS, "ops.h tells what the kernels do");

static struct span in_place(struct tensor t, bool here)
{
    struct span s = here ? tensor_span(t) : (struct span) { 0 };

    s.row_bytes = 0;                         /* every dispatch writes all results */
    return s;
}

void op_mix(struct pass *pass, struct tensor y, struct tensor x, struct tensor a)
{
    enum dtype stored = pass ? device_dtype(pass_device(pass)) : DTYPE_F32;
    uint32_t results = y.shape[0], operands = x.shape[0];
    bool x_float = x.dtype != stored, y_float = y.dtype != stored;

    if (pass_failed(pass) ||
        !pass_expect(pass, results >= 1 && results <= OP_MIX_RESULTS && operands >= 1 && tensor_is_dense(y) && tensor_is_dense(x),
                     "mix: 1 to %d results of operands, all dense", OP_MIX_RESULTS))
        return;
    uint64_t count = (uint64_t)tensor_rows(x) * tensor_channels(x) / operands;
    if (!pass_expect(pass, (uint64_t)tensor_rows(y) * tensor_channels(y) / results == count && count % 4 == 0 && count <= UINT32_MAX,
                     "mix: y's entries must be as large as x's, a multiple of 4") ||
        !pass_expect(pass, (!x_float || x.dtype == DTYPE_F32) && (!y_float || y.dtype == DTYPE_F32),
                     "mix: y and x must be f32 or as activations are") ||
        !pass_expect(pass, a.dtype == DTYPE_F32 && a.dims == 2 && a.shape[0] == operands && a.shape[1] == OP_MIX_RESULTS &&
                           tensor_is_dense(a), "mix: a must be f32 [%u, %d]", operands, OP_MIX_RESULTS))
        return;

    pass_dispatch(pass, &(struct dispatch) {
        .kernel      = "mix",
        .variant     = dtype_name(stored),
        .reads       = { in_place(x, !x_float), in_place(x, x_float), tensor_span(a) },
        .writes      = { in_place(y, !y_float), in_place(y, y_float) },
        .params      = &(struct mix_params) { operands, results, (uint32_t)count,
                                              (x_float ? MIX_X_FLOAT : 0) | (y_float ? MIX_Y_FLOAT : 0) },
        .params_size = sizeof(struct mix_params),
        .columns     = (uint32_t)count,
    });
}
