/* attention on tiles of bf16 (amx.h), in the manner of attention.c: queries are lanes, and the softmax runs down columns.
 *
 * scores [keys][lanes] = keys by queries, sums [head_dim][lanes] += values, turned on their side, by weights. Numbers are
 * sums of two bf16 ones throughout, single ones with --precision fast. An item's queries are converted once, a
 * block of keys and values once for all groups of the item. */
#include "device/cpu/kernels/amx.h"
#include "device/cpu/kernels/attention_parts.h"

#if VEC_AMX

enum {
    SLACK = 8,
    MOST_GROUPS = 8,                   /* of an item */
    MOST_FLOATS = 160 * 1024,          /* queries and sums of an item: their share of the cache */
    ITEMS_PER_THREAD = 4,
    KEY_STRIPS = KEYS / STRIP,
    LANE_STRIPS = LANES / STRIP,
};

struct memory {
    _Alignas(64) float scores[KEYS * LANES];
    _Alignas(64) float largest[MOST_GROUPS][LANES], weight[MOST_GROUPS][LANES];
    _Alignas(64) uint16_t weights[LANE_STRIPS * KEY_STRIPS * 4 * TILE];    /* [lane strip][key step] */
    uint32_t dim;                      /* head_dim, up to a multiple of STEP */
    uint16_t *keys;                    /* [key strip][step][high, low][2] tiles */
    uint16_t *values;                  /* [strip of head_dim][key step][high, low][2] tiles */
    uint16_t *queries[MOST_GROUPS];    /* [lane strip][step][high, low][2] tiles */
    float *sums[MOST_GROUPS];          /* [dim][LANES] */
    _Alignas(64) unsigned char rest[];
};

/* bf16 numbers of a step: two tiles of high ones, and two of low ones where there are any. */
static size_t step_size(bool exact)
{
    return (exact ? 4 : 2) * TILE;
}

static uint32_t round_dim(uint32_t head_dim)
{
    return parts(head_dim, STEP) * STEP;
}

/* Bytes of a block's keys, or values, or of a group's queries, all as two numbers. */
static size_t bytes_of(uint32_t dim, uint32_t rows)
{
    return (size_t)dim * rows * 2 * sizeof(uint16_t);
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    const struct attention_params *p = a->params;
    uint32_t heads = p->images * p->heads, wanted = parts(a->threads * ITEMS_PER_THREAD, heads);
    uint32_t dim = round_dim(p->head_dim), groups = MOST_FLOATS / (2 * dim * LANES);

    groups = least(groups ? groups : 1, MOST_GROUPS);
    while (groups > 1 && parts(p->q_rows, groups * LANES) < wanted) groups--;
    return (struct cpu_plan) {
        .items = heads * parts(p->q_rows, groups * LANES), .rows = groups * LANES,
        .memory = sizeof(struct memory) + 2 * bytes_of(dim, KEYS) +
                  groups * (bytes_of(dim, LANES) + (size_t)dim * LANES * sizeof(float)),
    };
}

static void lay_out(struct memory *m, uint32_t head_dim, uint32_t groups)
{
    unsigned char *at = m->rest;

    m->dim = round_dim(head_dim);
    m->keys = (uint16_t *)(void *)at;
    m->values = (uint16_t *)(void *)(at += bytes_of(m->dim, KEYS));
    at += bytes_of(m->dim, KEYS);
    for (uint32_t g = 0; g < groups; g++) {
        m->queries[g] = (uint16_t *)(void *)at;
        m->sums[g] = (float *)(void *)(at += bytes_of(m->dim, LANES));
        at += (size_t)m->dim * LANES * sizeof(float);
    }
}

/* ---- operands ------------------------------------------------------------------- */

/* A group's queries: turned on their side where its sums will be, then to tiles. */
static void load_queries(const struct attention_params *p, struct memory *m, uint32_t group, const void *q, uint32_t queries,
                         bool f16, bool exact)
{
    float *turned = m->sums[group];

    turn_queries(p, turned, q, f16, queries);
    for (uint32_t lane = 0; lane < LANES; lane++) {
        m->largest[group][lane] = -INFINITY;
        m->weight[group][lane] = 0;
    }
    memset(turned + (size_t)p->head_dim * LANES, 0, (size_t)(m->dim - p->head_dim) * LANES * sizeof *turned);
    for (uint32_t k = 0; k < m->dim; k += 2)
        for (uint32_t c = 0; c < LANES; c += 16) {
            uint16_t *step = m->queries[group] + (size_t)(c / STRIP * (m->dim / STEP) + k / STEP) * step_size(exact);
            vec even = vec_load(turned + (size_t)k * LANES + c), odd = vec_load(turned + (size_t)(k + 1) * LANES + c);
            if (exact) store_pair(step, k, c % STRIP, even, odd);
            else store_rounded_pair(step, k, c % STRIP, even, odd);
        }
    memset(turned, 0, (size_t)m->dim * LANES * sizeof *turned);
}

/* Rows beyond the last key are zeros. */
VEC_INLINE void load_keys(const struct attention_params *p, struct memory *m, const void *k, uint32_t keys, const bool f16,
                          const bool exact)
{
    float some[STEP] = { 0 };              /* of a row's last step */
    uint32_t steps = m->dim / STEP;

    for (uint32_t j = 0; j < parts(keys, STRIP) * STRIP; j++, k = stored_at(k, p->k_stride, f16)) {
        uint16_t *to = m->keys + j / STRIP * steps * step_size(exact) + j % STRIP * STEP;
        for (uint32_t s = 0; s < steps; s++, to += step_size(exact)) {
            bool whole = j < keys && (s + 1) * STEP <= p->head_dim;
            if (!whole) memset(some, 0, sizeof some);
            if (!whole && j < keys) memcpy(some, stored_at(k, s * STEP, f16), (p->head_dim - s * STEP) * stored_size(f16));
            split_32(to, to + 2 * TILE, whole ? stored_at(k, s * STEP, f16) : some, f16, exact);
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

/* Some of 16 elements, zeros for the others. */
VEC_INLINE __m512 load_some(const void *from, __mmask16 some, const bool f16)
{
    if (f16) return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(some, from));
    return _mm512_maskz_loadu_ps(some, from);
}

/* Channels [c, c + 16) of 32 values become a tile's 16 rows of 32 k. Values beyond the last, and channels, are zeros. */
VEC_INLINE void turn_values(const struct attention_params *p, uint16_t *high_tile, uint16_t *low_tile, const void *v,
                            uint32_t c, uint32_t values, const bool f16, const bool exact)
{
    __mmask16 some = p->head_dim - c >= 16 ? 0xffff : (__mmask16)((1u << (p->head_dim - c)) - 1);
    __m512i high[16], low[16];

    for (uint32_t i = 0; i < 16; i++) {
        __mmask16 first = 2 * i < values ? some : 0, second = 2 * i + 1 < values ? some : 0;
        const void *from = stored_at(v, (size_t)2 * i * p->v_stride + c, f16);
        __m512 even = load_some(from, first, f16), odd = load_some(stored_at(from, p->v_stride, f16), second, f16);
        if (exact) pair_16(&high[i], &low[i], even, odd);
        else high[i] = round_pair_16(even, odd);
    }
    turn_16(high);
    for (int i = 0; i < 16; i++) _mm512_store_si512(high_tile + i * STEP, high[i]);
    if (!exact) return;
    turn_16(low);
    for (int i = 0; i < 16; i++) _mm512_store_si512(low_tile + i * STEP, low[i]);
}

VEC_INLINE void load_values(const struct attention_params *p, struct memory *m, const void *v, uint32_t keys, const bool f16,
                            const bool exact)
{
    uint32_t steps = parts(keys, STEP);

    for (uint32_t s = 0; s < steps; s++)
        for (uint32_t c = 0; c < m->dim; c += 16) {
            uint16_t *to = m->values + (c / STRIP * steps + s) * step_size(exact) + c % STRIP / 16 * TILE;
            if (c < p->head_dim) {
                turn_values(p, to, to + 2 * TILE, stored_at(v, (size_t)s * STEP * p->v_stride, f16), c, keys - s * STEP, f16,
                            exact);
                continue;
            }
            memset(to, 0, TILE * sizeof *to);
            if (exact) memset(to + 2 * TILE, 0, TILE * sizeof *to);
        }
}

/* ---- products and softmax ---------------------------------------------------------- */

/* sums [strips of 32 rows][LANES] (+)= left by right, `steps` each. */
VEC_INLINE void multiply(const uint16_t *left, const uint16_t *right, uint32_t strips, uint32_t steps, float *sums, bool add,
                         const bool exact)
{
    const size_t step = step_size(exact);

    tile_fence();
    for (uint32_t c = 0; c < LANE_STRIPS; c++)
        for (uint32_t r = 0; r < strips; r++) {
            float *at = sums + (size_t)r * STRIP * LANES + c * STRIP;
            if (add) load_sums(at, LANES);
            else zero_sums();
            for (uint32_t s = 0; s < steps; s++) {
                const uint16_t *l = left + (r * steps + s) * step;
                add_step(l, l + 2 * TILE, right + (c * steps + s) * step, exact ? 3 : 1);
            }
            store_sums(at, LANES);
        }
    tile_fence();
}

/* Weights are relative to the largest score of each lane, or to one that was when they came: while no lane's is beyond
 * 2^SLACK times that, sums so far stay as they are. Else they shrink, and this gives true. */
VEC_INLINE bool raise_largest(struct memory *m, uint32_t group, uint32_t keys, vec shrink[4])
{
    vec largest[4];
    unsigned beyond = 0;

#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) largest[v] = vec_load(m->largest[group] + v * VEC_WIDTH);
    for (uint32_t j = 0; j < keys; j++)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) largest[v] = vec_max(vec_load(m->scores + j * LANES + v * VEC_WIDTH), largest[v]);
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        beyond |= _mm512_cmp_ps_mask(largest[v], vec_load(m->largest[group] + v * VEC_WIDTH) + SLACK, _CMP_NLE_UQ);
    if (!beyond) return false;
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        shrink[v] = exp2_below_0(vec_load(m->largest[group] + v * VEC_WIDTH) - largest[v]);
        vec_store(m->largest[group] + v * VEC_WIDTH, largest[v]);
    }
    return true;
}

/* Scores to weights, as tiles; earlier sums are scaled to the same score. Rows of scores from `keys` up to a whole step
 * get no weight. */
VEC_INLINE void soften(struct memory *m, uint32_t group, uint32_t keys, const bool exact)
{
    uint32_t steps = parts(keys, STEP);
    vec shrink[4] = { 0 }, sum[4] = { 0 };

    for (uint32_t i = keys * LANES; i < steps * STEP * LANES; i += VEC_WIDTH) vec_store(m->scores + i, vec_all(-INFINITY));
    bool raised = raise_largest(m, group, keys, shrink);
    for (uint32_t j = 0; j < steps * STEP; j += 2)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            vec largest = vec_load(m->largest[group] + v * VEC_WIDTH);
            const float *at = m->scores + j * LANES + v * VEC_WIDTH;
            uint16_t *to = m->weights + (v / 2 * steps + j / STEP) * step_size(exact);
            vec even = vec_load(at) - largest, odd = vec_load(at + LANES) - largest;
            even = exact ? exp2_below_0(even) : rough_exp2_below_0(even);
            odd = exact ? exp2_below_0(odd) : rough_exp2_below_0(odd);
            sum[v] += even + odd;
            if (exact) store_pair(to, j, v % 2 * 16, even, odd);
            else store_rounded_pair(to, j, v % 2 * 16, even, odd);
        }
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        float *weight = m->weight[group] + v * VEC_WIDTH;
        vec_store(weight, raised ? vec_load(weight) * shrink[v] + sum[v] : vec_load(weight) + sum[v]);
    }
    for (uint32_t c = 0; raised && c < m->dim; c++)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            float *at = m->sums[group] + c * LANES + v * VEC_WIDTH;
            vec_store(at, vec_load(at) * shrink[v]);
        }
}

VEC_INLINE void add_block(const struct attention_params *p, struct memory *m, const struct head *h, uint32_t key,
                          uint32_t keys, const bool exact)
{
    uint32_t steps = m->dim / STEP, strips = parts(keys, STRIP);

    for (uint32_t row = 0; row < h->rows; row += LANES) {
        uint32_t group = row / LANES;
        if (p->causal && key > h->first + row + LANES - 1) continue;
        multiply(m->keys, m->queries[group], strips, steps, m->scores, false, exact);
        if (p->causal) mask(m->scores, h->first + row, key, keys);
        soften(m, group, keys, exact);
        multiply(m->values, m->weights, steps, strips, m->sums[group], true, exact);
    }
}

VEC_INLINE void run(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, struct memory *m, const bool f16,
                    const bool exact)
{
    static const struct amx_config config = AMX_ALL_TILES;
    const struct attention_params *p = a->params;
    struct head h = head_of(a, plan, item);
    uint32_t end = p->causal ? least(p->k_rows, h.first + h.rows) : p->k_rows;

    _tile_loadconfig(&config);
    lay_out(m, p->head_dim, plan->rows / LANES);
    for (uint32_t row = 0; row < h.rows; row += LANES)
        load_queries(p, m, row / LANES, stored_at(h.q, (size_t)row * p->q_stride, f16), least(h.rows - row, LANES), f16, exact);
    for (uint32_t key = 0; key < end; key += KEYS) {
        uint32_t keys = least(p->k_rows - key, KEYS);
        load_keys(p, m, stored_at(h.k, (size_t)key * p->k_stride, f16), keys, f16, exact);
        load_values(p, m, stored_at(h.v, (size_t)key * p->v_stride, f16), keys, f16, exact);
        add_block(p, m, &h, key, keys, exact);
    }
    for (uint32_t row = 0; row < h.rows; row += LANES) {
        struct group g = { .sums = m->sums[row / LANES], .weight = m->weight[row / LANES] };
        store_group(p, &g, stored_place(h.y, (size_t)row * p->y_stride, f16), f16, least(h.rows - row, LANES));
    }
    _tile_release();
}

static void run_exact(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    run(a, plan, item, memory, false, true);
}

static void run_fast(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    run(a, plan, item, memory, false, false);
}

static void run_f16(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    run(a, plan, item, memory, true, false);
}

const struct cpu_kernel CPU_NAME(attention_amx) = { "attention", "f32", false, plan, run_exact };
const struct cpu_kernel CPU_NAME(attention_amx_fast) = { "attention", "f32", true, plan, run_fast };
const struct cpu_kernel CPU_NAME(attention_amx_f16) = { "attention", "f16", true, plan, run_f16 };

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
