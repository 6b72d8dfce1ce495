/* What attention on tiles works on: an item's groups of 32 queries and a block of keys and values, as they lie in a thread's
 * memory, and how they come there. */
#ifndef TINCT_CPU_ATTENTION_AMX_H
#define TINCT_CPU_ATTENTION_AMX_H

#include "device/cpu/kernels/amx.h"
#include "device/cpu/kernels/attention_parts.h"

#if VEC_AMX

enum {
    BLOCK = 128,                       /* keys */
    BLOCK_STEPS = BLOCK / STEP,
    SUMS = 16 * 16,                    /* floats of a tile */
    REST = 8,                          /* numbers of a row that fit into a step three times */
};

struct memory {
    uint32_t kept;                     /* whose keys and values lie here for all their queries: 1 + head.number; 0: nobody's */
    _Alignas(64) float scores[2][2 * BLOCK / 16 * SUMS];               /* [2][key tile] tiles */
    _Alignas(64) uint16_t weights[2][2 * BLOCK_STEPS * 2 * TILE];      /* [high, low][key step][2] tiles */
    _Alignas(64) float before[STRIP][16];                              /* a group's weights before the block */
    uint32_t steps;                    /* of a query's numbers, and a key's */
    uint32_t columns;                  /* tiles of head_dim */
    uint32_t heads;                    /* of an item; group i is of head i % heads */
    size_t head_bytes, group_bytes;
    unsigned char *groups;
    _Alignas(64) unsigned char rest[];
};

struct block {                         /* of one head's keys and values, in a thread's memory */
    uint16_t *keys;                    /* [key strip][step][2] tiles */
    uint16_t *values;                  /* [high, low][tile of head_dim][key step] tiles */
};

struct rows {                          /* a group, in a thread's memory */
    struct block block;                /* that it sees */
    uint16_t *queries;                 /* [step][2] tiles */
    float *sums;                       /* [2][tile of head_dim] tiles */
    float *base;                       /* [STRIP][16]: minus the base, sixteen times */
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
    return steps * 2 * TILE * sizeof(uint16_t) + columns * 2 * SUMS * sizeof(float) + 2 * STRIP * 16 * sizeof(float);
}

static inline size_t keys_bytes(uint32_t steps)
{
    return (size_t)BLOCK / STRIP * steps * 2 * TILE * sizeof(uint16_t);
}

static inline size_t values_bytes(uint32_t columns, bool exact)
{
    return (size_t)(exact ? 2 : 1) * columns * BLOCK_STEPS * TILE * sizeof(uint16_t);
}

static inline size_t head_bytes(uint32_t head_dim, bool exact)
{
    return keys_bytes(steps_of(head_dim, exact)) + values_bytes(parts(head_dim, 16), exact);
}

static inline void lay_out(struct memory *m, uint32_t head_dim, uint32_t heads, bool exact)
{
    m->steps = steps_of(head_dim, exact);
    m->columns = parts(head_dim, 16);
    m->heads = heads;
    m->head_bytes = head_bytes(head_dim, exact);
    m->group_bytes = group_bytes(m->steps, m->columns);
    m->groups = m->rest + heads * m->head_bytes;
}

static inline struct block block_at(struct memory *m, uint32_t head)
{
    unsigned char *at = m->rest + head * m->head_bytes;
    return (struct block) { (uint16_t *)(void *)at, (uint16_t *)(void *)(at + keys_bytes(m->steps)) };
}

static inline struct rows rows_at(struct memory *m, uint32_t group)
{
    uint16_t *queries = (uint16_t *)(void *)(m->groups + group * m->group_bytes);
    float *sums = (float *)(void *)(queries + m->steps * 2 * TILE), *base = sums + m->columns * 2 * SUMS;

    return (struct rows) { block_at(m, group % m->heads), queries, sums, base, base + STRIP * 16 };
}

/* ---- operands ------------------------------------------------------------------- */

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

/* Some of 32 elements to bf16, and what is missing to bf16 again. */
VEC_INLINE void load_numbers(__m512i *high, __m512i *low, const void *from, uint32_t count, float scale, const bool f16,
                             const bool exact)
{
    __m512 a = load_some(from, some_of(count, 0), f16) * _mm512_set1_ps(scale);
    __m512 b = load_some(stored_at(from, 16, f16), some_of(count, 16), f16) * _mm512_set1_ps(scale);

    *high = take_32(&a, &b);
    if (exact) *low = take_32(&a, &b);
}

/* What is left of a row: up to 8 numbers, of a query high, low and high ones, of a key high, high and low. */
VEC_INLINE __m512i join_rest(__m512i high, __m512i low, const bool query)
{
    __m128i h = _mm512_castsi512_si128(high), l = _mm512_castsi512_si128(low);
    __m512i rest = _mm512_inserti32x4(_mm512_zextsi128_si512(h), query ? l : h, 1);

    return _mm512_inserti32x4(rest, query ? h : l, 2);
}

/* Queries beyond the last are zeros. */
VEC_INLINE void load_queries(const struct attention_params *p, struct memory *m, uint32_t group, const void *q,
                             uint32_t queries, const bool f16, const bool exact)
{
    const float scale = p->scale * 1.44269504f;            /* powers are of 2 */
    struct rows g = rows_at(m, group);

    for (uint32_t row = 0; row < STRIP; row++) {
        uint16_t *to = g.queries + row / 16 * TILE + row % 16 * STEP;
        for (uint32_t c = 0; c < p->head_dim; c += STEP) {
            const void *from = stored_at(q, (size_t)row * p->q_stride + c, f16);
            __m512i high, low = _mm512_setzero_si512();
            load_numbers(&high, &low, from, row < queries ? p->head_dim - c : 0, scale, f16, exact);
            bool rest = exact && p->head_dim - c <= REST;
            _mm512_store_si512(to, rest ? join_rest(high, low, true) : high);
            to += 2 * TILE;
            if (!exact || rest) continue;
            _mm512_store_si512(to, low);
            to += 2 * TILE;
        }
    }
}

/* rows[i] lane j to rows[j] lane i. */
VEC_INLINE void turn_16(__m512i rows[16])
{
    __m512i t[16];

    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {              /* quarters of four rows each */
        t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        rows[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        rows[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

VEC_INLINE void store_turned(uint16_t *tile, __m512i rows[16])
{
    turn_16(rows);
    for (int i = 0; i < 16; i++) _mm512_store_si512(tile + i * STEP, rows[i]);
}

/* Sixteen keys at a time become a tile's columns. Keys beyond the last are zeros. */
VEC_INLINE void load_keys(const struct attention_params *p, const struct memory *m, struct block b, const void *k, uint32_t keys,
                          const bool f16, const bool exact)
{
    for (uint32_t key = 0; key < parts(keys, STRIP) * STRIP; key += 16) {
        uint16_t *to = b.keys + key / STRIP * m->steps * 2 * TILE + key / 16 % 2 * TILE;
        for (uint32_t c = 0; c < p->head_dim; c += STEP) {
            bool rest = exact && p->head_dim - c <= REST;
            __m512i high[16], low[16];
            for (uint32_t i = 0; i < 16; i++) {
                const void *from = stored_at(k, (size_t)(key + i) * p->k_stride + c, f16);
                load_numbers(&high[i], &low[i], from, key + i < keys ? p->head_dim - c : 0, 1, f16, exact);
                if (rest) high[i] = join_rest(high[i], low[i], false);
            }
            store_turned(to, high);
            to += 2 * TILE;
            if (!exact || rest) continue;
            store_turned(to, low);
            to += 2 * TILE;
        }
    }
}

/* A tile's pairs are those of weights: value i and value i + 16. Values beyond the last are zeros. */
VEC_INLINE void load_values(const struct attention_params *p, const struct memory *m, struct block b, const void *v, uint32_t keys,
                            const bool f16, const bool exact)
{
    for (uint32_t s = 0; s < parts(keys, STEP); s++)
        for (uint32_t i = 0; i < 16; i++) {
            uint32_t first = s * STEP + i, second = first + 16;
            for (uint32_t c = 0; c < m->columns; c++) {
                uint16_t *to = b.values + (c * BLOCK_STEPS + s) * TILE + i * STEP;
                __mmask16 some = some_of(p->head_dim, c * 16);
                __m512 a = load_some(stored_at(v, (size_t)first * p->v_stride + c * 16, f16), first < keys ? some : 0, f16);
                __m512 b = load_some(stored_at(v, (size_t)second * p->v_stride + c * 16, f16), second < keys ? some : 0, f16);
                __m512i high, low;
                if (exact) pair_16(&high, &low, a, b);
                else high = round_pair_16(a, b);
                _mm512_store_si512(to, high);
                if (exact) _mm512_store_si512(to + m->columns * BLOCK_STEPS * TILE, low);
            }
        }
}

#endif
#endif
