// The second half of a gemm whose k was split: adds up the slices that gemm_matrix.comp kept, in order, and finishes.
//
// An invocation owns eight columns of one row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128u;
layout(constant_id = 1) const uint SPLIT = 2u;
layout(constant_id = 2) const uint ACT = 0u;              // one of gemm.h's
const bool PHASES = false, SHORTCUT = false, WINOGRAD = false;
#define FLAGS p.flags

#include "gemm.glsl"
layout(binding = 10) readonly buffer R10 { vec4 partial[]; };        // [SPLIT, rows of the window, columns]

void main()
{
    uint rows = min(end_row, p.rows) - first_row, octets = (p.cols + 7u) / 8u;
    uint item = GROUP * THREADS + gl_LocalInvocationID.x;
    if (GROUP >= groups || item >= rows * octets) return;

    vec4 sum0 = vec4(0.0), sum1 = vec4(0.0);
    for (uint slice = 0u; slice < SPLIT; slice++) {
        sum0 += partial[(slice * rows * octets + item) * 2u];
        sum1 += partial[(slice * rows * octets + item) * 2u + 1u];
    }
    uint octet = item % octets;
    finish(first_row + item / octets, octet, sum0, sum1, read_bias(octet * 2u), read_bias(octet * 2u + 1u));
}
