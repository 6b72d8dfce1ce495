/* lora_merge on the processor (shaders/lora_merge.h): an item is a block of rows of one panel. Its sums begin as
 * w0 + delta in the thread's memory, take in a b (lora_multiply.h), and are rounded. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/lora_multiply.h"

#include "lora_merge.h"

struct memory {
    float sums[MERGE_ROWS * MERGE_COLUMNS];
    _Alignas(64) unsigned char room[];
};

static uint32_t blocks_a_panel(const struct lora_merge_params *p)
{
    return (p->k + MERGE_ROWS - 1) / MERGE_ROWS;
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    const struct lora_merge_params *p = a->params;

    return (struct cpu_plan) { .items = p->rows / p->k * blocks_a_panel(p), .rows = MERGE_ROWS,
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
    size_t at = ((size_t)panel * p->k + first) * MERGE_COLUMNS;

    begin_sums(a, m->sums, at, rows * MERGE_COLUMNS);
    if (p->ranks)
        CPU_NAME(lora_multiply)(m->sums, (const float *)a->reads[2] + (size_t)first * p->ranks,
                                (const float *)a->reads[3] + (size_t)panel * p->ranks * MERGE_COLUMNS, rows, p->ranks, m->room);
    narrow_f16((uint16_t *)a->writes[0] + at, m->sums, rows * MERGE_COLUMNS);
    if (any_beyond(m->sums, rows * MERGE_COLUMNS)) {
        float one = 1;
        __atomic_store((float *)a->writes[1], &one, __ATOMIC_RELAXED);     /* by any thread */
    }
}

const struct cpu_kernel CPU_NAME(lora_merge) = { "lora_merge", "f32", false, plan, run_item };
