// gemm.h for GPUs with matrix units: a workgroup owns BM rows x BN columns of y and walks k in steps of 32.
//
// Its subgroups lie in two rows; each owns BM / 2 rows x 32 columns. A step's tiles of x and w lie in shared memory in
// fp16, as they are stored, row by row with a gap of one cell that keeps rows off the same bank; the next step's are
// fetched into registers meanwhile. With two STAGES a step's tiles are written while the last one's are still read.
// The sums leave through shared memory, so that the epilogue is the other cores'. With SPLIT > 1 a workgroup adds up
// only its slice of k and keeps the sums; the last of a tile's adds up all slices, in their order whoever is last.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128u;        // LANES BN / 16
layout(constant_id = 1) const uint LANES = 32u;           // of a subgroup
layout(constant_id = 2) const uint BM = 64u;
layout(constant_id = 3) const uint BN = 64u;              // 64 or 128
layout(constant_id = 4) const uint M = 16u;               // of one matrix; 8 or 16
layout(constant_id = 5) const uint N = 16u;
layout(constant_id = 6) const uint STAGES = 1u;
layout(constant_id = 7) const uint SPLIT = 1u;
layout(constant_id = 8) const bool PLAIN = false;         // a linear layer of one source: row r of x is row r of y
layout(constant_id = 9) const uint ACT = 0u;              // one of gemm.h's
layout(constant_id = 10) const bool PHASES = false;       // GEMM_PHASES; not with SPLIT > 1
layout(constant_id = 11) const bool SHORTCUT = false;     // c2 > 0
layout(constant_id = 12) const bool NORM = false;         // GEMM_NORM; with PLAIN
const bool WINOGRAD = false;
#define FLAGS p.flags

// A cell is eight fp16 values or four sums.
const uint X_GAP = 5u, W_GAP = BN / 8u + 1u, OUT_GAP = 9u, W_AT = BM * X_GAP, STAGE = W_AT + 32u * W_GAP;
shared uvec4 cells[STAGES * STAGE];                       // [BM][32] of x, [32][BN] of w; last [M][32] a subgroup of sums

#include "matrix.glsl"
#define OCTETS
#include "gemm.glsl"
layout(binding = 10) coherent buffer W10 {               // SPLIT > 1
    uint arrived[GEMM_SPLIT_TILES];      // workgroups of a tile that have kept their sums; 0 between dispatches
    vec4 partial[];                      // [SPLIT, rows of the window, columns]
};

// Invocation t stages octet t % 4 of rows t / 4 + i THREADS / 4 of x, and octets t + i THREADS of w.
const uint X_LOADS = BM * 4u / THREADS, W_LOADS = BN * 4u / THREADS;
uint first_row_of_tile, first_panel;
place places[X_LOADS];
uvec4 next_x[X_LOADS], next_w[W_LOADS];
cursor at;                               // this invocation's octet of the next step

void keep_sum(uint cell, uint i, float sum) { cells[cell][i] = floatBitsToUint(sum); }
vec4 kept_sums(uint cell) { return uintBitsToFloat(cells[cell]); }
#define LOADS X_LOADS
#define NORM_X        x1
#define NORM_CHANNELS p.c1
#define NORM_STRIDE   p.x1_stride
bool has_row(uint i) { return places[i].inside; }
uint row_of(uint i) { return places[i].row; }
#include "row_norm.glsl"
vec4 next_gamma[2], next_beta[2];        // of the octet

const uint ROWS = BM / 2u / M, COLUMNS = 32u / N;         // matrices of a subgroup
SUM sum[ROWS * COLUMNS];

void add_halves(inout vec4 low, inout vec4 high, uvec4 packed)
{
    low += from_halves(packed.xy);
    high += from_halves(packed.zw);
}

// The sum of up to four taps of w that see the same pixel, rounded to fp16.
uvec4 phase_weight(uint panel_at, uint k, uint octet)
{
    uint channels = p.c1, tap = k / channels;
    uvec2 y = taps_of(phase / 2u, tap / 2u), x = taps_of(phase % 2u, tap % 2u);
    uint from = panel_at + ((y.x * 3u + x.x) * channels + k % channels) * 8u + octet, right = channels * 8u;
    bool two_rows = y.y - y.x == 2u, two_columns = x.y - x.x == 2u;
    vec4 low = vec4(0.0), high = vec4(0.0);

    add_halves(low, high, LD_WEIGHT(w, from));
    if (two_columns) add_halves(low, high, LD_WEIGHT(w, from + right));
    if (two_rows) add_halves(low, high, LD_WEIGHT(w, from + 3u * right));
    if (two_rows && two_columns) add_halves(low, high, LD_WEIGHT(w, from + 4u * right));
    return uvec4(to_halves(low), to_halves(high));
}

void fetch(uint k)
{
    uint t = gl_LocalInvocationID.x, panels = (p.cols + 63u) / 64u;
    [[unroll]] for (uint i = 0u; i < X_LOADS; i++) {
        if (!PLAIN) {
            next_x[i] = gather(places[i], at);
            continue;
        }
        next_x[i] = uvec4(0u);
        if (places[i].inside && at.c < p.c1 / 8u)
            next_x[i] = LD_PIECE(x1, (first_row_of_tile + t / 4u + i * (THREADS / 4u)) * (p.x1_stride / 8u) + at.c);
    }
    if (NORM)
        [[unroll]] for (uint i = 0u; i < 2u; i++) {
            next_gamma[i] = read_gamma(at.c * 2u + i);
            next_beta[i] = read_beta(at.c * 2u + i);
        }
    if (PLAIN) at.c += 4u;
    else advance(at, 4u);
    [[unroll]] for (uint i = 0u; i < W_LOADS; i++) {
        uint o = t + i * THREADS, row = k + o / (BN / 8u), octet = o % (BN / 8u), panel = first_panel + octet / 8u;
        next_w[i] = uvec4(0u);
        if (panel >= panels) continue;
        next_w[i] = PHASES ? phase_weight(panel * p.k * 8u, row, octet % 8u)
                           : LD_WEIGHT(w, (panel * p.k + row) * 8u + octet % 8u);
    }
}

void stage(uint stage_at)
{
    uint t = gl_LocalInvocationID.x;
    [[unroll]] for (uint i = 0u; i < X_LOADS; i++)
        cells[stage_at + (t / 4u + i * (THREADS / 4u)) * X_GAP + t % 4u] =
            NORM ? normalised(next_x[i], norms[i], next_gamma, next_beta) : next_x[i];
    [[unroll]] for (uint i = 0u; i < W_LOADS; i++) {
        uint o = t + i * THREADS;
        cells[stage_at + W_AT + o / (BN / 8u) * W_GAP + o % (BN / 8u)] = next_w[i];
    }
}

void multiply(uint stage_at)
{
    uint down = SUBGROUP / (BN / 32u), across = SUBGROUP % (BN / 32u);
    FACTOR1 x[ROWS];
    FACTOR2 w;
    UNROLL for (uint k = 0u; k < 2u; k++) {
        UNROLL for (uint i = 0u; i < ROWS; i++)
            LOAD_FACTOR(x[i], stage_at + (down * (BM / 2u) + i * M) * X_GAP + k * 2u, X_GAP);
        UNROLL for (uint j = 0u; j < COLUMNS; j++) {
            LOAD_FACTOR(w, stage_at + W_AT + k * 16u * W_GAP + (across * 32u + j * N) / 8u, W_GAP);
            UNROLL for (uint i = 0u; i < ROWS; i++) ADD_PRODUCT(sum[i * COLUMNS + j], x[i], w);
        }
    }
}

uint window_rows() { return min(end_row, p.rows) - first_row; }

uint partial_at(uint slice, uint row, uint octet)
{
    return ((slice * window_rows() + row - first_row) * ((p.cols + 7u) / 8u) + octet) * 2u;
}

bool is_written(uint row, uint octet) { return row < p.rows && row_is_bound(row) && octet * 8u < p.cols; }

void keep_partial(uint slice, uint row, uint octet, vec4 sum0, vec4 sum1)
{
    if (!is_written(row, octet)) return;
    uint to = partial_at(slice, row, octet);
    partial[to] = sum0;
    partial[to + 1u] = sum1;
}

// Of all workgroups of this tile, is this the last to have kept its sums? Nobody waits for another.
bool is_last()
{
    uint down = (first_row_of_tile - first_row) / BM, tile = first_panel / (BN / 64u) * ((window_rows() + BM - 1u) / BM) + down;
    memoryBarrierBuffer();
    barrier();
    if (gl_LocalInvocationID.x == 0u) {
        cells[0].x = atomicAdd(arrived[tile], 1u);
        if (cells[0].x == SPLIT - 1u) arrived[tile] = 0u;
    }
    barrier();
    memoryBarrierBuffer();
    return cells[0].x == SPLIT - 1u;
}

void add_slices()
{
    for (uint o = gl_LocalInvocationID.x; o < BM * BN / 8u; o += THREADS) {
        uint row = first_row_of_tile + o / (BN / 8u), octet = first_panel * 8u + o % (BN / 8u);
        if (!is_written(row, octet)) continue;
        vec4 sum0 = vec4(0.0), sum1 = vec4(0.0);
        for (uint slice = 0u; slice < SPLIT; slice++) {
            sum0 += partial[partial_at(slice, row, octet)];
            sum1 += partial[partial_at(slice, row, octet) + 1u];
        }
        finish(row, octet, sum0, sum1, read_bias(octet * 2u), read_bias(octet * 2u + 1u));
    }
}

void leave(uint slice)
{
    uint down = SUBGROUP / (BN / 32u), across = SUBGROUP % (BN / 32u), from = SUBGROUP * (M * OUT_GAP);
    UNROLL for (uint i = 0u; i < ROWS; i++) {
        barrier();                       // the tiles, or the sums before, have been read
        UNROLL for (uint j = 0u; j < COLUMNS; j++)
            STORE_SUM(sum[i * COLUMNS + j], from + j * N / 4u, OUT_GAP);
        barrier();
        for (uint o = LANE; o < M * 4u; o += LANES) {
            uint row = first_row_of_tile + down * (BM / 2u) + i * M + o / 4u;
            uint octet = first_panel * 8u + across * 4u + o % 4u, cell = from + o / 4u * OUT_GAP + o % 4u * 2u;
            if (octet * 8u >= p.cols) continue;
            vec4 sum0 = uintBitsToFloat(cells[cell]), sum1 = uintBitsToFloat(cells[cell + 1u]);
            if (SPLIT > 1u) keep_partial(slice, row, octet, sum0, sum1);
            else finish(row, octet, sum0, sum1, read_bias(octet * 2u), read_bias(octet * 2u + 1u));
        }
    }
}

void main()
{
    uint t = gl_LocalInvocationID.x, row_tiles = tiles_of(BM), slice = GROUP % SPLIT, tile = GROUP / SPLIT;
    if (GROUP >= groups) return;
    first_row_of_tile = first_row_of(tile % row_tiles, BM);
    first_panel = tile / row_tiles * (BN / 64u);
    if (!tile_is_bound(first_row_of_tile, BM)) return;

    for (uint i = 0u; i < X_LOADS; i++) places[i] = find_place(first_row_of_tile + t / 4u + i * (THREADS / 4u));
    if (NORM) find_norms();
    UNROLL for (uint i = 0u; i < ROWS * COLUMNS; i++) sum[i] = ZERO_SUM;

    uint steps = PHASES ? p.c1 / 8u : p.k / 32u, first = steps * slice / SPLIT, end = steps * (slice + 1u) / SPLIT;
    at = cursor(0u, 0u, 0u);
    if (PLAIN) at.c = first * 4u + t % 4u;
    else advance(at, first * 4u + t % 4u);
    fetch(first * 32u);
    for (uint step = first; step < end; step++) {
        uint stage_at = (step - first) % STAGES * STAGE;
        stage(stage_at);
        barrier();
        if (step + 1u < end) fetch((step + 1u) * 32u);
        multiply(stage_at);
        if (STAGES == 1u) barrier();     // before the tiles are written again
    }
    leave(slice);
    if (SPLIT > 1u && is_last()) add_slices();
}
