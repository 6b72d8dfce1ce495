// winograd_weights, see winograd.h. An invocation owns eight columns of one channel.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8u;
layout(constant_id = 1) const uint FLAGS = 0u;            // of gemm.h

#include "gemm.h"
#include "winograd.h"

PARAMS(winograd_weights_params);
READS_WEIGHT(0, w);
WRITES(1, u);                            // [parts, panels, channels, 64]

const bool DOUBLED = (FLAGS & GEMM_DOUBLED) != 0u;

vec4 g[9], t[18], column[6];             // [3][3], [6][3]

void transform(vec4 g0, vec4 g1, vec4 g2)         // G g of three values, to column
{
    vec4 ones = g0 + g2, twos = g0 + 4.0 * g2;

    column[0] = g0;
    column[1] = ones + g1;
    column[2] = ones - g1;
    column[3] = twos + 2.0 * g1;
    column[4] = twos - 2.0 * g1;
    column[5] = g2;
}

void transform_quad(uint row, uint quad)
{
    [[unroll]] for (uint x = 0u; x < 3u; x++) {
        transform(g[x], g[3u + x], g[6u + x]);
        [[unroll]] for (uint i = 0u; i < 6u; i++) t[i * 3u + x] = column[i];
    }
    uint part = 0u;
    [[unroll]] for (uint y = 0u; y < 6u; y++) {
        if (DOUBLED && y == 2u) continue;
        transform(t[y * 3u], t[y * 3u + 1u], t[y * 3u + 2u]);
        [[unroll]] for (uint i = 0u; i < 6u; i++)
            if (!DOUBLED || i != 2u) ST4(u, part++ * p.panels * p.channels + row, 16u, quad, column[i]);
    }
}

void main()
{
    uint item = GROUP * LANES + gl_LocalInvocationID.x, row = item / 8u, octet = item % 8u;
    if (GROUP >= groups || row >= p.panels * p.channels) return;
    uint from = (row / p.channels * p.k + row % p.channels) * 8u + octet;
    uvec4 packed[9];

    [[unroll]] for (uint tap = 0u; tap < 9u; tap++) {
        packed[tap] = LD_WEIGHT(w, from + tap * p.channels * 8u);
        g[tap] = from_halves(packed[tap].xy);
    }
    transform_quad(row, octet * 2u);
    [[unroll]] for (uint tap = 0u; tap < 9u; tap++)
        g[tap] = from_halves(packed[tap].zw);
    transform_quad(row, octet * 2u + 1u);
}
