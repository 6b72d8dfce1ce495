/* gemm on tiles of bf16 with fp32 sums (AMX), for both precisions. --precision fast stores f16, which halves what memory brings.
 *
 * A weight is the sum of two bf16 numbers, high and low: 16 bits, of which fp16 has 11, so nothing is lost. An input is
 * two bf16 numbers too, good to 2^-17, and three of the four products are summed; the fourth, low by low, is smaller than
 * that again. A tile takes 16 times the multiply-adds of a vector register's, so that three products are still several
 * times as fast as fp32's one. With --precision fast there are as few of them as precision allows.
 *
 * k is walked in chunks, whose inputs (gemm_amx_load.c) and weights (gemm_amx_multiply.c) are converted into the thread's
 * memory. An item of a 3x3 convolution is a block of pixels with its border: the pixels that a tap sees are those of the
 * tap before it, some rows on, so that an input is converted once for all taps. Other products have their inputs side by
 * side, a row of y each. */
#include "device/cpu/kernels/gemm_amx.h"

#if VEC_AMX

/* Whether inputs of all k are converted once and stay, for so many rows, a multiple of STRIP. */
static bool whole_fits(const struct gemm_params *p, uint32_t room, uint32_t products)
{
    size_t k = parts(p->kernel_h * p->kernel_w * p->c1, STEP) * STEP;
    return !p->c2 && !(p->flags & GEMM_PHASES) && room * k * (products == 3 ? 2 : 1) <= WHOLE;
}

/* All of a short row; else as many k as leave an item's inputs, sums and weights in the second cache. */
static uint32_t chunk_of(const struct gemm_params *p, const struct cpu_plan *plan, uint32_t products)
{
    uint32_t most = products == 1 ? SINGLE_CHUNK : CHUNK, chunk = CHUNK, numbers = products == 3 ? 2 : 1;
    size_t sums = (size_t)plan->rows * plan->panels * PANEL * sizeof(float);

    if (p->kernel_h * p->kernel_w * p->c1 <= most && !p->c2) return most;
    if (whole_fits(p, plan->rows, products)) return CHUNK / 4;
    while (chunk > CHUNK / 4 && sums + (size_t)chunk * (plan->rows + 2 * PANEL) * numbers * sizeof(uint16_t) > CACHE) chunk /= 2;
    return chunk;
}

struct split {                         /* of rows and panels into items */
    uint32_t rows, panels, blocks, items;
};

/* How long the slowest thread takes, in about 50 ns for each step of k: inputs of strips, products of panels, and what of their
 * weights tiles wait for. An item's first weights are waited for, and its rows' places take time; a third of an item is what
 * threads end apart. */
static uint32_t time_of(const struct cpu_args *a, const struct split *s, uint32_t products)
{
    uint32_t strips = s->rows / STRIP, rounds = parts(s->items, a->threads);
    uint32_t inputs = strips * (products == 3 ? 5 : 3), weights = products == 3 ? 1 : 4;
    uint32_t item = s->panels * (strips * (1 + products) + weights) + 2 * (strips + 4);
    bool whole = whole_fits(a->params, s->rows, products);

    return rounds * item + (a->threads > 1 ? item / 3 : 0) + (whole ? least(rounds, s->blocks) : rounds) * inputs;
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

/* ---- items ---------------------------------------------------------------------------- */

struct walk {                          /* of an item's units */
    bool blocks;                       /* of pixels */
    bool few;                          /* rows */
    bool whole;                        /* inputs of all k lie there: panel after panel. Else chunk after chunk */
    uint32_t rows;                     /* 1 + the item's block of rows */
    uint32_t products;                 /* of the taps; a shortcut is a 1x1 convolution */
    uint32_t k;                        /* all of it */
    uint32_t made;                     /* chunks */
};

static struct amx_chunk *make_chunk(const struct cpu_args *a, struct amx_item *m, struct walk *w, uint32_t k)
{
    const struct gemm_params *p = a->params;
    const struct gemm_item *it = &m->item;
    struct amx_chunk *chunk = &m->chunks[w->made++ % 3];

    chunk->products = k < (w->blocks ? p->c1 : it->taps_k) ? w->products : 3;
    if (w->blocks) {
        CPU_NAME(amx_block_chunk)(a, m, k, chunk);
        return chunk;
    }
    chunk->k = k;
    chunk->end = k + gemm_length(it, k);
    chunk->steps = parts(chunk->end - k, STEP);
    CPU_NAME(gemm_block)(a, it, k, chunk->end - k, &chunk->runs);
    return chunk;
}

/* The unit after one; its chunk is made unless it is the same. */
static struct amx_unit unit_after(const struct cpu_args *a, struct amx_item *m, struct walk *w, struct amx_unit u)
{
    bool last_chunk = !u.chunk || u.chunk->end == w->k, last_panel = u.panel + 1 == m->item.panels;

    if (!u.chunk || (last_chunk && last_panel)) return (struct amx_unit) { 0 };
    if (w->whole && !last_chunk) return (struct amx_unit) { make_chunk(a, m, w, u.chunk->end), u.panel };
    if (w->whole) return (struct amx_unit) { u.chunk->k == 0 ? u.chunk : make_chunk(a, m, w, 0), u.panel + 1 };
    if (!last_panel) return (struct amx_unit) { u.chunk, u.panel + 1 };
    return (struct amx_unit) { make_chunk(a, m, w, u.chunk->end), 0 };
}

/* A chunk's inputs, at its first panel: where they lie there whole, they may from the last item on. */
static void load_inputs(const struct cpu_args *a, struct amx_item *m, const struct walk *w, const struct amx_chunk *chunk,
                        bool first)
{
    m->numbers = chunk->products == 3 ? 2 : 1;
    m->at = m->inputs + (w->whole ? (size_t)chunk->k * m->item.room * m->numbers : 0);
    if (w->blocks && first) CPU_NAME(amx_load_block)(a, m, chunk);
    if (w->blocks) return;
    CPU_NAME(amx_lay_out_rows)(m, chunk);
    if (first && !(w->whole && m->kept == w->rows)) CPU_NAME(amx_load_rows)(a->params, m, chunk);
}

/* Where inputs lie there whole, a panel's sums are stored before the next one's are made. */
static void run_units(const struct cpu_args *a, struct amx_item *m, struct walk *w)
{
    const struct gemm_item *it = &m->item;
    struct amx_unit units[3] = { { make_chunk(a, m, w, 0), 0 } };

    m->ready = false;
    m->side = 0;
    for (units[1] = unit_after(a, m, w, units[0]); units[0].chunk; units[0] = units[1], units[1] = units[2]) {
        const struct amx_unit *u = &units[0];
        units[2] = unit_after(a, m, w, units[1]);
        load_inputs(a, m, w, u->chunk, u->panel == 0);
        float *sums = m->item.sums + (w->whole ? 0 : (size_t)u->panel * it->room * PANEL);
        if (w->few) CPU_NAME(amx_multiply_few)(a, m, units, sums);
        else CPU_NAME(amx_multiply)(a, m, units, sums);
        if (u->chunk->end == w->k) CPU_NAME(gemm_store)(a, it, sums, it->panel + u->panel, 0, it->rows);
    }
    m->kept = w->whole ? w->rows : 0;
}

static void run(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m, uint32_t products)
{
    static const struct amx_config config = AMX_ALL_TILES;
    const struct gemm_params *p = a->params;
    struct walk w = { .blocks = CPU_NAME(amx_has_blocks)(p), .rows = 1 + index / parts(parts(p->cols, PANEL), plan->panels),
                      .products = products };

    _tile_loadconfig(&config);
    if (w.blocks) {
        CPU_NAME(amx_begin_block)(a, plan, index, m);
        w.k = p->c1 + p->c2 + p->c3;
    } else {
        CPU_NAME(gemm_begin)(a, plan, index, chunk_of(p, plan, products), &m->item);
        w.few = CPU_NAME(amx_has_few)(p, m->item.rows);
        w.whole = whole_fits(p, m->item.room, products);
        w.k = m->item.k;
    }
    run_units(a, m, &w);
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
