// y = act((x - mean) * rstd * gamma + beta), see group_norm.h.
//
// An invocation owns one quad of channels in PIXELS pixels of one image, so that it looks its groups up once.
// Neighbouring invocations own neighbouring quads. y may be x1.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256u;
layout(constant_id = 1) const uint PIXELS = 16u;

#include "gemm.h"                        // ACT_SILU
#include "group_norm.h"

PARAMS(group_norm_params);
READS(0, x1);
READS(1, x2);
READS_FLOAT(2, stats);                   // [images, groups, 2]
READS_FLOAT(3, gamma);
READS_FLOAT(4, beta);
WRITES(5, y);

vec2 stats_of(uint image, uint channel)
{
    uint pair = image * p.groups + channel / ((p.c1 + p.c2) / p.groups);
    vec4 two = LD4(stats, pair / 2u);
    return pair % 2u == 0u ? two.xy : two.zw;
}

void main()
{
    uint quads = (p.c1 + p.c2) / 4u, blocks = (quads * ((p.pixels + PIXELS - 1u) / PIXELS) + THREADS - 1u) / THREADS;
    if (GROUP >= groups) return;
    uint image = GROUP / blocks, item = GROUP % blocks * THREADS + gl_LocalInvocationID.x;
    uint c = item % quads, first = item / quads * PIXELS, end = min(first + PIXELS, p.pixels);

    vec4 mean, rstd;
    for (uint i = 0u; i < 4u; i++) {
        vec2 s = stats_of(image, c * 4u + i);
        mean[i] = s.x;
        rstd[i] = s.y;
    }
    vec4 scale = rstd * LD4(gamma, c), shift = LD4(beta, c);
    bool second = c >= p.c1 / 4u;
    for (uint i = first; i < end; i++) {
        uint row = image * p.pixels + i;
        if (!row_is_bound(row)) continue;
        vec4 v = second ? LD4(x2, row * (p.x2_stride / 4u) + c - p.c1 / 4u) : LD4(x1, row * (p.x1_stride / 4u) + c);
        v = (v - mean) * scale + shift;
        if (p.act == ACT_SILU) v = v / (1.0 + exp(-v));
        ST4(y, row, p.y_stride / 4u, c, v);
    }
}
