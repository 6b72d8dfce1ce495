/* The spellings of a weight's name.
 *
 * The canonical name is the single-file layout's (tensor/checkpoint.h). Names are
 * only ever generated from it, never guessed back: whoever meets a name in a file
 * looks it up among the spellings of the weights that the model has.
 *
 * Source: the closed form of diffusers' conversion, spec/lora.md 1.2; for the VAE
 * the same with its up blocks counted from the other end. */
#ifndef TINCT_TENSOR_NAMES_H
#define TINCT_TENSOR_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum { NAMES_MAX = 24, NAMES_BYTES = 192 };

#define NAMES_UNET "model.diffusion_model."
#define NAMES_TEXT "cond_stage_model.transformer.text_model."
#define NAMES_VAE "first_stage_model."

struct names {
    char spelling[NAMES_MAX][NAMES_BYTES]; /* the canonical one first, no two alike */
    unsigned count;
};

/* All spellings of canonical in a checkpoint, e.g. of
 * "model.diffusion_model.input_blocks.1.1.proj_in.weight" also
 * "unet.down_blocks.0.attentions.0.proj_in.weight" and "down_blocks...". vae_levels is the number of the VAE's
 * resolution levels (4 in SD). A name of NAMES_BYTES or more has none. */
void names_of(struct names *names, const char *canonical, unsigned vae_levels);

/* The diffusers path of a UNet weight, both without a prefix: "input_blocks.1.0.in_layers.2.weight" ->
 * "down_blocks.0.resnets.0.conv1.weight". False where the closed form has none. */
bool names_unet_diffusers(char out[NAMES_BYTES], const char *path);

/* The same for the VAE: "decoder.up.3.block.0.conv1.weight" -> "decoder.up_blocks.0.resnets.0.conv1.weight". */
bool names_vae_diffusers(char out[NAMES_BYTES], const char *path, unsigned vae_levels);

#endif
