/* attention on the processor (shaders/attention.h): flash attention with the tile of gemm, on its side.
 *
 * Queries are lanes: a group of TILE_COLUMNS of them is a panel [head_dim][lanes] that stays in the cache. Keys are taken
 * KEYS at a time; their rows times the panel are scores [keys][lanes], these become weights in place, and value
 * columns times the weights are added to sums [head_dim][lanes]. So neither keys nor values are ever repacked, and the softmax runs
 * down columns without looking across lanes. It is online: a lane keeps its largest score so far, and the sum of
 * its weights and of its weighted values relative to that. Powers are of 2: log2(e) is part of the queries' scale.
 * An item is a few groups of one head. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/tile.h"

#include <math.h>

#include "attention.h"

enum {
    LANES = TILE_COLUMNS,
    KEYS = 128,
    MOST_FLOATS = 64 * 1024,       /* queries and sums of an item: its share of the cache */
    MOST_ROWS = 256,
    ITEMS_PER_THREAD = 4,
};

struct group {                     /* of queries, in a thread's memory */
    float *queries;                /* [head_dim][LANES], times scale log2(e); 0 in lanes beyond the last query */
    float *sums;                   /* [head_dim][LANES] */
    float *largest, *weight;       /* [LANES] */
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t parts(uint32_t whole, uint32_t part)
{
    return (whole + part - 1) / part;
}

static size_t group_floats(uint32_t head_dim)
{
    return (size_t)LANES * (2 * head_dim + 2);
}

static struct group group_at(float *memory, uint32_t head_dim, uint32_t index)
{
    float *at = memory + KEYS * LANES + index * group_floats(head_dim), *after = at + (size_t)LANES * 2 * head_dim;
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
        .items = heads * parts(p->q_rows, groups * LANES), .rows = groups * LANES,
        .memory = (KEYS * LANES + groups * group_floats(p->head_dim)) * sizeof(float),
    };
}

/* 2^x for x <= 0, relative error <= 2e-7; below -126 that of -126. */
VEC_INLINE vec exp2_below_0(vec x)
{
    const vec round = vec_all(12582912.0f);        /* 1.5 2^23: adding it leaves an integer in the low bits */
    vec shifted, f, power;

    x = vec_max(vec_all(-126.0f), x);              /* NaN stays */
    shifted = x + round;
    f = x - (shifted - round);
    power = vec_all(1.3215983e-3f);
    power = power * f + vec_all(9.6741142e-3f);
    power = power * f + vec_all(5.5509776e-2f);
    power = power * f + vec_all(2.4022186e-1f);
    power = power * f + vec_all(6.9314671e-1f);
    power = power * f + vec_all(1.0f);
    return (vec)((ivec)power + ((ivec)shifted << 23));
}

static void load_group(const struct attention_params *p, struct group *g, const float *q, uint32_t queries)
{
    float scale = p->scale * 1.44269504f;
    uint32_t lane = 0;

    for (; lane + 4 <= queries; lane += 4)
        for (uint32_t c = 0; c < p->head_dim; c += 4)
            transpose4(q + (size_t)lane * p->q_stride + c, p->q_stride, g->queries + c * LANES + lane, LANES);
    for (; lane < LANES; lane++)
        for (uint32_t c = 0; c < p->head_dim; c++)
            g->queries[c * LANES + lane] = lane < queries ? q[(size_t)lane * p->q_stride + c] : 0;
    for (uint32_t i = 0; i < p->head_dim * LANES; i++) g->queries[i] *= scale;
    for (uint32_t i = 0; i < p->head_dim * LANES; i++) g->sums[i] = 0;
    for (lane = 0; lane < LANES; lane++) {
        g->largest[lane] = -INFINITY;
        g->weight[lane] = 0;
    }
}

/* Lane l may look at keys up to first_query + l: later ones of [key, key + keys) get a weight of 0. */
static void mask(float *scores, uint32_t first_query, uint32_t key, uint32_t keys)
{
    for (uint32_t j = 0; j < keys; j++)
        for (uint32_t lane = 0; lane < LANES && first_query + lane < key + j; lane++)
            scores[j * LANES + lane] = -INFINITY;
}

/* A column of scores to weights relative to the largest score so far; gives what earlier sums are to be scaled by. */
VEC_INLINE vec soften(struct group *g, float *scores, uint32_t keys)
{
    vec before = vec_load(g->largest), largest = before, sum = { 0 };

    for (uint32_t j = 0; j < keys; j++) largest = vec_max(vec_load(scores + j * LANES), largest);
    for (uint32_t j = 0; j < keys; j++) {
        vec weight = exp2_below_0(vec_load(scores + j * LANES) - largest);
        vec_store(scores + j * LANES, weight);
        sum += weight;
    }
    vec shrink = exp2_below_0(before - largest);
    vec_store(g->largest, largest);
    vec_store(g->weight, vec_load(g->weight) * shrink + sum);
    return shrink;
}

static void soften_all(const struct attention_params *p, const struct group *g, float *scores, uint32_t keys,
                       uint32_t vecs)
{
    for (uint32_t v = 0; v < vecs; v++) {
        uint32_t lane = v * VEC_WIDTH;
        struct group column = { .largest = g->largest + lane, .weight = g->weight + lane };
        vec shrink = soften(&column, scores + lane, keys);
        for (uint32_t c = 0; c < p->head_dim; c++) {
            float *at = g->sums + c * LANES + lane;
            vec_store(at, vec_load(at) * shrink);
        }
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

/* sums [head_dim][LANES] += v^T weights */
static void add_values(const struct attention_params *p, const struct group *g, const float *v, uint32_t keys,
                       uint32_t vecs, const float *weights)
{
    for (uint32_t c = 0; c < p->head_dim; c += TILE_ROWS)
        CPU_NAME(tile_across)(v + c, p->v_stride, keys, weights, g->sums + c * LANES, LANES, true,
                              least(p->head_dim - c, TILE_ROWS), vecs);
}

static void store_group(const struct attention_params *p, struct group *g, float *y, uint32_t queries)
{
    uint32_t lane = 0;

    for (uint32_t i = 0; i < LANES; i++) g->weight[i] = 1.0f / g->weight[i];
    for (uint32_t c = 0; c < p->head_dim; c++)
        for (uint32_t i = 0; i < LANES; i++) g->sums[c * LANES + i] *= g->weight[i];
    for (; lane + 4 <= queries; lane += 4)
        for (uint32_t c = 0; c < p->head_dim; c += 4)
            transpose4(g->sums + c * LANES + lane, LANES, y + (size_t)lane * p->y_stride + c, p->y_stride);
    for (; lane < queries; lane++)
        for (uint32_t c = 0; c < p->head_dim; c++) y[(size_t)lane * p->y_stride + c] = g->sums[c * LANES + lane];
}

struct head {                      /* one item's operands */
    const float *q, *k, *v;        /* from the item's first query, the image's first key on; the head's columns */
    float *y;
    uint32_t first, rows;          /* queries of the image */
};

static struct head head_of(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item)
{
    const struct attention_params *p = a->params;
    uint32_t blocks = parts(p->q_rows, plan->rows), head = item / blocks, image = head / p->heads;
    uint32_t first = item % blocks * plan->rows;
    size_t column = (size_t)(head % p->heads) * p->head_dim, row = (size_t)image * p->q_rows + first;

    return (struct head) {
        .q = (const float *)a->reads[0] + row * p->q_stride + column,
        .k = (const float *)a->reads[1] + (size_t)image * p->k_rows * p->k_stride + column,
        .v = (const float *)a->reads[2] + (size_t)image * p->k_rows * p->v_stride + column,
        .y = (float *)a->writes[0] + row * p->y_stride + column,
        .first = first, .rows = least(plan->rows, p->q_rows - first),
    };
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct attention_params *p = a->params;
    struct head h = head_of(a, plan, item);
    uint32_t end = p->causal ? least(p->k_rows, h.first + h.rows) : p->k_rows;
    float *scores = memory;

    for (uint32_t row = 0; row < h.rows; row += LANES) {
        struct group g = group_at(memory, p->head_dim, row / LANES);
        load_group(p, &g, h.q + (size_t)row * p->q_stride, least(h.rows - row, LANES));
    }
    for (uint32_t key = 0; key < end; key += KEYS)
        for (uint32_t row = 0; row < h.rows; row += LANES) {
            struct group g = group_at(memory, p->head_dim, row / LANES);
            uint32_t keys = least(p->k_rows - key, KEYS), vecs = parts(least(h.rows - row, LANES), VEC_WIDTH);
            if (p->causal && key > h.first + row + LANES - 1) continue;
            score(p, &g, h.k + (size_t)key * p->k_stride, keys, vecs, scores);
            if (p->causal) mask(scores, h.first + row, key, keys);
            soften_all(p, &g, scores, keys, vecs);
            add_values(p, &g, h.v + (size_t)key * p->v_stride, keys, vecs, scores);
        }
    for (uint32_t row = 0; row < h.rows; row += LANES) {
        struct group g = group_at(memory, p->head_dim, row / LANES);
        store_group(p, &g, h.y + (size_t)row * p->y_stride, least(h.rows - row, LANES));
    }
}

const struct cpu_kernel CPU_NAME(attention) = { "attention", "f32", false, plan, run_item };
