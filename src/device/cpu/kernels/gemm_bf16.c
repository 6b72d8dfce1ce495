/* gemm with bf16 products and fp32 sums (--precision fast), for processors with bf16 dot products. Storage stays f32.
 *
 * A block's inputs are rounded to bf16 rows in the thread's memory, once for all panels; a panel's weights become
 * pairs of k, [k / 2][column][2], while the first strip of rows multiplies; each dot product adds two k at a time. Where more than
 * one product would be needed (gemm_parts.h), fp32's own are as fast. */
#include "device/cpu/kernels/gemm_parts.h"
#include "device/cpu/kernels/tile_bf16.h"

#if VEC_BF16

enum { ROWS = 120, PANELS = 10 };      /* of an item at most: inputs, sums and weights share 1 MB of cache */

struct memory {
    struct gemm_item item;
    struct gemm_runs runs;                                  /* of the block at hand */
    _Alignas(64) uint16_t inputs[ROWS * K_BLOCK];           /* [row][block] */
    _Alignas(64) uint16_t panel[K_BLOCK * PANEL];         /* [block / 2][column][2] */
};

extern const struct cpu_kernel CPU_NAME(gemm);

static struct cpu_plan plan(const struct cpu_args *a)
{
    if (gemm_fast_products(a->params) > 1) return CPU_NAME(gemm).plan(a);
    return CPU_NAME(gemm_plan)(a, (struct gemm_limits) { ROWS, PANELS, TILE_ROWS, 8, sizeof(struct memory) });
}

/* The block's inputs, rounded. Runs are even, as channels are multiples of 4: no pair spans two. */
static void load_inputs(const struct gemm_params *p, struct memory *m, uint32_t length)
{
    for (uint32_t r = 0; r < m->item.rows; r++) {
        uint16_t *to = m->inputs + (size_t)r * length;
        for (uint32_t i = 0; i < m->runs.count; i++) {
            const struct gemm_run *run = &m->runs.run[i];
            narrow_bf16(to, CPU_NAME(gemm_pixel)(p, &m->item, run, &m->item.places[r]), run->length);
            to += run->length;
        }
    }
}

/* A panel's weights for a block, as pairs, where each is a sum of some. */
static void pair_sums(const struct cpu_args *a, struct memory *m, uint32_t panel)
{
    const uint16_t *w = gemm_panel(a, &m->item, panel);
    uint16_t *to = m->panel;

    for (uint32_t r = 0; r < m->runs.count; r++) {
        const struct gemm_run *run = &m->runs.run[r];
        for (uint32_t i = 0; i < run->length; i += 2, to += 2 * PANEL) {
            gemm_fetch_weights(run, w, i);
            gemm_fetch_weights(run, w, i + 1);
            for (uint32_t c = 0; c < PANEL; c += VEC_WIDTH)
                pair_bf16(to + 2 * c, gemm_weight(run, w, i, c), gemm_weight(run, w, i + 1, c));
        }
    }
}

static void multiply_panel(const struct cpu_args *a, struct memory *m, uint32_t panel, uint32_t k, uint32_t length)
{
    const struct gemm_params *p = a->params;
    struct gemm_item *it = &m->item;
    uint32_t vecs = parts(least(p->cols - (it->panel + panel) * PANEL, PANEL), VEC_WIDTH);
    float *sums = it->sums + (size_t)panel * it->room * PANEL;
    const uint16_t *halves = gemm_block_weights(a, it, panel, k), *x = m->inputs;

    if (!halves) pair_sums(a, m, panel);
    for (uint32_t r = 0; r < it->rows; r += TILE_ROWS, x += TILE_ROWS * length, halves = NULL) {
        uint32_t rows = least(it->rows - r, TILE_ROWS);
        float *to = sums + r * PANEL;
        if (k + length == it->k) CPU_NAME(gemm_fetch)(a, it, it->panel + panel, r, r + rows);
        if (halves) CPU_NAME(tile_bf16_of_halves)(x, length / 2, 1, length, halves, m->panel, to, k > 0, rows, vecs);
        else CPU_NAME(tile_bf16)(x, length / 2, 1, length, m->panel, to, k > 0, rows, vecs);
        if (k + length == it->k) CPU_NAME(gemm_store)(a, it, sums, it->panel + panel, r, r + rows);
    }
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, void *memory)
{
    struct memory *m = memory;
    struct gemm_item *it = &m->item;

    if (gemm_fast_products(a->params) > 1) {
        CPU_NAME(gemm).run(a, plan, index, memory);
        return;
    }
    CPU_NAME(gemm_begin)(a, plan, index, K_BLOCK, it);
    for (uint32_t k = 0, length; k < it->k; k += length) {
        length = gemm_length(it, k);
        CPU_NAME(gemm_block)(a, it, k, length, &m->runs);
        load_inputs(a->params, m, length);
        for (uint32_t panel = 0; panel < it->panels; panel++) multiply_panel(a, m, panel, k, length);
    }
}

const struct cpu_kernel CPU_NAME(gemm_bf16) = { "gemm", "f32", true, plan, run_item };

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
