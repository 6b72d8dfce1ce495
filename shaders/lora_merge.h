/* Parameters of lora_merge on every device: a packed weight rebuilt with LoRAs, read by C and GLSL.
 *
 *   y[m, n] = round_f16(w0[m, n] + delta[m, n] + sum_r a[m % k, r] b[m / k, r, n])
 *
 * Row m = panel * k + j is row j of a panel of 64 columns n (tensor/pack.h). Sums are fp32, r ascending; rounded once,
 * to the nearest, ties to even. What fp16 cannot hold (65520 and up, NaN) becomes Inf or NaN and sets *beyond.
 *
 * reads:  w0 [rows, 64], f16 in the first place or f32 in the second; a [k, ranks] f32, b [panels, ranks, 64] f32
 *         (ranks > 0), delta [rows, 64] f32 (MERGE_DELTA)
 * writes: y [rows, 64] f16, laid out by rows, may be w0; beyond [1] f32: 1 where a sum went beyond fp16, else untouched
 * rows = panels * k, k a multiple of 4, ranks too (the last ones may be zeros). Variant "f32": what the sums are. */
#ifndef TINCT_SHADER_LORA_MERGE_H
#define TINCT_SHADER_LORA_MERGE_H
#include "types.h"

#define MERGE_HALF  1u   /* w0 is f16 */
#define MERGE_DELTA 2u

struct lora_merge_params {
    uint rows, k, ranks;
    uint flags;
};
#endif
