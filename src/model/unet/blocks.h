/* The UNet's two kinds of block: residual blocks conditioned on time, transformers conditioned on text.
 * Source: CompVis/stable-diffusion, openaimodel.py ResBlock and attention.py SpatialTransformer. */
#ifndef TINCT_MODEL_UNET_BLOCKS_H
#define TINCT_MODEL_UNET_BLOCKS_H

#include "model/weights.h"
#include "ops/ops.h"

enum { UNET_GROUPS = 32, UNET_MAX_DEPTH = 10 };

struct unet_resblock {
    uint32_t in, out;                   /* channels */
    struct norm norm1, norm2;           /* [in], [out] */
    struct weight conv1, conv2;         /* [out, in, 3, 3]; [out, out, 3, 3], and where in != out the skip's [out, in, 1, 1] */
    struct weight time;                 /* [out, T] */
    uint32_t shift_first;               /* its first column among all blocks' shifts */
};

struct unet_attention_block {           /* self-attention, cross-attention, GEGLU feed-forward */
    struct norm norm1, norm2, norm3;
    struct weight qkv, out1;            /* [3 C, C], [C, C] */
    struct weight q2, kv2, out2;        /* [C, C], [2 C, context], [C, C] */
    struct weight ff1, ff2;             /* [8 C, C] values and gates, [C, 4 C] */
    uint32_t kv_first;                  /* its first column in the context's keys and values */
};

struct unet_transformer {
    uint32_t channels, heads, depth;
    struct norm norm;
    struct weight proj_in, proj_out;    /* [C, C] */
    struct unet_attention_block block[UNET_MAX_DEPTH];
};

/* shift_first: columns given to earlier blocks; moved on by its own. */
void unet_resblock_bind(struct unet_resblock *b, struct weights *ws, uint32_t time_channels, uint32_t *shift_first,
                        const char *at);

/* kv_first: columns given to earlier transformers; moved on by 2 C for each block. */
void unet_transformer_bind(struct unet_transformer *t, struct weights *ws, uint32_t context, uint32_t *kv_first,
                           const char *at);

/* x [N, H, W, in], or x and x2 side by side -> y [N, H, W, out]. shifts [1, all] f32: from unet_time_record.
 * y is neither x nor x2. */
void unet_resblock(struct pass *pass, const struct unet_resblock *b, struct tensor y, struct tensor x,
                   struct tensor x2, struct tensor shifts);

/* x [N, H, W, C] -> y [N, H, W, C]; kv [N, T, all]. y is not x. alike: all of x's images are the same, so that all there is
 * before the text comes in is done once. */
void unet_transformer(struct pass *pass, const struct unet_transformer *t, struct tensor y, struct tensor x,
                      struct tensor kv, bool alike);

#endif
