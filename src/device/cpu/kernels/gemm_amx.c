/* gemm on tiles of bf16 with fp32 sums (AMX), for both precisions. --precision fast stores f16, which halves what memory brings.
 *
 * A weight is the sum of two bf16 numbers, high and low: 16 bits, of which fp16 has 11, so nothing is lost. An input is
 * two bf16 numbers too, good to 2^-17, and three of the four products are summed; the fourth, low by low, is smaller than
 * that again. A tile takes 16 times the multiply-adds of a vector register's, so that three products are still several
 * times as fast as fp32's one. With --precision fast there are as few of them as precision allows.
 *
 * k is walked in chunks, whose inputs and weights are converted into the thread's memory (gemm_amx_load.c); two by two tiles of
 * sums stay in registers for a whole chunk. An item of a 3x3 convolution is a block of pixels with its border: the pixels
 * that a tap sees are those of the tap before it, some rows on, so that an input is converted once for all taps. Other
 * products have their inputs side by side, a row of y each. */
#include "device/cpu/kernels/gemm_amx.h"

#if VEC_AMX

static uint32_t chunk_of(const struct gemm_params *p, uint32_t products)
{
    uint32_t most = products == 1 ? SINGLE_CHUNK : CHUNK;
    return p->kernel_h * p->kernel_w * p->c1 <= most && !p->c2 ? most : CHUNK / 4;
}

/* Whether inputs of all k fit into a thread's memory, for so many rows, a multiple of STRIP. */
static bool whole_fits(const struct gemm_params *p, uint32_t room, uint32_t products)
{
    size_t k = parts(p->kernel_h * p->kernel_w * p->c1, STEP) * STEP;
    return !p->c2 && !(p->flags & GEMM_PHASES) && room * k * (products == 3 ? 2 : 1) <= INPUTS;
}

struct split {                         /* of rows and panels into items */
    uint32_t rows, panels, blocks, items;
};

/* How long the slowest thread takes, in about 50 ns for each step of k: inputs of strips, weights of panels, and their products.
 * An item's first weights are waited for, and its rows' places take time; a third of an item is what threads end apart. */
static uint32_t time_of(const struct cpu_args *a, const struct split *s, uint32_t products)
{
    uint32_t strips = s->rows / STRIP, rounds = parts(s->items, a->threads);
    uint32_t item = s->panels * (strips * (1 + products) + 4) + 2 * (strips + 4);
    bool whole = whole_fits(a->params, s->rows, products);

    return rounds * item + (a->threads > 1 ? item / 3 : 0) + (whole ? least(rounds, s->blocks) : rounds) * strips * 3;
}

/* Where inputs are there whole, a panel's sums are stored before the next one's are made: an item may have any number of panels. */
static struct cpu_plan plan_rows(const struct cpu_args *a, uint32_t products)
{
    const struct gemm_params *p = a->params;
    uint32_t phases = p->flags & GEMM_PHASES ? 4 : 1, all = p->rows / phases, panels = parts(p->cols, PANEL);
    uint32_t first = parts(all, LINE_ROWS), most = a->threads > 1 ? a->threads * ITEMS : 1, shortest = UINT32_MAX;
    struct split best = { 0 };

    for (uint32_t blocks = first; blocks == first || (blocks <= most && all >= blocks * LEAST_ROWS); blocks++)
        for (uint32_t groups = 1; groups <= panels; groups++) {
            struct split s = { .rows = parts(parts(all, blocks), STRIP) * STRIP, .panels = parts(panels, groups) };
            s.blocks = phases * parts(all, s.rows);
            s.items = s.blocks * parts(panels, s.panels);
            if (s.rows * s.panels * PANEL > MOST_SUMS && !whole_fits(p, s.rows, products)) continue;
            uint32_t time = time_of(a, &s, products);
            if (time >= shortest) continue;
            shortest = time;
            best = s;
        }
    return (struct cpu_plan) { best.items, best.rows, best.panels, sizeof(struct amx_item) };
}

static struct cpu_plan plan(const struct cpu_args *a, uint32_t products)
{
    return CPU_NAME(amx_has_blocks)(a->params) ? CPU_NAME(amx_plan_blocks)(a) : plan_rows(a, products);
}

/* Weights that come after those at hand: of a panel of the item, and in rows of w how far on. */
struct after {
    bool some;
    uint32_t panel;
    int32_t shift;
};

static void look_ahead(const struct cpu_args *a, struct amx_item *m, struct after after)
{
    const struct gemm_params *p = a->params;
    const struct gemm_item *it = &m->item;

    m->ahead.next = (const uint16_t *)a->reads[2] + (size_t)(it->panel + after.panel) * p->k * PANEL;
    m->ahead.shift = after.shift;
    m->ahead.run = after.some ? 0 : it->run_count;
    m->ahead.row = 0;
}

/* The next row of them to the second cache. */
static void ask_for_row(const struct gemm_params *p, struct amx_ahead *ahead, const struct gemm_run *run)
{
    for (uint32_t tap = 0; tap < run->w_count; tap++) {
        uint32_t row = run->w[tap] + ahead->row + (uint32_t)ahead->shift;
        const uint16_t *at = ahead->next + (size_t)least(row, p->k - 1) * PANEL;
        _mm_prefetch((const char *)at, _MM_HINT_T1);
        _mm_prefetch((const char *)(at + PANEL / 2), _MM_HINT_T1);
    }
    if (++ahead->row < run->length) return;
    ahead->row = 0;
    ahead->run++;
}

/* Their share of a step of tiles: memory takes as long to bring them as tiles to multiply, and a processor waits where many
 * are asked for at once. */
VEC_INLINE void ask_for_weights(const struct gemm_params *p, struct amx_item *m)
{
    struct amx_ahead *ahead = &m->ahead;

    for (ahead->due += ahead->rows; ahead->due >= ahead->visits; ahead->due -= ahead->visits)
        if (ahead->run < m->item.run_count) ask_for_row(p, ahead, &m->item.runs[ahead->run]);
}

/* Rows [first, first + STRIP) by one strip of the panel. */
VEC_INLINE void multiply_strip(const struct gemm_params *p, struct amx_item *m, uint32_t first, const uint16_t *weights,
                               float *sums, bool add, const int products)
{
    const uint16_t *strip = m->chunk + (size_t)first / STRIP * m->next_strip;

    if (add) load_sums(sums, PANEL);
    else zero_sums();
    for (uint32_t s = 0; s < m->steps; s++, weights += products == 1 ? 2 * TILE : 4 * TILE) {
        const uint16_t *inputs = strip + (size_t)m->slot[s] * m->next_slot + m->pixel[s] * STEP;
        ask_for_weights(p, m);
        add_step(inputs, inputs + m->next_number, weights, products);
    }
    store_sums(sums, PANEL);
}

VEC_INLINE void multiply_panel(const struct gemm_params *p, struct amx_item *m, uint32_t panel, uint32_t columns, bool add,
                               const int products)
{
    struct gemm_item *it = &m->item;
    float *sums = it->sums + (size_t)panel * it->room * PANEL;

    m->ahead.due = 0;
    m->ahead.rows = STEP;
    m->ahead.visits = parts(columns, STRIP) * parts(it->rows, STRIP);
    tile_fence();
    for (uint32_t c = 0; c < parts(columns, STRIP); c++)
        for (uint32_t r = 0; r < it->rows; r += STRIP)
            multiply_strip(p, m, r, m->panel + (size_t)c * m->steps * m->next_step, sums + (size_t)r * PANEL + c * STRIP, add,
                           products);
    tile_fence();
}

/* ---- items ---------------------------------------------------------------------------- */

/* Of the taps, or of a shortcut, which is a 1x1 convolution. */
static void choose_products(struct amx_item *m, uint32_t taps_products, bool own)
{
    uint32_t products = own ? 3 : taps_products;

    if (m->products != products) m->few.ready = NULL;
    m->products = products;
    m->numbers = m->products == 3 ? 2 : 1;
}

/* Of the chunk that begins with k. */
static void multiply(const struct cpu_args *a, struct amx_item *m, uint32_t panel, uint32_t columns, uint32_t k, struct after after)
{
    const struct gemm_params *p = a->params;

    CPU_NAME(amx_load_panel)(a, m, panel);
    look_ahead(a, m, after);
    if (m->products == 3) multiply_panel(p, m, panel, columns, k > 0, 3);
    else if (m->products == 2) multiply_panel(p, m, panel, columns, k > 0, 2);
    else multiply_panel(p, m, panel, columns, k > 0, 1);
}

static void multiply_few(const struct cpu_args *a, struct amx_item *m, uint32_t panel, uint32_t columns, uint32_t k, struct after after)
{
    const struct gemm_params *p = a->params;
    const struct gemm_item *it = &m->item;
    const uint16_t *w = (const uint16_t *)a->reads[2] + (size_t)it->panel * p->k * PANEL;
    uint32_t next = k + (uint32_t)after.shift;

    m->few.now = w + ((size_t)panel * p->k + k) * PANEL;
    m->few.next = after.some ? w + ((size_t)after.panel * p->k + next) * PANEL : m->few.now;
    CPU_NAME(amx_add_few)(m, panel, columns, k > 0);
}

static void add_panel(const struct cpu_args *a, struct amx_item *m, uint32_t panel, uint32_t k, bool last, struct after after)
{
    const struct gemm_params *p = a->params;
    uint32_t columns = least(p->cols - (m->item.panel + panel) * PANEL, PANEL);

    if (m->few.rows) multiply_few(a, m, panel, columns, k, after);
    else multiply(a, m, panel, columns, k, after);
    if (last) CPU_NAME(gemm_store)(a, &m->item, panel, 0, m->item.rows);
}

/* Of a chunk whose panels come one after the other: the next one, or the first one in the next chunk. */
static struct after after_panel(const struct gemm_item *it, uint32_t panel, bool last, uint32_t chunk)
{
    if (panel + 1 < it->panels) return (struct after) { true, panel + 1, 0 };
    return (struct after) { !last, 0, (int32_t)chunk };
}

static void run_block(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m,
                      uint32_t products)
{
    const struct gemm_params *p = a->params;
    uint32_t all = p->c1 + p->c2 + p->c3, channels;

    CPU_NAME(amx_begin_block)(a, plan, index, m);
    m->few.rows = false;
    for (uint32_t c = 0; c < all; c += channels) {
        choose_products(m, products, c >= p->c1);
        channels = CPU_NAME(amx_load_channels)(a, m, c);
        bool last = c + channels == all;
        for (uint32_t panel = 0; panel < m->item.panels; panel++)
            add_panel(a, m, panel, c, last, after_panel(&m->item, panel, last, channels));
    }
}

/* Panel after panel, by inputs that are loaded once for all of them, and for the next item where it has the same rows. */
static void run_whole(const struct cpu_args *a, struct amx_item *m, uint32_t rows, uint32_t products)
{
    struct gemm_item *it = &m->item;

    choose_products(m, products, false);
    for (; it->panels > 0; it->panels--, it->panel++, m->kept = rows)
        for (uint32_t k = 0, length; k < it->k; k += length) {
            length = gemm_length(it, k);
            bool last = k + length == it->k;
            m->chunk = m->inputs + (size_t)k * it->room * m->numbers;
            CPU_NAME(gemm_block)(a, it, k, length);
            CPU_NAME(amx_lay_out_rows)(m, length);
            if (m->kept != rows) CPU_NAME(amx_load_rows)(a->params, m);
            add_panel(a, m, 0, k, last,
                      last ? (struct after) { it->panels > 1, 1, -(int32_t)k } : (struct after) { true, 0, (int32_t)length });
        }
}

/* Chunk after chunk, by inputs that are loaded for each. */
static void run_chunks(const struct cpu_args *a, struct amx_item *m, uint32_t products)
{
    struct gemm_item *it = &m->item;

    m->chunk = m->inputs;
    for (uint32_t k = 0, length; k < it->k; k += length) {
        length = gemm_length(it, k);
        bool last = k + length == it->k;
        choose_products(m, products, k >= it->taps_k);
        CPU_NAME(gemm_block)(a, it, k, length);
        CPU_NAME(amx_lay_out_rows)(m, length);
        CPU_NAME(amx_load_rows)(a->params, m);
        for (uint32_t panel = 0; panel < it->panels; panel++)
            add_panel(a, m, panel, k, last, after_panel(it, panel, last, length));
    }
}

static void run_rows(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m,
                     uint32_t products)
{
    const struct gemm_params *p = a->params;
    uint32_t rows = 1 + index / parts(parts(p->cols, PANEL), plan->panels);

    CPU_NAME(gemm_begin)(a, plan, index, chunk_of(p, products), &m->item);
    m->few = (struct amx_few) { .rows = CPU_NAME(amx_has_few)(p, m->item.rows) };
    if (whole_fits(p, m->item.room, products)) run_whole(a, m, rows, products);
    else run_chunks(a, m, products);
}

static void run(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m, uint32_t products)
{
    static const struct amx_config config = AMX_ALL_TILES;

    _tile_loadconfig(&config);
    if (CPU_NAME(amx_has_blocks)(a->params)) run_block(a, plan, index, m, products);
    else run_rows(a, plan, index, m, products);
    _tile_release();
}

static struct cpu_plan plan_exact(const struct cpu_args *a)
{
    return plan(a, 3);
}

static struct cpu_plan plan_fast(const struct cpu_args *a)
{
    return plan(a, gemm_fast_products(a->params));
}

static void run_exact(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, void *memory)
{
    run(a, plan, index, memory, 3);
}

static void run_fast(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, void *memory)
{
    run(a, plan, index, memory, gemm_fast_products(a->params));
}

const struct cpu_kernel CPU_NAME(gemm_amx) = { "gemm", "f32", false, plan_exact, run_exact };
const struct cpu_kernel CPU_NAME(gemm_amx_fast) = { "gemm", "f32", true, plan_fast, run_fast };
const struct cpu_kernel CPU_NAME(gemm_amx_f16) = { "gemm", "f16", true, plan_fast, run_fast };

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
