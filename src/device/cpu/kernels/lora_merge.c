/* lora_merge on the processor (shaders/lora_merge.h): an item is a block of rows of a few panels. A panel's sums begin as
 * w0 + delta in the thread's memory, take in a b (lora_multiply.h), and are rounded. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/lora_multiply.h"

#include "lora_merge.h"

struct memory {
    float sums[MERGE_ROWS * MERGE_COLUMNS];
    _Alignas(64) unsigned char room[];
};

enum { MOST_PANELS = 4 };      /* of an item: a's rows are made ready once for all of them */

static uint32_t panels_of(const struct lora_merge_params *p)
{
    return p->rows / p->k;
}

/* Panels of an item, and fewer at the end. */
static uint32_t panels_an_item(const struct lora_merge_params *p)
{
    return parts(panels_of(p), parts(panels_of(p), MOST_PANELS));
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    const struct lora_merge_params *p = a->params;

    return (struct cpu_plan) { .items = parts(panels_of(p), panels_an_item(p)) * parts(p->k, MERGE_ROWS), .rows = MERGE_ROWS,
                               .memory = sizeof(struct memory) + CPU_NAME(lora_multiply_room)(p->ranks) };
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

/* Is any of them Inf, or none? */
static bool any_beyond(const uint16_t *halves, uint32_t count)
{
    uint16_t largest = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint16_t bits = halves[i] & 0x7fff;
        largest = bits > largest ? bits : largest;
    }
    return largest >= 0x7c00;
}

static void merge_panel(const struct cpu_args *a, struct memory *m, uint32_t panel, uint32_t first, uint32_t rows)
{
    const struct lora_merge_params *p = a->params;
    size_t at = ((size_t)panel * p->k + first) * MERGE_COLUMNS;
    uint16_t *y = (uint16_t *)a->writes[0] + at;

    begin_sums(a, m->sums, at, rows * MERGE_COLUMNS);
    if (p->ranks)
        CPU_NAME(lora_multiply)(m->sums, (const float *)a->reads[3] + (size_t)panel * p->ranks * MERGE_COLUMNS, rows, p->ranks,
                                m->room);
    narrow_f16(y, m->sums, rows * MERGE_COLUMNS);
    if (any_beyond(y, rows * MERGE_COLUMNS)) {
        float one = 1;
        __atomic_store((float *)a->writes[1], &one, __ATOMIC_RELAXED);     /* by any thread */
    }
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct lora_merge_params *p = a->params;
    struct memory *m = memory;
    uint32_t blocks = parts(p->k, MERGE_ROWS), first = item % blocks * plan->rows, rows = least(p->k - first, plan->rows);
    uint32_t panel = item / blocks * panels_an_item(p), end = least(panel + panels_an_item(p), panels_of(p));

    if (p->ranks)
        CPU_NAME(lora_multiply_begin)((const float *)a->reads[2] + (size_t)first * p->ranks, rows, p->ranks, m->room);
    for (; panel < end; panel++) merge_panel(a, m, panel, first, rows);
}

const struct cpu_kernel CPU_NAME(lora_merge) = { "lora_merge", "f32", false, plan, run_item };
