/* The steps of a picture: the latent on the device, and one pass that shows it to the UNet, guides its answer and takes the
 * sampler's step. It is recorded once for a size; what differs from step to step are weights in small buffers, and nothing comes
 * back to the host until it is asked for. */
#ifndef TINCT_PIPELINE_DENOISE_H
#define TINCT_PIPELINE_DENOISE_H

#include "pipeline/unet_run.h"
#include "sampler/sampler.h"

enum { GUIDANCE_PARTS = 33 };      /* the negative prompt and PROMPT_MAX_PARTS positive ones */

struct guidance_part {              /* what one prompt says */
    const float *z;                 /* [tokens, context channels]: its encoded text */
    uint32_t tokens;                /* 77 a chunk */
    float weight;                   /* of an AND part; 1 otherwise */
};

struct guidance {
    struct guidance_part part[GUIDANCE_PARTS];   /* part 0: the negative prompt, then the positive ones, all of one length */
    uint32_t count;
    float scale;                    /* classifier-free guidance; 1 leaves the negative prompt out */
    const double *times;            /* [time_count] timesteps that will be asked for, in order; others may be, too */
    uint32_t time_count;
    uint64_t serial;                /* another number whenever a text changes: its keys and values are then made anew */
};

/* What guidance evaluates of a latent [h, w, 4]. Prompts with as many tokens are evaluated together as one batch, which changes
 * no bit of the result. The same throughout a picture. */
struct unet_run_size denoiser_size(const struct guidance *g, uint32_t h, uint32_t w);

struct denoiser;

struct denoiser *denoiser_create(const struct model *m, const struct unet_run_size *size, struct tinct_err *err);
struct stage_needs denoiser_needs(const struct model *m, const struct unet_run_size *size);
void denoiser_free(struct denoiser *d);                          /* NULL is fine; waits for what is under way */

/* values [h, w, 4] to SAMPLER_X or SAMPLER_NOISE, for what is started from now on. */
bool denoiser_write(struct denoiser *d, uint32_t place, const float *values, struct tinct_err *err);

/* Start one evaluation of the model and the sums that follow from it. Does not wait.
 *
 *   D = D_u + sum_i weight_i scale (D_i - D_u), D_j = x - sigma eps_j(x / sqrt(sigma^2 + 1), t)
 *
 * Source: arXiv:2207.12598; AND: arXiv:2206.01714. */
bool denoiser_advance(struct denoiser *d, const struct guidance *g, const struct sampler_advance *advance, struct tinct_err *err);

/* values [h, w, 4] of a place, when all that was started is done. Refused with TINCT_ERR_NAN: a value is not finite. */
bool denoiser_read(struct denoiser *d, uint32_t place, float *values, struct tinct_err *err);

/* The same check of SAMPLER_D where it costs nothing: true where the device is at work, or where the host does not see its
 * memory. */
bool denoiser_is_sound(const struct denoiser *d, struct tinct_err *err);

#endif
