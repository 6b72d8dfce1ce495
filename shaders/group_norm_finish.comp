// The chunks' means and squares of one image and group, combined into mean and 1 / sqrt(var + eps). See group_norm.h.
//
// One workgroup owns one image and group. Chan's combination for many parts at once: the mean of the means, weighted,
// then the sum of all squares moved to it.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64u;

#include "sum.glsl"
#include "group_norm.h"

PARAMS(group_norm_params);
READS_FLOAT(0, parts);                 // [images, chunks, groups, 2]
WRITES_FLOAT(1, stats);                  // [images, groups, 2]

vec2 chunk_of(uint index, uint chunk)    // mean, squared deviations
{
    uint pair = (index / p.groups * p.chunks + chunk) * p.groups + index % p.groups;
    vec4 two = LD4(parts, pair / 2u);
    return pair % 2u == 0u ? two.xy : two.zw;
}

float pixels_of(uint chunk)
{
    return float(min(GROUP_NORM_CHUNK, p.pixels - chunk * GROUP_NORM_CHUNK));
}

void main()
{
    uint index = GROUP;
    if (index >= groups) return;
    float width = float((p.c1 + p.c2) / p.groups), n = float(p.pixels);

    float sum = 0.0;
    for (uint k = gl_LocalInvocationID.x; k < p.chunks; k += THREADS) sum += pixels_of(k) / n * chunk_of(index, k).x;
    float mean = workgroup_sum(vec4(sum, 0.0, 0.0, 0.0));

    float squares = 0.0;
    for (uint k = gl_LocalInvocationID.x; k < p.chunks; k += THREADS) {
        vec2 c = chunk_of(index, k);
        squares += c.y + pixels_of(k) * width * (c.x - mean) * (c.x - mean);
    }
    float var = workgroup_sum(vec4(squares, 0.0, 0.0, 0.0)) / (n * width);

    if (gl_LocalInvocationID.x == 0u) {
        stats[stats_at + index * 2u] = mean;
        stats[stats_at + index * 2u + 1u] = inversesqrt(var + p.eps);
    }
}
