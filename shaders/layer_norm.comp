// y = (x - mean) / sqrt(var + eps) * gamma + beta, see layer_norm.h.
//
// One workgroup owns one row and sweeps it three times: mean, variance, write. A second sweep for the variance because
// E[x^2] - mean^2 cancels. y may be x: in the last sweep an invocation reads a quad just before it overwrites it, and
// no other needs it.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64u;

#include "sum.glsl"
#include "layer_norm.h"

PARAMS(layer_norm_params);
READS(0, x);
READS_FLOAT(1, gamma);
READS_FLOAT(2, beta);
WRITES(3, y);

void main()
{
    uint row = GROUP, quads = p.channels / 4u, base = row * quads;
    if (row >= groups || !row_is_bound(row)) return;

    vec4 sum = vec4(0.0);
    for (uint c = gl_LocalInvocationID.x; c < quads; c += THREADS) sum += LD4(x, base + c);
    float mean = workgroup_sum(sum) / float(p.channels);

    vec4 squares = vec4(0.0);
    for (uint c = gl_LocalInvocationID.x; c < quads; c += THREADS) {
        vec4 d = LD4(x, base + c) - mean;
        squares += d * d;
    }
    float rstd = inversesqrt(workgroup_sum(squares) / float(p.channels) + p.eps);

    for (uint c = gl_LocalInvocationID.x; c < quads; c += THREADS)
        ST4(y, row, quads, c, (LD4(x, base + c) - mean) * rstd * LD4(gamma, c) + LD4(beta, c));
}
