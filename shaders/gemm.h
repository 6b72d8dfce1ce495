/* Parameters of gemm on every device: linear layers and convolutions alike, read by C and GLSL.
 *
 *   y[r, o] = act(scale * sum_k x(r, k) w[k, o] + bias[o] + per_image[image(r), o]) + residual[r, o]
 *
 * One row r is one output pixel or token. x(r, k) with k = tap * c1 + c is channel c of x1 at the input pixel that tap
 * (ky, kx) of row r sees, and 0 outside the image:
 *
 *   image = r / (out_h out_w), oy = r % (out_h out_w) / out_w, ox = r % out_w
 *   iy = (oy stride + ky - pad_top), ix = (ox stride + kx - pad_left), tap = ky kernel_w + kx
 *   inside: 0 <= iy < seen_h, 0 <= ix < seen_w; source pixel (iy / upsample, ix / upsample)
 *   seen_h = upsample == 2 ? out_h : in_h, likewise seen_w: out_h is 2 in_h, or 2 in_h - 1 with the last row cut off
 *
 * Behind the taps' k follow c2 channels of x2 in row r, then c3 of x3: a 1x1 convolution that is added, its inputs a skip
 * concatenation. Beyond them x(r, k) is 0.
 *
 * GEMM_PHASES (no x2; upsample 2, kernel 3x3, padding 1, out_h = 2 in_h, out_w = 2 in_w) promises that the same sums can be had
 * with 4/9 of the products: outputs of one phase (oy % 2, ox % 2) are a 2x2 convolution of the input as it is, since two
 * taps that see the same source pixel add their weights. Along an axis, at source position i:
 *
 *   phase 0:  w0 x(i - 1) + (w1 + w2) x(i)          phase 1:  (w0 + w1) x(i) + w2 x(i + 1)
 *
 * GEMM_WINOGRAD: a linear layer whose rows are 36 equal parts, and part 6 i + j has weights of its own (winograd.h): those of
 * winograd_weights, k = c1, where a device has it, else
 *   sum over a 3x3 kernel's taps (ky, kx) of G[i, ky] G[j, kx] w[(3 ky + kx) c1 + c, o]
 * GEMM_DOUBLED, with it: the 25 parts of an upsampled x alone, those whose i and j are not 2. Either has no epilogue, and may
 * write what y_stride leaves between cols and a multiple of 16.
 *
 * GEMM_NORM (a linear layer, where device_joins_norms): x1's rows are normalised first, as layer_norm.h has it, with eps,
 * gamma and beta.
 *
 * w is packed [ceil(cols / 64)][k][64] f16, zero where there is no weight; k is a multiple of 32. A processor's gemm may
 * leave the last rows of a panel to another.
 * ACT_GEGLU: of every 8 columns the first 4 are values and the last 4 their gates; y has cols / 2 channels:
 *   y[r, 4 j + i] = value(8 j + i) * gelu(gate(8 j + 4 + i)), i in 0..3, bias laid out like the columns.
 * Sums are fp32. All channel counts and strides are multiples of 4 elements, but cols itself may be odd (an image's
 * 3 channels): y_stride is then cols rounded up to 4 and the columns beyond cols are written as 0.
 *
 * reads:  x1, x2 (c2 > 0; like y), w, bias [cols] f32 (GEMM_BIAS), per_image [images, per_image_stride] f32 (GEMM_PER_IMAGE),
 *         residual like y (GEMM_RESIDUAL; it may be y itself: a lane reads an element just before it writes it), x3 (c3 > 0),
 *         gamma, beta [c1] f32 (GEMM_NORM)
 * writes: y, laid out by rows
 * rows = output pixels, columns = cols. Variants: x and y alike "f32" or "f16". */
#ifndef TINCT_SHADER_GEMM_H
#define TINCT_SHADER_GEMM_H
#include "types.h"

#define GEMM_BIAS      1u
#define GEMM_PER_IMAGE 2u
#define GEMM_RESIDUAL  4u
#define GEMM_PHASES    8u
#define GEMM_WINOGRAD 16u
#define GEMM_NORM     32u
#define GEMM_DOUBLED  64u

#define GEMM_PARTS(flags) (((flags) & GEMM_DOUBLED) != 0u ? 25u : 36u)   /* of GEMM_WINOGRAD */

#define GEMM_SPLIT_TILES 8192u   /* of a dispatch whose workgroups take slices of k: what is counted at once */

#define ACT_NONE       0u
#define ACT_SILU       1u   /* x / (1 + exp(-x)) */
#define ACT_GELU       2u   /* x (1 + erf(x / sqrt 2)) / 2 */
#define ACT_QUICK_GELU 3u   /* x / (1 + exp(-1.702 x)) */
#define ACT_GEGLU      4u   /* value * gelu(gate), see above */

struct gemm_params {
    uint rows, cols, k;                                 /* k: rows of a panel, a multiple of 32 */
    uint c1, c2, c3;                                    /* channels of x1, x2 and x3 */
    uint x1_stride, x2_stride, x3_stride, y_stride, residual_stride, per_image_stride;   /* elements */
    uint kernel_h, kernel_w, stride, pad_top, pad_left;
    uint upsample;                                      /* 1, or 2: nearest, before the convolution */
    uint in_h, in_w, out_h, out_w;                      /* pixels of one image; linear: 1, rows, 1, rows */
    uint flags, act;
    float scale;
    float eps;                                          /* of the norm */
};
#endif
