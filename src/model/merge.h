/* Changes of a model's weights that can be taken back: W' = round(W0 + the sum of terms).
 *
 *     merge_begin(m);
 *     merge_add(m, "model.diffusion_model...to_q.weight", 0, 0, &term, err)      for every layer of every LoRA
 *     merge_apply(m, &report, err)
 *
 * Each set begins empty. Applying it rebuilds the weights whose terms are others than last time, from W0 as the file holds
 * it, read again; nothing is ever subtracted, so a weight that lost its terms has its first bits again. A weight is
 * rounded once, to fp16; biases and norms stay fp32. Terms are summed in the order of their keys, so that the order in
 * which they were added changes nothing.
 *
 * Weights change where they lie: recorded passes stay valid. Whatever was computed with them, as the text's keys and
 * values, is out of date when merge_apply says that something changed. No pass runs meanwhile.
 *
 * Working memory: one piece (16 MiB, see merge_options) for packed values and factors; where there are dense terms the
 * largest such layer in fp32, and what the terms' own functions take. */
#ifndef TINCT_MODEL_MERGE_H
#define TINCT_MODEL_MERGE_H

#include "model/weights.h"

struct merge;

struct merge_options {
    int threads;                   /* 0: all cores */
    uint64_t piece_bytes;          /* worked on at a time; 0: 16 MiB */
};

/* What one adapter adds to a weight's rows: scale up down, or a delta. All in the file's order: rows as there, inputs as
 * [C, kh, kw]. The functions are called while merge_apply runs, from several threads at once, perhaps more than once;
 * user must live until then. */
struct merge_term {
    uint64_t key;                  /* equal keys on the same rows promise the same values: a hash of file, layer, strength */
    uint32_t rank;                 /* of up and down; 0: a delta */
    float scale;                   /* of up down; a delta comes with its own */
    bool needs_w0;                 /* delta wants the pristine weight */
    void *user;
    /* up [rows, rank], down [rank, C kh kw] */
    bool (*factors)(void *user, float *up, float *down, struct tinct_err *err);
    /* out [rows, C kh kw], or [rows] for a bias or norm; w0 alike, NULL unless needs_w0 */
    bool (*delta)(void *user, float *out, const float *w0, struct tinct_err *err);
};

struct merge_report {
    uint32_t rebuilt;              /* weights, biases and norms that now hold terms and did not hold these before */
    uint32_t restored;             /* that are pristine again */
};

/* ws is loaded, and outlives it. NULL without memory. */
struct merge *merge_create(struct weights *ws, const struct merge_options *options);
void merge_free(struct merge *m);                                  /* NULL is fine; weights stay as they are */

/* Is a tensor of this canonical name ("....weight", "....bias") among the weights? view: as it lies in the file. */
bool merge_find(const struct merge *m, const char *name, struct stored *view);

/* Begin a new set. */
void merge_begin(struct merge *m);

/* Add a term to rows [first, first + rows) of a tensor; rows 0: all. term is copied.
 * Refused with TINCT_ERR_ARG: no such weight, rows that it has not, factors for a vector. */
bool merge_add(struct merge *m, const char *name, uint32_t first, uint32_t rows, const struct merge_term *term,
               struct tinct_err *err);

/* Make the weights those of the set. report may be NULL.
 *
 * Refused: what pack_run and the terms' functions refuse; memory; a file that changed since it was opened; with
 * TINCT_ERR_FORMAT and the layer's name a sum that fp16 cannot hold. Refused before a weight was touched, all is as it was;
 * else the model holds no defined picture until an apply succeeds (an empty set will do), and merge_usable says so. */
bool merge_apply(struct merge *m, struct merge_report *report, struct tinct_err *err);

/* Whether the weights are those of the last set that was applied. Refused with TINCT_ERR_INTERNAL. */
bool merge_usable(const struct merge *m, struct tinct_err *err);

#endif
