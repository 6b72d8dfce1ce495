/* The keys of a LoRA file: which module a tensor belongs to, and as which part.
 *
 * A key is a module's name and a suffix, and every trainer has its own of both
 * (spec/lora.md 1.1). The longest known suffix counts: ".lora_linear_layer.up.weight"
 * ends with ".weight" too. Underscores of a name are never turned back into dots;
 * lora/targets.h knows each layer under all its names instead. */
#ifndef TINCT_LORA_KEYS_H
#define TINCT_LORA_KEYS_H

#include <stdbool.h>

enum { LORA_KEY_BYTES = 512 };

/* Parts of a module, with their usual shapes. r is the rank, k the kernel [kh, kw]. */
enum lora_part {
    LORA_UP,        /* [out, r] or [out, r, 1, 1]; PEFT's B */
    LORA_DOWN,      /* [r, in] or [r, in, k]; PEFT's A */
    LORA_MID,       /* [r, r, k]: Tucker's core; down is then [r, in, 1, 1] */
    LORA_UP_BIAS,   /* [out], goes to the layer's bias */
    LORA_FIXED,     /* ".bias": as the weight, added to up @ down before the scale */
    LORA_ALPHA,     /* one value */
    LORA_SCALE,     /* one value, instead of alpha / r */
    LORA_DORA,      /* magnitude; its shape tells the axis */
    LORA_DORA_OUT,  /* magnitude of output rows, whatever its shape */
    LORA_HADA_1A,   /* [out, r]; with T1 [r, out] */
    LORA_HADA_1B,   /* [r, in k]; with T1 [r, in] */
    LORA_HADA_2A,
    LORA_HADA_2B,
    LORA_HADA_T1,   /* [r, r, k] */
    LORA_HADA_T2,
    LORA_LOKR_1,    /* [a, c] */
    LORA_LOKR_1A,   /* [a, r] */
    LORA_LOKR_1B,   /* [r, c] */
    LORA_LOKR_2,    /* [b, d] or [b, d, k] */
    LORA_LOKR_2A,   /* [b, r]; with T2 [r, b] */
    LORA_LOKR_2B,   /* [r, d k]; with T2 [r, d] */
    LORA_LOKR_T2,   /* [r, r, k] */
    LORA_GLORA_A1,
    LORA_GLORA_A2,
    LORA_GLORA_B1,
    LORA_GLORA_B2,
    LORA_GLORA_BM,
    LORA_DIFF,      /* as the weight */
    LORA_DIFF_B,    /* as the bias */
    LORA_NORM_W,    /* [C] */
    LORA_NORM_B,    /* [C] */
    LORA_SET,       /* as the weight, which it replaces */
    LORA_RESHAPE,   /* Comfy: a shape that the weight is to grow to */
    LORA_OFT,       /* [n, b, b]; BOFT [m, n, b, b] */
    LORA_OFT_R,     /* old LyCORIS' oft_diag [n, b, b] */
    LORA_RESCALE,   /* [out, 1...] */
    LORA_IA3,       /* [in] or [out], with ON_INPUT */
    LORA_ON_INPUT,  /* one value: 0 or 1 */
    LORA_PARTS
};

struct lora_key {
    char module[LORA_KEY_BYTES]; /* without suffix, "base_model.model." and ".processor" */
    enum lora_part part;
};

/* False for a key without a known suffix, or of LORA_KEY_BYTES or more. */
bool lora_key_split(struct lora_key *out, const char *key);

/* "lora_up", "hada_w1_a" ...: what people call the part. */
const char *lora_part_name(enum lora_part part);

#endif
