/* Parameters of winograd_in, winograd_weights and winograd_out: a 3x3 convolution as products of transformed tiles, F(4x4, 3x3).
 *
 *   Y = A^T [ (G g G^T) * (B^T d B) ] A       * element by element, summed over channels: 36 products for 4x4 outputs
 *
 * winograd_in: V[i][t, c] = (B^T d B)[i], of the 6x6 inputs d under tile first + t; zeros outside x
 * gemm with GEMM_WINOGRAD (gemm.h): M[i] = V[i] (G g G^T)[i]
 * winograd_out: y = A^T M A + bias[o] + per_image[image, o] + residual, where there are pixels
 *
 * GEMM_DOUBLED (y twice as high and wide as x, which is upsampled before the convolution, nearest): of the six values of B^T d
 * along an axis the third is 0, as d1 = d2 and d3 = d4. Products with i or j 2 are left out: V and M have 25 parts, in order.
 *
 * Tiles are counted over all images, row by row, as wide and high as it takes: ceil(w / 4), ceil(h / 4). V is [36 or 25,
 * part_rows, v_stride], M alike; rows from `tiles` on mean nothing. Channels are multiples of 16, cols of 4.
 *
 * winograd_weights, where a device has it: U = G g G^T, [36 or 25, panels, channels, 64] f32, from w as it is packed (gemm.h), k
 * rows a panel; elsewhere gemm makes them as it goes.
 *
 *   G = 1 0 0; 1 1 1; 1 -1 1; 1 2 4; 1 -2 4; 0 0 1      * sums alone; its fractions, 1/4 -1/6 -1/6 1/24 1/24 1, scale B^T's rows
 *
 * winograd_in       reads: x; writes: V. rows = tiles
 * winograd_weights  reads: w; writes: U. rows = panels channels
 * winograd_out      reads: M, bias [cols] (GEMM_BIAS), per_image (GEMM_PER_IMAGE), residual (GEMM_RESIDUAL); writes: y, laid out
 *                   by its rows. rows = tiles
 * Variant "f32". Source: arXiv:1509.09308. */
#ifndef TINCT_SHADER_WINOGRAD_H
#define TINCT_SHADER_WINOGRAD_H
#include "types.h"

struct winograd_params {
    uint first, tiles, part_rows;                       /* of all images' */
    uint h, w, channels;                                /* of y; channels of x, or of y */
    uint in_h, above;                                   /* rows of x; of them before y's first: 0 or 1 */
    uint x_stride, v_stride, y_stride, residual_stride, per_image_stride;   /* elements; v: of V or M */
    uint flags;                                         /* gemm.h's */
};

struct winograd_weights_params {
    uint panels, channels, k, flags;
};
#endif
