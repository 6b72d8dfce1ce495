/* A panel of weights by a chunk of inputs on tiles of bf16, two by two tiles of sums in registers for the whole chunk.
 *
 * Vectors have nothing to do while tiles multiply, and memory brings weights as slowly as tiles multiply them by few rows. So
 * meanwhile vectors convert the weights of the next panel or chunk, whose place takes turns with the one at hand, and
 * those of the one after it are asked for, to be in the second cache by then. */
#include "device/cpu/kernels/gemm_amx.h"

#if VEC_AMX

struct weights {                       /* of a unit, a pair of rows of w at a time */
    const struct gemm_runs *runs;
    const uint16_t *w;                 /* the panel's */
    const uint16_t *from;              /* the next pair, where it is no sum */
    const struct gemm_run *run;        /* that it is of; NULL behind the last */
    uint32_t next_run, left;           /* pairs in the run */
    uint32_t pair, pairs;
};

struct meanwhile {                     /* what vectors do */
    struct weights turned;             /* of the next unit, to */
    uint16_t *to;                      /* [strip][step] */
    size_t next_strip;
    struct weights asked;              /* of the unit after it */
    uint32_t visits, due, dues;        /* a pair when 1 / visits are due, and what each visit adds */
};

static struct weights weights_of(const struct cpu_args *a, const struct amx_item *m, struct amx_unit unit)
{
    const struct gemm_params *p = a->params;

    if (!unit.chunk) return (struct weights) { 0 };
    return (struct weights) {
        .runs = &unit.chunk->runs, .w = (const uint16_t *)a->reads[2] + (size_t)(m->item.panel + unit.panel) * p->k * PANEL,
        .pairs = unit.chunk->steps * PAIRS,
    };
}

static struct weights next_run(struct weights s)
{
    bool some = s.next_run < s.runs->count;

    s.run = some ? &s.runs->run[s.next_run++] : NULL;
    s.left = some ? s.run->length / 2 : s.pairs - s.pair;
    s.from = s.w + (some ? (size_t)s.run->w[0] * PANEL : 0);
    return s;
}

static inline void go_on(struct weights *s)
{
    s->from += 2 * PANEL;
    s->pair++;
    s->left--;
}

/* ---- asked for ------------------------------------------------------------------- */

/* The next pair to the second cache. */
VEC_INLINE void ask_for_pair(struct weights *asked)
{
    if (asked->pair == asked->pairs) return;
    if (!asked->left) *asked = next_run(*asked);
    for (uint32_t c = 0; c < 2 * PANEL; c += 32) _mm_prefetch((const char *)(asked->from + c), _MM_HINT_T1);
    for (uint32_t tap = 1; asked->run && tap < asked->run->w_count; tap++) {
        ptrdiff_t on = ((ptrdiff_t)asked->run->w[tap] - (ptrdiff_t)asked->run->w[0]) * PANEL;
        for (uint32_t c = 0; c < 2 * PANEL; c += 32) _mm_prefetch((const char *)(asked->from + on + c), _MM_HINT_T1);
    }
    go_on(asked);
}

/* ---- converted ------------------------------------------------------------------- */

/* A pair that is a sum of so many, or of zeros. */
VEC_INLINE void turn_sum_of(struct weights s, uint16_t *to, size_t next_strip, const uint32_t taps, const bool single)
{
    const uint16_t *from[4] = { s.from };

    for (uint32_t tap = 1; tap < taps; tap++) from[tap] = s.from + ((ptrdiff_t)s.run->w[tap] - (ptrdiff_t)s.run->w[0]) * PANEL;
    for (uint32_t c = 0; c < PANEL; c += 16) {
        __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
        for (uint32_t tap = 0; tap < taps; tap++) {
            even += widen_16(from[tap] + c);
            odd += widen_16(from[tap] + c + PANEL);
        }
        store_weights(columns_at(to, next_strip, c), even, odd, true, single);
    }
}

/* Of a phase's tap, of two or four taps of w. */
VEC_INLINE void turn_sum(struct weights s, uint16_t *to, size_t next_strip, const bool single)
{
    if (!s.run) turn_sum_of(s, to, next_strip, 0, single);
    else if (s.run->w_count == 2) turn_sum_of(s, to, next_strip, 2, single);
    else turn_sum_of(s, to, next_strip, 4, single);
}

static __attribute__((noinline)) void turn_sum_exact(struct weights s, uint16_t *to, size_t next_strip)
{
    turn_sum(s, to, next_strip, false);
}

static __attribute__((noinline)) void turn_sum_single(struct weights s, uint16_t *to, size_t next_strip)
{
    turn_sum(s, to, next_strip, true);
}

/* The next pair to its place. */
VEC_INLINE void turn_pair(struct meanwhile *w, const bool single)
{
    struct weights *s = &w->turned;
    uint16_t *to = w->to + (size_t)(s->pair / PAIRS) * (single ? 2 : 4) * TILE + s->pair % PAIRS * STEP;

    if (s->pair == s->pairs) return;
    if (!s->left) *s = next_run(*s);
    if (s->run && s->run->w_count == 1)
#pragma GCC unroll 4
        for (uint32_t c = 0; c < PANEL; c += 16)
            store_weights(columns_at(to, w->next_strip, c), widen_16(s->from + c), widen_16(s->from + c + PANEL), false, single);
    else if (single) turn_sum_single(*s, to, w->next_strip);
    else turn_sum_exact(*s, to, w->next_strip);
    go_on(s);
}

/* ---- multiplied ------------------------------------------------------------------- */

/* Vectors' share of a few products. */
VEC_INLINE void visit(struct meanwhile *w, const bool single)
{
    for (w->due += w->dues; w->due >= w->visits; w->due -= w->visits) {
        turn_pair(w, single);
        ask_for_pair(&w->asked);
    }
}

/* Rows [first, first + STRIP) by one strip of the panel. */
VEC_INLINE void multiply_strip(const struct amx_item *m, struct meanwhile *w, uint32_t first, const uint16_t *weights,
                               uint32_t steps, float *sums, bool add, const int products)
{
    const uint16_t *strip = m->at + (size_t)first / STRIP * m->next_strip;

    if (add) load_sums(sums, PANEL);
    else zero_sums();
    for (uint32_t s = 0; s < steps; s++, weights += products == 1 ? 2 * TILE : 4 * TILE) {
        const uint16_t *inputs = strip + (size_t)m->slot[s] * m->next_slot + m->pixel[s] * STEP;
        add_step(inputs, inputs + m->next_number, weights, products, visit, w);
    }
    store_sums(sums, PANEL);
}

VEC_INLINE void multiply(const struct amx_item *m, struct meanwhile w, uint32_t steps, uint32_t strips, float *sums, bool add,
                         const int products)
{
    const size_t next = (size_t)steps * (products == 1 ? 2 : 4) * TILE;

    w.visits = strips * parts(m->item.rows, STRIP) * steps * (uint32_t)products;
    tile_fence();
    for (uint32_t c = 0; c < strips; c++)
        for (uint32_t r = 0; r < m->item.rows; r += STRIP)
            multiply_strip(m, &w, r, m->panel[m->side] + c * next, steps, sums + (size_t)r * PANEL + c * STRIP, add, products);
    tile_fence();
}

/* To one side of the panel. */
static struct meanwhile set_out(const struct cpu_args *a, struct amx_item *m, struct amx_unit turned, uint32_t side)
{
    struct meanwhile w = { .turned = weights_of(a, m, turned), .to = m->panel[side] };

    if (turned.chunk) w.next_strip = (size_t)turned.chunk->steps * (turned.chunk->products == 1 ? 2 : 4) * TILE;
    return w;
}

static void turn_now(const struct cpu_args *a, struct amx_item *m, struct amx_unit unit)
{
    struct meanwhile w = set_out(a, m, unit, m->side);

    while (w.turned.pair < w.turned.pairs)
        if (unit.chunk->products == 1) turn_pair(&w, true);
        else turn_pair(&w, false);
}

void CPU_NAME(amx_multiply)(const struct cpu_args *a, struct amx_item *m, const struct amx_unit units[3], float *sums)
{
    const struct gemm_params *p = a->params;
    const struct amx_chunk *chunk = units->chunk;
    uint32_t strips = parts(least(p->cols - (m->item.panel + units->panel) * PANEL, PANEL), STRIP);

    if (!m->ready) turn_now(a, m, units[0]);
    m->ready = amx_alike(chunk, units[1].chunk);
    struct meanwhile w = set_out(a, m, m->ready ? units[1] : (struct amx_unit) { 0 }, m->side ^ 1);
    w.asked = weights_of(a, m, units[2]);
    w.dues = w.turned.pairs > w.asked.pairs ? w.turned.pairs : w.asked.pairs;
    if (chunk->products == 3) multiply(m, w, chunk->steps, strips, sums, chunk->k > 0, 3);
    else if (chunk->products == 2) multiply(m, w, chunk->steps, strips, sums, chunk->k > 0, 2);
    else multiply(m, w, chunk->steps, strips, sums, chunk->k > 0, 1);
    m->side ^= 1;
}

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
