#include "model/unet/blocks.h"

static const float layer_norm_eps = 1e-5f, group_norm_eps = 1e-6f;
static const uint32_t sd1_heads = 8;

static void attention_block_bind(struct unet_attention_block *b, struct weights *ws, uint32_t c, uint32_t context,
                                 const char *at, uint32_t k)
{
    want_norm(ws, &b->norm1, c, "%s.transformer_blocks.%u.norm1", at, k);
    want_linears(ws, &b->qkv, c, c, WANT_NO_BIAS, "to_q,to_k,to_v", "%s.transformer_blocks.%u.attn1", at, k);
    want_linear(ws, &b->out1, c, c, 0, "%s.transformer_blocks.%u.attn1.to_out.0", at, k);
    want_norm(ws, &b->norm2, c, "%s.transformer_blocks.%u.norm2", at, k);
    want_linear(ws, &b->q2, c, c, WANT_NO_BIAS, "%s.transformer_blocks.%u.attn2.to_q", at, k);
    want_linears(ws, &b->kv2, c, context, WANT_NO_BIAS, "to_k,to_v", "%s.transformer_blocks.%u.attn2", at, k);
    want_linear(ws, &b->out2, c, c, 0, "%s.transformer_blocks.%u.attn2.to_out.0", at, k);
    want_norm(ws, &b->norm3, c, "%s.transformer_blocks.%u.norm3", at, k);
    want_linear(ws, &b->ff1, 8 * c, c, WANT_GEGLU, "%s.transformer_blocks.%u.ff.net.0.proj", at, k);
    want_linear(ws, &b->ff2, c, 4 * c, 0, "%s.transformer_blocks.%u.ff.net.2", at, k);
}

void unet_transformer_bind(struct unet_transformer *t, struct weights *ws, uint32_t context, uint32_t *kv_first,
                           const char *at)
{
    uint32_t shape[4];

    *t = (struct unet_transformer) { .heads = sd1_heads };
    if (!weights_expect(ws, weights_have(ws, shape, "%s.norm.weight", at), "%s.norm.weight is missing", at)) return;
    t->channels = shape[0];
    while (t->depth < UNET_MAX_DEPTH && weights_have(ws, shape, "%s.transformer_blocks.%u.norm1.weight", at, t->depth))
        t->depth++;
    if (!weights_expect(ws, t->channels % UNET_GROUPS == 0, "%s: %u channels are not a multiple of %d groups", at,
                        t->channels, UNET_GROUPS))
        return;
    want_norm(ws, &t->norm, t->channels, "%s.norm", at);
    want_linear(ws, &t->proj_in, t->channels, t->channels, 0, "%s.proj_in", at);
    want_linear(ws, &t->proj_out, t->channels, t->channels, 0, "%s.proj_out", at);
    for (uint32_t k = 0; k < t->depth; k++) {
        attention_block_bind(&t->block[k], ws, t->channels, context, at, k);
        t->block[k].kv_first = *kv_first;
        *kv_first += 2 * t->channels;
    }
}

/* h += attn1(norm1(h)); h += attn2(norm2(h), text); h += ff(norm3(h)).  h [N, H W, C]; alike: N times the same */
static void attention_block(struct pass *pass, const struct unet_attention_block *b, uint32_t heads, struct tensor h,
                            struct tensor kv, bool alike)
{
    uint32_t c = tensor_channels(h);
    size_t mark = scratch_mark(pass);
    struct tensor a = scratch_like(pass, h), seen = tensor_image(h, 0, alike ? 1 : h.shape[0]);

    size_t inner = scratch_mark(pass);
    struct tensor qkv = scratch_channels(pass, seen, 3 * c);
    op_layer_norm_linear(pass, qkv, seen, &b->norm1, layer_norm_eps, &b->qkv, NULL);
    op_attention(pass, a, tensor_columns(qkv, 0, c), tensor_columns(qkv, c, c), tensor_columns(qkv, 2 * c, c), heads,
                 false);
    op_linear(pass, h, a, &b->out1, &(struct epilogue) { .residual = h });
    scratch_release(pass, inner);

    op_cross_attention(pass, a, h, &b->norm2, layer_norm_eps, &b->q2, tensor_columns(kv, b->kv_first, c),
                       tensor_columns(kv, b->kv_first + c, c), heads);
    op_linear(pass, h, a, &b->out2, &(struct epilogue) { .residual = h });

    struct tensor f = scratch_channels(pass, h, 4 * c);
    op_layer_norm_linear(pass, f, h, &b->norm3, layer_norm_eps, &b->ff1, NULL);  /* GEGLU */
    op_linear(pass, h, f, &b->ff2, &(struct epilogue) { .residual = h });
    scratch_release(pass, mark);
}

void unet_transformer(struct pass *pass, const struct unet_transformer *t, struct tensor y, struct tensor x,
                      struct tensor kv, bool alike)
{
    size_t mark = scratch_mark(pass);
    struct tensor h = scratch_like(pass, x);
    struct tensor tokens = tensor_reshape(h, 3, (uint32_t[]) { x.shape[0], x.shape[1] * x.shape[2], t->channels });

    op_group_norm_whole(pass, y, x, (struct tensor) { 0 }, &t->norm, UNET_GROUPS, group_norm_eps, OP_ACT_NONE);
    op_linear(pass, h, y, &t->proj_in, NULL);
    for (uint32_t k = 0; k < t->depth; k++) attention_block(pass, &t->block[k], t->heads, tokens, kv, alike && k == 0);
    op_linear(pass, y, h, &t->proj_out, &(struct epilogue) { .residual = x });
    scratch_release(pass, mark);
}
