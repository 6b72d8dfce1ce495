/* Rank and scale of a module: spec/lora.md 2.1. */
#ifndef TINCT_LORA_SCALE_H
#define TINCT_LORA_SCALE_H

#include "lora/file.h"

/* What PEFT keeps outside the tensors: alpha where no tensor says it, and whether the
 * scale is alpha / sqrt(r). From the header's "lora_adapter_metadata", or from
 * adapter_config.json beside the file. */
struct lora_adapter;

/* *adapter is NULL where there is none (or none that can be read: such a file is as one
 * without). Refused with TINCT_ERR_MEMORY only. */
bool lora_adapter_find(struct lora_adapter **adapter, const struct safetensors *st, struct tinct_err *err);
void lora_adapter_free(struct lora_adapter *adapter); /* NULL is fine */

/* Sets rank, alpha, has_alpha and scale from type and parts. adapter may be NULL.
 * Refused with TINCT_ERR_FORMAT: an alpha or scale that is NaN or not one value. */
bool lora_scale(struct lora_module *m, const struct lora_adapter *adapter, struct tinct_err *err);

#endif
