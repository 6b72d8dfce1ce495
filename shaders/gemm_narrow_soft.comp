// gemm.h for software drivers where y has four columns at most, such as an image's colours: a lane owns ROWS rows and all columns.
//
// K is walked 8 at a time: a lane reads two quads of each of its own rows of x, and row k = lane of w, whose four columns constant
// shuffles spread to all lanes.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "common.glsl"
#include "gemm.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8u;            // 8 or 16, the subgroup's size
layout(constant_id = 1) const uint ACT = 0u;              // one of gemm.h's
layout(constant_id = 2) const uint FLAGS = 0u;            // of gemm.h
const bool SHORTCUT = false, WINOGRAD = false, PHASES = false;

#include "gemm.glsl"

#define ROWS 2u                          // of a lane
#define FROM_LANE(i) subgroupShuffle(columns, i)

void main()
{
    uint lane = gl_SubgroupInvocationID, row = GROUP * LANES * ROWS;
    if (GROUP >= groups || !tile_is_bound(row, LANES * ROWS)) return;

    place places[ROWS];
    vec4 sum[ROWS];
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        places[r] = find_place(row + r * LANES + lane);
        sum[r] = vec4(0.0);
    }
    uint cell = lane % 8u * 8u;          // of w, 16 bytes: where this lane's k begins
    for (uint tap = 0u; tap < p.kernel_h * p.kernel_w; tap++) {
        uint at[ROWS];
        bool inside[ROWS];
        [[unroll]] for (uint r = 0u; r < ROWS; r++) {
            uint pixel = tap_pixel(places[r], tap / p.kernel_w, tap % p.kernel_w);
            inside[r] = pixel != ~0u;
            at[r] = inside[r] ? pixel * (p.x1_stride / 4u) : 0u;
        }
        for (uint c = 0u; c < p.c1 / 4u; c += 2u) {
            vec4 columns = from_halves(LD_WEIGHT(w, cell).xy);
            mat4 first = mat4(FROM_LANE(0u), FROM_LANE(1u), FROM_LANE(2u), FROM_LANE(3u));
            mat4 second = mat4(FROM_LANE(4u), FROM_LANE(5u), FROM_LANE(6u), FROM_LANE(7u));
            cell += 64u;
            [[unroll]] for (uint r = 0u; r < ROWS; r++)
                sum[r] += first * read1(at[r] + c, inside[r]) + second * read1(at[r] + c + 1u, inside[r]);
        }
    }
    vec4 bias0 = read_bias(0u);
    [[unroll]] for (uint r = 0u; r < ROWS; r++) finish(row + r * LANES + lane, 0u, sum[r], vec4(0.0), bias0, vec4(0.0));
}
