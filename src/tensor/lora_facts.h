/* What can be told of a LoRA file at a glance; what its keys map to is the lora room's business. */
#ifndef TINCT_TENSOR_LORA_FACTS_H
#define TINCT_TENSOR_LORA_FACTS_H

#include <stdint.h>

#include "tensor/safetensors.h"

struct lora_facts {
    const char *type;             /* "LoRA", "LoCon", "LoHa", "LoKr", "OFT", "DoRA" */
    const char *base;             /* "SD1.x", "SD2.x", "SDXL", or what its metadata says, or "unknown" */
    uint32_t modules;             /* layers it changes */
    uint32_t rank_min, rank_max;  /* 0: not told by the shapes */
    float alpha_min, alpha_max;   /* 0, 0: none stored */
    char triggers[512];           /* words that call it, separated by commas; "" where nobody says */
    char suggested[128];          /* its author's hint on use; "" */
};

struct lora_facts lora_facts(const struct safetensors *st);

#endif
