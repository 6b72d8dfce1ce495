// y[m] = sum_k a[k][m] x[k], see mix.h.
//
// An invocation owns a quad of elements: it reads all operands there before it writes any result, so y may be in x.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64u;
layout(constant_id = 1) const uint FLAGS = 0u;

#include "mix.h"

PARAMS(mix_params);
READS_FLOAT(0, x_float);
READS(1, x);
READS_FLOAT(2, a);
layout(binding = 3) writeonly buffer W3 { QUAD y[]; };
layout(binding = 4) writeonly buffer W4 { vec4 y_float[]; };
uint y_at = QUADS(SHIFT(3)), y_float_at = SHIFT(4) / 2u;

vec4 operand(uint k, uint quad)
{
    return k < p.floats ? LD4(x_float, k * (p.float_stride / 4u) + quad) : LD4(x, (k - p.floats) * (p.x_stride / 4u) + quad);
}

void main()
{
    uint i = GROUP * THREADS + gl_LocalInvocationID.x;
    if (i >= p.count / 4u) return;

    vec4 sums[MIX_RESULTS];
    [[unroll]] for (uint m = 0u; m < MIX_RESULTS; m++) sums[m] = vec4(0.0);
    for (uint k = 0u; k < p.operands; k++) {
        vec4 v = operand(k, i), weights[2] = vec4[2](LD4(a, 2u * k), LD4(a, 2u * k + 1u));
        [[unroll]] for (uint m = 0u; m < MIX_RESULTS; m++) {
            float w = weights[m / 4u][m % 4u];
            sums[m] += w == 0.0 ? vec4(0.0) : w * v;
        }
    }
    [[unroll]] for (uint m = 0u; m < MIX_RESULTS; m++) {
        if (m >= p.results) break;
        uint at = m * (p.y_stride / 4u) + i;
        if ((FLAGS & MIX_Y_FLOAT) != 0u) y_float[y_float_at + at] = sums[m];
        else y[y_at + at] = QUAD(sums[m]);
    }
}
