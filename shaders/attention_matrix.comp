// attention.h for GPUs with matrix units: a workgroup of four subgroups owns 64 queries of one head, a subgroup 16.
//
// Two sweeps over blocks of 32 keys. The first takes each row's largest score and its sum; the second takes the scores
// again and adds up values, so that no sums have to be scaled in between, which matrices cannot do by rows. A lane has
// columns of its own in one row of the scores. Weights are fp16, at most 1; their sum is fp32 and divides at the end.
// With MADE queries the workgroup first multiplies its 64 normalised rows by the head's columns of w, in steps of 32
// channels, and keeps the queries in fp16 as if they had been read.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128u;        // 4 LANES
layout(constant_id = 1) const uint LANES = 32u;           // of a subgroup; 16, 32 or 64
layout(constant_id = 2) const uint D8 = 5u;               // octets of a head
layout(constant_id = 3) const bool MADE = false;          // inputs > 0

const uint M = 16u, N = 16u, KEYS = 32u;
const uint DEEP = (D8 + 1u) / 2u;                         // matrices of a head, its last octet may be zeros
const uint GAP = DEEP * 2u + 1u, S_GAP = 9u, P_GAP = 5u;  // cells from row to row
const uint KV_AT = 64u * GAP, S_AT = KV_AT + KEYS * GAP, P_AT = S_AT + 64u * S_GAP;
shared uvec4 cells[P_AT + 64u * P_GAP];                   // [64][D] q, [32][D] k or v, [64][32] scores, [64][32] weights
shared vec2 tops[THREADS];                                // a lane's largest score and sum

#include "matrix.glsl"
#define OCTETS
#include "attention.glsl"

const uint SHARE = 32u * 16u / LANES;                     // scores of a lane: all of one row's, or a half or quarter
uint row, column;                                         // this lane's: row of the subgroup's 16, first of SHARE columns
place at;
FACTOR1 queries[DEEP];
SUM sums[DEEP];

uint base() { return SUBGROUP * 16u; }                    // first row of this subgroup in the tile

const uint X_LOADS = 256u / THREADS;     // octets of x that an invocation stages in a step
#define LOADS X_LOADS
#define NORM_X        q
#define NORM_CHANNELS p.inputs
#define NORM_STRIDE   p.q_stride
void keep_sum(uint cell, uint i, float sum) { cells[S_AT + cell][i] = floatBitsToUint(sum); }
vec4 kept_sums(uint cell) { return uintBitsToFloat(cells[S_AT + cell]); }
uint query_of(uint i) { return at.first_query + gl_LocalInvocationID.x / 4u + i * (THREADS / 4u); }
bool has_row(uint i) { return query_of(i) < p.q_rows; }
uint row_of(uint i) { return at.image * p.q_rows + query_of(i); }
#include "row_norm.glsl"

// While queries are made: [64][32] of x where scores will be, [32][D] of w where keys will be. Invocation t stages octet t % 4
// of rows t / 4 + i THREADS / 4 of x, and octets t + i THREADS of w.
const uint X_GAP = 5u, W_LOADS = MADE ? (32u * DEEP * 2u + THREADS - 1u) / THREADS : 1u;
uvec4 next_x[LOADS], next_w[W_LOADS];
vec4 next_gamma[2], next_beta[2];        // of the octet

void fetch(uint k)
{
    uint t = gl_LocalInvocationID.x, octet = k / 8u + t % 4u;
    [[unroll]] for (uint i = 0u; i < LOADS; i++) {
        next_x[i] = uvec4(0u);
        if (has_row(i) && octet < p.inputs / 8u) next_x[i] = LD_PIECE(q, row_of(i) * (p.q_stride / 8u) + octet);
    }
    [[unroll]] for (uint i = 0u; i < 2u; i++) {
        next_gamma[i] = read_gamma(octet * 2u + i);
        next_beta[i] = read_beta(octet * 2u + i);
    }
    [[unroll]] for (uint i = 0u; i < W_LOADS; i++) {
        uint o = t + i * THREADS, column = o % (DEEP * 2u);
        next_w[i] = uvec4(0u);
        if (o < 32u * DEEP * 2u && column < D8) next_w[i] = weight_octet(at.head * D8 + column, k + o / (DEEP * 2u));
    }
}

void stage()
{
    uint t = gl_LocalInvocationID.x;
    [[unroll]] for (uint i = 0u; i < LOADS; i++)
        cells[S_AT + (t / 4u + i * (THREADS / 4u)) * X_GAP + t % 4u] = normalised(next_x[i], norms[i], next_gamma, next_beta);
    [[unroll]] for (uint i = 0u; i < W_LOADS; i++) {
        uint o = t + i * THREADS;
        if (o < 32u * DEEP * 2u) cells[KV_AT + o / (DEEP * 2u) * GAP + o % (DEEP * 2u)] = next_w[i];
    }
}

void multiply()
{
    UNROLL for (uint k = 0u; k < 2u; k++) {
        FACTOR1 x;
        LOAD_FACTOR(x, S_AT + base() * X_GAP + k * 2u, X_GAP);
        UNROLL for (uint d = 0u; d < DEEP; d++) {
            FACTOR2 columns;
            LOAD_FACTOR(columns, KV_AT + k * 16u * GAP + d * 2u, GAP);
            ADD_PRODUCT(sums[d], x, columns);
        }
    }
}

// The sums to where queries are read from, in fp16.
void keep_queries()
{
    uint mates = LANES / 16u;
    UNROLL for (uint d = 0u; d < DEEP; d++) {
        STORE_SUM(sums[d], S_AT + base() * S_GAP, S_GAP);
        barrier();
        for (uint i = LANE % mates; i < 2u; i += mates) {
            uint from = S_AT + (base() + row) * S_GAP + i * 2u;
            vec4 low = uintBitsToFloat(cells[from]), high = uintBitsToFloat(cells[from + 1u]);
            cells[(base() + row) * GAP + d * 2u + i] =
                uvec4(to_halves(low), to_halves(high));
        }
        barrier();
    }
}

void make_queries()
{
    find_norms();
    UNROLL for (uint d = 0u; d < DEEP; d++) sums[d] = ZERO_SUM;
    fetch(0u);
    for (uint k = 0u; k < p.inputs; k += 32u) {
        stage();
        barrier();
        if (k + 32u < p.inputs) fetch(k + 32u);
        multiply();
        barrier();                       // before the tiles, and at last the scores' place, are written again
    }
    keep_queries();
}

#define STAGE(operand, rows, first, end, row_at, octet_at, stride, to) \
    for (uint i = gl_LocalInvocationID.x; i < (rows) * DEEP * 2u; i += THREADS) { \
        uint r = i / (DEEP * 2u), octet = i % (DEEP * 2u); \
        cells[(to) + r * GAP + octet] = octet < D8 && (first) + r < (end) \
            ? LD_WEIGHT(operand, ((row_at) + (first) + r) * ((stride) / 8u) + (octet_at) + octet) : uvec4(0u); \
    }

// The subgroup's scores for the block of keys that lies in shared memory.
void take_scores()
{
    UNROLL for (uint j = 0u; j < 2u; j++) {
        SUM sum = ZERO_SUM;
        UNROLL for (uint d = 0u; d < DEEP; d++) {
            FACTOR2 key;
            LOAD_TURNED(key, KV_AT + j * 16u * GAP + d * 2u, GAP);
            ADD_PRODUCT(sum, queries[d], key);
        }
        STORE_SUM(sum, S_AT + base() * S_GAP + j * 4u, S_GAP);
    }
    barrier();
}

// Four of this lane's scores, as exponents of 2.
vec4 scores(uint first_key, uint quad)
{
    uint key = first_key + column + quad * 4u, query = at.first_query + base() + row;
    vec4 s = uintBitsToFloat(cells[S_AT + (base() + row) * S_GAP + column / 4u + quad]) * (p.scale * LOG2_E);
    return mix(vec4(-1e30), s, bvec4(sees(query, key), sees(query, key + 1u), sees(query, key + 2u), sees(query, key + 3u)));
}

void stage_keys(uint first, uint end)
{
    STAGE(k, KEYS, first, end, at.image * p.k_rows, at.head * D8, p.k_stride, KV_AT)
    barrier();
}

// The largest score of this lane's row and the sum of its weights.
vec2 find_top(uint end)
{
    float top = -1e30, sum = 0.0;
    for (uint first = 0u; first < end; first += KEYS) {
        stage_keys(first, end);
        take_scores();
        for (uint i = 0u; i < SHARE / 4u; i++) {
            vec4 s = scores(first, i);
            float new_top = max(top, max(max(s.x, s.y), max(s.z, s.w)));
            sum = sum * exp2(top - new_top) + dot(exp2(s - new_top), vec4(1.0));
            top = new_top;
        }
    }
    uint t = gl_LocalInvocationID.x, mates = LANES / 16u, first = t / mates * mates;
    tops[t] = vec2(top, sum);
    barrier();
    float all_top = -1e30, all = 0.0;
    for (uint i = 0u; i < mates; i++) all_top = max(all_top, tops[first + i].x);
    for (uint i = 0u; i < mates; i++) all += tops[first + i].y * exp2(tops[first + i].x - all_top);
    return vec2(all_top, all);
}

void take_weights(uint first, float top)
{
    for (uint i = 0u; i < SHARE / 4u; i += 2u) {
        vec4 low = exp2(scores(first, i) - top), high = exp2(scores(first, i + 1u) - top);
        cells[P_AT + (base() + row) * P_GAP + column / 8u + i / 2u] =
            uvec4(to_halves(low), to_halves(high));
    }
}

void add_values()
{
    UNROLL for (uint j = 0u; j < 2u; j++) {
        FACTOR1 weights;
        LOAD_FACTOR(weights, P_AT + base() * P_GAP + j * 2u, P_GAP);
        UNROLL for (uint d = 0u; d < DEEP; d++) {
            FACTOR2 value;
            LOAD_FACTOR(value, KV_AT + j * 16u * GAP + d * 2u, GAP);
            ADD_PRODUCT(sums[d], weights, value);
        }
    }
    barrier();
}

void leave(float total)
{
    uint mates = LANES / 16u, query = at.first_query + base() + row;
    UNROLL for (uint d = 0u; d < DEEP; d++) {
        STORE_SUM(sums[d], S_AT + base() * S_GAP, S_GAP);
        barrier();
        for (uint i = LANE % mates; i < 4u; i += mates) {
            uint quad = d * 4u + i;
            vec4 value = uintBitsToFloat(cells[S_AT + (base() + row) * S_GAP + i]) / total;
            for (uint copy = 0u; copy < p.copies; copy++) {
                uint y_row = y_row_of(at, query, copy);
                if (query < p.q_rows && row_is_bound(y_row) && quad < D8 * 2u)
                    ST4(y, y_row, p.y_stride / 4u, at.head * D8 * 2u + quad, value);
            }
        }
        barrier();
    }
}

void main()
{
    if (GROUP >= groups) return;
    at = find_place(64u, 1u);
    if (!tile_is_bound(at, 64u)) return;
    row = LANE / (LANES / 16u);
    column = LANE % (LANES / 16u) * SHARE;

    if (MADE) make_queries();
    else {
        STAGE(q, 64u, at.first_query, p.q_rows, at.image * p.q_rows, at.head * D8, p.q_stride, 0u)
        barrier();
    }
    UNROLL for (uint d = 0u; d < DEEP; d++) LOAD_FACTOR(queries[d], base() * GAP + d * 2u, GAP);
    UNROLL for (uint d = 0u; d < DEEP; d++) sums[d] = ZERO_SUM;

    uint end = keys_end(at.first_query, 64u);
    vec2 top = find_top(end);
    for (uint first = 0u; first < end; first += KEYS) {
        stage_keys(first, end);
        take_scores();
        take_weights(first, top.x);
        STAGE(v, KEYS, first, end, at.image * p.k_rows, at.head * D8, p.v_stride, KV_AT)
        barrier();
        add_values();
    }
    leave(top.y);
}
