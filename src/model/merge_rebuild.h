/* The part of model/merge.h that reads, computes and writes. */
#ifndef TINCT_MODEL_MERGE_REBUILD_H
#define TINCT_MODEL_MERGE_REBUILD_H

#include "model/merge.h"

struct placed_term {
    uint32_t weight;               /* index of a weights_entry */
    uint32_t part;                 /* of those that are stacked; else 0 */
    uint32_t first, rows;          /* of that, or of its parts, put one after the other */
    struct merge_term term;
};

struct rebuild {                   /* one weight or vector */
    uint32_t weight;
    const struct placed_term *terms;
    uint32_t count;                /* 0: pristine */
};

/* *touched: whether any weight may have changed. Refused as merge_apply. */
bool merge_rebuild(struct weights *ws, const struct rebuild *list, uint32_t count, const struct merge_options *options,
                   bool *touched, struct tinct_err *err);

#endif
