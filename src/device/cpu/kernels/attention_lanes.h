/* attention with queries as lanes, what its kernels in fp32 and in bf16 share (attention.c, attention_bf16.c).
 *
 * A group of LANES queries is a panel [head_dim][lanes] that stays in the cache. Keys are taken KEYS at a time; their
 * rows times the panel are scores [keys][lanes], these become weights, and value columns times the weights are added to sums
 * [head_dim][lanes]. So nothing is transposed but queries and results, and the softmax runs down columns without looking across
 * lanes. It is online: a lane keeps the sum of its weights and of its weighted values relative to a base. Powers are of 2:
 * log2(e) is part of the queries' scale. An item is a few groups of one head. */
#ifndef TINCT_CPU_ATTENTION_LANES_H
#define TINCT_CPU_ATTENTION_LANES_H

#include "device/cpu/kernels/attention_parts.h"
#include "device/cpu/kernels/tile.h"

enum { LANES = TILES_COLUMNS, KEYS = VEC_REGISTERS == 32 ? 128 : 96 /* whole tiles, and scores of 12 KB */ };

struct group {                     /* of queries, in a thread's memory */
    float *queries;                /* [head_dim][LANES], times scale log2(e); 0 in lanes beyond the last query */
    float *sums;                   /* [head_dim][LANES]; the first block sets them */
    float *base, *weight;          /* [LANES] */
    uint32_t first;                /* of its queries in the image */
    uint32_t vecs;                 /* of lanes that have one */
};

struct block {                     /* of keys */
    const float *k, *v;            /* rows of its first key */
    uint32_t key, keys;            /* the first, how many */
};

struct lanes_core {
    size_t (*floats)(uint32_t head_dim);           /* of memory that groups share, a multiple of 16: scores [KEYS][LANES] first */
    void (*turned)(const struct attention_params *p, struct group *g);     /* after queries are set */
    void (*begin)(const struct attention_params *p, const struct block *b, float *memory);
    void (*take)(const struct attention_params *p, const struct block *b, const struct group *g, float *memory);
};

struct cpu_plan CPU_NAME(attention_lanes_plan)(const struct cpu_args *a, const struct lanes_core *core);

void CPU_NAME(attention_lanes_run)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, float *memory,
                                   const struct lanes_core *core);

/* Scores of keys that come after a lane's query become -inf. */
static inline void mask_scores(float *scores, const struct group *g, const struct block *b)
{
    for (uint32_t j = 0; j < b->keys; j++)
        for (uint32_t lane = 0; lane < LANES && g->first + lane < b->key + j; lane++) scores[j * LANES + lane] = -INFINITY;
}

#endif
