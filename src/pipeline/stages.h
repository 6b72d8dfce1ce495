/* The model's stages but the UNet (pipeline/unet_run.h) on host arrays: each uploads, runs a recorded pass and downloads.
 * All arrays are fp32, NHWC. */
#ifndef TINCT_PIPELINE_STAGES_H
#define TINCT_PIPELINE_STAGES_H

#include "model/model.h"

/* Device memory that a stage will take beside the weights, known before anything is run. */
struct stage_needs {
    uint64_t scratch;              /* shared by all stages of a device: the largest counts */
    uint64_t own;                  /* for as long as it lasts */
};

/* What a pass that was recorded, and its operands, take. Frees the pass. */
struct stage_needs stage_needs_of(struct pass *pass, uint64_t operands);

/* Token ids [chunks, 77] -> hidden states z [chunks, 77, width]. clip_skip 1: all layers. own [chunks, 77]: vectors
 * of width values that stand in for some tokens' own, NULL for the others; NULL: for none. */
bool text_encode(const struct model *m, float *z, const uint32_t *ids, const float *const *own, uint32_t chunks,
                 uint32_t clip_skip, struct tinct_err *err);

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
