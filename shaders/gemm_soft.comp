// gemm.h for software drivers: one workgroup is one subgroup and owns 16 rows x 8 LANES columns of y.
//
// Lane l owns columns 8 l .. 8 l + 7, all rows. K is walked 8 at a time: a lane reads two quads of its own row of x
// (lane = row), which constant shuffles spread to all lanes, and its eight columns of w. The eight products of a row
// are summed before they touch the accumulator: those live in the cache, 32 vectors do not fit the registers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "common.glsl"
#include "gemm.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8u;            // 8 or 16, the subgroup's size
layout(constant_id = 1) const bool ANY_CHANNELS = false;  // c1, c2 or c3 is no multiple of 8
layout(constant_id = 2) const bool SHORTCUT = false;      // c2 > 0
layout(constant_id = 3) const uint ACT = 0u;              // one of gemm.h's
layout(constant_id = 4) const uint FLAGS = 0u;            // of gemm.h, known here: the other side of an if is paid for
const bool WINOGRAD = (FLAGS & GEMM_WINOGRAD) != 0u;      // w is f32
const bool PHASES = false;               // summed again for every 16 rows, the weights cost what is saved

#include "gemm.glsl"

#define ROWS 16u
#define FETCHES 2u                       // ROWS / LANES at most

vec4 sum0[ROWS], sum1[ROWS];
vec4 a[FETCHES][2];                      // row f LANES + lane, two quads of k
uint w_at_k;                             // this lane's columns of the next k, in 16 bytes
const uint W_CELLS = WINOGRAD ? 16u : 8u;                 // 16 bytes each, from one k to the next

void add_8_k()
{
    vec4 b0[8], b1[8];
    [[unroll]] for (uint k = 0u; k < 8u; k++) {
        uvec4 packed = LD_WEIGHT(w, w_at_k + k * W_CELLS);
        if (WINOGRAD) {
            b0[k] = uintBitsToFloat(packed);
            b1[k] = uintBitsToFloat(LD_WEIGHT(w, w_at_k + k * W_CELLS + 1u));
            continue;
        }
        b0[k] = from_halves(packed.xy);
        b1[k] = from_halves(packed.zw);
    }
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        vec4 s0 = vec4(0.0), s1 = vec4(0.0);
        [[unroll]] for (uint k = 0u; k < 8u; k++) {
            float x = subgroupShuffle(a[r / LANES][k / 4u][k % 4u], r % LANES);
            s0 += x * b0[k];
            s1 += x * b1[k];
        }
        sum0[r] += s0;
        sum1[r] += s1;
    }
    w_at_k += 8u * W_CELLS;
}

vec4 read1(uint at, uint pixel) { return pixel == ~0u ? vec4(0.0) : LD4(x1, at); }

void add_tap(place places[FETCHES], uint ky, uint kx)
{
    uint pixel[FETCHES];
    [[unroll]] for (uint f = 0u; f < ROWS / LANES; f++) pixel[f] = tap_pixel(places[f], ky, kx);
    for (uint c = 0u; c < p.c1 / 4u; c += 2u) {
        [[unroll]] for (uint f = 0u; f < ROWS / LANES; f++) {
            a[f][0] = read1(pixel[f] * (p.x1_stride / 4u) + c, pixel[f]);
            a[f][1] = read1(pixel[f] * (p.x1_stride / 4u) + c + 1u, pixel[f]);
        }
        add_8_k();
    }
}

void add_shortcut(place places[FETCHES])
{
    for (uint c = 0u; c < (p.c2 + p.c3) / 4u; c += 2u) {
        [[unroll]] for (uint f = 0u; f < ROWS / LANES; f++) {
            a[f][0] = gather_own(places[f], c);
            a[f][1] = gather_own(places[f], c + 1u);
        }
        add_8_k();
    }
}

void main()
{
    uint lane = gl_SubgroupInvocationID, row_tiles = tiles_of(ROWS) / phases(), columns = (p.cols + LANES * 8u - 1u) / (LANES * 8u);
    if (GROUP >= groups) return;
    uint part = GROUP / row_tiles / columns;             // its rows and weights stay in a cache
    uint row = first_row_of(part * row_tiles + GROUP % row_tiles, ROWS), octet = GROUP / row_tiles % columns * LANES + lane;
    if (!tile_is_bound(row, ROWS)) return;

    uint panels = (p.cols + 63u) / 64u, panel = min(octet / 8u, panels - 1u);
    w_at_k = (WINOGRAD ? phase * panels + panel : panel) * p.k * W_CELLS + octet % 8u * (W_CELLS / 8u);
    place places[FETCHES];
    [[unroll]] for (uint f = 0u; f < ROWS / LANES; f++) places[f] = find_place(row + f * LANES + lane);
    [[unroll]] for (uint r = 0u; r < ROWS; r++) sum0[r] = sum1[r] = vec4(0.0);

    if (ANY_CHANNELS) {
        uint eights = (p.kernel_h * p.kernel_w * p.c1 + p.c2 + p.c3 + 7u) / 8u;
        cursor first = cursor(0u, 0u, 0u), second = first;
        advance(second, 1u);
        for (uint k = 0u; k < eights; k++) {
            [[unroll]] for (uint f = 0u; f < ROWS / LANES; f++) {
                a[f][0] = gather(places[f], first);
                a[f][1] = gather(places[f], second);
            }
            add_8_k();
            advance(first, 2u);
            advance(second, 2u);
        }
    } else {
        for (uint ky = 0u; ky < p.kernel_h; ky++)
            for (uint kx = 0u; kx < p.kernel_w; kx++) add_tap(places, ky, kx);
        if (SHORTCUT) add_shortcut(places);
    }
    if (octet * 8u >= p.cols) return;
    vec4 bias0 = read_bias(octet * 2u), bias1 = read_bias(octet * 2u + 1u);
    [[unroll]] for (uint r = 0u; r < ROWS; r++) finish(row + r, octet, sum0[r], sum1[r], bias0, bias1);
}
