// attention.h for GPUs: one workgroup of 16 x 16 invocations owns 64 queries of one head.
//
// Keys come 64 at a time. Invocation (tx, ty) = (t % 16, t / 16) owns the scores of queries 4 ty .. 4 ty + 3 and keys
// 4 tx .. 4 tx + 3, summed over slices of 16 channels of q and k in shared memory; then columns 4 tx + 64 b of the
// output of the same queries, over slices of 16 values. The running maximum and sum are those of flash attention
// (arXiv:2205.14135); each invocation sums its own keys and the sixteen sums meet at the end. A head wider than
// 64 BLOCKS channels is done in chunks of its output channels, each of which takes the scores anew. With MADE queries an
// invocation first makes quads tx + 16 j of the queries it owns and keeps them in registers.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
layout(constant_id = 0) const uint D4 = 10u;              // quads of a head
layout(constant_id = 1) const uint BLOCKS = 1u;           // of 64 output channels a workgroup makes, at most 2
layout(constant_id = 2) const bool MADE = false;          // inputs > 0

#include "attention.glsl"

#define PITCH 17u                        // quads in a row of 64; one more keeps columns off the same bank

shared vec4 slice[32u * PITCH];          // q then k: [channel][row / 4]; or values: [key][quad]; or [query][tx]
shared vec4 weights[64u * PITCH];        // softmax's numerators, [key][query / 4]

uint t, tx, ty;
place at;

#define THREADS 256u
#define LOADS 1u
#define NORM_X        q
#define NORM_CHANNELS p.inputs
#define NORM_STRIDE   p.q_stride
void keep_sum(uint cell, uint i, float sum) { slice[cell][i] = sum; }
vec4 kept_sums(uint cell) { return slice[cell]; }
bool has_row(uint i) { return at.first_query + t / 4u < p.q_rows; }
uint row_of(uint i) { return at.image * p.q_rows + at.first_query + t / 4u; }
#include "row_norm.glsl"

const uint OWN = MADE ? (D4 + 15u) / 16u : 1u;
vec4 own_q[OWN * 4u];                    // [j][channel of the quad], a component a query

// Invocation t stages channels 4 (t % 4) .. of row t / 4, turned on its side.
void stage_turned(vec4 x, uint at)
{
    for (uint i = 0u; i < 4u; i++) slice[at + (t % 4u * 4u + i) * PITCH + t / 16u][t / 4u % 4u] = x[i];
}

// Steps of 16 channels: rows lie in `slice` as queries do, the head's columns of w in `weights`, [k][quad].
void make_queries()
{
    find_norms();
    [[unroll]] for (uint i = 0u; i < OWN * 4u; i++) own_q[i] = vec4(0.0);

    for (uint first = 0u; first < p.inputs; first += 16u) {
        uint quad = first / 4u + t % 4u;
        vec4 x = vec4(0.0);
        if (has_row(0u) && quad < p.inputs / 4u) x = LD4(q, row_of(0u) * (p.q_stride / 4u) + quad);
        barrier();
        stage_turned(normalised(x, norms[0], read_gamma(quad), read_beta(quad)), 0u);
        for (uint i = t; i < 16u * D4; i += THREADS) weights[i] = weight_quad(at.head * D4 + i % D4, first + i / D4);
        barrier();
        [[unroll]] for (uint c = 0u; c < 16u; c++) {
            vec4 xs = slice[c * PITCH + ty];
            [[unroll]] for (uint j = 0u; j < OWN; j++) {
                if (tx + 16u * j >= D4) continue;
                vec4 ws = weights[c * D4 + tx + 16u * j];
                [[unroll]] for (uint i = 0u; i < 4u; i++) own_q[j * 4u + i] += xs * ws[i];
            }
        }
    }
}

// Quads d .. d + 3 of the tile's queries to shared memory; those beyond the head are zero.
void stage_queries(uint own, uint d)
{
    if (!MADE) {
        stage_turned(d + t % 4u < D4 ? LD4(q, own + d + t % 4u) : vec4(0.0), 0u);
        return;
    }
    [[unroll]] for (uint j = 0u; j < OWN; j++) {
        uint quad = tx + 16u * j;
        if (quad / 4u != d / 4u) continue;
        [[unroll]] for (uint i = 0u; i < 4u; i++) slice[(quad % 4u * 4u + i) * PITCH + ty] = own_q[j * 4u + i];
    }
}

// Of four values per query, one an invocation, gathered from the 16 invocations of a query: 16 values each.
void share(vec4 of_query)
{
    barrier();
    for (uint r = 0u; r < 4u; r++) slice[(ty * 4u + r) * 4u + tx / 4u][tx % 4u] = of_query[r];
    barrier();
}

float shared_max(uint r)
{
    uint at = (ty * 4u + r) * 4u;
    vec4 m = max(max(slice[at], slice[at + 1u]), max(slice[at + 2u], slice[at + 3u]));
    return max(max(m.x, m.y), max(m.z, m.w));
}

float shared_sum(uint r)
{
    uint at = (ty * 4u + r) * 4u;
    return dot(slice[at] + slice[at + 1u] + slice[at + 2u] + slice[at + 3u], vec4(1.0));
}

void main()
{
    const uint chunk_quads = 16u * BLOCKS, chunks = (D4 + chunk_quads - 1u) / chunk_quads;
    if (GROUP >= groups) return;
    t = gl_LocalInvocationID.x, tx = t % 16u, ty = t / 16u;
    at = find_place(64u, chunks);
    if (!tile_is_bound(at, 64u)) return;
    uint end = keys_end(at.first_query, 64u);
    uint q_row = at.image * p.q_rows + min(at.first_query + t / 4u, p.q_rows - 1u);
    uint q_at = q_row * (p.q_stride / 4u) + at.head * D4, v_quad = at.chunk * chunk_quads;
    if (MADE) make_queries();

    vec4 o[4u * 2u], top = vec4(-1e30), total = vec4(0.0);
    for (uint i = 0u; i < 8u; i++) o[i] = vec4(0.0);

    for (uint first = 0u; first < end; first += 64u) {
        uint key_row = at.image * p.k_rows + min(first + t / 4u, p.k_rows - 1u);
        uint own_k = key_row * (p.k_stride / 4u) + at.head * D4;
        vec4 s[4];
        for (uint r = 0u; r < 4u; r++) s[r] = vec4(0.0);
        for (uint d = 0u; d < D4; d += 4u) {
            uint quad = d + t % 4u;
            barrier();
            stage_queries(q_at, d);
            stage_turned(quad < D4 ? LD4(k, own_k + quad) : vec4(0.0), 16u * PITCH);
            barrier();
            [[unroll]] for (uint c = 0u; c < 16u; c++) {
                vec4 qs = slice[c * PITCH + ty], ks = slice[(16u + c) * PITCH + tx];
                [[unroll]] for (uint r = 0u; r < 4u; r++) s[r] += qs[r] * ks;
            }
        }

        vec4 most;
        for (uint r = 0u; r < 4u; r++) {
            for (uint j = 0u; j < 4u; j++)
                s[r][j] = sees(at.first_query + ty * 4u + r, first + tx * 4u + j) ? s[r][j] * p.scale * LOG2_E : -1e30;
            most[r] = max(max(s[r].x, s[r].y), max(s[r].z, s[r].w));
        }
        share(most);
        vec4 fade;
        for (uint r = 0u; r < 4u; r++) {
            float new_top = max(top[r], shared_max(r));
            fade[r] = exp2(top[r] - new_top);
            top[r] = new_top;
            s[r] = exp2(s[r] - new_top);
            total[r] = total[r] * fade[r] + dot(s[r], vec4(1.0));
            for (uint b = 0u; b < BLOCKS; b++) o[r * 2u + b] *= fade[r];
        }
        for (uint j = 0u; j < 4u; j++)
            weights[(tx * 4u + j) * PITCH + ty] = vec4(s[0][j], s[1][j], s[2][j], s[3][j]);

        for (uint slice_first = 0u; slice_first < 64u; slice_first += 16u) {
            uint key = first + slice_first + ty;
            barrier();
            for (uint b = 0u; b < BLOCKS; b++) {
                uint quad = v_quad + b * 16u + tx;
                slice[ty * chunk_quads + b * 16u + tx] = quad < D4 && key < p.k_rows
                    ? LD4(v, (at.image * p.k_rows + key) * (p.v_stride / 4u) + at.head * D4 + quad) : vec4(0.0);
            }
            barrier();
            [[unroll]] for (uint i = 0u; i < 16u; i++) {
                vec4 ws = weights[(slice_first + i) * PITCH + ty];
                for (uint b = 0u; b < BLOCKS; b++) {
                    vec4 vs = slice[i * chunk_quads + b * 16u + tx];
                    [[unroll]] for (uint r = 0u; r < 4u; r++) o[r * 2u + b] += ws[r] * vs;
                }
            }
        }
    }

    share(total);
    for (uint copy = 0u; copy < p.copies; copy++)
        [[unroll]] for (uint r = 0u; r < 4u; r++) {
            uint query = at.first_query + ty * 4u + r, row = y_row_of(at, query, copy);
            if (query >= p.q_rows || !row_is_bound(row)) continue;
            [[unroll]] for (uint b = 0u; b < BLOCKS; b++) {
                uint quad = v_quad + b * 16u + tx;
                if (quad < D4) ST4(y, row, p.y_stride / 4u, at.head * D4 + quad, o[r * 2u + b] / shared_sum(r));
            }
        }
}
