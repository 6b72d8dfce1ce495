/* The autoencoder of Stable Diffusion: latents to pictures and back. Sizes are read off the tensors' shapes.
 * Source: CompVis/stable-diffusion, diffusionmodules/model.py and autoencoder.py. */
#ifndef TINCT_MODEL_VAE_H
#define TINCT_MODEL_VAE_H

#include "model/weights.h"
#include "ops/ops.h"

enum { VAE_MAX_LEVELS = 6, VAE_MAX_BLOCKS = 4, VAE_GROUPS = 32, VAE_LATENT = 4 };
#define VAE_NORM_EPS 1e-6f

struct vae_resblock {
    uint32_t in, out;                       /* channels */
    struct norm norm1, norm2;               /* [in], [out] */
    struct weight conv1, conv2, shortcut;   /* [out, in, 3, 3], [out, out, 3, 3], [out, in, 1, 1] where in != out */
};

struct vae_attention {                      /* one head over all pixels */
    struct norm norm;
    struct weight qkv, out;                 /* [3 C, C], [C, C] */
};

struct vae_middle {
    struct vae_resblock block1, block2;
    struct vae_attention attention;
};

struct vae_level {
    struct vae_resblock block[VAE_MAX_BLOCKS];
    uint32_t blocks;
    bool resample;                          /* has the convolution below */
    struct weight conv;                     /* decoder: after nearest 2x; encoder: stride 2 */
};

struct vae_half {                           /* encoder or decoder */
    uint32_t levels;
    struct weight conv_in, conv_out;
    struct vae_middle middle;
    struct vae_level level[VAE_MAX_LEVELS]; /* by the file's index: 0 is the finest */
    struct norm norm_out;
    struct weight quant;                    /* 1x1: post_quant_conv before the decoder, quant_conv after the encoder */
};

struct vae {
    struct vae_half decoder, encoder;
    bool has_encoder;                       /* not every file brings one */
    uint32_t factor;                        /* pixels a latent: 8 */
};

/* Find out the sizes and wish for every weight; the encoder's only if wanted and there. What is wrong shows in
 * weights_load. */
void vae_bind(struct vae *vae, struct weights *ws, bool encoder);

/* Record: latent [N, h, w, 4], already divided by the scale factor -> picture [N, 8 h, 8 w, 4], RGB in -1..1, then 0.
 * band_rows 0: at once. Else a multiple of 32, N is 1, and the finest level is done so many rows of the picture at a time, which
 * gives the same bits with two thirds of the memory (model/vae/bands.h). */
void vae_decode_record(struct pass *pass, const struct vae *vae, struct tensor picture, struct tensor latent,
                       uint32_t band_rows);

/* Record: picture [N, H, W, 4] (the fourth channel 0) -> moments [N, H / 8, W / 8, 8]: mean, then log variance. */
void vae_encode_record(struct pass *pass, const struct vae *vae, struct tensor moments, struct tensor picture);

#endif
