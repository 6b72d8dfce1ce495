// Mean and sum of squared deviations of every group in one chunk of pixels, see group_norm.h.
//
// An invocation owns one group and every SLICES-th pixel of the chunk. It reads whole quads and leaves out the channels
// of neighbouring groups (320 channels in 32 groups are 2.5 quads each). Two sweeps; the slices' sums are added in
// between, so that the squares are taken from the chunk's own mean: no cancellation whatever the mean is.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256u;
layout(constant_id = 1) const uint SLICES = 8u;

#include "group_norm.h"

PARAMS(group_norm_params);
READS(0, x1);
READS(1, x2);
WRITES_FLOAT(2, parts);                // [images, chunks, groups, 2]

shared float slice_sums[THREADS];

const uint GROUPS = THREADS / SLICES;    // of one workgroup

// Sum over the slices of this invocation's group.
float slices_sum(float v)
{
    if (SLICES == 1u) return v;
    uint t = gl_LocalInvocationID.x;
    barrier();
    slice_sums[t] = v;
    barrier();
    float sum = 0.0;
    for (uint s = 0u; s < SLICES; s++) sum += slice_sums[t % GROUPS + s * GROUPS];
    return sum;
}

vec4 quad(uint pixel, uint c4)
{
    if (c4 < p.c1 / 4u) return LD4(x1, pixel * (p.x1_stride / 4u) + c4);
    return LD4(x2, pixel * (p.x2_stride / 4u) + c4 - p.c1 / 4u);
}

// Of the quad c, the channels of this group.
vec4 own(vec4 v, uint c, uint begin, uint end)
{
    uvec4 channel = c * 4u + uvec4(0, 1, 2, 3);
    return mix(vec4(0.0), mix(vec4(0.0), v, lessThan(channel, uvec4(end))), greaterThanEqual(channel, uvec4(begin)));
}

void main()
{
    uint blocks = (p.groups + GROUPS - 1u) / GROUPS, index = GROUP;
    if (index >= groups) return;
    uint image = index / blocks / p.chunks, chunk = index / blocks % p.chunks;
    uint group = index % blocks * GROUPS + gl_LocalInvocationID.x % GROUPS;
    uint width = (p.c1 + p.c2) / p.groups, begin = min(group, p.groups - 1u) * width, end = begin + width;
    uint first = chunk * GROUP_NORM_CHUNK, last = min(first + GROUP_NORM_CHUNK, p.pixels);
    uint slice = gl_LocalInvocationID.x / GROUPS, base = image * p.pixels;

    vec4 sum = vec4(0.0);
    for (uint c = begin / 4u; c * 4u < end; c++) {
        vec4 s = vec4(0.0);
        for (uint i = first + slice; i < last; i += SLICES) s += quad(base + i, c);
        sum += own(s, c, begin, end);
    }
    float mean = slices_sum(dot(sum, vec4(1.0))) / float((last - first) * width);

    vec4 squares = vec4(0.0);
    for (uint c = begin / 4u; c * 4u < end; c++) {
        vec4 s = vec4(0.0);
        for (uint i = first + slice; i < last; i += SLICES) {
            vec4 d = quad(base + i, c) - mean;
            s += d * d;
        }
        squares += own(s, c, begin, end);
    }
    float m2 = slices_sum(dot(squares, vec4(1.0)));

    if (slice == 0u && group < p.groups) {
        uint at = parts_at + ((image * p.chunks + chunk) * p.groups + group) * 2u;
        parts[at] = mean;
        parts[at + 1u] = m2;
    }
}
