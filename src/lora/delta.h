/* What one module adds to its layer's weight.
 *
 * All in the file's own order: weight [out, in, kh, kw] of target->shape, fp32, with
 * rows of a fused tensor cut out and a transposed one turned ([out, in]) by the caller.
 * Every delta is computed from the pristine weight w0, so that those of several LoRAs
 * add up in any order:
 *
 *     W' = w0 + delta_1 + delta_2 + ...
 *
 * Types whose effect is not in proportion to the strength (OFT with rescale, BOFT) or
 * knows none (set_weight) are why the strength goes in here. A strength of 0 gives
 * exactly 0 with every type. Formulas: spec/lora.md 2.2 and 2.3. */
#ifndef TINCT_LORA_DELTA_H
#define TINCT_LORA_DELTA_H

#include "lora/file.h"

struct lora_use {
    float strength; /* finite; te or unet as target->model says */
    uint32_t keep;  /* A1111's dyn: only the first keep ranks, of LoRA and LoCon without Tucker's core; 0: all.
                       The scale stays alpha / r of the whole rank */
};

/* The modules here are of a lora_match; their files are open. */

bool lora_changes_weight(const struct lora_module *m); /* false: only the bias */
bool lora_changes_bias(const struct lora_module *m);
bool lora_needs_weight(const struct lora_module *m);   /* w0 may be NULL otherwise */

/* delta [out, in, kh, kw] = what the module adds at this strength. Takes memory of
 * up to four times delta's while it runs. Refused: what stored_read_f32 refuses,
 * TINCT_ERR_MEMORY, TINCT_ERR_FORMAT for a result with NaN or Inf, naming the module. */
bool lora_delta(float *delta, const struct lora_module *m, struct lora_use use, const float *w0,
                struct tinct_err *err);

/* The same for the layer's bias: delta [out]. Where the layer has none, its bias is 0. */
bool lora_bias_delta(float *delta, const struct lora_module *m, struct lora_use use, struct tinct_err *err);

/* ---- factors ------------------------------------------------------------
 *
 * LoRA and LoCon, with Tucker's core or not, are
 *
 *     delta = strength * m->scale * up @ down         up [out, r], down [r, in kh kw]
 *
 * so N of them are one product of concatenated ranks. The rank, 0 where the module
 * is none of these (then lora_delta is the only way): */
uint32_t lora_factor_rank(const struct lora_module *m, struct lora_use use);

/* up [out, r] with row_stride values from row to row (r where they lie close), down
 * [r, in kh kw], neither scaled. Refused as lora_delta does. */
bool lora_factors(float *up, size_t row_stride, float *down, const struct lora_module *m, struct lora_use use,
                  struct tinct_err *err);

#endif
