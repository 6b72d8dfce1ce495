// y = round_f16(w0 + delta + a b), see lora_merge.h.
//
// An invocation owns eight columns of four rows of one panel, whose four rows of a and eight columns of b it reads four
// ranks at a time. Neighbours own neighbouring columns. y may be w0: it reads its values just before it overwrites them.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64u;
layout(constant_id = 1) const uint FLAGS = 0u;

#include "lora_merge.h"

PARAMS(lora_merge_params);
READS_WEIGHT(0, w0_half);                // eight columns each
READS_FLOAT(1, w0_full);
READS_FLOAT(2, a);
READS_FLOAT(3, b);
READS_FLOAT(4, delta);
layout(binding = 5) writeonly buffer W5 { uvec4 y[]; };
uint y_at = SHIFT(5) / 2u;
WRITES_FLOAT(6, beyond);

const uint ROWS = 4u;

// fp16 bits of v, to nearest even, by hand: a driver may cut where it converts. At least 65520 gives Inf.
uint half_bits(float v)
{
    uint bits = floatBitsToUint(v), size = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    uint normal = size + 0xfffu + (size >> 13 & 1u) - 0x38000000u >> 13;
    uint small = uint(roundEven(min(abs(v), 1.0) * 16777216.0));      // below 2^-14: steps of 2^-24
    return sign | (size >= 0x477ff000u ? 0x7c00u : size < 0x38800000u ? small : normal);
}

uint half_pair(vec2 v)
{
    return half_bits(v.x) | half_bits(v.y) << 16;
}

bool is_beyond(vec4 v)
{
    return !all(lessThan(abs(v), vec4(65520.0)));                     // also where it is NaN
}

void main()
{
    uint item = GROUP * THREADS + gl_LocalInvocationID.x;
    uint octet = item % 8u, row = item / 8u * ROWS;
    if (row >= p.rows) return;

    vec4 low[ROWS], high[ROWS];
    [[unroll]] for (uint i = 0u; i < ROWS; i++) low[i] = high[i] = vec4(0.0);

    uint first_a = row % p.k * (p.ranks / 4u), first_b = row / p.k * p.ranks * 16u + octet * 2u;
    for (uint r = 0u; r < p.ranks / 4u; r++) {
        vec4 left[ROWS];
        [[unroll]] for (uint i = 0u; i < ROWS; i++) left[i] = LD4(a, first_a + i * (p.ranks / 4u) + r);
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            vec4 right_low = LD4(b, first_b + (r * 4u + j) * 16u), right_high = LD4(b, first_b + (r * 4u + j) * 16u + 1u);
            [[unroll]] for (uint i = 0u; i < ROWS; i++) {
                low[i] += left[i][j] * right_low;
                high[i] += left[i][j] * right_high;
            }
        }
    }

    bool over = false;
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        vec4 l, h;
        if ((FLAGS & MERGE_HALF) != 0u) {
            uvec4 w = LD_WEIGHT(w0_half, (row + i) * 8u + octet);
            l = from_halves(w.xy);
            h = from_halves(w.zw);
        } else {
            l = LD4(w0_full, (row + i) * 16u + octet * 2u);
            h = LD4(w0_full, (row + i) * 16u + octet * 2u + 1u);
        }
        if ((FLAGS & MERGE_DELTA) != 0u) {
            l += LD4(delta, (row + i) * 16u + octet * 2u);
            h += LD4(delta, (row + i) * 16u + octet * 2u + 1u);
        }
        l += low[i];
        h += high[i];
        if (!row_is_bound(row + i)) continue;
        y[y_at + (row + i - first_row) * 8u + octet] =
            uvec4(half_pair(l.xy), half_pair(l.zw), half_pair(h.xy), half_pair(h.zw));
        over = over || is_beyond(l) || is_beyond(h);
    }
    if (over) beyond[beyond_at] = 1.0;
}
