/* attention on tiles of bf16 (amx.h): flash attention whose softmax runs while tiles multiply.
 *
 * Groups of 32 queries are rows, keys columns: scores [queries][keys], sums [queries][head_dim] += weights by values.
 * Numbers are sums of two bf16 ones, single ones with --precision fast. An item's queries are converted once, a block
 * of keys and values once for all groups of the item. Scores are taken relative to a base of each query, from which the
 * tiles begin to sum. Vectors are as busy as tiles: so while a group's scores become weights, row by row, tiles
 * multiply the next group's scores and the last one's values. */
#include "device/cpu/kernels/attention_amx.h"

#if VEC_AMX

enum {
    SLACK = 8,                         /* a query's base is 2^SLACK beyond its largest score when it was set */
    MOST_BYTES = 768 * 1024,           /* of an item's groups: their share of the cache */
    MOST_GROUPS = 32,                  /* of an item */
    ITEMS_PER_THREAD = 4,
    MOST_KEPT_BYTES = 400 * 1024,      /* of keys and values that serve from item to item */
    LEAST_QUERIES = 256,               /* that pay for it */
};

/* Of few keys each query is read and written once for little work, a head's share of its row by itself far from the next row's.
 * So an item has as many heads as the cache holds the keys and values of, and takes rows as they lie. */
static uint32_t heads_together(const struct attention_params *p, bool exact)
{
    uint32_t heads = p->heads;

    if (p->causal || p->k_rows > BLOCK || p->q_rows < LEAST_QUERIES) return 1;
    while (heads > 1 && (p->heads % heads || heads * head_bytes(p->head_dim, exact) > MOST_KEPT_BYTES)) heads--;
    return heads;
}

VEC_INLINE struct cpu_plan plan(const struct cpu_args *a, const bool exact)
{
    const struct attention_params *p = a->params;
    uint32_t together = heads_together(p, exact), heads = p->images * p->heads / together;
    uint32_t wanted = parts(a->threads * ITEMS_PER_THREAD, heads);
    size_t bytes = together * group_bytes(steps_of(p->head_dim, exact), parts(p->head_dim, 16));
    uint32_t groups = least((uint32_t)(MOST_BYTES / bytes), MOST_GROUPS / together);

    groups = least(groups ? groups : 1, parts(p->q_rows, STRIP));
    while (groups > 1 && parts(p->q_rows, groups * STRIP) < wanted) groups--;
    return (struct cpu_plan) {
        .items = heads * parts(p->q_rows, groups * STRIP), .rows = groups * STRIP, .panels = together,
        .memory = sizeof(struct memory) + together * head_bytes(p->head_dim, exact) + groups * bytes,
    };
}

/* ---- softmax -------------------------------------------------------------------- */

/* Weights that are cut to bf16 would be too small by half a step, on average by this part of them. */
static const float cut_bias = 2.81776375e-3f;

/* 2^x, relative error <= 2e-7; rough: times 1 + cut_bias, relative error <= 8e-5. -inf gives 0, NaN stays. */
VEC_INLINE __m512 power_of_2(__m512 x, const bool exact)
{
    enum { BELOW = 9 };                /* to the whole number below, without exceptions */
    __m512 f = _mm512_reduce_ps(x, BELOW), power;

    if (exact) {
        power = _mm512_set1_ps(1.87757669e-3f) * f + _mm512_set1_ps(8.98933969e-3f);
        power = power * f + _mm512_set1_ps(5.58263175e-2f);
        power = power * f + _mm512_set1_ps(2.40153611e-1f);
        power = power * f + _mm512_set1_ps(6.93153083e-1f);
        power = power * f + _mm512_set1_ps(9.9999994e-1f);
    } else {
        power = _mm512_set1_ps(7.82443807e-2f) * f + _mm512_set1_ps(2.26704165e-1f);
        power = power * f + _mm512_set1_ps(6.97794259e-1f);
        power = power * f + _mm512_set1_ps(1.00274277f);
    }
    return _mm512_scalef_ps(power, x);
}

struct softening {                     /* of a group, row by row */
    struct rows group;
    const float *scores;
    uint16_t *weights;
    float (*before)[16];
    uint32_t columns;
    uint32_t row;                      /* the next one */
    uint32_t at_once;                  /* rows */
    uint32_t steps;                    /* of keys */
    bool first;                        /* block: there is no base yet */
    __m512i seen;                      /* all weights' bits */
};

/* A row's scores are to be this much lower: where one is 2^SLACK times what the largest was, or there was none. */
VEC_INLINE float lower_base(const struct softening *w, uint32_t row, const float *x)
{
    __m512 largest = _mm512_set1_ps(-INFINITY);

    for (uint32_t s = 0; s < w->steps * 2; s++) largest = _mm512_max_ps(_mm512_load_ps(x + s * SUMS), largest);
    float most = _mm512_reduce_max_ps(largest), *base = w->group.base + row * 16;
    if (!w->first && !(most >= 1)) return 0;
    float down = most + SLACK;
    _mm512_store_ps(base, (w->first ? _mm512_setzero_ps() : _mm512_load_ps(base)) - _mm512_set1_ps(down));
    for (uint32_t c = 0; !w->first && c < w->columns; c++) {
        float *sums = w->group.sums + (row / 16 * w->columns + c) * SUMS + row % 16 * 16;
        _mm512_store_ps(sums, _mm512_load_ps(sums) * power_of_2(_mm512_set1_ps(-down), true));
    }
    return down;
}

/* A row's scores to weights. Pairs of bf16 are of keys i and i + 16. */
VEC_INLINE void soften_row(struct softening *w, uint32_t row, const bool raised, const bool exact)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    const float *x = w->scores + row / 16 * (BLOCK / 16) * SUMS + row % 16 * 16;
    uint16_t *to = w->weights + row / 16 * TILE + row % 16 * STEP;
    float down = raised ? lower_base(w, row, x) : 0;
    __m512 sum = _mm512_setzero_ps();

    for (uint32_t s = 0; s < w->steps; s++, x += 2 * SUMS, to += 2 * TILE) {
        __m512 a = _mm512_load_ps(x), b = _mm512_load_ps(x + SUMS);
        if (raised) {
            a -= _mm512_set1_ps(down);
            b -= _mm512_set1_ps(down);
        }
        a = power_of_2(a, exact);
        b = power_of_2(b, exact);
        sum += a + b;
        __m512i first = _mm512_castps_si512(a), second = _mm512_castps_si512(b);
        w->seen = _mm512_ternarylogic_epi32(w->seen, first, second, 0xfe);
        if (exact) {
            __m512i high, low;
            pair_16(&high, &low, a, b);
            _mm512_store_si512(to, high);
            _mm512_store_si512(to + BLOCK_STEPS * 2 * TILE, low);
        } else
            _mm512_store_si512(to, _mm512_ternarylogic_epi32(upper, second, _mm512_srli_epi32(first, 16), 0xca));
    }
    __m512 weight = raised && !w->first ? _mm512_load_ps(w->before[row]) : _mm512_load_ps(w->group.weight + row * 16);
    if (raised && w->first) weight = _mm512_setzero_ps();
    else if (raised) weight *= power_of_2(_mm512_set1_ps(-down), true);
    else _mm512_store_ps(w->before[row], weight);
    _mm512_store_ps(w->group.weight + row * 16, weight + sum);
}

/* The next few rows. */
VEC_INLINE void soften_on(struct softening *w, const bool exact)
{
    for (uint32_t end = least(w->row + w->at_once, STRIP); w->row < end; w->row++)
        if (w->first) soften_row(w, w->row, true, exact);
        else soften_row(w, w->row, false, exact);
}

/* The rows that are left; and all of them again where a weight was 2 or more, or no number: their bases were too low. */
VEC_INLINE void soften_rest(struct softening *w, const bool exact)
{
    w->at_once = STRIP;
    soften_on(w, exact);
    if (w->first || !_mm512_test_epi32_mask(w->seen, _mm512_set1_epi32(0x40000000))) return;
    for (uint32_t row = 0; row < STRIP; row++) soften_row(w, row, true, exact);
}

/* Scores of the group that a query does not look at: of keys beyond the last, and where `causal` of those after it. */
static void hide(float *scores, uint32_t keys, bool causal, uint32_t first_query, uint32_t first_key)
{
    for (uint32_t row = 0; row < STRIP; row++) {
        uint32_t after = first_query + row + 1, seen = causal ? least(keys, after > first_key ? after - first_key : 0) : keys;
        float *at = scores + row / 16 * (BLOCK / 16) * SUMS + row % 16 * 16;
        for (uint32_t t = seen / 16; t < parts(keys, STEP) * 2; t++)
            _mm512_mask_store_ps(at + t * SUMS, (__mmask16)~some_of(seen, t * 16), _mm512_set1_ps(-INFINITY));
    }
}

/* ---- products -------------------------------------------------------------------- */

/* scores = a group's queries by a block's keys, plus its bases; rows of another group are softened meanwhile. */
VEC_INLINE void score(const struct memory *m, const struct rows *g, uint32_t strips, bool first, float *scores,
                      struct softening *w, const bool exact)
{
    const uint32_t numbers = exact ? 2 : 1;

    tile_fence();
    for (uint32_t strip = 0; strip < strips; strip++) {
        const uint16_t *keys = g->block.keys + strip * m->steps * 2 * TILE, *queries = g->queries;
        float *to = scores + strip * 2 * SUMS;
        if (first) zero_sums();
        else {
            _tile_loadd(0, g->base, 64);
            _tile_loadd(1, g->base, 64);
            _tile_loadd(2, g->base + SUMS, 64);
            _tile_loadd(3, g->base + SUMS, 64);
        }
        for (uint32_t s = 0; s < m->steps; s += numbers) {
            if (exact && s + 1 < m->steps) add_step(queries + s * 2 * TILE, queries + (s + 1) * 2 * TILE, keys + s * 2 * TILE, 3);
            else add_step(queries + s * 2 * TILE, NULL, keys + s * 2 * TILE, 1);
            if (w) soften_on(w, exact);
        }
        _tile_stored(0, to, 64);
        _tile_stored(1, to + SUMS, 64);
        _tile_stored(2, to + BLOCK / 16 * SUMS, 64);
        _tile_stored(3, to + (BLOCK / 16 + 1) * SUMS, 64);
    }
    tile_fence();
}

/* A step of keys: sums in registers 0 to 2, of 16 queries, and 3 to 5. */
VEC_INLINE void add_columns(const uint16_t *weights, const uint16_t *values, const int columns)
{
    enum { NEXT = BLOCK_STEPS * TILE };

    _tile_loadd(6, weights, 64);
    _tile_loadd(7, values, 64);
    _tile_dpbf16ps(0, 6, 7);
    if (columns > 1) {
        _tile_loadd(7, values + NEXT, 64);
        _tile_dpbf16ps(1, 6, 7);
    }
    if (columns > 2) {
        _tile_loadd(7, values + 2 * NEXT, 64);
        _tile_dpbf16ps(2, 6, 7);
    }
    _tile_loadd(6, weights + TILE, 64);
    if (columns > 2) {
        _tile_dpbf16ps(5, 6, 7);
        _tile_loadd(7, values + NEXT, 64);
    }
    if (columns > 1) {
        _tile_dpbf16ps(4, 6, 7);
        _tile_loadd(7, values, 64);
    }
    _tile_dpbf16ps(3, 6, 7);
}

/* sums [2][columns] (+)= weights by values of one to three tiles of head_dim from `column` on. */
VEC_INLINE void add_some_values(const struct memory *m, const struct rows *g, const uint16_t *weights, uint32_t steps,
                                bool first, uint32_t column, struct softening *w, const int columns, const bool exact)
{
    float *sums = g->sums + column * SUMS, *more = sums + m->columns * SUMS;
    const uint16_t *values = g->block.values + column * BLOCK_STEPS * TILE;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    if (!first) {
        _tile_loadd(0, sums, 64);
        _tile_loadd(3, more, 64);
        if (columns > 1) {
            _tile_loadd(1, sums + SUMS, 64);
            _tile_loadd(4, more + SUMS, 64);
        }
        if (columns > 2) {
            _tile_loadd(2, sums + 2 * SUMS, 64);
            _tile_loadd(5, more + 2 * SUMS, 64);
        }
    }
    for (uint32_t s = 0; s < steps; s++)
        for (int product = 0; product < (exact ? 3 : 1); product++) {
            add_columns(weights + ((product == 2) * BLOCK_STEPS + s) * 2 * TILE,
                        values + ((product == 1) * m->columns * BLOCK_STEPS + s) * TILE, columns);
            if (w) soften_on(w, exact);
        }
    _tile_stored(0, sums, 64);
    _tile_stored(3, more, 64);
    if (columns > 1) {
        _tile_stored(1, sums + SUMS, 64);
        _tile_stored(4, more + SUMS, 64);
    }
    if (columns > 2) {
        _tile_stored(2, sums + 2 * SUMS, 64);
        _tile_stored(5, more + 2 * SUMS, 64);
    }
}

VEC_INLINE void add_values(const struct memory *m, const struct rows *g, const uint16_t *weights, uint32_t steps, bool first,
                           struct softening *w, const bool exact)
{
    tile_fence();
    for (uint32_t c = 0; c < m->columns;) {
        uint32_t left = m->columns - c;
        if (left > 2 && left != 4) {
            add_some_values(m, g, weights, steps, first, c, w, 3, exact);
            c += 3;
        } else if (left > 1) {
            add_some_values(m, g, weights, steps, first, c, w, 2, exact);
            c += 2;
        } else {
            add_some_values(m, g, weights, steps, first, c, w, 1, exact);
            c++;
        }
    }
    tile_fence();
}

/* Groups [from, end) of an item. */
VEC_INLINE void add_block(const struct attention_params *p, struct memory *m, const struct head *h, uint32_t key,
                          uint32_t keys, uint32_t from, uint32_t end, const bool exact)
{
    uint32_t steps = parts(keys, STEP), pieces = steps * (parts(m->steps, exact ? 2 : 1) + parts(m->columns, 3) * (exact ? 3 : 1));
    bool first = key == 0;

    for (uint32_t i = from; i <= end; i++) {         /* the next group's scores, this one's softmax, the last one's values */
        struct rows g = rows_at(m, i), next = rows_at(m, i + 1), last = rows_at(m, i > from ? i - 1 : i);
        struct softening w = { .group = g, .scores = m->scores[i % 2], .weights = m->weights[i % 2], .before = m->before,
                               .columns = m->columns, .at_once = parts(STRIP, pieces), .steps = steps, .first = first };
        if (i == from) score(m, &g, steps, first, m->scores[i % 2], NULL, exact);
        if (i == end) {
            add_values(m, &last, m->weights[(i - 1) % 2], steps, first, NULL, exact);
            break;
        }
        if (p->causal || keys % STEP) hide(m->scores[i % 2], keys, p->causal, h->first + i * STRIP, key);
        if (i + 1 < end) score(m, &next, steps, first, m->scores[(i + 1) % 2], &w, exact);
        if (i > from) add_values(m, &last, m->weights[(i - 1) % 2], steps, first, &w, exact);
        soften_rest(&w, exact);
    }
}

/* y [queries][head_dim] = a group's sums, by the sum of its weights. */
VEC_INLINE void store_rows(const struct attention_params *p, struct memory *m, uint32_t group, void *y, uint32_t queries,
                           const bool f16, const bool exact)
{
    struct rows g = rows_at(m, group);

    for (uint32_t row = 0; row < queries; row++) {
        void *to = stored_place(y, (size_t)row * p->y_stride, f16);
        const float *sums = g.sums + row / 16 * m->columns * SUMS + row % 16 * 16;
        __m512 inverse = _mm512_set1_ps((exact ? 1 : 1 + cut_bias) / _mm512_reduce_add_ps(_mm512_load_ps(g.weight + row * 16)));
        for (uint32_t c = 0; c < m->columns; c++) {
            __m512 x = _mm512_load_ps(sums + c * SUMS) * inverse;
            __mmask16 some = some_of(p->head_dim, c * 16);
            if (f16) _mm256_mask_storeu_epi16(stored_place(to, c * 16, true), some, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
            else _mm512_mask_storeu_ps(stored_place(to, c * 16, false), some, x);
        }
    }
}

/* Keys and values of all heads of an item, from `key` on. */
VEC_INLINE void load_block(const struct attention_params *p, struct memory *m, const struct head *h, uint32_t key, uint32_t keys,
                           const bool f16, const bool exact)
{
    for (uint32_t head = 0; head < m->heads; head++) {
        size_t column = (size_t)head * p->head_dim;
        load_keys(p, m, block_at(m, head), stored_at(h->k, (size_t)key * p->k_stride + column, f16), keys, f16, exact);
        load_values(p, m, block_at(m, head), stored_at(h->v, (size_t)key * p->v_stride + column, f16), keys, f16, exact);
    }
}

VEC_INLINE void run(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, struct memory *m, const bool f16,
                    const bool exact)
{
    static const struct amx_config config = AMX_ALL_TILES;
    const struct attention_params *p = a->params;
    struct head h = head_of(a, plan, item);
    uint32_t end = p->causal ? least(p->k_rows, h.first + h.rows) : p->k_rows, heads = plan->panels;
    uint32_t groups = parts(h.rows, STRIP) * heads;

    _tile_loadconfig(&config);
    lay_out(m, p->head_dim, heads, exact);
    for (uint32_t g = 0; g < groups; g++) {
        uint32_t row = g / heads * STRIP;
        const void *q = stored_at(h.q, (size_t)row * p->q_stride + g % heads * p->head_dim, f16);
        load_queries(p, m, g, q, least(h.rows - row, STRIP), f16, exact);
    }
    for (uint32_t key = 0; key < end; key += BLOCK) {
        uint32_t keys = least(p->k_rows - key, BLOCK), from = p->causal && key > h.first ? (key - h.first) / STRIP : 0;
        if (m->kept != 1 + h.number) load_block(p, m, &h, key, keys, f16, exact);
        add_block(p, m, &h, key, keys, from, groups, exact);
    }
    m->kept = p->k_rows <= BLOCK ? 1 + h.number : 0;
    for (uint32_t g = 0; g < groups; g++) {
        uint32_t row = g / heads * STRIP;
        void *y = stored_place(h.y, (size_t)row * p->y_stride + g % heads * p->head_dim, f16);
        store_rows(p, m, g, y, least(h.rows - row, STRIP), f16, exact);
    }
    _tile_release();
}

static struct cpu_plan plan_exact(const struct cpu_args *a)
{
    return plan(a, true);
}

static struct cpu_plan plan_fast(const struct cpu_args *a)
{
    return plan(a, false);
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

const struct cpu_kernel CPU_NAME(attention_amx) = { "attention", "f32", false, plan_exact, run_exact };
const struct cpu_kernel CPU_NAME(attention_amx_fast) = { "attention", "f32", true, plan_fast, run_fast };
const struct cpu_kernel CPU_NAME(attention_amx_f16) = { "attention", "f16", true, plan_fast, run_f16 };

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
