// gemm.h for GPUs without matrix units: one workgroup owns BM rows x 64 columns of y and walks k in steps of 16.
//
// 2 BM invocations; each owns 4 rows x 8 columns. A step's tiles of x and w lie in shared memory as fp32, k by k, so
// that one k is three quads read for 32 multiply-adds; the next step's are fetched into registers meanwhile. The quads
// of w are kept as even ones, then odd ones: neighbours then read neighbouring quads (no bank twice), and an invocation
// still owns columns 8 j .. 8 j + 7, a value and a gate of GEGLU.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256u;        // 2 BM
layout(constant_id = 1) const bool PLAIN = false;         // a linear layer of one source: row r of x is row r of y
layout(constant_id = 2) const uint ACT = 0u;              // one of gemm.h's
layout(constant_id = 3) const bool PHASES = false;        // GEMM_PHASES
layout(constant_id = 4) const bool SHORTCUT = false;      // c2 > 0
layout(constant_id = 5) const bool NORM = false;          // GEMM_NORM; with PLAIN
const bool WINOGRAD = false;
#define FLAGS p.flags

#include "gemm.glsl"

#define BK 16u
const uint BM = THREADS / 2u;
const uint PITCH = BM / 4u + 1u;                          // quads; one more keeps columns off the same bank

shared vec4 xs[BK * PITCH];                               // [k][row / 4]
shared vec4 ws[BK * 16u];                                 // [k][8 even quads, 8 odd quads]

// Invocation t stages quad t % 4 of rows t / 4 and t / 4 + BM / 2; the first 128 also eight columns of k t / 8.
uint stage_row[2];
place places[2];
vec4 next_x[2];
vec4 next_gamma, next_beta;
uvec4 next_w, more_w[3];                 // of a phase: up to four taps of w, to be summed

void keep_sum(uint cell, uint i, float sum) { xs[cell][i] = sum; }
vec4 kept_sums(uint cell) { return xs[cell]; }
#define LOADS 2u
#define NORM_X        x1
#define NORM_CHANNELS p.c1
#define NORM_STRIDE   p.x1_stride
bool has_row(uint i) { return places[i].inside; }
uint row_of(uint i) { return places[i].row; }
#include "row_norm.glsl"

cursor at;                               // this invocation's quad of the next step

void fetch_taps(uint panel_at, uint k)
{
    uint channels = p.c1, tap = k / channels, octet = gl_LocalInvocationID.x % 8u;
    uvec2 y = taps_of(phase / 2u, tap / 2u), x = taps_of(phase % 2u, tap % 2u);
    next_w = uvec4(0u);
    [[unroll]] for (uint i = 0u; i < 3u; i++) more_w[i] = uvec4(0u);
    if (tap >= 4u) return;
    uint from = panel_at + ((y.x * 3u + x.x) * channels + k % channels) * 8u + octet, right = channels * 8u;
    bool two_rows = y.y - y.x == 2u, two_columns = x.y - x.x == 2u;
    next_w = LD_WEIGHT(w, from);
    if (two_columns) more_w[0] = LD_WEIGHT(w, from + right);
    if (two_rows) more_w[1] = LD_WEIGHT(w, from + 3u * right);
    if (two_rows && two_columns) more_w[2] = LD_WEIGHT(w, from + 4u * right);
}

void fetch(uint panel_at, uint k)
{
    uint t = gl_LocalInvocationID.x, quad = k / 4u + t % 4u;
    for (uint i = 0u; i < 2u; i++) {
        next_x[i] = vec4(0.0);
        if (!PLAIN) next_x[i] = gather(places[i], at);
        else if (places[i].inside && quad < p.c1 / 4u) next_x[i] = LD4(x1, stage_row[i] * (p.x1_stride / 4u) + quad);
    }
    if (NORM) {
        next_gamma = read_gamma(quad);
        next_beta = read_beta(quad);
    }
    if (!PLAIN) advance(at, 4u);
    if (t < BK * 8u) {
        if (PHASES) fetch_taps(panel_at, k + t / 8u);
        else next_w = LD_WEIGHT(w, panel_at + k * 8u + t);
    }
}

void stage()
{
    uint t = gl_LocalInvocationID.x;
    for (uint i = 0u; i < 2u; i++) {
        uint row = t / 4u + i * (BM / 2u);
        if (NORM) next_x[i] = normalised(next_x[i], norms[i], next_gamma, next_beta);
        for (uint k = 0u; k < 4u; k++) xs[(t % 4u * 4u + k) * PITCH + row / 4u][row % 4u] = next_x[i][k];
    }
    if (t < BK * 8u) {
        uint at = t / 8u * 16u + t % 8u;
        ws[at] = from_halves(next_w.xy);
        ws[at + 8u] = from_halves(next_w.zw);
        if (PHASES)
            [[unroll]] for (uint i = 0u; i < 3u; i++) {
                ws[at] += from_halves(more_w[i].xy);
                ws[at + 8u] += from_halves(more_w[i].zw);
            }
    }
}

void main()
{
    uint t = gl_LocalInvocationID.x, row_tiles = tiles_of(BM), end_k = PHASES ? 4u * p.c1 : p.k;
    if (GROUP >= groups) return;
    uint row = first_row_of(GROUP % row_tiles, BM), panel = GROUP / row_tiles, panel_at = panel * p.k * 8u;
    if (!tile_is_bound(row, BM)) return;

    for (uint i = 0u; i < 2u; i++) {
        stage_row[i] = row + t / 4u + i * (BM / 2u);
        places[i] = find_place(stage_row[i]);
    }
    if (NORM) find_norms();
    vec4 sum0[4], sum1[4];
    for (uint r = 0u; r < 4u; r++) sum0[r] = sum1[r] = vec4(0.0);

    at = cursor(0u, 0u, 0u);
    if (!PLAIN) advance(at, t % 4u);
    fetch(panel_at, 0u);
    for (uint k = 0u; k < end_k; k += BK) {
        barrier();                       // the step before is done with the tiles
        stage();
        barrier();
        if (k + BK < end_k) fetch(panel_at, k + BK);
        [[unroll]] for (uint i = 0u; i < BK; i++) {
            vec4 x = xs[i * PITCH + t / 8u], w0 = ws[i * 16u + t % 8u], w1 = ws[i * 16u + 8u + t % 8u];
            [[unroll]] for (uint r = 0u; r < 4u; r++) {
                sum0[r] += x[r] * w0;
                sum1[r] += x[r] * w1;
            }
        }
    }
    uint octet = panel * 8u + t % 8u;
    if (octet * 8u >= p.cols) return;
    vec4 bias0 = read_bias(octet * 2u), bias1 = read_bias(octet * 2u + 1u);
    for (uint r = 0u; r < 4u; r++) finish(row + t / 8u * 4u + r, octet, sum0[r], sum1[r], bias0, bias1);
}
