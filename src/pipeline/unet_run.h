/* The UNet at one size: its operands, and what is made once a text or a weight changes. A step is recorded once, by itself or in a
 * larger pass, and replayed. */
#ifndef TINCT_PIPELINE_UNET_RUN_H
#define TINCT_PIPELINE_UNET_RUN_H

#include "pipeline/stages.h"

struct unet_run;

struct unet_run_size {
    uint32_t h, w;                 /* of the latent */
    uint32_t images, tokens;       /* entries of a batch, such as 2 for classifier-free guidance; rows of their texts, 77 a chunk */
    uint32_t more_images, more_tokens;   /* further ones, whose texts are of another length; 0: none */
    uint32_t alike;                /* 1: all images are the same latent, seen with several texts. Else 0 */
};

struct unet_run *unet_run_create(const struct model *m, const struct unet_run_size *size, struct tinct_err *err);
void unet_run_free(struct unet_run *run);                        /* NULL is fine */
struct stage_needs unet_run_needs(const struct model *m, const struct unet_run_size *size);    /* with a step */

/* The texts' keys and values, kept until the next call: context [images, tokens, context channels], then that of more_images. */
bool unet_run_context(struct unet_run *run, const float *context, struct tinct_err *err);

/* Timesteps [count] that steps will be asked for, until the next unet_run_context: their embeddings are then made 32 at a
 * time. Others may be asked for, too. */
bool unet_run_times(struct unet_run *run, const double *t, uint32_t count, struct tinct_err *err);

/* ---- a step in a larger pass: eps of x at the timestep that was set last ---- */

struct tensor unet_run_x(const struct unet_run *run);          /* [images + more_images, h, w, 4] */
struct tensor unet_run_eps(const struct unet_run *run);        /* as x */
void unet_run_record(struct pass *pass, const struct unet_run *run);
bool unet_run_at(struct unet_run *run, double t, struct tinct_err *err);   /* 0..999, for what is started from now on */

/* ---- a step on host arrays, for tests and measurements ---- */

/* eps [images + more_images, h, w, 4] for x (scaled) at timestep t. */
bool unet_run_step(struct unet_run *run, float *eps, const float *x, double t, struct tinct_err *err);
const struct pass *unet_run_pass(const struct unet_run *run);    /* for its times; NULL before the first step */

#endif
