/* One model evaluation with classifier-free guidance: a noisy latent -> the estimate of the clean one. */
#ifndef TINCT_PIPELINE_DENOISE_H
#define TINCT_PIPELINE_DENOISE_H

#include "pipeline/context.h"

enum { GUIDANCE_PARTS = 33 };      /* the negative prompt and PROMPT_MAX_PARTS positive ones */

struct guidance_part {              /* what one prompt says */
    const float *z;                 /* [tokens, context channels]: its encoded text */
    uint32_t tokens;                /* 77 a chunk */
    float weight;                   /* of an AND part; 1 otherwise */
};

struct guidance {
    struct guidance_part part[GUIDANCE_PARTS];   /* part 0: the negative prompt, then the positive ones */
    uint32_t count;
    float scale;                    /* classifier-free guidance; 1 leaves the negative prompt out */
    const double *times;            /* [time_count] timesteps that will be asked for, in order; others may be, too */
    uint32_t time_count;
    uint64_t serial;                /* another number whenever a text changes: its keys and values are then made anew */
};

/* D = D_u + sum_i weight_i scale (D_i - D_u), D_j = x - sigma eps_j(x / sqrt(sigma^2 + 1), t),
 * x, denoised [h, w, 4]; t 0..999. Prompts with as many tokens are evaluated together as one batch, which changes
 * no bit of the result. Source: arXiv:2207.12598; AND: arXiv:2206.01714. */
bool denoise(struct tinct *t, const struct guidance *g, uint32_t h, uint32_t w, const float *x, double sigma,
             double timestep, float *denoised, struct tinct_err *err);

#endif
