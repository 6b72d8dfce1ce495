/* Parameters of group_norm's dispatches on every device, three or one, read by C and GLSL.
 *
 *   y = act((x - mean) * rstd * gamma[c] + beta[c])    mean, var over one image's pixels and one group's channels
 *
 * x is one tensor of c1 channels or two side by side (c1 + c2, a skip concatenation). Channels are split into
 * `groups` equal runs. var is the biased one, rstd = 1 / sqrt(var + eps). All statistics fp32.
 *
 * group_norm_stats   reads x1, x2; writes partial [images, chunks, groups, 2] f32: mean and sum of squared
 *                    deviations from it, of one chunk of GROUP_NORM_CHUNK pixels (the last may be short).
 *                    rows = chunks, batch = images. Variants "f32", "f16".
 * group_norm_finish  reads partial; writes stats [images, groups, 2] f32: mean, rstd (Chan's combination, in order).
 *                    rows = images * groups. Variant "f32".
 * group_norm_apply   reads x1, x2, stats, gamma [c1 + c2] f32, beta [c1 + c2] f32; writes y [rows, y_stride], laid
 *                    out by rows. rows = images * pixels. y may be x1 when c2 = 0. Variants "f32", "f16".
 * group_norm_whole   all three in one, where a device has it: reads x1, x2, gamma, beta; writes y. Its groups, taken by
 *                    group_norm_sets, are whole quads of at most GROUP_NORM_WHOLE quads over one image's pixels.
 *                    rows = groups / sets, batch = images. y may be x1 when c2 = 0. Variants "f32", "f16". */
#ifndef TINCT_SHADER_GROUP_NORM_H
#define TINCT_SHADER_GROUP_NORM_H
#include "types.h"

#define GROUP_NORM_CHUNK 256u
#define GROUP_NORM_WHOLE 65536u

struct group_norm_params {
    uint images, pixels;                                /* pixels of one image */
    uint c1, c2, x1_stride, x2_stride, y_stride;        /* channels; elements */
    uint groups, chunks;
    uint act;                                           /* ACT_NONE or ACT_SILU of gemm.h */
    float eps;
};

#ifndef GL_core_profile
/* Neighbouring groups that together are whole quads: 1, 2 or 4. */
static inline uint group_norm_sets(uint width)
{
    return width % 4 == 0 ? 1 : width % 2 == 0 ? 2 : 4;
}
#endif
#endif
