/* What a picture was made of, as the infotext that A1111 and others read. */
#ifndef TINCT_PIPELINE_RECIPE_H
#define TINCT_PIPELINE_RECIPE_H

#include "pipeline/context.h"
#include "pipeline/lora_stack.h"
#include "sampler/sampler.h"

/* p has every default filled in, its prompts are those that loras made; embeddings is what embeddings_hashes says. The
 * caller frees it. NULL with TINCT_ERR_MEMORY. */
char *recipe_write(struct tinct *t, const struct tinct_txt2img *p, const struct lora_stack *loras, const char *embeddings,
                   const struct sampler *sampler, enum schedule_kind kind, struct tinct_err *err);

#endif
