/* attention on the processor (shaders/attention.h): flash attention with the tile of gemm, on its side.
 *
 * Queries are lanes: a group of TILE_COLUMNS of them is a panel [head_dim][lanes] that stays in the cache. Keys are taken
 * KEYS at a time; their rows times the panel are scores [keys][lanes], these become weights in place, and value
 * columns times the weights are added to sums [head_dim][lanes]. So nothing is transposed but queries and results, and the
 * softmax runs down columns without looking across lanes. It is online: a lane keeps its largest score so far, and the sum of
 * its weights and of its weighted values relative to that. Powers are of 2: log2(e) is part of the queries' scale.
 * An item is a few groups of one head. */
#include "device/cpu/kernels/attention_parts.h"
#include "device/cpu/kernels/tile.h"

enum {
    LANES = TILE_COLUMNS,
    KEYS = 128,
    MOST_FLOATS = 160 * 1024,      /* queries and sums of an item: their share of the cache */
    MOST_ROWS = 256,
    ITEMS_PER_THREAD = 4,
};

struct group {                     /* of queries, in a thread's memory */
    float *queries;                /* [head_dim][LANES], times scale log2(e); 0 in lanes beyond the last query */
    float *sums;                   /* [head_dim][LANES] */
    float *largest, *weight;       /* [LANES] */
};

/* 2^x for x <= 0 (and up to 127), relative error <= 2e-7; below -126 that of -126. NaN stays. */
VEC_INLINE vec exp2_below_0(vec x)
{
    const vec round = vec_all(12582912.0f);        /* 1.5 2^23: adding it leaves an integer in the low bits */
    vec shifted, f, power = vec_all(1.3215983e-3f);

    x = vec_max(vec_all(-126.0f), x);
    shifted = x + round;
    f = x - (shifted - round);
    power = power * f + vec_all(9.6741142e-3f);
    power = power * f + vec_all(5.5509776e-2f);
    power = power * f + vec_all(2.4022186e-1f);
    power = power * f + vec_all(6.9314671e-1f);
    power = power * f + vec_all(1.0f);
    return (vec)((ivec)power + ((ivec)shifted << 23));
}

/* to [head_dim][LANES] = queries, times scale log2(e); 0 in lanes beyond the last. */
static void turn_queries(const struct attention_params *p, float *to, const float *q, uint32_t queries)
{
    float scale = p->scale * 1.44269504f;
    uint32_t lane = 0;

    for (; lane + 4 <= queries; lane += 4)
        for (uint32_t c = 0; c < p->head_dim; c += 4)
            transpose4(q + (size_t)lane * p->q_stride + c, p->q_stride, to + c * LANES + lane, LANES);
    for (; lane < LANES; lane++)
        for (uint32_t c = 0; c < p->head_dim; c++) to[c * LANES + lane] = lane < queries ? q[(size_t)lane * p->q_stride + c] : 0;
    for (uint32_t i = 0; i < p->head_dim * LANES; i += VEC_WIDTH) vec_store(to + i, vec_load(to + i) * vec_all(scale));
}

/* Lane l may look at keys up to first_query + l: later ones of [key, key + keys) get a weight of 0. */
static void mask(float *scores, uint32_t first_query, uint32_t key, uint32_t keys)
{
    for (uint32_t j = 0; j < keys; j++)
        for (uint32_t lane = 0; lane < LANES && first_query + lane < key + j; lane++)
            scores[j * LANES + lane] = -INFINITY;
}

static void store_copy(const struct attention_params *p, const struct group *g, float *y, uint32_t queries)
{
    uint32_t lane = 0;

    for (; lane + 4 <= queries; lane += 4)
        for (uint32_t c = 0; c < p->head_dim; c += 4)
            transpose4(g->sums + c * LANES + lane, LANES, y + (size_t)lane * p->y_stride + c, p->y_stride);
    for (; lane < queries; lane++)
        for (uint32_t c = 0; c < p->head_dim; c++) y[(size_t)lane * p->y_stride + c] = g->sums[c * LANES + lane];
}

static void store_group(const struct attention_params *p, const struct group *g, float *y, uint32_t queries)
{
    for (uint32_t i = 0; i < LANES; i += VEC_WIDTH) {
        vec inverse = 1.0f / vec_load(g->weight + i);
        for (uint32_t c = 0; c < p->head_dim; c++)
            vec_store(g->sums + c * LANES + i, vec_load(g->sums + c * LANES + i) * inverse);
    }
    for (uint32_t copy = 0; copy < p->copies; copy++) store_copy(p, g, y + copy * copy_step(p), queries);
}

static size_t group_floats(uint32_t head_dim)
{
    return (size_t)LANES * (2 * head_dim + 2);
}

/* From one value to the next in a thread's copy: an odd number of cache lines, or they would crowd into few sets. */
static uint32_t value_stride(uint32_t head_dim)
{
    return parts(head_dim, 16) * 16 + (parts(head_dim, 16) % 2 ? 0 : 16);
}

/* A thread's memory: scores [KEYS][LANES], values [KEYS][value_stride], groups. */
static float *values_at(float *memory)
{
    return memory + KEYS * LANES;
}

static struct group group_at(float *memory, uint32_t head_dim, uint32_t index)
{
    float *at = values_at(memory) + KEYS * value_stride(head_dim) + index * group_floats(head_dim);
    float *after = at + (size_t)LANES * 2 * head_dim;
    return (struct group) { at, at + (size_t)LANES * head_dim, after, after + LANES };
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    const struct attention_params *p = a->params;
    uint32_t heads = p->images * p->heads, wanted = parts(a->threads * ITEMS_PER_THREAD, heads);
    uint32_t groups = MOST_FLOATS / group_floats(p->head_dim);

    groups = least(groups ? groups : 1, MOST_ROWS / LANES);
    while (groups > 1 && parts(p->q_rows, groups * LANES) < wanted) groups--;
    return (struct cpu_plan) {
        .items = heads * parts(p->q_rows, groups * LANES), .rows = groups * LANES, .panels = 1,
        .memory = (KEYS * (LANES + value_stride(p->head_dim)) + groups * group_floats(p->head_dim)) * sizeof(float),
    };
}

static void load_group(const struct attention_params *p, struct group *g, const float *q, uint32_t queries)
{
    turn_queries(p, g->queries, q, queries);
    for (uint32_t i = 0; i < p->head_dim * LANES; i += VEC_WIDTH) vec_store(g->sums + i, (vec) { 0 });
    for (uint32_t lane = 0; lane < LANES; lane++) {
        g->largest[lane] = -INFINITY;
        g->weight[lane] = 0;
    }
}

/* Scores to weights relative to each lane's largest score so far; earlier sums are scaled to it. */
VEC_INLINE void soften_fixed(const struct group *g, float *scores, uint32_t keys, uint32_t head_dim, const int vecs)
{
    vec largest[TILE_VECS], shrink[TILE_VECS], sum[TILE_VECS] = { 0 };

    if (vecs > TILE_VECS) return;
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) largest[v] = vec_load(g->largest + v * VEC_WIDTH);
    for (uint32_t j = 0; j < keys; j++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) largest[v] = vec_max(vec_load(scores + j * LANES + v * VEC_WIDTH), largest[v]);
    for (uint32_t j = 0; j < keys; j++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *at = scores + j * LANES + v * VEC_WIDTH;
            vec weight = exp2_below_0(vec_load(at) - largest[v]);
            vec_store(at, weight);
            sum[v] += weight;
        }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        float *weight = g->weight + v * VEC_WIDTH;
        shrink[v] = exp2_below_0(vec_load(g->largest + v * VEC_WIDTH) - largest[v]);
        vec_store(g->largest + v * VEC_WIDTH, largest[v]);
        vec_store(weight, vec_load(weight) * shrink[v] + sum[v]);
    }
    for (uint32_t c = 0; c < head_dim; c++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *at = g->sums + c * LANES + v * VEC_WIDTH;
            vec_store(at, vec_load(at) * shrink[v]);
        }
}

static void soften(const struct group *g, float *scores, uint32_t keys, uint32_t head_dim, uint32_t vecs)
{
    switch (vecs) {
    case 1: soften_fixed(g, scores, keys, head_dim, 1); break;
    case 2: soften_fixed(g, scores, keys, head_dim, 2); break;
    case 3: soften_fixed(g, scores, keys, head_dim, 3); break;
    case 4: soften_fixed(g, scores, keys, head_dim, 4); break;
    }
}

/* scores [keys][LANES] = k queries */
static void score(const struct attention_params *p, const struct group *g, const float *k, uint32_t keys, uint32_t vecs,
                  float *scores)
{
    for (uint32_t j = 0; j < keys; j += TILE_ROWS) {
        struct tile_run run = { .length = p->head_dim };
        uint32_t rows = least(keys - j, TILE_ROWS);
        for (uint32_t r = 0; r < rows; r++) run.a[r] = k + (size_t)(j + r) * p->k_stride;
        CPU_NAME(tile)(&run, 1, g->queries, scores + j * LANES, LANES, false, rows, vecs);
    }
}

/* Values whose rows begin in only a few of the first cache's sets push one another out: those are copied. */
static bool crowded(const struct attention_params *p)
{
    return p->v_stride % 256 == 0;
}

static void copy_values(const struct attention_params *p, const float *v, uint32_t keys, float *values)
{
    for (uint32_t j = 0; j < keys; j++)
        for (uint32_t c = 0; c < p->head_dim; c += 4)
            *(vec4_unaligned *)(values + j * value_stride(p->head_dim) + c) =
                *(const vec4_unaligned *)(v + (size_t)j * p->v_stride + c);
}

/* sums [head_dim][LANES] += v^T weights */
static void add_values(const struct attention_params *p, const struct group *g, const float *v, uint32_t stride,
                       uint32_t keys, uint32_t vecs, const float *weights)
{
    for (uint32_t c = 0; c < p->head_dim; c += TILE_ROWS)
        CPU_NAME(tile_across)(v + c, stride, keys, weights, g->sums + c * LANES, LANES, true,
                              least(p->head_dim - c, TILE_ROWS), vecs);
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct attention_params *p = a->params;
    struct head h = head_of(a, plan, item);
    uint32_t end = p->causal ? least(p->k_rows, h.first + h.rows) : p->k_rows;
    float *scores = memory, *values = values_at(memory);

    for (uint32_t row = 0; row < h.rows; row += LANES) {
        struct group g = group_at(memory, p->head_dim, row / LANES);
        load_group(p, &g, (const float *)h.q + (size_t)row * p->q_stride, least(h.rows - row, LANES));
    }
    for (uint32_t key = 0; key < end; key += KEYS) {
        uint32_t keys = least(p->k_rows - key, KEYS);
        const float *k = (const float *)h.k + (size_t)key * p->k_stride, *v = (const float *)h.v + (size_t)key * p->v_stride;
        if (crowded(p)) copy_values(p, v, keys, values);
        for (uint32_t row = 0; row < h.rows; row += LANES) {
            struct group g = group_at(memory, p->head_dim, row / LANES);
            uint32_t vecs = parts(least(h.rows - row, LANES), VEC_WIDTH);
            if (p->causal && key > h.first + row + LANES - 1) continue;
            score(p, &g, k, keys, vecs, scores);
            if (p->causal) mask(scores, h.first + row, key, keys);
            soften(&g, scores, keys, p->head_dim, vecs);
            if (crowded(p))
                add_values(p, &g, values, value_stride(p->head_dim), keys, vecs, scores);
            else
                add_values(p, &g, v, p->v_stride, keys, vecs, scores);
        }
    }
    for (uint32_t row = 0; row < h.rows; row += LANES) {
        struct group g = group_at(memory, p->head_dim, row / LANES);
        store_group(p, &g, (float *)h.y + (size_t)row * p->y_stride, least(h.rows - row, LANES));
    }
}

const struct cpu_kernel CPU_NAME(attention) = { "attention", "f32", false, plan, run_item };
