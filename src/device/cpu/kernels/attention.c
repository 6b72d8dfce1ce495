/* attention on the processor (shaders/attention.h): flash attention with the tile of gemm, on its side (attention_lanes.h).
 *
 * Scores become weights in place. A lane's base is its largest score so far. */
#include "device/cpu/kernels/attention_lanes.h"
#include "device/cpu/kernels/power.h"

/* From one value to the next in a thread's copy: an odd number of cache lines, or they would crowd into few sets. */
static uint32_t value_stride(uint32_t head_dim)
{
    return parts(head_dim, 16) * 16 + (parts(head_dim, 16) % 2 ? 0 : 16);
}

/* Scores [KEYS][LANES], values [KEYS][value_stride]. */
static size_t floats(uint32_t head_dim)
{
    return (size_t)KEYS * (LANES + value_stride(head_dim));
}

static float *values_at(float *memory)
{
    return memory + KEYS * LANES;
}

/* Scores to weights relative to each lane's largest score so far; earlier sums are scaled to it. */
VEC_INLINE void soften_fixed(const struct block *b, const struct group *g, float *scores, uint32_t head_dim, const int vecs)
{
    vec largest[TILES_VECS], shrink[TILES_VECS], sum[TILES_VECS] = { 0 };

    if (vecs > TILES_VECS) return;
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) largest[v] = vec_load(g->base + v * VEC_WIDTH);
    for (uint32_t j = 0; j < b->keys; j++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) largest[v] = vec_max(vec_load(scores + j * LANES + v * VEC_WIDTH), largest[v]);
    for (uint32_t j = 0; j < b->keys; j++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *at = scores + j * LANES + v * VEC_WIDTH;
            vec weight = power_of_2(vec_load(at) - largest[v], false);
            vec_store(at, weight);
            sum[v] += weight;
        }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        float *weight = g->weight + v * VEC_WIDTH;
        shrink[v] = power_of_2(vec_load(g->base + v * VEC_WIDTH) - largest[v], false);
        vec_store(g->base + v * VEC_WIDTH, largest[v]);
        vec_store(weight, vec_load(weight) * shrink[v] + sum[v]);
    }
    for (uint32_t c = 0; c < head_dim && b->key > 0; c++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *at = g->sums + c * LANES + v * VEC_WIDTH;
            vec_store(at, vec_load(at) * shrink[v]);
        }
}

static void soften(const struct block *b, const struct group *g, float *scores, uint32_t head_dim)
{
    switch (g->vecs) {
    case 1: soften_fixed(b, g, scores, head_dim, 1); break;
    case 2: soften_fixed(b, g, scores, head_dim, 2); break;
    case 3: soften_fixed(b, g, scores, head_dim, 3); break;
    case 4: soften_fixed(b, g, scores, head_dim, 4); break;
    }
}

/* scores [keys][LANES] = k queries */
static void score(const struct attention_params *p, const struct block *b, const struct group *g, float *scores)
{
    struct tile_rows keys = { .a = b->k, .stride = p->k_stride, .count = b->keys, .length = p->head_dim };

    CPU_NAME(tiles)(&keys, g->queries, scores, LANES, g->vecs);
}

/* Values whose rows begin in only a few of the first cache's sets push one another out: those are copied. */
static bool crowded(const struct attention_params *p)
{
    return p->v_stride % 256 == 0;
}

static void copy_values(const struct attention_params *p, const struct block *b, float *memory)
{
    if (!crowded(p)) return;
    for (uint32_t j = 0; j < b->keys; j++)
        for (uint32_t c = 0; c < p->head_dim; c += 4)
            *(vec4_unaligned *)(values_at(memory) + j * value_stride(p->head_dim) + c) =
                *(const vec4_unaligned *)(b->v + (size_t)j * p->v_stride + c);
}

/* sums [head_dim][LANES] += v^T weights */
static void add_values(const struct attention_params *p, const struct block *b, const struct group *g, float *memory)
{
    struct tile_rows values = { .a = crowded(p) ? values_at(memory) : b->v,
                                .stride = crowded(p) ? value_stride(p->head_dim) : p->v_stride,
                                .count = p->head_dim, .length = b->keys };

    CPU_NAME(tiles_across)(&values, memory, g->sums, LANES, b->key > 0, g->vecs);
}

static void take(const struct attention_params *p, const struct block *b, const struct group *g, float *memory)
{
    score(p, b, g, memory);
    if (p->causal) mask_scores(memory, g, b);
    soften(b, g, memory, p->head_dim);
    add_values(p, b, g, memory);
}

static const struct lanes_core core = { .floats = floats, .begin = copy_values, .take = take };

static struct cpu_plan plan(const struct cpu_args *a)
{
    return CPU_NAME(attention_lanes_plan)(a, &core);
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    CPU_NAME(attention_lanes_run)(a, plan, item, memory, &core);
}

const struct cpu_kernel CPU_NAME(attention) = { "attention", "f32", false, plan, run_item };
