// attention.h for software drivers: one workgroup is one subgroup, one lane owns QUERIES queries.
//
// Scores, softmax and output of a query stay in its lane: no reduction across lanes, no transpose. LANES keys, then
// their values, are read at a time with lane = key and spread by constant shuffles. The running maximum and sum are
// those of flash attention (arXiv:2205.14135). A head wider than O4 quads is done in chunks of its output channels,
// each of which takes the scores anew and reads q as it goes; else q is held.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8u;
layout(constant_id = 1) const uint D4 = 10u;              // quads of a head
layout(constant_id = 2) const uint O4 = 10u;              // quads of output a workgroup makes; D4: q is held
layout(constant_id = 3) const uint QUERIES = 4u;          // of one lane

#include "attention.glsl"

vec4 spread(vec4 x, uint lane)
{
    return vec4(subgroupShuffle(x.x, lane), subgroupShuffle(x.y, lane), subgroupShuffle(x.z, lane),
                subgroupShuffle(x.w, lane));
}

void main()
{
    if (GROUP >= groups) return;
    const uint lane = gl_SubgroupInvocationID, chunks = (D4 + O4 - 1u) / O4;
    const bool held = D4 == O4;
    place s = find_place(LANES * QUERIES, chunks);
    if (!tile_is_bound(s, LANES * QUERIES)) return;
    uint end = keys_end(s.first_query, LANES * QUERIES), first_quad = s.chunk * O4;
    float scale = p.scale * LOG2_E;

    uint query[QUERIES], own_q[QUERIES];
    vec4 qs[QUERIES * O4], o[QUERIES * O4];
    float top[QUERIES], total[QUERIES];
    [[unroll]] for (uint i = 0u; i < QUERIES; i++) {
        query[i] = s.first_query + i * LANES + lane;
        own_q[i] = (s.image * p.q_rows + min(query[i], p.q_rows - 1u)) * (p.q_stride / 4u) + s.head * D4;
        top[i] = -1e30;
        total[i] = 0.0;
        [[unroll]] for (uint d = 0u; d < O4; d++) {
            o[i * O4 + d] = vec4(0.0);
            if (held) qs[i * O4 + d] = scale * LD4(q, own_q[i] + d);
        }
    }

    for (uint first = 0u; first < end; first += LANES) {
        uint key_row = s.image * p.k_rows + min(first + lane, p.k_rows - 1u);
        uint key_quad = key_row * (p.k_stride / 4u) + s.head * D4;
        uint value_quad = key_row * (p.v_stride / 4u) + s.head * D4 + first_quad;

        float score[QUERIES * LANES];
        [[unroll]] for (uint i = 0u; i < QUERIES * LANES; i++) score[i] = 0.0;
        if (held) {
            [[unroll]] for (uint d = 0u; d < D4; d++) {
                vec4 mine = LD4(k, key_quad + d);
                [[unroll]] for (uint j = 0u; j < LANES; j++) {
                    vec4 key = spread(mine, j);
                    [[unroll]] for (uint i = 0u; i < QUERIES; i++) score[i * LANES + j] += dot(qs[i * O4 + d], key);
                }
            }
        } else {
            for (uint slab = 0u; slab < D4; slab += 8u) {        // few rounds: llvmpipe allows 65535 in all
                [[unroll]] for (uint e = 0u; e < 8u; e++) {
                    uint d = slab + e;
                    vec4 mine = LD4(k, key_quad + min(d, D4 - 1u)), mine_q[QUERIES];
                    [[unroll]] for (uint i = 0u; i < QUERIES; i++)
                        mine_q[i] = d < D4 ? scale * LD4(q, own_q[i] + d) : vec4(0.0);
                    [[unroll]] for (uint j = 0u; j < LANES; j++) {
                        vec4 key = spread(mine, j);
                        [[unroll]] for (uint i = 0u; i < QUERIES; i++) score[i * LANES + j] += dot(mine_q[i], key);
                    }
                }
            }
        }

        [[unroll]] for (uint i = 0u; i < QUERIES; i++) {
            float new_top = top[i];
            [[unroll]] for (uint j = 0u; j < LANES; j++) {
                if (!sees(query[i], first + j)) score[i * LANES + j] = -1e30;
                new_top = max(new_top, score[i * LANES + j]);
            }
            float fade = exp2(top[i] - new_top), sum = 0.0;
            [[unroll]] for (uint j = 0u; j < LANES; j++) {
                score[i * LANES + j] = exp2(score[i * LANES + j] - new_top);
                sum += score[i * LANES + j];
            }
            top[i] = new_top;
            total[i] = total[i] * fade + sum;
            [[unroll]] for (uint d = 0u; d < O4; d++) o[i * O4 + d] *= fade;
        }

        [[unroll]] for (uint d = 0u; d < O4; d++) {
            vec4 mine = first_quad + d < D4 ? LD4(v, value_quad + d) : vec4(0.0);
            [[unroll]] for (uint j = 0u; j < LANES; j++) {
                vec4 value = spread(mine, j);
                [[unroll]] for (uint i = 0u; i < QUERIES; i++) o[i * O4 + d] += score[i * LANES + j] * value;
            }
        }
    }

    for (uint copy = 0u; copy < p.copies; copy++)
        [[unroll]] for (uint i = 0u; i < QUERIES; i++) {
            uint row = y_row_of(s, query[i], copy);
            if (query[i] >= p.q_rows || !row_is_bound(row)) continue;
            [[unroll]] for (uint d = 0u; d < O4; d++)
                if (first_quad + d < D4)
                    ST4(y, row, p.y_stride / 4u, s.head * D4 + first_quad + d, o[i * O4 + d] / total[i]);
        }
}
