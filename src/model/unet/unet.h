/* The UNet of Stable Diffusion: predicts the noise in a latent, given the timestep and the text's context.
 * Sizes are read off the tensors' shapes. Source: CompVis/stable-diffusion, openaimodel.py. */
#ifndef TINCT_MODEL_UNET_H
#define TINCT_MODEL_UNET_H

#include "model/unet/blocks.h"

enum { UNET_MAX_BLOCKS = 24, UNET_LATENT = 4 };

struct unet_stage {                     /* one of input_blocks, middle_block, output_blocks */
    bool has_res, has_transformer, has_down, has_up;
    struct unet_resblock res;
    struct unet_transformer transformer;
    struct weight conv;                 /* has_down: stride 2; has_up: after nearest 2x; input block 0: conv_in */
    uint32_t channels;                  /* of its result */
};

struct unet {
    uint32_t model_channels;            /* of the first level; the timestep's sinusoids */
    uint32_t time_channels, context;    /* of the time embedding; of the text */
    uint32_t input_count, output_count;
    struct weight time1, time2;         /* [T, C], [T, T] */
    struct unet_stage input[UNET_MAX_BLOCKS];
    struct unet_resblock middle1, middle2;
    struct unet_transformer middle_transformer;
    struct unet_stage output[UNET_MAX_BLOCKS];
    struct norm out_norm;
    struct weight out_conv;             /* [4, C, 3, 3] */
    uint32_t levels;                    /* times it halves the latent, and one */
    uint32_t shift_channels;            /* of all residual blocks' shifts together */
    uint32_t kv_channels;               /* of all cross-attentions' keys and values together */
};

/* Find out the sizes and wish for every weight. What is wrong shows in weights_load. */
void unet_bind(struct unet *unet, struct weights *ws);

/* Record what depends on the text alone: context [N, T, context] -> kv [N, T, kv_channels]. */
void unet_context_record(struct pass *pass, const struct unet *unet, struct tensor kv, struct tensor context);

/* Record what depends on the time alone: sinus [n, model_channels] f32, unet_timestep's rows -> shifts
 * [n, shift_channels] f32, what each residual block adds to its channels. */
void unet_time_record(struct pass *pass, const struct unet *unet, struct tensor shifts, struct tensor sinus);

/* Record one evaluation:
 *
 *   eps     [N, h, w, 4]              the predicted noise
 *   x       [N, h, w, 4]              the scaled latent; any h and w of at least 1
 *   shifts  [1, shift_channels] f32   a row of unet_time_record's, the same for all images
 *   kv      [N, T, kv_channels]       from unet_context_record
 *
 * alike: x is N times the same latent, as guidance asks for it. eps are the same bits, in less time. */
void unet_record(struct pass *pass, const struct unet *unet, struct tensor eps, struct tensor x, struct tensor shifts,
                 struct tensor kv, bool alike);

/* Sinusoids of a timestep 0..999, fractions allowed: out [model_channels] = cos, then sin, of t / 10000^(i / half). */
void unet_timestep(const struct unet *unet, float *out, double t);

#endif
