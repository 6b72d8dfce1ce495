/* Softmax of attention on tiles: a group's scores of a block of keys become weights, in their place, a pair of vectors at a
 * time, so that tiles multiply meanwhile.
 *
 * While tiles multiply, of two vectors' multiply-adds a cycle one is left (and additions as before), and what comes more than a few
 * hundred instructions behind a product waits for it: one pair after each product runs beside it, the same pairs after a dozen of
 * products do not. */
#ifndef TINCT_CPU_ATTENTION_AMX_SOFTMAX_H
#define TINCT_CPU_ATTENTION_AMX_SOFTMAX_H

#include "device/cpu/kernels/attention_amx.h"
#include "device/cpu/kernels/power.h"

#if VEC_AMX

enum { SLACK = 32 };                   /* a query's base is 2^SLACK beyond its largest score when it was set */

/* ---- pieces: a group and a block of keys ------------------------------------------ */

struct chunk {                         /* of keys and values, converted */
    uint32_t key, keys;                /* the first one, how many */
    uint32_t from, end;                /* groups that look at them */
    uint32_t first_query;              /* of the image, of group 0 */
    bool causal;
};

struct piece {
    struct rows group;
    const uint16_t *keys, *values;     /* like block's */
    uint32_t number, block;            /* of the group, of the block in its chunk */
    uint32_t key, count;               /* the first one in the image, how many */
    uint32_t steps;                    /* of keys */
    bool first;                        /* of its group: there is no base yet */
};

VEC_INLINE struct piece piece_at(struct memory *m, const struct chunk *c, uint32_t group, uint32_t block, const bool exact)
{
    struct rows g = rows_at(m, group);
    uint32_t at = block * BLOCK, count = least(c->keys - at, BLOCK);
    size_t strip = at / STRIP;

    return (struct piece) {
        .group = g, .keys = g.block.keys + strip * m->steps * 2 * TILE,
        .values = g.block.values + strip * m->columns * (exact ? 2 : 1) * TILE, .number = group, .block = block,
        .key = c->key + at, .count = count, .steps = parts(count, STEP), .first = c->key + at == 0,
    };
}

/* Blocks that a group looks at. */
static uint32_t blocks_of(const struct chunk *c, uint32_t group)
{
    uint32_t keys = c->causal ? least(c->keys, c->first_query + (group + 1) * STRIP - c->key) : c->keys;

    return parts(keys, BLOCK);
}

/* Groups one after another, so that a group's queries and sums stay in the first cache while keys and values pass by. */
VEC_INLINE bool advance(struct memory *m, const struct chunk *c, const struct piece *piece, struct piece *next, const bool exact)
{
    uint32_t group = piece->number, block = piece->block + 1;

    if (block >= blocks_of(c, group)) group++, block = 0;
    if (group >= c->end) return false;
    *next = piece_at(m, c, group, block, exact);
    return true;
}

/* ---- weights ----------------------------------------------------------------------- */

struct softening {                     /* of a piece, a pair at a time: a query's scores of 32 keys */
    const struct piece *piece;
    float *scores;                     /* [key step][2 halves of queries][2] tiles: of keys; then of weights' high and low numbers */
    float (*sums)[16];
    uint32_t pair, pairs;              /* the next one: of key step pair / STRIP, query pair % STRIP; how many */
    uint32_t product, products;        /* since the last ones; after how many the next ones come */
    uint32_t at_once;
};

VEC_INLINE struct softening softening_of(struct memory *m, const struct piece *piece, float *scores, const bool exact)
{
    uint32_t products = 4 * (exact ? m->steps / 2 * 3 + m->steps % 2 : m->steps) + 2 * m->columns * (exact ? 3 : 1);

    return (struct softening) { .piece = piece, .scores = scores, .sums = m->sums, .pairs = piece->steps * STRIP,
                                .products = products > STRIP ? products / STRIP : 1, .at_once = parts(STRIP, products) };
}

/* Scores to weights. Pairs of bf16 are of keys i and i + 16. */
VEC_INLINE void soften_pair(struct softening *w, const bool exact)
{
    uint32_t pair = w->pair++, row = pair % STRIP;
    float *x = w->scores + (size_t)(pair + (pair & ~15u)) * 16, *sums = w->sums[row];
    __m512 base = _mm512_set1_ps(w->piece->group.base[row]);
    __m512 a = power_of_2(_mm512_load_ps(x) - base, !exact), b = power_of_2(_mm512_load_ps(x + SUMS) - base, !exact);

    if (pair < STRIP) _mm512_store_ps(sums, a + b);
    else _mm512_store_ps(sums, _mm512_load_ps(sums) + (a + b));
    if (exact) {
        __m512i high, low;
        pair_16(&high, &low, a, b);
        _mm512_store_si512(x, high);
        _mm512_store_si512(x + SUMS, low);
    } else
        pair_cut((uint16_t *)(void *)x, a, b);
}

/* After each product of tiles: the next pairs. */
VEC_INLINE void soften_on(struct softening *w, const bool exact)
{
    if (!w || ++w->product < w->products) return;
    w->product = 0;
    if (exact) {
        if (w->pair < w->pairs) soften_pair(w, exact);
    } else
        for (uint32_t end = least(w->pair + w->at_once, w->pairs); w->pair < end;) soften_pair(w, exact);
}

/* The pairs that are left. Gives whether weights summed up to 2 or more, or to no number: bases were too low. */
VEC_INLINE bool soften_rest(struct softening *w, const bool exact)
{
    __m512i seen = _mm512_setzero_si512();

    while (w->pair < w->pairs) soften_pair(w, exact);
    for (uint32_t row = 0; row < STRIP; row++) seen = _mm512_or_si512(seen, _mm512_load_si512(w->sums[row]));
    return _mm512_test_epi32_mask(seen, _mm512_set1_epi32(0x40000000));
}

/* A row's scores of a key step: two vectors, SUMS apart. */
VEC_INLINE float *scores_at(float *scores, uint32_t step, uint32_t row)
{
    return scores + step * 4 * SUMS + row / 16 * 2 * SUMS + row % 16 * 16;
}

/* A group's first bases: of its scores of the first 32 keys. */
VEC_INLINE void set_bases(const struct piece *piece, float *scores)
{
    for (uint32_t half = 0; half < STRIP; half += 16) {
        const float *x = scores_at(scores, 0, half);
        __m512i rows[16];
        for (int i = 0; i < 16; i++)
            rows[i] = _mm512_castps_si512(_mm512_max_ps(_mm512_load_ps(x + i * 16), _mm512_load_ps(x + SUMS + i * 16)));
        turn_16(rows);
        __m512 most = _mm512_castsi512_ps(rows[0]);
        for (int i = 1; i < 16; i++) most = _mm512_max_ps(most, _mm512_castsi512_ps(rows[i]));
        _mm512_store_ps(piece->group.base + half, most + _mm512_set1_ps(SLACK));
    }
}

/* A row's base where weights may have summed up to 2: what was summed becomes as much smaller. */
static void raise_base(const struct memory *m, const struct piece *piece, float *scores, uint32_t row)
{
    float *base = piece->group.base + row, *weight = piece->group.weight + row * 16;
    __m512 largest = _mm512_set1_ps(-INFINITY);

    for (uint32_t s = 0; s < piece->steps; s++) {
        const float *x = scores_at(scores, s, row);
        largest = _mm512_max_ps(_mm512_max_ps(_mm512_load_ps(x), _mm512_load_ps(x + SUMS)), largest);
    }
    float most = _mm512_reduce_max_ps(largest);
    if (!(most - *base >= -3)) return;
    __m512 down = power_of_2(_mm512_set1_ps(*base - (most + SLACK)), false);
    *base = most + SLACK;
    if (piece->first) return;
    _mm512_store_ps(weight, _mm512_load_ps(weight) * down);
    for (uint32_t c = 0; c < m->columns; c++) {
        float *sums = piece->group.sums + (row / 16 * m->columns + c) * SUMS + row % 16 * 16;
        _mm512_store_ps(sums, _mm512_load_ps(sums) * down);
    }
}

VEC_INLINE void add_weights(const struct softening *w)
{
    float *weight = w->piece->group.weight;

    for (uint32_t row = 0; row < STRIP; row++, weight += 16) {
        __m512 sum = _mm512_load_ps(w->sums[row]);
        if (!w->piece->first) sum += _mm512_load_ps(weight);
        _mm512_store_ps(weight, sum);
    }
}

/* Of some rows' scores, of all steps of keys, those behind the first `seen` ones. */
VEC_INLINE void hide_behind(float *scores, uint32_t steps, uint32_t first_row, uint32_t rows, uint32_t seen)
{
    for (uint32_t t = seen / 16; t < steps * 2; t++) {
        const __mmask16 hidden = (__mmask16)~some_of(seen, t * 16);
        for (uint32_t row = first_row; row < first_row + rows; row++)
            _mm512_mask_store_ps(scores_at(scores, t / 2, row) + t % 2 * SUMS, hidden, _mm512_set1_ps(-INFINITY));
    }
}

/* Scores that a query does not look at: of keys beyond the last, and where `causal` of those after it. */
VEC_INLINE void hide(const struct chunk *c, const struct piece *piece, float *scores)
{
    uint32_t after = c->first_query + piece->number * STRIP + 1;

    if (piece->count % STEP) hide_behind(scores, piece->steps, 0, STRIP, piece->count);
    for (uint32_t row = 0; c->causal && row < STRIP; row++)
        hide_behind(scores, piece->steps, row, 1, after + row > piece->key ? after + row - piece->key : 0);
}

#endif
#endif
