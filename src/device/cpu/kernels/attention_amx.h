/* What attention on tiles works on: an item's groups of 32 queries and a chunk of keys and values, as they lie in a thread's
 * memory, and how they come there. */
#ifndef TINCT_CPU_ATTENTION_AMX_H
#define TINCT_CPU_ATTENTION_AMX_H

#include "device/cpu/kernels/amx.h"
#include "device/cpu/kernels/attention_parts.h"
#include "device/cpu/kernels/turn.h"

#if VEC_AMX

enum {
    BLOCK = 128,                       /* keys of which a group's scores are softened together */
    SUMS = 16 * 16,                    /* floats of a tile */
    MOST_CHUNK_BYTES = 512 * 1024,     /* of keys and values that are converted at a time */
    REST = 8,                          /* numbers of a row that fit into a step three times */
};

struct memory {
    uint32_t kept;                     /* whose keys and values lie here for all their queries: 1 + head.number; 0: nobody's */
    _Alignas(64) float scores[3][2 * BLOCK / 16 * SUMS];               /* of a piece, then its weights in their place */
    _Alignas(64) float sums[STRIP][16];                                /* of a piece's weights */
    uint32_t chunk;                    /* keys that are converted at a time */
    uint32_t steps;                    /* of a query's numbers, and a key's */
    uint32_t columns;                  /* tiles of head_dim */
    uint32_t heads;                    /* of an item; group i is of head i % heads */
    size_t head_bytes, group_bytes;
    unsigned char *groups;
    _Alignas(64) unsigned char rest[];
};

struct block {                         /* of one head's keys and values, in a thread's memory */
    uint16_t *keys;                    /* [key strip][step][2] tiles */
    uint16_t *values;                  /* [key step][high, low][tile of head_dim] tiles */
};

struct rows {                          /* a group, in a thread's memory */
    struct block block;                /* that it sees */
    uint16_t *queries;                 /* [step][2] tiles */
    float *sums;                       /* [2][tile of head_dim] tiles */
    float *base;                       /* [STRIP] */
    float *weight;                     /* [STRIP][16]: the sum of weights, in sixteen parts */
};

/* Steps of high numbers, and of low ones; what is left of a row shares one where it is short. */
static inline uint32_t steps_of(uint32_t head_dim, bool exact)
{
    uint32_t rest = head_dim % STEP;

    return !exact ? parts(head_dim, STEP) : rest && rest <= REST ? head_dim / STEP * 2 + 1 : parts(head_dim, STEP) * 2;
}

static inline size_t group_bytes(uint32_t steps, uint32_t columns)
{
    return steps * 2 * TILE * sizeof(uint16_t) + columns * 2 * SUMS * sizeof(float) + STRIP * 17 * sizeof(float);
}

/* Of 32 keys and values, high and low. */
static inline size_t strip_bytes(uint32_t head_dim, bool exact)
{
    return (steps_of(head_dim, exact) * 2 + parts(head_dim, 16) * (exact ? 2 : 1)) * TILE * sizeof(uint16_t);
}

static inline uint32_t chunk_of(const struct attention_params *p, bool exact)
{
    uint32_t fit = (uint32_t)(MOST_CHUNK_BYTES / strip_bytes(p->head_dim, exact)) * STRIP / BLOCK * BLOCK;

    return fit < BLOCK ? BLOCK : least(fit, parts(p->k_rows, BLOCK) * BLOCK);
}

static inline size_t head_bytes(const struct attention_params *p, bool exact)
{
    return chunk_of(p, exact) / STRIP * strip_bytes(p->head_dim, exact);
}

static inline void lay_out(struct memory *m, const struct attention_params *p, uint32_t heads, bool exact)
{
    m->chunk = chunk_of(p, exact);
    m->steps = steps_of(p->head_dim, exact);
    m->columns = parts(p->head_dim, 16);
    m->heads = heads;
    m->head_bytes = head_bytes(p, exact);
    m->group_bytes = group_bytes(m->steps, m->columns);
    m->groups = m->rest + heads * m->head_bytes;
}

static inline struct block block_at(struct memory *m, uint32_t head)
{
    unsigned char *at = m->rest + head * m->head_bytes;
    return (struct block) { (uint16_t *)(void *)at, (uint16_t *)(void *)at + (size_t)m->chunk / STRIP * m->steps * 2 * TILE };
}

static inline struct rows rows_at(struct memory *m, uint32_t group)
{
    uint16_t *queries = (uint16_t *)(void *)(m->groups + group * m->group_bytes);
    float *sums = (float *)(void *)(queries + m->steps * 2 * TILE), *base = sums + m->columns * 2 * SUMS;

    return (struct rows) { block_at(m, group % m->heads), queries, sums, base, base + STRIP };
}

/* ---- operands ------------------------------------------------------------------- */

/* 32 numbers that lie `ahead` elements behind those at hand come into the cache, as they are needed a strip later: fetched all at
 * once they would be waited for. */
VEC_INLINE void fetch_numbers(const void *from, size_t ahead, const bool f16)
{
    const char *at = stored_at(from, ahead, f16);

    _mm_prefetch(at, _MM_HINT_T0);
    if (!f16) _mm_prefetch(at + 64, _MM_HINT_T0);
}

/* Of 16 elements from c on, those that there are. */
static inline __mmask16 some_of(uint32_t count, uint32_t c)
{
    return count >= c + 16 ? 0xffff : count <= c ? 0 : (__mmask16)((1u << (count - c)) - 1);
}

/* Some of 16 elements, zeros for the others. */
VEC_INLINE __m512 load_some(const void *from, __mmask16 some, const bool f16)
{
    if (f16) return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(some, from));
    return _mm512_maskz_loadu_ps(some, from);
}

/* 32 numbers of a row that are there, from c on: all, or only REST of them. */
struct part {
    __mmask16 first, second;
    bool rest;
};

VEC_INLINE struct part part_of(uint32_t head_dim, uint32_t c, const bool exact)
{
    return (struct part) { some_of(head_dim, c), some_of(head_dim, c + 16), exact && head_dim - c <= REST };
}

/* A part to bf16, and what is missing to bf16 again. */
VEC_INLINE void load_numbers(__m512i *high, __m512i *low, const void *from, struct part part, __m512 scale, const bool f16,
                             const bool exact)
{
    __m512 a = load_some(from, part.first, f16) * scale, b = load_some(stored_at(from, 16, f16), part.second, f16) * scale;

    *high = take_32(&a, &b);
    if (exact) *low = take_32(&a, &b);
}

/* What is left of a row: up to 8 numbers, of a query high, low and high ones, of a key high, high and low. */
VEC_INLINE __m512i load_rest(const void *from, struct part part, __m512 scale, const bool f16, const bool query)
{
    __m512 a = load_some(from, part.first, f16) * scale;
    __m256i high = (__m256i)_mm512_cvtneps_pbh(a);
    __m128i h = _mm256_castsi256_si128(high);

    a -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
    __m128i l = _mm256_castsi256_si128((__m256i)_mm512_cvtneps_pbh(a));
    return _mm512_inserti32x4(_mm512_inserti32x4(_mm512_zextsi128_si512(h), query ? l : h, 1), query ? h : l, 2);
}

/* Queries beyond the last are zeros. */
VEC_INLINE void load_queries(const struct attention_params *p, struct memory *m, uint32_t group, const void *q,
                             uint32_t queries, size_t ahead, const bool f16, const bool exact)
{
    const __m512 scale = _mm512_set1_ps(p->scale * 1.44269504f);            /* powers are of 2 */
    const uint32_t head_dim = p->head_dim;
    const size_t stride = p->q_stride;
    uint16_t *to = rows_at(m, group).queries;

    for (uint32_t c = 0; c < head_dim; c += STEP, to += (exact ? 4 : 2) * TILE) {
        const struct part part = part_of(head_dim, c, exact);
        if (queries < STRIP) memset(to, 0, (exact && !part.rest ? 4 : 2) * TILE * sizeof *to);
        if (part.rest) {
            for (uint32_t row = 0; row < queries; row++) {
                const void *from = stored_at(q, row * stride + c, f16);
                fetch_numbers(from, ahead, f16);
                _mm512_store_si512(to + row * STEP, load_rest(from, part, scale, f16, true));
            }
            continue;
        }
        for (uint32_t row = 0; row < queries; row++) {
            const void *from = stored_at(q, row * stride + c, f16);
            __m512i high, low;
            fetch_numbers(from, ahead, f16);
            load_numbers(&high, &low, from, part, scale, f16, exact);
            _mm512_store_si512(to + row * STEP, high);
            if (exact) _mm512_store_si512(to + 2 * TILE + row * STEP, low);
        }
    }
}

/* rows[i] lane j to rows[j] lane i. */
VEC_INLINE void turn_16(__m512i rows[16])
{
    vec t[16];

    for (int i = 0; i < 16; i++) t[i] = _mm512_castsi512_ps(rows[i]);
    turn(t);
    for (int i = 0; i < 16; i++) rows[i] = _mm512_castps_si512(t[i]);
}

VEC_INLINE void store_turned(uint16_t *tile, __m512i rows[16])
{
    turn_16(rows);
    for (int i = 0; i < 16; i++) _mm512_store_si512(tile + i * STEP, rows[i]);
}

/* Sixteen keys' numbers become a tile's columns. */
VEC_INLINE void load_16_keys(const struct attention_params *p, uint16_t *to, const void *k, uint32_t keys, size_t ahead,
                             const bool f16, const bool exact)
{
    const __m512 one = _mm512_set1_ps(1);

    for (uint32_t c = 0; c < p->head_dim; c += STEP, to += (exact ? 4 : 2) * TILE) {
        struct part part = part_of(p->head_dim, c, exact);
        __m512i high[16], low[16];
        for (uint32_t i = 0; i < 16; i++) {
            const void *from = stored_at(k, (size_t)i * p->k_stride + c, f16);
            fetch_numbers(from, ahead, f16);
            high[i] = low[i] = _mm512_setzero_si512();
            if (i < keys && part.rest) high[i] = load_rest(from, part, one, f16, false);
            else if (i < keys) load_numbers(&high[i], &low[i], from, part, one, f16, exact);
        }
        store_turned(to, high);
        if (exact && !part.rest) store_turned(to + 2 * TILE, low);
    }
}

/* Keys beyond the last are zeros. */
VEC_INLINE void load_keys(const struct attention_params *p, const struct memory *m, struct block b, const void *k, uint32_t keys,
                          const bool f16, const bool exact)
{
    for (uint32_t key = 0; key < parts(keys, STRIP) * STRIP; key += 16) {
        uint16_t *to = b.keys + key / STRIP * m->steps * 2 * TILE + key / 16 % 2 * TILE;
        const void *from = stored_at(k, (size_t)key * p->k_stride, f16);
        size_t ahead = key + STRIP < keys ? (size_t)STRIP * p->k_stride : 0;
        if (key + 16 <= keys) load_16_keys(p, to, from, 16, ahead, f16, exact);
        else load_16_keys(p, to, from, keys > key ? keys - key : 0, ahead, f16, exact);
    }
}

/* A step's values: a tile's pairs are those of weights, value i and value i + 16. */
VEC_INLINE void load_32_values(const struct attention_params *p, const struct memory *m, uint16_t *to, const void *v, uint32_t keys,
                               size_t ahead, const bool f16, const bool exact)
{
    for (uint32_t c = 0; c < m->columns; c++, to += TILE) {
        __mmask16 some = some_of(p->head_dim, c * 16);
        for (uint32_t i = 0; i < 16; i++) {
            const void *first = stored_at(v, (size_t)i * p->v_stride + c * 16, f16);
            const void *second = stored_at(first, (size_t)16 * p->v_stride, f16);
            if (c % 2 == 0) {
                fetch_numbers(first, ahead, f16);
                fetch_numbers(second, ahead, f16);
            }
            __m512 a = load_some(first, i < keys ? some : 0, f16), b = load_some(second, i + 16 < keys ? some : 0, f16);
            __m512i high, low;
            if (exact) pair_16(&high, &low, a, b);
            else high = round_pair_16(a, b);
            _mm512_store_si512(to + i * STEP, high);
            if (exact) _mm512_store_si512(to + m->columns * TILE + i * STEP, low);
        }
    }
}

/* Values beyond the last are zeros. */
VEC_INLINE void load_values(const struct attention_params *p, const struct memory *m, struct block b, const void *v, uint32_t keys,
                            const bool f16, const bool exact)
{
    for (uint32_t key = 0; key < keys; key += STEP) {
        uint16_t *to = b.values + key / STEP * m->columns * (exact ? 2 : 1) * TILE;
        const void *from = stored_at(v, (size_t)key * p->v_stride, f16);
        size_t ahead = key + STEP < keys ? (size_t)STEP * p->v_stride : 0;
        if (key + STEP <= keys) load_32_values(p, m, to, from, STEP, ahead, f16, exact);
        else load_32_values(p, m, to, from, keys - key, ahead, f16, exact);
    }
}

#endif
#endif
