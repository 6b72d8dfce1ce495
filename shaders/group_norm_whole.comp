// All of group_norm.h in one dispatch, for tensors that a GPU's caches hold.
//
// One workgroup owns SETS neighbouring groups of one image, whose channels together are whole quads (320 channels in 32
// groups: two of them, 5 quads). It sums twice, so that the squares are taken from the mean itself, and writes. An
// invocation KEEPS its quads of fp16 in registers, ROOM of them, so that they are read once, or reads them again. y may be
// x1: a quad is read for the last time just before it is written, by the same invocation.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256u;
layout(constant_id = 1) const uint SETS = 1u;             // 1, 2 or 4
layout(constant_id = 2) const bool KEEPS = false;
layout(constant_id = 3) const uint ROOM = 1u;

#include "gemm.h"                        // ACT_SILU
#include "group_norm.h"

PARAMS(group_norm_params);
READS(0, x1);
READS(1, x2);
READS_FLOAT(2, gamma);
READS_FLOAT(3, beta);
WRITES(4, y);

shared vec4 sums[THREADS];
uvec2 kept[ROOM];
uint image, first_quad, width, quads, items;

vec4 workgroup_sums(vec4 v)              // one component a set
{
    uint t = gl_LocalInvocationID.x;
    barrier();
    sums[t] = v;
    barrier();
    for (uint half_way = THREADS / 2u; half_way > 0u; half_way /= 2u) {
        if (t < half_way) sums[t] += sums[t + half_way];
        barrier();
    }
    return sums[0];
}

vec4 read_quad(uint item)
{
    uint row = image * p.pixels + item / quads, c = first_quad + item % quads;
    if (c < p.c1 / 4u) return LD4(x1, row * (p.x1_stride / 4u) + c);
    return LD4(x2, row * (p.x2_stride / 4u) + c - p.c1 / 4u);
}

vec4 quad_of(uint i, uint item)          // the invocation's quad i
{
    if (!KEEPS) return read_quad(item);
    return from_halves(kept[i]);
}

// The set of each of a quad's channels.
uvec4 sets_of(uint item)
{
    return SETS == 1u ? uvec4(0u) : (item % quads * 4u + uvec4(0u, 1u, 2u, 3u)) / width;
}

vec4 spread(vec4 of_sets, uvec4 s)
{
    return vec4(of_sets[s.x], of_sets[s.y], of_sets[s.z], of_sets[s.w]);
}

void add(inout vec4 to, vec4 v, uvec4 s)
{
    if (SETS == 1u) to.x += dot(v, vec4(1.0));
    else
        [[unroll]] for (uint i = 0u; i < SETS; i++)
            to[i] += dot(mix(vec4(0.0), v, equal(s, uvec4(i))), vec4(1.0));
}

#define EACH(i, item) \
    for (uint i = 0u, item = gl_LocalInvocationID.x; KEEPS ? i < ROOM : item < items; i++, item += THREADS) \
        if (item < items)

void main()
{
    uint blocks = p.groups / SETS;
    if (GROUP >= groups) return;
    image = GROUP / blocks;
    width = (p.c1 + p.c2) / p.groups;
    quads = SETS * width / 4u;
    first_quad = GROUP % blocks * quads;
    items = p.pixels * quads;
    float count = float(p.pixels) * float(width);

    vec4 sum = vec4(0.0), squares = vec4(0.0);
    EACH(i, item) {
        vec4 v = read_quad(item);
        if (KEEPS) kept[i] = to_halves(v);
        add(sum, v, sets_of(item));
    }
    vec4 mean = workgroup_sums(sum) / count;
    EACH(i, item) {
        uvec4 s = sets_of(item);
        vec4 d = quad_of(i, item) - spread(mean, s);
        add(squares, d * d, s);
    }
    vec4 rstd = inversesqrt(workgroup_sums(squares) / count + p.eps);
    EACH(i, item) {
        uint c = first_quad + item % quads;
        uvec4 s = sets_of(item);
        vec4 v = (quad_of(i, item) - spread(mean, s)) * (spread(rstd, s) * LD4(gamma, c)) + LD4(beta, c);
        if (p.act == ACT_SILU) v = v / (1.0 + exp(-v));
        ST4(y, image * p.pixels + item / quads, p.y_stride / 4u, c, v);
    }
}
