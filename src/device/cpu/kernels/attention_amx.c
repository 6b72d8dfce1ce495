/* attention on tiles of bf16 (amx.h): flash attention whose softmax runs while tiles multiply.
 *
 * Groups of 32 queries are rows, keys columns: scores [queries][keys], sums [queries][head_dim] += weights by values.
 * Numbers are sums of two bf16 ones, single ones with --precision fast. An item's queries are converted once, a chunk of keys and
 * values, as many as the second cache holds, once for all groups of the item. Weights are relative to a base of each query. Vectors
 * are as busy as tiles: so while a group's scores of a block of keys become weights, tiles multiply the next block's scores and the
 * last one's values. Nothing is fetched meanwhile: tiles' operands come from the second cache the same way, and wait for it. */
#include "device/cpu/kernels/attention_amx_softmax.h"

#if VEC_AMX

enum {
    MOST_BYTES = 768 * 1024,           /* of an item's groups, and of keys and values that are kept: their share of the cache */
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
    while (heads > 1 && (p->heads % heads || heads * head_bytes(p, exact) > MOST_KEPT_BYTES)) heads--;
    return heads;
}

VEC_INLINE struct cpu_plan plan(const struct cpu_args *a, const bool exact)
{
    const struct attention_params *p = a->params;
    uint32_t together = heads_together(p, exact), heads = p->images * p->heads / together;
    uint32_t wanted = parts(a->threads * ITEMS_PER_THREAD, heads);
    size_t bytes = together * group_bytes(steps_of(p->head_dim, exact), parts(p->head_dim, 16));
    size_t room = MOST_BYTES - (together > 1 ? together * head_bytes(p, exact) : 0);
    uint32_t groups = least((uint32_t)(room / bytes), MOST_GROUPS / together);

    groups = least(groups ? groups : 1, parts(p->q_rows, STRIP));
    while (groups > 1 && parts(p->q_rows, groups * STRIP) < wanted) groups--;
    return (struct cpu_plan) {
        .items = heads * parts(p->q_rows, groups * STRIP), .rows = groups * STRIP, .panels = together,
        .memory = sizeof(struct memory) + together * head_bytes(p, exact) + groups * bytes,
    };
}

/* ---- products -------------------------------------------------------------------- */

VEC_INLINE void multiply_scores(struct softening *w, const bool exact)
{
    _tile_dpbf16ps(0, 6, 4);
    soften_on(w, exact);
    _tile_dpbf16ps(1, 6, 5);
    soften_on(w, exact);
    _tile_dpbf16ps(2, 7, 4);
    soften_on(w, exact);
    _tile_dpbf16ps(3, 7, 5);
    soften_on(w, exact);
}

/* scores = a group's queries by a block's keys; those of another piece are softened meanwhile. */
VEC_INLINE void score(const struct memory *m, const struct piece *piece, float *scores, struct softening *w,
                      const bool exact)
{
    tile_fence();
    for (uint32_t strip = 0; strip < piece->steps; strip++) {
        const uint16_t *keys = piece->keys + strip * m->steps * 2 * TILE, *queries = piece->group.queries;
        float *to = scores + strip * 4 * SUMS;
        zero_sums();
        for (uint32_t s = 0; s < m->steps; s++, keys += 2 * TILE, queries += 2 * TILE) {
            bool both = exact && s + 1 < m->steps;
            load_left(queries);
            if (both) {
                load_right(keys + 2 * TILE);
                multiply_scores(w, exact);
            }
            load_right(keys);
            multiply_scores(w, exact);
            if (!both) continue;
            s++, keys += 2 * TILE, queries += 2 * TILE;
            load_left(queries);
            multiply_scores(w, exact);
        }
        _tile_stored(0, to, 64);
        _tile_stored(1, to + SUMS, 64);
        _tile_stored(2, to + 2 * SUMS, 64);
        _tile_stored(3, to + 3 * SUMS, 64);
    }
    tile_fence();
}

/* A step of keys: sums in registers 0 to 2, of 16 queries, and 3 to 5. */
VEC_INLINE void add_columns(const uint16_t *weights, const uint16_t *values, struct softening *w, const int columns, const bool exact)
{
    _tile_loadd(6, weights, 64);
    _tile_loadd(7, values, 64);
    _tile_dpbf16ps(0, 6, 7);
    soften_on(w, exact);
    if (columns > 1) {
        _tile_loadd(7, values + TILE, 64);
        _tile_dpbf16ps(1, 6, 7);
        soften_on(w, exact);
    }
    if (columns > 2) {
        _tile_loadd(7, values + 2 * TILE, 64);
        _tile_dpbf16ps(2, 6, 7);
        soften_on(w, exact);
    }
    _tile_loadd(6, weights + 2 * TILE, 64);
    if (columns > 2) {
        _tile_dpbf16ps(5, 6, 7);
        soften_on(w, exact);
        _tile_loadd(7, values + TILE, 64);
    }
    if (columns > 1) {
        _tile_dpbf16ps(4, 6, 7);
        soften_on(w, exact);
        _tile_loadd(7, values, 64);
    }
    _tile_dpbf16ps(3, 6, 7);
    soften_on(w, exact);
}

/* sums [2][columns] (+)= weights by values of one to three tiles of head_dim from `column` on. */
VEC_INLINE void add_some_values(const struct memory *m, const struct piece *piece, const uint16_t *weights, uint32_t column,
                                struct softening *w, const int columns, const bool exact)
{
    float *sums = piece->group.sums + column * SUMS, *more = sums + m->columns * SUMS;
    const uint16_t *values = piece->values + column * TILE;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    if (!piece->first) {
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
    for (uint32_t s = 0; s < piece->steps; s++) {
        for (int product = 0; product < (exact ? 3 : 1); product++)
            add_columns(weights + (s * 4 + (product == 2)) * TILE,
                        values + (s * (exact ? 2 : 1) + (product == 1)) * m->columns * TILE, w, columns, exact);
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

VEC_INLINE void add_values(const struct memory *m, const struct piece *piece, const float *in_place, struct softening *w,
                           const bool exact)
{
    const uint16_t *weights = (const uint16_t *)(const void *)in_place;

    tile_fence();
    for (uint32_t c = 0; c < m->columns;) {
        uint32_t left = m->columns - c;
        if (left > 2 && left != 4) {
            add_some_values(m, piece, weights, c, w, 3, exact);
            c += 3;
        } else if (left > 1) {
            add_some_values(m, piece, weights, c, w, 2, exact);
            c += 2;
        } else {
            add_some_values(m, piece, weights, c, w, 1, exact);
            c++;
        }
    }
    tile_fence();
}

/* All pieces of groups [c->from, c->end). */
VEC_INLINE void add_chunk(struct memory *m, const struct chunk *c, const bool exact)
{
    struct piece piece = piece_at(m, c, c->from, 0, exact), last = piece, next = piece;

    score(m, &piece, m->scores[0], NULL, exact);
    for (uint32_t i = 0;; i++) {                     /* the next piece's scores, this one's softmax, the last one's values */
        float *scores = m->scores[i % 3], *next_scores = m->scores[(i + 1) % 3], *last_scores = m->scores[(i + 2) % 3];
        bool more = advance(m, c, &piece, &next, exact);
        struct softening w = softening_of(m, &piece, scores, exact);
        hide(c, &piece, scores);
        if (piece.first) set_bases(&piece, scores);
        if (more) score(m, &next, next_scores, &w, exact);
        if (i) add_values(m, &last, last_scores, &w, exact);
        if (soften_rest(&w, exact)) {
            score(m, &piece, scores, NULL, exact);
            hide(c, &piece, scores);
            for (uint32_t row = 0; row < STRIP; row++) raise_base(m, &piece, scores, row);
            w.pair = 0;
            soften_rest(&w, exact);
        }
        add_weights(&w);
        last = piece;
        if (more) piece = next;
        else {
            add_values(m, &last, scores, NULL, exact);
            return;
        }
    }
}

/* One by sixteen queries' sums of weights, which lie in sixteen parts each. */
VEC_INLINE __m512 inverses(const float *weight, const bool exact)
{
    __m512i rows[16];

    for (int i = 0; i < 16; i++) rows[i] = _mm512_load_si512(weight + i * 16);
    turn_16(rows);
    __m512 sum = _mm512_castsi512_ps(rows[0]);
    for (int i = 1; i < 16; i++) sum += _mm512_castsi512_ps(rows[i]);
    return _mm512_set1_ps(exact ? 1 : 1 + CUT_BIAS) / sum;
}

VEC_INLINE void store_16(void *to, __mmask16 some, __m512 x, const bool f16)
{
    if (f16) _mm256_mask_storeu_epi16(to, some, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    else if (some == 0xffff) _mm512_storeu_ps(to, x);
    else _mm512_mask_storeu_ps(to, some, x);
}

/* y [queries][head_dim] = a group's sums, by the sum of its weights. */
VEC_INLINE void store_rows(const struct attention_params *p, struct memory *m, uint32_t group, void *y, uint32_t queries,
                           size_t ahead, const bool f16, const bool exact)
{
    const uint32_t whole = p->head_dim / 16, columns = m->columns;
    const size_t stride = p->y_stride;
    const __mmask16 rest = some_of(p->head_dim, whole * 16);
    struct rows g = rows_at(m, group);
    _Alignas(64) float by[16];

    for (uint32_t row = 0; row < queries; row++) {
        if (row % 16 == 0) _mm512_store_ps(by, inverses(g.weight + row * 16, exact));
        void *to = stored_place(y, row * stride, f16);
        const float *sums = g.sums + row / 16 * columns * SUMS + row % 16 * 16;
        __m512 inverse = _mm512_set1_ps(by[row % 16]);
        for (uint32_t c = 0; c < columns; c += 2) fetch_numbers(stored_place(to, c * 16, f16), ahead, f16);
        for (uint32_t c = 0; c < whole; c++)
            store_16(stored_place(to, c * 16, f16), 0xffff, _mm512_load_ps(sums + c * SUMS) * inverse, f16);
        if (rest) store_16(stored_place(to, whole * 16, f16), rest, _mm512_load_ps(sums + whole * SUMS) * inverse, f16);
    }
}

/* Where a group's queries, or its rows of y, begin; and how many there are. */
static size_t place_of(const struct attention_params *p, const struct memory *m, uint32_t group, uint32_t stride)
{
    return (size_t)(group / m->heads * STRIP) * stride + group % m->heads * p->head_dim;
}

static uint32_t queries_of(const struct memory *m, const struct head *h, uint32_t group)
{
    return least(h->rows - group / m->heads * STRIP, STRIP);
}

VEC_INLINE void load_groups(const struct attention_params *p, struct memory *m, const struct head *h, uint32_t groups,
                            const bool f16, const bool exact)
{
    for (uint32_t g = 0; g < groups; g++) {
        size_t ahead = g + m->heads < groups ? (size_t)STRIP * p->q_stride : 0;
        load_queries(p, m, g, stored_at(h->q, place_of(p, m, g, p->q_stride), f16), queries_of(m, h, g), ahead, f16, exact);
    }
}

VEC_INLINE void store_groups(const struct attention_params *p, struct memory *m, const struct head *h, uint32_t groups,
                             const bool f16, const bool exact)
{
    for (uint32_t g = 0; g < groups; g++) {
        size_t ahead = g + m->heads < groups ? (size_t)STRIP * p->y_stride : 0, place = place_of(p, m, g, p->y_stride);
        for (uint32_t copy = 0; copy < p->copies; copy++)
            store_rows(p, m, g, stored_place(h->y, copy * copy_step(p) + place, f16), queries_of(m, h, g), ahead, f16, exact);
    }
}

/* Keys and values of all heads of an item, from `key` on. */
VEC_INLINE void load_chunk(const struct attention_params *p, struct memory *m, const struct head *h, uint32_t key, uint32_t keys,
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
    lay_out(m, p, heads, exact);
    load_groups(p, m, &h, groups, f16, exact);
    for (uint32_t key = 0; key < end; key += m->chunk) {
        struct chunk c = { .key = key, .keys = least(p->k_rows - key, m->chunk), .end = groups,
                           .from = p->causal && key > h.first ? (key - h.first) / STRIP : 0,
                           .first_query = h.first, .causal = p->causal };
        if (m->kept != 1 + h.number) load_chunk(p, m, &h, key, c.keys, f16, exact);
        add_chunk(m, &c, exact);
    }
    m->kept = p->k_rows <= BLOCK ? 1 + h.number : 0;
    store_groups(p, m, &h, groups, f16, exact);
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
