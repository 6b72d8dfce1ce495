/* What both kernels of attention share: queries as lanes, and the online softmax's parts (attention.c). */
#ifndef TINCT_CPU_ATTENTION_PARTS_H
#define TINCT_CPU_ATTENTION_PARTS_H

#include "device/cpu/kernels.h"
#include "device/cpu/kernels/stored.h"
#include "device/cpu/kernels/tile.h"

#include <math.h>

#include "attention.h"

enum {
    LANES = TILE_COLUMNS,
    KEYS = 128,
    MOST_DIM = 512,                /* of a head */
    MOST_KEPT = 128 * 1024,        /* keys and values of all heads that stay in the cache from item to item */
};

struct group {                     /* of queries, in a thread's memory */
    float *queries;                /* [head_dim][LANES], times scale log2(e); 0 in lanes beyond the last query */
    float *sums;                   /* [head_dim][LANES] */
    float *largest, *weight;       /* [LANES] */
};

/* x >= -126, or what stands for it, to a whole number in the low bits and a fraction f in -0.5..0.5; NaN stays. */
VEC_INLINE vec split_power(vec x, vec *f)
{
    const vec round = vec_all(12582912.0f);        /* 1.5 2^23: adding it leaves an integer in the low bits */
    vec shifted;

    x = vec_max(vec_all(-126.0f), x);
    shifted = x + round;
    *f = x - (shifted - round);
    return shifted;
}

VEC_INLINE vec scale_power(vec power, vec shifted)
{
    return (vec)((ivec)power + ((ivec)shifted << 23));
}

/* 2^x for x <= 0 (and up to 127), relative error <= 2e-7; below -126 that of -126. */
VEC_INLINE vec exp2_below_0(vec x)
{
    vec f, shifted = split_power(x, &f), power = vec_all(1.3215983e-3f);

    power = power * f + vec_all(9.6741142e-3f);
    power = power * f + vec_all(5.5509776e-2f);
    power = power * f + vec_all(2.4022186e-1f);
    power = power * f + vec_all(6.9314671e-1f);
    power = power * f + vec_all(1.0f);
    return scale_power(power, shifted);
}

/* The same with a relative error <= 8e-5, for weights that are rounded to bf16. */
VEC_INLINE vec rough_exp2_below_0(vec x)
{
    vec f, shifted = split_power(x, &f), power = vec_all(5.517155e-2f);

    power = power * f + vec_all(2.4261136e-1f);
    power = power * f + vec_all(6.9326102e-1f);
    power = power * f + vec_all(9.9992806e-1f);
    return scale_power(power, shifted);
}

/* to [head_dim][LANES] = queries, times scale log2(e); 0 in lanes beyond the last. */
static inline void turn_queries(const struct attention_params *p, float *to, const void *q, bool f16, uint32_t queries)
{
    float scale = p->scale * 1.44269504f, rows[4][MOST_DIM];
    uint32_t lane = 0;

    for (; lane + 4 <= queries; lane += 4) {
        const float *from = q;
        size_t stride = p->q_stride;
        if (f16) {
            for (uint32_t i = 0; i < 4; i++) widen_row(rows[i], (const uint16_t *)q + (lane + i) * stride, p->head_dim);
            from = rows[0];
            stride = MOST_DIM;
        } else
            from += lane * stride;
        for (uint32_t c = 0; c < p->head_dim; c += 4) transpose4(from + c, stride, to + c * LANES + lane, LANES);
    }
    for (; lane < LANES; lane++) {
        const float *from = rows[0];
        if (lane < queries) from = row_read(stored_at(q, (size_t)lane * p->q_stride, f16), f16, p->head_dim, rows[0]);
        for (uint32_t c = 0; c < p->head_dim; c++) to[c * LANES + lane] = lane < queries ? from[c] : 0;
    }
    for (uint32_t i = 0; i < p->head_dim * LANES; i += VEC_WIDTH) vec_store(to + i, vec_load(to + i) * vec_all(scale));
}

/* Lane l may look at keys up to first_query + l: later ones of [key, key + keys) get a weight of 0. */
static inline void mask(float *scores, uint32_t first_query, uint32_t key, uint32_t keys)
{
    for (uint32_t j = 0; j < keys; j++)
        for (uint32_t lane = 0; lane < LANES && first_query + lane < key + j; lane++)
            scores[j * LANES + lane] = -INFINITY;
}

static inline void store_group(const struct attention_params *p, struct group *g, void *y, bool f16, uint32_t queries)
{
    float rows[4][MOST_DIM];
    uint32_t lane = 0;

    for (uint32_t i = 0; i < LANES; i += VEC_WIDTH) {
        vec inverse = 1.0f / vec_load(g->weight + i);
        for (uint32_t c = 0; c < p->head_dim; c++)
            vec_store(g->sums + c * LANES + i, vec_load(g->sums + c * LANES + i) * inverse);
    }
    for (; lane + 4 <= queries; lane += 4) {
        float *to = f16 ? rows[0] : (float *)y + (size_t)lane * p->y_stride;
        size_t stride = f16 ? MOST_DIM : p->y_stride;
        for (uint32_t c = 0; c < p->head_dim; c += 4) transpose4(g->sums + c * LANES + lane, LANES, to + c, stride);
        for (uint32_t i = 0; f16 && i < 4; i++)
            narrow_row((uint16_t *)y + (size_t)(lane + i) * p->y_stride, rows[i], p->head_dim);
    }
    for (; lane < queries; lane++) {
        void *row = stored_place(y, (size_t)lane * p->y_stride, f16);
        float *to = row_to_write(row, f16, rows[0]);
        for (uint32_t c = 0; c < p->head_dim; c++) to[c] = g->sums[c * LANES + lane];
        row_written(row, f16, p->head_dim, rows[0]);
    }
}

struct head {                      /* one item's operands */
    const void *q, *k, *v;         /* from the item's first query, the image's first key on; the head's columns */
    void *y;
    uint32_t first, rows;          /* queries of the image */
};

/* Items in the order that keeps what they share in the cache: one head's keys, or some queries' rows. */
static inline struct head head_of(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item)
{
    const struct attention_params *p = a->params;
    uint32_t blocks = parts(p->q_rows, plan->rows), of_image = item % (blocks * p->heads);
    bool kept = (size_t)p->k_rows * (p->k_stride + p->v_stride) <= MOST_KEPT;
    uint32_t head = kept ? of_image % p->heads : of_image / blocks, image = item / (blocks * p->heads);
    uint32_t first = (kept ? of_image / p->heads : of_image % blocks) * plan->rows;
    size_t column = (size_t)head * p->head_dim, row = (size_t)image * p->q_rows + first;

    return (struct head) {
        .q = stored_at(a->reads[0], row * p->q_stride + column, a->f16),
        .k = stored_at(a->reads[1], (size_t)image * p->k_rows * p->k_stride + column, a->f16),
        .v = stored_at(a->reads[2], (size_t)image * p->k_rows * p->v_stride + column, a->f16),
        .y = stored_place(a->writes[0], row * p->y_stride + column, a->f16),
        .first = first, .rows = least(plan->rows, p->q_rows - first),
    };
}

#endif
