/* A LoRA file against a model: which layers it changes, and why the rest does not.
 *
 *     struct lora_file *file = lora_open(path, err);
 *     struct lora_match *match = lora_match(file, targets, err);
 *     for (uint32_t i = 0; i < match->count; i++)
 *         lora_delta(delta, &match->modules[i], use, w0, err);    // lora/delta.h
 *     lora_match_free(match);
 *     lora_close(file);
 */
#ifndef TINCT_LORA_MATCH_H
#define TINCT_LORA_MATCH_H

#include "lora/file.h"

struct lora_unmatched {
    const char *name; /* the module's, or the whole key where it has no known suffix */
    char *reason;     /* "the model has no such layer", "lora_up [640,16] does not fit the layer's [320,320]" */
};

struct lora_match {
    struct lora_module *modules; /* [count] with their targets, in the order of the targets */
    uint32_t count, total;       /* "count of total": layers changed, layers the file names */
    uint32_t silent;             /* of count: those whose alpha or scale is 0, which change nothing */
    struct lora_unmatched *unmatched;
    uint32_t unmatched_count;    /* total - count, and keys without a known suffix */
    uint32_t rank_min, rank_max; /* of the matched ones; 0: no ranks */
};

/* Every value of the matched modules is read once and found to be finite. file and
 * targets outlive the result.
 *
 * Refused with TINCT_ERR_FORMAT, one sentence that begins with the path, before
 * anything is applied: made for another base model; a misfit in an attention layer
 * (the sign of one); no module that matches; a module whose parts are missing, empty
 * or of different ranks; NaN or Inf, by the tensor's name. */
struct lora_match *lora_match(const struct lora_file *file, const struct lora_targets *targets,
                              struct tinct_err *err);

/* The same without reading values, for telling: a NaN is not found. */
struct lora_match *lora_match_layers(const struct lora_file *file, const struct lora_targets *targets,
                                     struct tinct_err *err);
void lora_match_free(struct lora_match *match); /* NULL is fine */

#endif
