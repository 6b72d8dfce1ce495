/* What a picture was made of, as the infotext that A1111 and others read. */
#ifndef TINCT_PIPELINE_RECIPE_H
#define TINCT_PIPELINE_RECIPE_H

#include "pipeline/context.h"
#include "sampler/sampler.h"

/* p has every default filled in. The caller frees it. NULL with TINCT_ERR_MEMORY. */
char *recipe_write(struct tinct *t, const struct tinct_txt2img *p, const struct sampler *sampler, enum schedule_kind kind,
                   struct tinct_err *err);

#endif
