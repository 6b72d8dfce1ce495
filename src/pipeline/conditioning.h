/* What the prompts say at each step, encoded: the texts of all segments, alternations and AND parts of the positive
 * and the negative prompt, each encoded once. */
#ifndef TINCT_PIPELINE_CONDITIONING_H
#define TINCT_PIPELINE_CONDITIONING_H

#include "pipeline/denoise.h"
#include "pipeline/lora_stack.h"

struct conditioning;

/* Parse p's prompts and encode every text they will need. second_order: the sampler evaluates twice a step, and
 * "[a:b:w]" counts evaluations. LoRA tags are left out: see pipeline/lora_stack.h, whose files may
 * bring embeddings; NULL: none. p and loras outlive the result. Refused: the prompt's own mistakes, "embedding:NAME"
 * without that embedding.
 *
 * The texts of a part take as many tokens as its longest: empty chunks fill the others. Parts between AND take as many
 * as the longest part: the last row is repeated. So A1111 has it; the negative prompt keeps its length there and here. */
struct conditioning *conditioning_create(struct tinct *t, const struct tinct_txt2img *p, const struct lora_stack *loras,
                                         bool second_order, struct tinct_err *err);
void conditioning_free(struct conditioning *c);                  /* NULL is fine */

/* The guidance of this evaluation of the model, counted from 0. */
void conditioning_at(struct conditioning *c, int evaluation, struct guidance *g);

/* The UNet's weights changed: the texts' keys and values are to be made anew. */
void conditioning_expire(struct conditioning *c);

/* The embeddings that the prompts named, for the recipe; see embeddings_hashes. The caller frees it. */
char *conditioning_embeddings(const struct conditioning *c, struct tinct_err *err);

#endif
