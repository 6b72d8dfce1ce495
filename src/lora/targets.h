/* The layers of a model that a LoRA can change, found by any name that a LoRA file
 * may give them.
 *
 * For each layer all spellings are generated (CompVis and diffusers paths, dotted
 * and underscored, with each trainer's prefix) into one table; a name from a file is
 * looked up and never taken apart, since "to_out_0" does not say where its dots were.
 *
 * Source: spec/lora.md 1.1 to 1.4, run against all 714 + 1700 names of SD1 and SDXL. */
#ifndef TINCT_LORA_TARGETS_H
#define TINCT_LORA_TARGETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/checkpoint.h"

enum lora_base { LORA_BASE_UNKNOWN, LORA_SD1, LORA_SD2, LORA_SDXL };

enum lora_model { LORA_UNET, LORA_TEXT, LORA_TEXT_2 }; /* which strength counts: unet or te */

/* One layer as a LoRA sees it. Where the model keeps q, k and v in one tensor
 * [3C, C], each of them is a target of its own: rows [first_row, first_row + shape[0])
 * of the tensor and the same range of its bias. */
struct lora_target {
    const char *weight;    /* the tensor's canonical name (tensor/checkpoint.h) */
    const char *bias;      /* the bias' canonical name; NULL: the layer has none */
    enum lora_model model;
    uint32_t dims;         /* 1 norm, 2 linear, 4 convolution */
    uint32_t shape[4];     /* [C], [out, in] or [out, in, kh, kw]; the rest is 1 */
    uint32_t first_row;    /* 0 unless it is part of a tensor */
    bool fused;            /* part of a tensor */
    bool transposed;       /* the tensor is stored [in, out] */
    bool attention;        /* to_q ... to_out, q_proj ...: widths tell the base model */
};

struct lora_targets;

/* Shape of the model's tensor of this canonical name; false if it has none. */
typedef bool lora_find_shape(void *user, const char *name, uint32_t *dims, uint32_t shape[4]);

/* Every layer of a base model whose weight find knows, with all its names.
 * NULL with TINCT_ERR_MEMORY, or TINCT_ERR_INTERNAL where two layers share a name. */
struct lora_targets *lora_targets_create(enum lora_base base, lora_find_shape *find, void *user,
                                         struct tinct_err *err);

/* The same for a checkpoint's tensors; base by its kind, SD1 where that is none of the three. */
struct lora_targets *lora_targets_of(const struct checkpoint *ck, struct tinct_err *err);

void lora_targets_free(struct lora_targets *targets); /* NULL is fine */

enum lora_base lora_targets_base(const struct lora_targets *targets);
uint32_t lora_targets_context(const struct lora_targets *targets); /* input of attn2.to_k; 0: no such layer */

uint32_t lora_targets_count(const struct lora_targets *targets);
const struct lora_target *lora_targets_at(const struct lora_targets *targets, uint32_t index);

/* The layer of this module name (lora_key.module), or NULL. */
const struct lora_target *lora_targets_find(const struct lora_targets *targets, const char *module);

/* "SD1.x", "SD2.x", "SDXL", "an unknown base model". */
const char *lora_base_name(enum lora_base base);

#endif
