#include "model/clip/clip.h"

#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"

#define TEXT "cond_stage_model.transformer.text_model."

static const float norm_eps = 1e-5f;

static void layer_bind(struct clip_layer *l, struct weights *ws, uint32_t width, uint32_t hidden, uint32_t index)
{
    want_norm(ws, &l->norm1, width, TEXT "encoder.layers.%u.layer_norm1", index);
    want_linears(ws, &l->qkv, width, width, 0, "q_proj,k_proj,v_proj", TEXT "encoder.layers.%u.self_attn", index);
    want_linear(ws, &l->out, width, width, 0, TEXT "encoder.layers.%u.self_attn.out_proj", index);
    want_norm(ws, &l->norm2, width, TEXT "encoder.layers.%u.layer_norm2", index);
    want_linear(ws, &l->fc1, hidden, width, 0, TEXT "encoder.layers.%u.mlp.fc1", index);
    want_linear(ws, &l->fc2, width, hidden, 0, TEXT "encoder.layers.%u.mlp.fc2", index);
}

/* The token table stays in the file; the positions, small, are read now. */
static bool read_tables(struct clip *clip, const struct checkpoint *checkpoint, struct tinct_err *err)
{
    struct stored positions;

    if (!checkpoint_tensor(checkpoint, TEXT "embeddings.token_embedding.weight", 2, (uint32_t[]) { 0, clip->width },
                           &clip->token_table, err) ||
        !checkpoint_tensor(checkpoint, TEXT "embeddings.position_embedding.weight", 2,
                           (uint32_t[]) { CLIP_TOKENS, clip->width }, &positions, err))
        return false;
    clip->vocabulary = clip->token_table.shape[0];
    clip->positions = malloc(sizeof(float) * CLIP_TOKENS * clip->width);
    if (!clip->positions) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the text encoder's positions");
    return stored_read_f32(clip->positions, &positions, err);
}

void clip_bind(struct clip *clip, struct weights *ws, const struct checkpoint *checkpoint)
{
    struct tinct_err err;
    uint32_t shape[4];

    *clip = (struct clip) { 0 };
    if (!weights_expect(ws, weights_have(ws, shape, TEXT "encoder.layers.0.mlp.fc1.weight"),
                        "the text encoder has no layers"))
        return;
    clip->hidden = shape[0];
    clip->width = shape[1];
    clip->heads = clip->width / CLIP_HEAD_DIM;
    while (clip->layers < CLIP_MAX_LAYERS &&
           weights_have(ws, shape, TEXT "encoder.layers.%u.mlp.fc1.weight", clip->layers))
        clip->layers++;
    if (!weights_expect(ws, clip->width % CLIP_HEAD_DIM == 0 && clip->width,
                        "text encoder: width %u is not a multiple of a head's %d channels", clip->width, CLIP_HEAD_DIM))
        return;
    if (!read_tables(clip, checkpoint, &err)) {
        weights_refuse(ws, &err);
        return;
    }
    for (uint32_t i = 0; i < clip->layers; i++) layer_bind(&clip->layer[i], ws, clip->width, clip->hidden, i);
    want_norm(ws, &clip->final_norm, clip->width, TEXT "final_layer_norm");
}

void clip_free(struct clip *clip)
{
    free(clip->positions);
    clip->positions = NULL;
}

bool clip_embed(const struct clip *clip, float *x, const uint32_t ids[CLIP_TOKENS], const float *const *own,
                struct tinct_err *err)
{
    for (uint32_t t = 0; t < CLIP_TOKENS; t++) {
        if (ids[t] >= clip->vocabulary)
            return tinct_fail(err, TINCT_ERR_FORMAT, "token %u is beyond the text encoder's %u", ids[t],
                              clip->vocabulary);
        struct stored row = stored_rows(clip->token_table, ids[t], 1);
        float *xt = x + (size_t)t * clip->width;
        if (own && own[t]) memcpy(xt, own[t], clip->width * sizeof *xt);
        else if (!stored_read_f32(xt, &row, err)) return false;
        for (uint32_t c = 0; c < clip->width; c++) xt[c] += clip->positions[(size_t)t * clip->width + c];
    }
    return true;
}

/* x += attention(norm1(x)); x += mlp(norm2(x)) */
static void layer_record(struct pass *pass, const struct clip_layer *l, struct tensor x, uint32_t heads)
{
    uint32_t c = tensor_channels(x);
    size_t mark = scratch_mark(pass);
    struct tensor h = scratch_like(pass, x);
    struct tensor qkv = scratch_channels(pass, x, 3 * c);
    struct tensor f = scratch_channels(pass, x, l->fc1.outputs);

    op_layer_norm_linear(pass, qkv, x, &l->norm1, norm_eps, &l->qkv, NULL);
    op_attention(pass, h, tensor_columns(qkv, 0, c), tensor_columns(qkv, c, c), tensor_columns(qkv, 2 * c, c), heads,
                 true);
    op_linear(pass, x, h, &l->out, &(struct epilogue) { .residual = x });

    op_layer_norm_linear(pass, f, x, &l->norm2, norm_eps, &l->fc1, &(struct epilogue) { .act = OP_ACT_QUICK_GELU });
    op_linear(pass, x, f, &l->fc2, &(struct epilogue) { .residual = x });
    scratch_release(pass, mark);
}

void clip_record(struct pass *pass, const struct clip *clip, struct tensor y, struct tensor x, uint32_t skip)
{
    if (!pass_expect(pass, skip >= 1 && skip <= clip->layers, "clip skip %u: the text encoder has %u layers", skip,
                     clip->layers))
        return;
    pass_label(pass, "text");
    for (uint32_t i = 0; i + skip <= clip->layers; i++) layer_record(pass, &clip->layer[i], x, clip->heads);
    op_layer_norm(pass, y, x, &clip->final_norm, norm_eps);
}
