/* LoRAs on an open model: files that stay open between pictures, and their terms in the model's weights.
 *
 *     struct adapter *a = adapters_open(all, path, err);
 *     adapters_apply(all, uses, count, &changed, err);
 *
 * Applying a set leaves the weights as that set alone makes them: nothing is added to what was there. The order of the
 * uses changes nothing, and weights that no use reaches have the file's own bits. */
#ifndef TINCT_PIPELINE_ADAPTERS_H
#define TINCT_PIPELINE_ADAPTERS_H

#include "lora/blocks.h"
#include "lora/folder.h"
#include "lora/match.h"
#include "model/merge.h"
#include "model/model.h"

struct adapters;

/* A file and what of it matches the model. */
struct adapter {
    char *path;
    char hash[LORA_HASH_DIGITS + 1];   /* AutoV3 */
    struct lora_file *file;
    struct lora_match *match;
    uint32_t unused;                   /* of match->count: layers whose weight or bias this model does not hold */
    double load_ms;                    /* opening, matching, checking every value */
    uint64_t serial;                   /* another one each time a file is opened */
};

struct adapter_use {
    const struct adapter *adapter;
    float te, unet;                    /* strengths, finite; those of two uses of one file add up */
    uint32_t keep;                     /* ranks to use; 0: all */
    const struct lora_blocks *blocks;  /* NULL: 1 everywhere */
};

struct adapters_options {
    const char *cache_dir;             /* where hashes are remembered; NULL: nowhere */
    int threads;                       /* 0: all cores */
};

/* m outlives it. */
struct adapters *adapters_create(struct model *m, const struct adapters_options *options, struct tinct_err *err);
void adapters_free(struct adapters *all);                  /* NULL is fine; weights stay as they are */

/* Open a file, or give the one that is open; a file that changed since is read anew. Valid until the next
 * adapters_trim. Refused as lora_open, lora_match and hash_file refuse. */
const struct adapter *adapters_open(struct adapters *all, const char *path, struct tinct_err *err);

/* Between pictures: close what was not asked for lately. No set of uses is being put together. */
void adapters_trim(struct adapters *all);

/* Make the weights those of this set. *changed: whether any weight is another now, so that whatever was computed with
 * them is out of date. Refused as merge_apply; with TINCT_ERR_IO a file that changed while it was read. After a
 * refusal weights may hold anything until an apply succeeds. */
bool adapters_apply(struct adapters *all, const struct adapter_use *uses, size_t count, bool *changed,
                    struct tinct_err *err);

#endif
