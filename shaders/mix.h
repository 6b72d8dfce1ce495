/* Parameters of mix on every device, read by C and GLSL.
 *
 *   y[m][i] = sum over k of a[k][m] x[k][i]      fp32, k ascending; where a[k][m] is 0, x[k] is left out whatever it holds
 *
 * The first `floats` of x's entries are f32, the others are stored as activations are.
 *
 * reads:  x_float [floats, float_stride] f32, x [operands - floats, x_stride], a [operands, MIX_RESULTS] f32
 * writes: y [results, y_stride], activations in the first place or f32 in the second. It may be in x or x_float, element on
 *         element: whoever writes elements i has read all of them there
 * columns = count, as the strides a multiple of 4; results 1..MIX_RESULTS. Variants "f32", "f16": what activations are. */
#ifndef TINCT_SHADER_MIX_H
#define TINCT_SHADER_MIX_H
#include "types.h"

#define MIX_RESULTS 8u

#define MIX_Y_FLOAT 1u   /* y is in the second place */

struct mix_params {
    uint floats, operands, results, count;
    uint float_stride, x_stride, y_stride;   /* values from one operand or result to the next */
    uint flags;
};
#endif
