/* What terms add, in packed order: for merge_rebuild.c. */
#ifndef TINCT_MODEL_MERGE_TERMS_H
#define TINCT_MODEL_MERGE_TERMS_H

#include "model/merge_rebuild.h"

/* A few panels of one weight: what one dispatch rebuilds. Places are bytes in the group's working memory. */
struct slice {
    const struct rebuild *of;
    struct weights_entry entry;
    struct pack_shape shape;
    uint32_t first, panels;
    uint32_t ranks;                /* of all low-rank terms that reach these columns; a multiple of 4 */
    bool dense;                    /* there is a delta */
    enum dtype w0_dtype;           /* f16 where that is what the file holds */
    bool in_place;                 /* W0 is packed to where the weight lies */
    uint64_t w0_at, a_at, b_at, delta_at;
};

const struct pack_recipe *merge_recipe(const struct slice *s);
bool merge_reaches(const struct slice *s, const struct placed_term *t);

/* a [k, ranks] and b [panels, ranks, 64] of all low-rank terms that reach the slice, at their places in memory. */
bool merge_factors(const struct slice *s, unsigned char *memory, struct tinct_err *err);

/* The sum of a weight's or vector's dense terms, [N_i, C kh kw] in the file's order, parts one after the other. Free it;
 * NULL on failure. */
float *merge_deltas(const struct rebuild *of, const struct pack_recipe *recipe, struct tinct_err *err);

#endif
