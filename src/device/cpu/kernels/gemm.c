/* gemm on the processor (shaders/gemm.h), in fp32: linear layers and convolutions.
 *
 * An item has one panel. A block is multiplied a strip of rows at a time in tiles (tile.h) whose sums stay in the cache until the
 * last block; its weights are widened to fp32 into the thread's memory while the first strip multiplies. For every tap of a
 * convolution a row's pointer moves to the pixel that the tap sees, or to zeros outside the image. */
#include "device/cpu/kernels/gemm_parts.h"
#include "device/cpu/kernels/gemm_winograd.h"

enum { ROWS = 480 };           /* of an item at most */

struct memory {
    struct gemm_item item;
    struct gemm_runs runs;             /* of the block at hand */
    _Alignas(64) float panel[K_BLOCK * PANEL];
    struct tile_run aimed[MOST_RUNS];
};

static bool is_winograd(const struct cpu_args *a)
{
    const struct gemm_params *p = a->params;
    return p->flags & GEMM_WINOGRAD;
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    if (is_winograd(a)) return CPU_NAME(gemm_winograd_plan)(a);
    return CPU_NAME(gemm_plan)(a, (struct gemm_limits) { ROWS, 1, TILE_ROWS, 8, sizeof(struct memory) });
}

/* The panel's weights for a block of `length`, where each is a sum of some. */
static void sum_weights(const struct cpu_args *a, struct memory *m, uint32_t length)
{
    const uint16_t *w = gemm_panel(a, &m->item, 0);
    float *to = m->panel;

    for (uint32_t r = 0; r < m->runs.count; r++)
        for (uint32_t i = 0; i < m->runs.run[r].length; i++, to += TILE_COLUMNS) {
            gemm_fetch_weights(&m->runs.run[r], w, i);
            for (uint32_t c = 0; c < PANEL; c += VEC_WIDTH)
                vec_store(to + (size_t)(c - c % TILE_COLUMNS) * length + c % TILE_COLUMNS, gemm_weight(&m->runs.run[r], w, i, c));
        }
}

/* Where a strip's rows stand in each run. */
static void aim(const struct gemm_params *p, struct memory *m, uint32_t first, uint32_t rows)
{
    const struct gemm_item *it = &m->item;

    for (uint32_t i = 0; i < m->runs.count; i++) {
        m->aimed[i].length = m->runs.run[i].length;
        for (uint32_t r = 0; r < rows; r++)
            m->aimed[i].a[r] = CPU_NAME(gemm_pixel)(p, it, &m->runs.run[i], &it->places[first + r]);
    }
}

/* halves: the panel's weights of this block, if it is made on the way; else NULL. */
static void multiply_strip(struct memory *m, const uint16_t *halves, uint32_t length, float *sums, uint32_t rows, uint32_t columns,
                           bool add)
{
    for (uint32_t c = 0; c < columns; c += TILE_COLUMNS) {
        uint32_t vecs = parts(least(columns - c, TILE_COLUMNS), VEC_WIDTH), runs = m->runs.count;
        float *panel = m->panel + (size_t)c * length;
        if (halves) CPU_NAME(tile_of_halves)(m->aimed, runs, halves + c, panel, sums + c, PANEL, add, rows, vecs);
        else CPU_NAME(tile)(m->aimed, runs, panel, sums + c, PANEL, add, rows, vecs);
    }
}

/* The item's panel takes in k of [k, k + length). */
static void multiply(const struct cpu_args *a, struct memory *m, uint32_t k, uint32_t length)
{
    const struct gemm_params *p = a->params;
    struct gemm_item *it = &m->item;
    const uint16_t *halves = gemm_block_weights(a, it, 0, k);

    if (!halves) sum_weights(a, m, length);
    for (uint32_t r = 0; r < it->rows; r += TILE_ROWS, halves = NULL) {
        uint32_t rows = least(it->rows - r, TILE_ROWS);
        if (k + length == it->k) CPU_NAME(gemm_fetch)(a, it, it->panel, r, r + rows);
        aim(p, m, r, rows);
        multiply_strip(m, halves, length, it->sums + r * PANEL, rows, least(p->cols - it->panel * PANEL, PANEL), k > 0);
        if (k + length == it->k) CPU_NAME(gemm_store)(a, it, it->sums, it->panel, r, r + rows);
    }
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, void *memory)
{
    struct memory *m = memory;
    struct gemm_item *it = &m->item;

    if (is_winograd(a)) {
        CPU_NAME(gemm_winograd_run)(a, plan, index, memory);
        return;
    }
    CPU_NAME(gemm_begin)(a, plan, index, K_BLOCK, it);
    for (uint32_t k = 0, length; k < it->k; k += length) {
        length = gemm_length(it, k);
        CPU_NAME(gemm_block)(a, it, k, length, &m->runs);
        multiply(a, m, k, length);
    }
}

const struct cpu_kernel CPU_NAME(gemm) = { "gemm", "f32", false, plan, run_item };
