/* What a picture takes at most, known before anything is computed: passes are recorded on operands without memory. */
#ifndef TINCT_PIPELINE_PEAK_H
#define TINCT_PIPELINE_PEAK_H

#include "pipeline/context.h"

struct peak {
    uint64_t unet, vae;            /* bytes of each stage by itself, working memory included */
    uint64_t scratch;              /* the working memory that they share */
    uint64_t all;                  /* of the picture: stages share working memory and follow each other */
};

/* Of p with every default filled in, beside the model. Prompts count with the chunks that their words take: each chunk more, which
 * an embedding or trigger words may bring, is 15 MiB with SD1.x. False: the prompts have mistakes, or no memory. */
bool peak_of(const struct tinct *t, const struct tinct_txt2img *p, struct peak *peak);

/* Is that to be had now? Refused with TINCT_ERR_MEMORY: what is needed, what is free or allowed at once, what is missing. Prompts with mistakes
 * pass: who reads them tells. */
bool peak_fits(struct tinct *t, const struct tinct_txt2img *p, struct tinct_err *err);

#endif
