// gemm.h for software drivers: one workgroup is one subgroup and owns ROWS rows x 8 LANES columns of y.
//
// Lane l owns columns 8 l .. 8 l + 7, all rows. K is walked 8 at a time: a lane reads two quads of its own row of x
// (lane = row), which constant shuffles spread to all lanes, and its eight columns of w. The eight products of a row
// are summed before they touch the accumulator: those live in the cache, 32 vectors do not fit the registers. Columns
// go in pairs, so that weights are widened, which one port of a processor does, while others multiply.
//
// Workgroups are in blocks of 16 tiles of rows by all columns: the rows are still in a cache when they are read again.
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
layout(constant_id = 5) const uint ROWS = 16u;            // or 8, where y has no more
const bool WINOGRAD = (FLAGS & GEMM_WINOGRAD) != 0u;      // w is f32
const bool PHASES = false;               // summed again for every 16 rows, the weights cost what is saved

// Copied at the top: in a branch or a loop each lane would read them for itself.
#undef PARAMS
#define PARAMS(type) layout(push_constant) uniform Push { uint groups, first, end, shifts, more_shifts; type given; }; \
    type p; uint first_row, end_row
#include "gemm.glsl"

#define FETCHES 2u                       // ROWS / LANES at most
#define BLOCK 16u                        // tiles of rows

vec2 sum[ROWS][4];                       // a lane's columns in pairs
vec4 a[FETCHES][2];                      // row f LANES + lane, two quads of k
uint w_at_k;                             // this lane's columns of the next k, in 16 bytes
const uint W_CELLS = WINOGRAD ? 16u : 8u;                 // 16 bytes each, from one k to the next

// Column pair j of w, from what LD_WEIGHT gave for one k.
vec2 widen(uvec4 cells[2], uint j)
{
    if (WINOGRAD) return uintBitsToFloat(j % 2u == 0u ? cells[j / 2u].xy : cells[j / 2u].zw);
    return unpackHalf2x16(cells[0][j]);
}

void add_8_k()
{
    uvec4 cells[8][2];
    [[unroll]] for (uint k = 0u; k < 8u; k++) {
        cells[k][0] = LD_WEIGHT(w, w_at_k + k * W_CELLS);
        if (WINOGRAD) cells[k][1] = LD_WEIGHT(w, w_at_k + k * W_CELLS + 1u);
    }
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        vec2 b[8];
        [[unroll]] for (uint k = 0u; k < 8u; k++) b[k] = widen(cells[k], j);
        [[unroll]] for (uint r = 0u; r < ROWS; r++) {
            vec2 s = vec2(0.0);
            [[unroll]] for (uint k = 0u; k < 8u; k++) s += subgroupShuffle(a[r / LANES][k / 4u][k % 4u], r % LANES) * b[k];
            sum[r][j] += s;
        }
    }
    w_at_k += 8u * W_CELLS;
}

void add_tap(place places[FETCHES], uint ky, uint kx)
{
    uint at[FETCHES];
    bool inside[FETCHES];
    [[unroll]] for (uint f = 0u; f < ROWS / LANES; f++) {
        uint pixel = tap_pixel(places[f], ky, kx);
        inside[f] = pixel != ~0u;
        at[f] = inside[f] ? pixel * (p.x1_stride / 4u) : 0u;
    }
    for (uint c = 0u; c < p.c1 / 4u; c += 2u) {
        [[unroll]] for (uint f = 0u; f < ROWS / LANES; f++) {
            a[f][0] = read1(at[f] + c, inside[f]);
            a[f][1] = read1(at[f] + c + 1u, inside[f]);
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
    p = given;
    first_row = first;
    end_row = end;
    uint lane = gl_SubgroupInvocationID, row_tiles = tiles_of(ROWS) / phases(), columns = (p.cols + LANES * 8u - 1u) / (LANES * 8u);
    if (GROUP >= groups) return;
    uint part = GROUP / row_tiles / columns, in_part = GROUP - part * row_tiles * columns;
    uint block = in_part / (BLOCK * columns), in_block = in_part - block * BLOCK * columns;
    uint tiles = min(BLOCK, row_tiles - block * BLOCK);
    uint row = first_row_of(part * row_tiles + block * BLOCK + in_block % tiles, ROWS), octet = in_block / tiles * LANES + lane;
    if (!tile_is_bound(row, ROWS)) return;

    uint panels = (p.cols + 63u) / 64u, panel = min(octet / 8u, panels - 1u);
    w_at_k = (WINOGRAD ? phase * panels + panel : panel) * p.k * W_CELLS + octet % 8u * (W_CELLS / 8u);
    place places[FETCHES];
    [[unroll]] for (uint f = 0u; f < ROWS / LANES; f++) places[f] = find_place(row + f * LANES + lane);
    [[unroll]] for (uint r = 0u; r < ROWS; r++) sum[r] = vec2[4](vec2(0.0), vec2(0.0), vec2(0.0), vec2(0.0));

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
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
        finish(row + r, octet, vec4(sum[r][0], sum[r][1]), vec4(sum[r][2], sum[r][3]), bias0, bias1);
}
