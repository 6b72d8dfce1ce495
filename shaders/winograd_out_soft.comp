// winograd_out, see winograd.h. An invocation owns a quad of channels of one tile; neighbours own neighbouring quads.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8u;
layout(constant_id = 1) const uint FLAGS = 0u;            // of gemm.h

#include "gemm.h"
#include "winograd.h"

PARAMS(winograd_params);
READS(0, m);
READS_FLOAT(1, bias);
READS_FLOAT(2, per_image);
READS(3, residual);
WRITES(4, y);

vec4 s[36];

void transform(uint at, uint stride)     // A^T m of six values: four
{
    vec4 m0 = s[at], m5 = s[at + 5u * stride];
    vec4 sum = s[at + stride] + s[at + 2u * stride], difference = s[at + stride] - s[at + 2u * stride];
    vec4 far_sum = s[at + 3u * stride] + s[at + 4u * stride], far_difference = s[at + 3u * stride] - s[at + 4u * stride];

    s[at] = m0 + sum + far_sum;
    s[at + stride] = difference + 2.0 * far_difference;
    s[at + 2u * stride] = sum + 4.0 * far_sum;
    s[at + 3u * stride] = difference + 8.0 * far_difference + m5;
}

void main()
{
    uint quads = p.channels / 4u, item = GROUP * LANES + gl_LocalInvocationID.x, tile = item / quads, c = item % quads;
    if (GROUP >= groups || tile >= p.tiles) return;
    uint across = (p.w + 3u) / 4u, down = (p.h + 3u) / 4u, t = p.first + tile, image = t / (across * down);
    uint first_y = t / across % down * 4u, first_x = t % across * 4u;

    uint part = 0u;
    [[unroll]] for (uint i = 0u; i < 36u; i++) {
        bool kept = (FLAGS & GEMM_DOUBLED) == 0u || (i / 6u != 2u && i % 6u != 2u);
        s[i] = kept ? LD4(m, (part++ * p.part_rows + tile) * (p.v_stride / 4u) + c) : vec4(0.0);
    }
    [[unroll]] for (uint i = 0u; i < 6u; i++) transform(i, 6u);
    [[unroll]] for (uint i = 0u; i < 4u; i++) transform(6u * i, 1u);

    vec4 added = vec4(0.0);
    if ((FLAGS & GEMM_BIAS) != 0u) added += LD4(bias, c);
    if ((FLAGS & GEMM_PER_IMAGE) != 0u) added += LD4(per_image, image * (p.per_image_stride / 4u) + c);
    [[unroll]] for (uint i = 0u; i < 16u; i++) {
        uint row = (image * p.h + first_y + i / 4u) * p.w + first_x + i % 4u;
        if (first_y + i / 4u >= p.h || first_x + i % 4u >= p.w || !row_is_bound(row)) continue;
        vec4 v = s[i / 4u * 6u + i % 4u] + added;
        if ((FLAGS & GEMM_RESIDUAL) != 0u) v += LD4(residual, row * (p.residual_stride / 4u) + c);
        ST4(y, row, p.y_stride / 4u, c, v);
    }
}
