/* All the names a LoRA file may give one layer: spec/lora.md 1.1 to 1.3. */
#ifndef TINCT_LORA_ALIASES_H
#define TINCT_LORA_ALIASES_H

#include <stdbool.h>

#include "lora/targets.h"

/* Told every name, some of them twice; false stops. */
typedef bool lora_tell_alias(void *user, const char *alias);

/* A UNet layer by its path without prefix and ".weight", e.g. "input_blocks.1.1.proj_in". */
bool lora_unet_aliases(const char *path, lora_tell_alias *tell, void *user);

/* A text encoder's layer by transformers' path below "text_model.", e.g.
 * "encoder.layers.0.self_attn.q_proj", or "text_projection". */
bool lora_text_aliases(enum lora_base base, enum lora_model model, const char *path, lora_tell_alias *tell,
                       void *user);

#endif
