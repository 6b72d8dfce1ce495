/* What base model a LoRA file was trained on: spec/lora.md 4.7. */
#ifndef TINCT_LORA_ORIGIN_H
#define TINCT_LORA_ORIGIN_H

#include "lora/file.h"

/* Shapes first, then names, then metadata. */
struct lora_origin lora_origin_of(const struct lora_file *file);

/* Fails with TINCT_ERR_FORMAT, naming the path, what the file was made for and what
 * the model is, where the two differ. */
bool lora_origin_fits(const struct lora_file *file, const struct lora_targets *targets, struct tinct_err *err);

#endif
