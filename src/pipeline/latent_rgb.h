/* How a latent looks as a picture, roughly and at once: the matrix that a model's header may bring for its own VAE. */
#ifndef TINCT_PIPELINE_LATENT_RGB_H
#define TINCT_PIPELINE_LATENT_RGB_H

#include <stdbool.h>

/* text: "tinct.latent_rgb" of a safetensors header, a JSON array of 4 or 5 rows [r, g, b]: one for each channel of the latent
 * that a sampler holds, and the bias; to RGB in -1..1. false, and matrix as it was, where text is NULL or anything else. */
bool latent_rgb_parse(const char *text, float matrix[5][3]);

#endif
