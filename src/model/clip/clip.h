/* CLIP's text encoder (SD1.x: ViT-L/14): token ids -> hidden states, the context that the UNet attends to.
 * Source: arXiv:2103.00020; matches transformers' CLIPTextModel. */
#ifndef TINCT_MODEL_CLIP_H
#define TINCT_MODEL_CLIP_H

#include "model/weights.h"

enum { CLIP_TOKENS = 77, CLIP_HEAD_DIM = 64, CLIP_MAX_LAYERS = 64 };

struct clip_layer {
    struct norm norm1, norm2;
    struct weight qkv;                  /* [3 C, C]: q, k, v side by side */
    struct weight out;                  /* [C, C] */
    struct weight fc1, fc2;             /* [F, C], [C, F] */
};

struct clip {
    uint32_t width, layers, heads, hidden, vocabulary;   /* C, count, C / 64, F, rows of the token table */
    struct stored token_table;          /* [vocabulary, C]: rows are read where they lie */
    float *positions;                   /* [77, C] */
    struct clip_layer layer[CLIP_MAX_LAYERS];
    struct norm final_norm;
};

/* Find out the sizes and wish for every weight. What is wrong shows in weights_load. */
void clip_bind(struct clip *clip, struct weights *ws, const struct checkpoint *checkpoint);
void clip_free(struct clip *clip);

/* Token and position vectors of one chunk: x [77, C] f32 on the host. own[i], where neither own nor it is NULL, is
 * C values that stand in for the vector of token i (a textual inversion). Refused: an id beyond the table. */
bool clip_embed(const struct clip *clip, float *x, const uint32_t ids[CLIP_TOKENS], const float *const *own,
                struct tinct_err *err);

/* Record: x [N, 77, C] f32 -> y [N, 77, C] f32, the hidden states after all but the last (skip - 1) layers, then the
 * final layer norm. skip 1 runs every layer (A1111's Clip skip). y may be x. */
void clip_record(struct pass *pass, const struct clip *clip, struct tensor y, struct tensor x, uint32_t skip);

#endif
