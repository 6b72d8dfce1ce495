#include "ops/ops.h"

#include "mix.h"

_Static_assert(MIX_RESULTS == OP_MIX_RESULTS, "ops.h tells what the kernels do");

static struct span in_place(struct tensor t, bool here)
{
    return here ? tensor_all(t) : (struct span) { 0 };       /* every dispatch writes all results */
}

/* Values from one entry to the next. */
static uint64_t entry_stride(struct tensor t)
{
    return t.dims == 2 ? t.stride : (uint64_t)tensor_rows(t) * tensor_channels(t) / t.shape[0];
}

static uint64_t entry_values(struct tensor t)
{
    return t.dims == 2 ? t.shape[1] : entry_stride(t);
}

static bool has_entries(struct tensor t)
{
    return t.dims >= 2 && t.shape[0] >= 1 && (t.dims == 2 || tensor_is_dense(t)) && entry_stride(t) % 4 == 0;
}

void op_mix(struct pass *pass, struct tensor y, struct tensor x, struct tensor a)
{
    enum dtype stored = pass ? device_dtype(pass_device(pass)) : DTYPE_F32;
    uint32_t results = y.shape[0], operands = x.shape[0];
    bool x_float = x.dtype != stored, y_float = y.dtype != stored;

    if (pass_failed(pass) ||
        !pass_expect(pass, has_entries(y) && has_entries(x) && results <= OP_MIX_RESULTS,
                     "mix: 1 to %d results of operands, all dense", OP_MIX_RESULTS))
        return;
    uint64_t count = entry_values(x);
    if (!pass_expect(pass, entry_values(y) == count && count % 4 == 0 && count <= UINT32_MAX,
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
        .params      = &(struct mix_params) { operands, results, (uint32_t)count, (uint32_t)entry_stride(x), (uint32_t)entry_stride(y),
                                              (x_float ? MIX_X_FLOAT : 0) | (y_float ? MIX_Y_FLOAT : 0) },
        .params_size = sizeof(struct mix_params),
        .columns     = (uint32_t)count,
    });
}
