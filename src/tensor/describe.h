/* What a model file is, told to a person or as JSON. */
#ifndef TINCT_TENSOR_DESCRIBE_H
#define TINCT_TENSOR_DESCRIBE_H

#include <stdbool.h>

#include "base/err.h"

/* Kind, base, whether tinct paints with it, element types, sizes, metadata; of a LoRA its type, rank, alpha and
 * trigger words. Any safetensors file is described; what is none is refused as safetensors_open refuses it.
 * Text from the file is shown without control characters, long values cut. The caller frees the text.
 *
 * JSON: file, kind, name, paints, why_not (where it does not), parts, context, latent_channels, prediction,
 * zero_snr, tensors, values, bytes, dtypes {name: count}, lora {type, base, modules, rank_min, rank_max,
 * alpha_min, alpha_max, triggers, suggested} for LoRAs, metadata {key: value}. */
char *checkpoint_describe(const char *path, bool json, struct tinct_err *err);

#endif
