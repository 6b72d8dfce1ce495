/* A LoRA file: its tensors grouped into modules, one a layer, each with its type,
 * rank and scale. Only the header and the alphas are read here; lora/match.h finds
 * the layers and checks shapes and values, lora/delta.h computes.
 *
 * Source: spec/lora.md 1.1, 2.1, 2.2, 4.7. */
#ifndef TINCT_LORA_FILE_H
#define TINCT_LORA_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "lora/keys.h"
#include "lora/targets.h"
#include "tensor/safetensors.h"
#include "tensor/stored.h"

enum lora_type {
    LORA_NONE,     /* nothing that is known to change a layer */
    LORA_LOW_RANK, /* LoRA and LoCon, with Tucker's core or without */
    LORA_LOHA,
    LORA_LOKR,
    LORA_GLORA,
    LORA_IA3_TYPE,
    LORA_FULL,     /* diff, diff_b */
    LORA_NORM,     /* w_norm, b_norm */
    LORA_SET_TYPE, /* set_weight */
    LORA_DIAG_OFT,
    LORA_BOFT,
};

struct lora_file;

struct lora_module {
    const struct lora_file *file;
    const char *name;                 /* as the file spells it, without suffix; lives as long as file */
    enum lora_type type;
    bool dora;                        /* with a magnitude: V = W + delta, rescaled */
    bool has_alpha;
    uint32_t rank;                    /* r; 0 for types without one */
    float alpha;                      /* as stored */
    double scale;                     /* what the factors' product is multiplied by, strength aside */
    const struct lora_target *target; /* NULL until lora_match found it */
    uint32_t part[LORA_PARTS];        /* 1 + index of the tensor in the file; 0: none */
};

enum lora_evidence { LORA_BY_NOTHING, LORA_BY_SHAPE, LORA_BY_NAMES, LORA_BY_METADATA };

/* What the file was trained on. */
struct lora_origin {
    enum lora_base base;
    enum lora_evidence evidence;
    uint32_t context; /* input of its attn2.to_k or to_v: 768, 1024, 2048 or another; 0: it changes none */
};

struct lora_about {
    const char *type;             /* "LoRA", "LoCon", "LoHa", "LoKr", "DoRA" ...; "mixed" */
    struct lora_origin origin;
    uint32_t modules;             /* layers it changes, as many as the file names */
    uint32_t keys, unknown_keys;  /* tensors; those without a known suffix */
    uint32_t rank_min, rank_max;  /* 0: no ranks */
    float alpha_min, alpha_max;   /* 0, 0: none stored */
    bool unet, text;              /* which of the two it changes, by its names */
};

/* Open and group. Refused as safetensors_open does; with TINCT_ERR_FORMAT, naming
 * path and tensor: a file without a single LoRA module, by what it is (Control-LoRA,
 * embedding, checkpoint); two tensors for one part; an alpha or scale that is NaN
 * or no single value. */
struct lora_file *lora_open(const char *path, struct tinct_err *err);
void lora_close(struct lora_file *file); /* NULL is fine */

const char *lora_path(const struct lora_file *file);
const struct safetensors *lora_tensors(const struct lora_file *file);
struct lora_about lora_about(const struct lora_file *file);

/* Modules sorted by name; the types of some may be LORA_NONE. */
uint32_t lora_module_count(const struct lora_file *file);
const struct lora_module *lora_module_at(const struct lora_file *file, uint32_t index);

/* The part's tensor as it lies in the file; false where the module has none, or one
 * that no layer could use (more than 4 dimensions, no value, 2^32 in one). */
bool lora_module_view(const struct lora_module *m, enum lora_part part, struct stored *view);

static inline bool lora_module_has(const struct lora_module *m, enum lora_part part)
{
    return m->part[part] != 0;
}

/* "LoRA", "LoHa" ... of one module. */
const char *lora_module_type(const struct lora_module *m);

#endif
