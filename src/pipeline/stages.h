/* The model's stages on host arrays: each uploads, runs a recorded pass and downloads. All arrays are fp32, NHWC. */
#ifndef TINCT_PIPELINE_STAGES_H
#define TINCT_PIPELINE_STAGES_H

#include "model/model.h"

/* Device memory that a stage will take beside the weights, known before anything is run. */
struct stage_needs {
    uint64_t scratch;              /* shared by all stages of a device: the largest counts */
    uint64_t own;                  /* for as long as it lasts */
};

/* Token ids [chunks, 77] -> hidden states z [chunks, 77, width]. clip_skip 1: all layers. own [chunks, 77]: vectors
 * of width values that stand in for some tokens' own, NULL for the others; NULL: for none. */
bool text_encode(const struct model *m, float *z, const uint32_t *ids, const float *const *own, uint32_t chunks,
                 uint32_t clip_skip, struct tinct_err *err);

/* The UNet for one size, recorded once and replayed each step. */
struct unet_run;

/* images: entries of a batch, such as 2 for classifier-free guidance; tokens: rows of context, 77 a chunk. */
struct unet_run *unet_run_create(const struct model *m, uint32_t images, uint32_t h, uint32_t w, uint32_t tokens,
                                 struct tinct_err *err);
struct stage_needs unet_run_needs(const struct model *m, uint32_t images, uint32_t h, uint32_t w, uint32_t tokens);
void unet_run_free(struct unet_run *run);                        /* NULL is fine */

/* The text's keys and values, kept until the next call: context [images, tokens, context channels]. */
bool unet_run_context(struct unet_run *run, const float *context, struct tinct_err *err);

/* Timesteps [count] that steps will be asked for, until the next unet_run_context: their embeddings are then made 32 at a
 * time. Others may be asked for, too. */
bool unet_run_times(struct unet_run *run, const double *t, uint32_t count, struct tinct_err *err);

/* eps [images, h, w, 4] for x [images, h, w, 4] (scaled) at timestep t, 0..999. */
bool unet_run_step(struct unet_run *run, float *eps, const float *x, double t, struct tinct_err *err);

const struct pass *unet_run_pass(const struct unet_run *run);    /* for its times */

/* latent [h, w, 4] (unscaled: divided by the scale factor) -> rgb [8 h, 8 w, 3] in about -1..1. */
bool vae_decode(const struct model *m, float *rgb, const float *latent, uint32_t h, uint32_t w, struct tinct_err *err);

struct stage_needs vae_decode_needs(const struct model *m, uint32_t h, uint32_t w);

/* The same pixels in bands (vae_decode_record), which vae_decode chooses where the whole takes above 1.5 GB, or more than there is. */
bool vae_decode_in_bands(const struct model *m, float *rgb, const float *latent, uint32_t h, uint32_t w, uint32_t band_rows,
                         struct tinct_err *err);

/* rgb [H, W, 3] in -1..1 -> moments [H / 8, W / 8, 8]: mean, log variance. */
bool vae_encode(const struct model *m, float *moments, const float *rgb, uint32_t h, uint32_t w,
                struct tinct_err *err);

#endif
