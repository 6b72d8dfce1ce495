/* Parameters of attention on every device, read by C and GLSL.
 *
 *   y[i] = sum_j softmax_j(scale q[i] . k[j]) v[j]     per image and head, fp32, never storing the scores
 *
 * Head h of a row is its elements [h head_dim, (h + 1) head_dim). causal: only j <= i (then q_rows = k_rows). All images' rows of y
 * are stored `copies` times, one copy after the other.
 *
 * With inputs > 0 (where device_joins_norms) what is read as q are the rows x of which queries are made, normalised as
 * layer_norm.h has it, with eps, gamma and beta, and projected, w packed as gemm.h has it:
 *
 *   q[i, o] = sum_c norm(x[i])[c] w[c, o]
 *
 * head_dim is then at most ATTENTION_WIDEST_MADE.
 *
 * reads:  q [images q_rows, q_stride], k [images k_rows, k_stride], v [images k_rows, v_stride],
 *         w, gamma [inputs] f32, beta [inputs] f32 (inputs > 0)
 * writes: y [copies images q_rows, y_stride], laid out by rows
 * rows = q_rows, batch = images * heads (index = image * heads + head). head_dim is a multiple of 4, 4..512.
 * q, k, v may be column ranges of one buffer. Variants "f32", "f16" (all four). */
#ifndef TINCT_SHADER_ATTENTION_H
#define TINCT_SHADER_ATTENTION_H
#include "types.h"

#define ATTENTION_WIDEST_MADE 192u

struct attention_params {
    uint images, heads, head_dim, copies;
    uint q_rows, k_rows;                                /* of one image */
    uint q_stride, k_stride, v_stride, y_stride;        /* elements */
    uint causal;
    float scale;                                        /* 1 / sqrt(head_dim) */
    uint inputs;                                        /* channels of what queries are made of, a multiple of 4; or 0 */
    float eps;                                          /* of its norm */
};
#endif
