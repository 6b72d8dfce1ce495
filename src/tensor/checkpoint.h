/* A model's files: canonical name -> tensor.
 *
 * Canonical names are those of the single-file layout (CompVis), as in
 *
 *   model.diffusion_model.input_blocks.1.0.in_layers.2.weight            the UNet
 *   cond_stage_model.transformer.text_model.encoder.layers.0...          the text encoder
 *   first_stage_model.decoder.mid.attn_1.q.weight                        the VAE
 *
 * and tensor/names.h says which other spellings stand for them. What nobody asks
 * for (EMA copies, optimizer state, position ids, extras) is never looked at. */
#ifndef TINCT_TENSOR_CHECKPOINT_H
#define TINCT_TENSOR_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/safetensors.h"
#include "tensor/stored.h"

struct checkpoint;

/* Open a checkpoint, and a second file (NULL: none) that first_stage_model.* is
 * taken from instead. Only headers are read. Any safetensors file opens;
 * checkpoint_expect_sd1 then says whether it paints.
 * Refused as safetensors_open does; with TINCT_ERR_FORMAT: a vae file without a VAE. */
struct checkpoint *checkpoint_open(const char *path, const char *vae_path, struct tinct_err *err);

/* NULL is fine. Views taken from it end here. */
void checkpoint_close(struct checkpoint *ck);

const char *checkpoint_path(const struct checkpoint *ck);
const struct safetensors *checkpoint_file(const struct checkpoint *ck); /* the main one */

/* The tensor of this canonical name with the shape the file gives it, under
 * whichever spelling it has; false if there is none (or it has more than 4
 * dimensions). For finding out sizes: how many blocks, which width. */
bool checkpoint_find(const struct checkpoint *ck, const char *name, struct stored *view);

/* The tensor of this canonical name in this shape. An axis of 0 takes any size.
 * [N, C] and [N, C, 1, 1] are taken for each other; the view has the shape asked
 * for, with the sizes filled in.
 *
 * Refused with TINCT_ERR_FORMAT: missing, another shape, a type that cannot be
 * converted, or two spellings of it in one file. The sentence begins with the
 * path of the file concerned, so put no words in front:
 * "a.safetensors: model.diffusion_model.out.2.weight: wanted [4,320,3,3], file has [9,320,3,3]". */
bool checkpoint_tensor(const struct checkpoint *ck, const char *name, uint32_t dims, const uint32_t *shape,
                       struct stored *view, struct tinct_err *err);

enum checkpoint_kind {
    CHECKPOINT_UNKNOWN,
    CHECKPOINT_SD1,
    CHECKPOINT_SD2,
    CHECKPOINT_SDXL,
    CHECKPOINT_SDXL_REFINER,
    CHECKPOINT_DIT,          /* SD3, Flux and others without a UNet */
    CHECKPOINT_LORA,
    CHECKPOINT_VAE,          /* nothing but a VAE */
    CHECKPOINT_TEXT_ENCODER, /* nothing but a text encoder */
    CHECKPOINT_EMBEDDING,    /* textual inversion */
    CHECKPOINT_CONTROLNET,
    CHECKPOINT_UPSCALER,
};

enum checkpoint_prediction { CHECKPOINT_PREDICTS_NOISE, CHECKPOINT_PREDICTS_V };

struct checkpoint_about {
    enum checkpoint_kind kind;            /* by names and shapes, never by file name */
    const char *kind_name;                /* "SD1.x", "SDXL", "LoRA" ... */
    bool has_unet, has_text, has_vae;     /* has_vae counts the second file */
    uint32_t latent_channels;             /* the UNet's input: 4; 9 inpainting, 8 edit models, 5 depth; 0: no UNet */
    uint32_t context;                     /* width of cross-attention: 768, 1024, 2048; 0: unknown */
    enum checkpoint_prediction prediction;/* V where the file says so: a "v_pred" tensor or its metadata */
    bool zero_snr;                        /* a "ztsnr" tensor or metadata */
};

struct checkpoint_about checkpoint_about(const struct checkpoint *ck);

/* Whose text encoder has this width: "SD1.x", "SD2.x", "SDXL" (its second, or both side by side); NULL: nobody's
 * that is known. */
const char *checkpoint_base_of_width(uint32_t width);

/* True for what tinct paints with: an SD1.x UNet of 4 channels that predicts noise,
 * with its text encoder and a VAE. Refused with TINCT_ERR_FORMAT and a sentence that says what
 * the file is, with advice (--vae FILE where only the VAE is missing). */
bool checkpoint_expect_sd1(const struct checkpoint *ck, struct tinct_err *err);

#endif
