/* lora_merge on the processor (shaders/lora_merge.h): an item is a block of rows of a few panels. A few rows' sums at a time begin as
 * w0 + delta in the thread's memory, take in a b (lora_multiply.h), and are rounded. What is read and written lies far away, so
 * the next rows are asked for before a b is computed, and results go past the caches. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/lora_multiply.h"

#include "lora_merge.h"

struct memory {
    _Alignas(64) float sums[2][MERGE_STRIP * MERGE_COLUMNS];      /* in turns */
    uint32_t turn;
    struct strip last;                 /* that is not finished yet */
    struct beyond beyond;              /* of what is */
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

static struct strip strip_of(const struct cpu_args *a, const float *sums, size_t at, uint32_t rows)
{
    const struct lora_merge_params *p = a->params;
    bool half = p->flags & MERGE_HALF;

    return (struct strip) {
        .w0_f16 = half ? (const uint16_t *)a->reads[0] + at : NULL,
        .w0_f32 = half ? NULL : (const float *)a->reads[1] + at,
        .delta  = p->flags & MERGE_DELTA ? (const float *)a->reads[4] + at : NULL,
        .sums   = p->ranks ? sums : NULL,
        .y      = (uint16_t *)a->writes[0] + at,
        .lines  = rows * MERGE_COLUMNS / LINE,
    };
}

/* Each strip's lines are finished while the next one's sums are computed. */
static void merge_panel(const struct cpu_args *a, struct memory *m, uint32_t panel, uint32_t first, uint32_t rows)
{
    const struct lora_merge_params *p = a->params;
    const float *b = (const float *)a->reads[3] + (size_t)panel * p->ranks * MERGE_COLUMNS;

    if (p->ranks) CPU_NAME(lora_multiply_panel)(b, p->ranks, m->room);
    for (uint32_t r = 0; r < rows; r += MERGE_STRIP) {
        float *sums = m->sums[m->turn++ % 2];
        uint32_t some = least(rows - r, MERGE_STRIP);

        if (p->ranks) CPU_NAME(lora_multiply)(sums, r, some, p->ranks, m->room, &m->last, &m->beyond);
        finish_lines(&m->last, m->last.lines, &m->beyond);
        m->last = strip_of(a, sums, ((size_t)panel * p->k + first + r) * MERGE_COLUMNS, some);
    }
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct lora_merge_params *p = a->params;
    struct memory *m = memory;
    uint32_t blocks = parts(p->k, MERGE_ROWS), first = item % blocks * plan->rows, rows = least(p->k - first, plan->rows);
    uint32_t panel = item / blocks * panels_an_item(p), end = least(panel + panels_an_item(p), panels_of(p));
    bool beyond = false;

    m->last = (struct strip) { 0 };
    m->beyond = (struct beyond) { 0 };
    if (p->ranks)
        CPU_NAME(lora_multiply_begin)((const float *)a->reads[2] + (size_t)first * p->ranks, rows, p->ranks, m->room);
    for (; panel < end; panel++) merge_panel(a, m, panel, first, rows);
    if (p->ranks) CPU_NAME(lora_multiply_end)();
    finish_lines(&m->last, m->last.lines, &m->beyond);
    vec_stored();
    for (int i = 0; i < LINE; i++) beyond = beyond || m->beyond.bits[i] >> 15;
    if (beyond) {
        float one = 1;
        __atomic_store((float *)a->writes[1], &one, __ATOMIC_RELAXED);     /* by any thread */
    }
}

const struct cpu_kernel CPU_NAME(lora_merge) = { "lora_merge", "f32", false, plan, run_item };
