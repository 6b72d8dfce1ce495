/* What a LoRA costs, for tinct bench. */
#ifndef TINCT_PIPELINE_BENCH_LORA_H
#define TINCT_PIPELINE_BENCH_LORA_H

#include "model/model.h"

enum { BENCH_LORA_RANK = 32 };

/* Milliseconds to change every linear layer of the UNet and the text encoder by made-up factors of that rank, and to take
 * them away. The weights are then as before. */
bool bench_lora(const struct model *m, int threads, double *merge_ms, double *restore_ms, struct tinct_err *err);

#endif
