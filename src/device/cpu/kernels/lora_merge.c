/* lora_merge on the processor (shaders/lora_merge.h): an item is a block of rows of one panel. Its sums begin as
 * w0 + delta in the thread's memory, take in a b in tiles (tile.h), and are rounded. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/tile.h"

#include "lora_merge.h"

enum { PANEL = 64, ROWS = 32 * TILE_ROWS };

struct memory {
    float sums[ROWS * PANEL];
    float b[];                             /* [64 / TILE_COLUMNS][ranks][TILE_COLUMNS] */
};

static uint32_t blocks_a_panel(const struct lora_merge_params *p)
{
    return (p->k + ROWS - 1) / ROWS;
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    const struct lora_merge_params *p = a->params;

    return (struct cpu_plan) { .items = p->rows / p->k * blocks_a_panel(p), .rows = ROWS,
                               .memory = sizeof(struct memory) + (size_t)p->ranks * PANEL * sizeof(float) };
}

/* sums [count] = w0 + delta from element `first` on */
static void begin_sums(const struct cpu_args *a, float *sums, size_t first, uint32_t count)
{
    const struct lora_merge_params *p = a->params;
    const float *delta = a->reads[4];          /* NULL without MERGE_DELTA */

    if (p->flags & MERGE_HALF) widen_f16(sums, (const uint16_t *)a->reads[0] + first, count);
    else memcpy(sums, (const float *)a->reads[1] + first, count * sizeof *sums);
    if (p->flags & MERGE_DELTA)
        for (uint32_t i = 0; i < count; i++) sums[i] += delta[first + i];
}

static void multiply(const struct lora_merge_params *p, struct memory *m, const float *a, const float *b, uint32_t rows)
{
    struct tile_run run = { .length = p->ranks };

    for (uint32_t c = 0; c < PANEL; c += TILE_COLUMNS)
        for (uint32_t r = 0; r < p->ranks; r++)
            memcpy(m->b + (size_t)c * p->ranks + (size_t)r * TILE_COLUMNS, b + (size_t)r * PANEL + c,
                   TILE_COLUMNS * sizeof *b);
    for (uint32_t first = 0; first < rows; first += TILE_ROWS) {
        uint32_t count = rows - first < TILE_ROWS ? rows - first : TILE_ROWS;
        for (uint32_t i = 0; i < count; i++) run.a[i] = a + (size_t)(first + i) * p->ranks;
        for (uint32_t c = 0; c < PANEL; c += TILE_COLUMNS)
            CPU_NAME(tile)(&run, 1, m->b + (size_t)c * p->ranks, m->sums + first * PANEL + c, PANEL, true, count,
                           TILE_VECS);
    }
}

/* Does any value round to Inf in fp16, or is it none? */
static bool any_beyond(const float *sums, uint32_t count)
{
    uint32_t largest = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, sums + i, 4);
        bits &= 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return largest >= 0x477ff000;          /* 65520 */
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct lora_merge_params *p = a->params;
    struct memory *m = memory;
    uint32_t panel = item / blocks_a_panel(p), first = item % blocks_a_panel(p) * plan->rows;
    uint32_t rows = p->k - first < plan->rows ? p->k - first : plan->rows;
    size_t at = ((size_t)panel * p->k + first) * PANEL;

    begin_sums(a, m->sums, at, rows * PANEL);
    if (p->ranks)
        multiply(p, m, (const float *)a->reads[2] + (size_t)first * p->ranks,
                 (const float *)a->reads[3] + (size_t)panel * p->ranks * PANEL, rows);
    narrow_f16((uint16_t *)a->writes[0] + at, m->sums, rows * PANEL);
    if (any_beyond(m->sums, rows * PANEL)) {
        float one = 1;
        __atomic_store((float *)a->writes[1], &one, __ATOMIC_RELAXED);     /* by any thread */
    }
}

const struct cpu_kernel CPU_NAME(lora_merge) = { "lora_merge", "f32", false, plan, run_item };
