/* Parameters of layer_norm on every device, read by C and GLSL.
 *
 *   y = (x - mean) / sqrt(var + eps) * gamma[c] + beta[c]      mean and biased var of one row, fp32, two sweeps
 *
 * reads:  x [rows, channels], gamma [channels] f32, beta [channels] f32
 * writes: y [rows, channels], laid out by rows; y may be x.  rows = rows. Variants "f32", "f16". */
#ifndef TINCT_SHADER_LAYER_NORM_H
#define TINCT_SHADER_LAYER_NORM_H
#include "types.h"

struct layer_norm_params {
    uint  rows, channels;
    float eps;
};
#endif
