/* What both kernels of attention share: how its work is cut into items. */
#ifndef TINCT_CPU_ATTENTION_PARTS_H
#define TINCT_CPU_ATTENTION_PARTS_H

#include "device/cpu/kernels.h"
#include "device/cpu/kernels/stored.h"

#include <math.h>

#include "attention.h"

enum {
    MOST_KEPT = 128 * 1024,        /* keys and values of all heads that stay in the cache from item to item */
};

struct head {                      /* one item's operands, of one head or some side by side */
    const void *q, *k, *v;         /* from the item's first query, the image's first key on; the head's columns */
    void *y;                       /* of the first copy */
    uint32_t first, rows;          /* queries of the image */
    uint32_t number;               /* of heads, or sets of them, in all images */
};

/* Items of plan->panels heads in the order that keeps what they share in the cache: one head's keys, or some queries' rows. */
static inline struct head head_of(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item)
{
    const struct attention_params *p = a->params;
    uint32_t sets = p->heads / plan->panels, blocks = parts(p->q_rows, plan->rows), of_image = item % (blocks * sets);
    bool kept = plan->panels == 1 && (size_t)p->k_rows * (p->k_stride + p->v_stride) <= MOST_KEPT;
    uint32_t head = kept ? of_image % sets : of_image / blocks, image = item / (blocks * sets);
    uint32_t first = (kept ? of_image / sets : of_image % blocks) * plan->rows;
    size_t column = (size_t)head * plan->panels * p->head_dim, row = (size_t)image * p->q_rows + first;

    return (struct head) {
        .q = stored_at(a->reads[0], row * p->q_stride + column, a->f16),
        .k = stored_at(a->reads[1], (size_t)image * p->k_rows * p->k_stride + column, a->f16),
        .v = stored_at(a->reads[2], (size_t)image * p->k_rows * p->v_stride + column, a->f16),
        .y = stored_place(a->writes[0], row * p->y_stride + column, a->f16),
        .first = first, .rows = least(plan->rows, p->q_rows - first), .number = image * sets + head,
    };
}

/* Elements of y from one copy to the next. */
static inline size_t copy_step(const struct attention_params *p)
{
    return (size_t)p->images * p->q_rows * p->y_stride;
}

#endif
