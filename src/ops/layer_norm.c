#include "ops/fits.h"

#include "layer_norm.h"

bool layer_norm_fits(struct pass *pass, struct tensor x, const struct norm *norm)
{
    uint32_t c = tensor_channels(x);

    return !pass_failed(pass) &&
           pass_expect(pass, tensor_is_vector(norm->gamma, c) && tensor_is_vector(norm->beta, c),
                       "layer_norm: gamma and beta must hold %u values", c) &&
           pass_expect(pass, tensor_is_dense(x) && c % 4 == 0, "layer_norm: rows must be dense, channels a multiple of 4");
}

void op_layer_norm(struct pass *pass, struct tensor y, struct tensor x, const struct norm *norm, float eps)
{
    uint32_t c = tensor_channels(x), rows = tensor_rows(x);

    if (pass_failed(pass) || !pass_expect(pass, tensor_same(y, x), "layer_norm: y and x differ") ||
        !layer_norm_fits(pass, x, norm) || !layer_norm_fits(pass, y, norm))
        return;

    pass_dispatch(pass, &(struct dispatch) {
        .kernel      = "layer_norm",
        .variant     = dtype_name(x.dtype),
        .reads       = { tensor_span(x), tensor_span(norm->gamma), tensor_span(norm->beta) },
        .writes      = { tensor_span(y) },
        .params      = &(struct layer_norm_params) { rows, c, eps },
        .params_size = sizeof(struct layer_norm_params),
        .rows        = rows,
    });
}
