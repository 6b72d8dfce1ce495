/* gemm on tiles of bf16 with fp32 sums (AMX), for both precisions. Storage stays f32.
 *
 * A weight is the sum of two bf16 numbers, high and low: 16 bits, of which fp16 has 11, so nothing is lost. With
 * --precision fast an input is rounded to bf16 and meets both. Else an input is two bf16 numbers too, good to 2^-17, and
 * three of the four products are summed; the fourth, low by low, is smaller than that again. A tile takes 16 times the
 * multiply-adds of a vector register's, so that three products are still several times as fast as fp32's one.
 *
 * k is walked in chunks, whose inputs and weights are converted into the thread's memory (gemm_amx_load.c); two by two tiles of
 * sums stay in registers for a whole chunk. An item of a 3x3 convolution is a block of pixels with its border: the pixels
 * that a tap sees are those of the tap before it, some rows on, so that an input is converted once for all taps. Other
 * products have their inputs side by side, a row of y each. */
#include "device/cpu/kernels/gemm_amx.h"

#if VEC_AMX

static bool one_chunk(const struct gemm_params *p)
{
    return p->kernel_h * p->kernel_w * (p->c1 + p->c2) <= CHUNK;
}

/* Where k is one chunk, sums are stored before the next panel's are made: an item may have any number of panels. */
static struct cpu_plan plan(const struct cpu_args *a)
{
    uint32_t panels = one_chunk(a->params) ? 1 << 20 : PANELS;

    if (CPU_NAME(amx_has_blocks)(a->params)) return CPU_NAME(amx_plan_blocks)(a);
    return CPU_NAME(gemm_plan)(a, (struct gemm_limits) { LINE_ROWS, panels, STRIP, ITEMS, sizeof(struct amx_item) });
}

/* Rows [first, first + STRIP) by one strip of the panel. */
VEC_INLINE void multiply_strip(const struct amx_item *m, uint32_t first, const uint16_t *weights, float *sums, bool add,
                               const int products)
{
    const uint16_t *strip = m->inputs + (size_t)first / STRIP * m->next_strip;

    if (add) load_sums(sums, PANEL);
    else zero_sums();
    for (uint32_t s = 0; s < m->steps; s++, weights += 4 * TILE) {
        const uint16_t *inputs = strip + (size_t)m->slot[s] * m->next_slot + m->pixel[s] * STEP;
        add_step(inputs, inputs + m->next_number, weights, products);
    }
    store_sums(sums, PANEL);
}

VEC_INLINE void multiply_panel(struct amx_item *m, uint32_t panel, uint32_t columns, bool add, const int products)
{
    struct gemm_item *it = &m->item;
    float *sums = it->sums + (size_t)panel * it->room * PANEL;

    tile_fence();
    for (uint32_t c = 0; c < parts(columns, STRIP); c++)
        for (uint32_t r = 0; r < it->rows; r += STRIP)
            multiply_strip(m, r, m->panel + (size_t)c * m->steps * 4 * TILE, sums + (size_t)r * PANEL + c * STRIP, add, products);
    tile_fence();
}

/* ---- items ---------------------------------------------------------------------------- */

static void add_panel(const struct cpu_args *a, struct amx_item *m, uint32_t panel, bool first, bool last)
{
    const struct gemm_params *p = a->params;
    uint32_t columns = least(p->cols - (m->item.panel + panel) * PANEL, PANEL);

    CPU_NAME(amx_load_panel)(a, m, panel);
    if (m->numbers == 2) multiply_panel(m, panel, columns, !first, 3);
    else multiply_panel(m, panel, columns, !first, 2);
    if (last) CPU_NAME(gemm_store)(a, &m->item, panel, 0, m->item.rows);
}

static void run_block(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m)
{
    const struct gemm_params *p = a->params;
    uint32_t all = p->c1 + p->c2, channels;

    CPU_NAME(amx_begin_block)(a, plan, index, m);
    for (uint32_t c = 0; c < all; c += channels) {
        channels = CPU_NAME(amx_load_channels)(a, m, c);
        for (uint32_t panel = 0; panel < m->item.panels; panel++) add_panel(a, m, panel, c == 0, c + channels == all);
    }
}

static void run_rows(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m)
{
    struct gemm_item *it = &m->item;

    CPU_NAME(gemm_begin)(a, plan, index, one_chunk(a->params) ? CHUNK : CHUNK / 4, it);
    for (uint32_t k = 0; k < it->k; k += it->block) {
        uint32_t length = least(it->k - k, it->block);
        CPU_NAME(gemm_block)(a, it, k, length);
        CPU_NAME(amx_load_rows)(a->params, m, length);
        if (length == it->k)
            for (uint32_t panels = it->panels; panels > 0; panels--, it->panel++) add_panel(a, m, 0, true, true);
        else
            for (uint32_t panel = 0; panel < it->panels; panel++) add_panel(a, m, panel, k == 0, k + length == it->k);
    }
}

static void run(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m)
{
    static const struct amx_config config = AMX_ALL_TILES;

    _tile_loadconfig(&config);
    if (CPU_NAME(amx_has_blocks)(a->params)) run_block(a, plan, index, m);
    else run_rows(a, plan, index, m);
    _tile_release();
}

static void run_exact(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, void *memory)
{
    struct amx_item *m = memory;
    m->numbers = 2;
    run(a, plan, index, m);
}

static void run_fast(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, void *memory)
{
    struct amx_item *m = memory;
    m->numbers = 1;
    run(a, plan, index, m);
}

const struct cpu_kernel CPU_NAME(gemm_amx) = { "gemm", "f32", false, plan, run_exact };
const struct cpu_kernel CPU_NAME(gemm_amx_fast) = { "gemm", "f32", true, plan, run_fast };

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
