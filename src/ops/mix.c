#include "ops/ops.h"

#include "mix.h"

_Static_assert(MIX_RESULTS == OP_MIX_RESULTS, "ops.h tells what the kernels do");

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

static bool operands_fit(struct pass *pass, struct tensor y, struct tensor x, enum dtype dtype)
{
    uint64_t count = entry_values(y);

    return !tensor_is(x) ||
           (pass_expect(pass, has_entries(x) && x.dtype == dtype, "mix: operands must be dense, the first f32, others %s",
                        dtype_name(device_dtype(pass_device(pass)))) &&
            pass_expect(pass, entry_values(x) == count && count % 4 == 0 && count <= UINT32_MAX,
                        "mix: y's entries must be as large as x's, a multiple of 4"));
}

void op_mix(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, struct tensor a)
{
    if (pass_failed(pass)) return;

    const struct tensor none = { 0 };
    enum dtype stored = device_dtype(pass_device(pass));
    bool y_float = y.dtype != stored;
    uint32_t results = y.shape[0], floats = tensor_is(x) ? x.shape[0] : 0, operands = floats + (tensor_is(x2) ? x2.shape[0] : 0);

    if (!pass_expect(pass, has_entries(y) && results <= OP_MIX_RESULTS && (!y_float || y.dtype == DTYPE_F32),
                     "mix: 1 to %d results, dense, f32 or %s", OP_MIX_RESULTS, dtype_name(stored)) ||
        !operands_fit(pass, y, x, DTYPE_F32) || !operands_fit(pass, y, x2, stored) ||
        !pass_expect(pass, a.dtype == DTYPE_F32 && a.dims == 2 && a.shape[0] == operands && a.shape[1] == OP_MIX_RESULTS &&
                           tensor_is_dense(a), "mix: a must be f32 [%u, %d]", operands, OP_MIX_RESULTS))
        return;

    pass_dispatch(pass, &(struct dispatch) {
        .kernel      = "mix",
        .variant     = dtype_name(stored),
        .reads       = { tensor_all(x), tensor_all(x2), tensor_span(a) },
        .writes      = { tensor_all(y_float ? none : y), tensor_all(y_float ? y : none) },       /* every dispatch writes all results */
        .params      = &(struct mix_params) {
            .floats = floats, .operands = operands, .results = results, .count = (uint32_t)entry_values(y),
            .float_stride = floats ? (uint32_t)entry_stride(x) : 0, .x_stride = operands > floats ? (uint32_t)entry_stride(x2) : 0,
            .y_stride = (uint32_t)entry_stride(y), .flags = y_float ? MIX_Y_FLOAT : 0 },
        .params_size = sizeof(struct mix_params),
        .columns     = (uint32_t)entry_values(y),
    });
}
