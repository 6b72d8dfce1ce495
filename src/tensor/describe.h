/* What a model file is, told to a person or as JSON. */
#ifndef TINCT_TENSOR_DESCRIBE_H
#define TINCT_TENSOR_DESCRIBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* What the lora room knows of a LoRA file, told among the rest. */
struct describe_lora {
    const char *type, *base;     /* "LoCon", "SD1.x" */
    uint32_t modules;            /* layers it changes */
    uint32_t rank_min, rank_max; /* 0: no ranks */
    float alpha_min, alpha_max;  /* 0, 0: none stored */
    double weight;               /* suggested strength */
    bool weight_told;            /* somebody says so; else it is 1 */
    /* "" where nobody says: */
    const char *alias;           /* what its trainer called it */
    const char *triggers;        /* words that call it, separated by commas */
    const char *negative;        /* words for the negative prompt */
    const char *hint;            /* its author's, on use */
    const char *description, *notes;
    const char *preview;         /* path of a picture, or "embedded" */
    const char *autov2, *autov3; /* hashes of the file and of its data */
};

/* Kind, base, whether tinct paints with it, element types, sizes, metadata; and, unless lora is NULL, what that
 * says. Any safetensors file is described; what is none is refused as safetensors_open refuses it.
 * Text from the file is shown without control characters, long values cut. The caller frees the text.
 *
 * JSON: file, kind, name, paints, why_not (where it does not), parts, context, latent_channels, prediction,
 * zero_snr, tensors, values, bytes, dtypes {name: count}, lora {type, base, modules, rank_min, rank_max,
 * alpha_min, alpha_max, weight, weight_told, alias, triggers, negative, suggested, description, notes, preview,
 * autov2, autov3} for LoRAs, base, vectors, width for embeddings, metadata {key: value}. */
char *checkpoint_describe(const char *path, bool json, const struct describe_lora *lora, struct tinct_err *err);

#endif
