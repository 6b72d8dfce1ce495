// winograd_in, see winograd.h. An invocation owns a quad of channels of one tile; neighbours own neighbouring quads.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8u;
layout(constant_id = 1) const uint FLAGS = 0u;            // of gemm.h

#include "gemm.h"
#include "winograd.h"

PARAMS(winograd_params);
READS(0, x);
WRITES(1, v);

const uint DOUBLED = (FLAGS & GEMM_DOUBLED) != 0u ? 1u : 0u;

vec4 d[36];

void transform(uint at, uint stride)     // B^T d of six values
{
    vec4 d0 = d[at], d1 = d[at + stride], d2 = d[at + 2u * stride], d3 = d[at + 3u * stride], d4 = d[at + 4u * stride];
    vec4 even = d2 * (2.0 / 3.0) - d4 * (1.0 / 6.0), odd = d1 * (2.0 / 3.0) - d3 * (1.0 / 6.0);
    vec4 near = (d4 - d2) * (1.0 / 24.0), far = (d3 - d1) * (1.0 / 12.0);

    d[at] = d0 - 1.25 * d2 + 0.25 * d4;
    d[at + stride] = even + odd;
    d[at + 2u * stride] = even - odd;
    d[at + 3u * stride] = near + far;
    d[at + 4u * stride] = near - far;
    d[at + 5u * stride] = 4.0 * d1 - 5.0 * d3 + d[at + 5u * stride];
}

void main()
{
    uint quads = p.channels / 4u, item = GROUP * LANES + gl_LocalInvocationID.x, tile = item / quads, c = item % quads;
    if (GROUP >= groups || tile >= p.tiles) return;
    uint across = (p.w + 3u) / 4u, down = (p.h + 3u) / 4u, t = p.first + tile, image = t / (across * down);
    uint first_y = t / across % down * 4u + p.above - 1u, first_x = t % across * 4u - 1u;      // -1: huge

    [[unroll]] for (uint i = 0u; i < 36u; i++) {
        uint y = first_y + i / 6u, column = first_x + i % 6u;
        bool inside = y < p.in_h << DOUBLED && column < p.w;
        uint pixel = (image * p.in_h + (y >> DOUBLED)) * (p.w >> DOUBLED) + (column >> DOUBLED);
        d[i] = inside ? LD4(x, pixel * (p.x_stride / 4u) + c) : vec4(0.0);
    }
    [[unroll]] for (uint i = 0u; i < 6u; i++) transform(i, 6u);
    [[unroll]] for (uint i = 0u; i < 6u; i++) transform(6u * i, 1u);
    uint part = 0u;
    [[unroll]] for (uint i = 0u; i < 36u; i++)
        if (DOUBLED == 0u || (i / 6u != 2u && i % 6u != 2u)) ST4(v, part++ * p.part_rows + tile, p.v_stride / 4u, c, d[i]);
}
