#include "model/vae/vae.h"

#include "model/vae/bands.h"

#include <stdio.h>

#define VAE "first_stage_model."

static const float norm_eps = VAE_NORM_EPS;
static const struct tensor none;

/* ---- binding ------------------------------------------------------------ */

static void resblock_bind(struct vae_resblock *b, struct weights *ws, const char *at)
{
    uint32_t shape[4];

    if (!weights_expect(ws, weights_have(ws, shape, "%s.conv1.weight", at), "%s.conv1.weight is missing", at)) return;
    b->out = shape[0];
    b->in = shape[1];
    if (!weights_expect(ws, b->in % VAE_GROUPS == 0 && b->out % VAE_GROUPS == 0,
                        "%s: %u to %u channels are not multiples of %d groups", at, b->in, b->out, VAE_GROUPS))
        return;
    want_norm(ws, &b->norm1, b->in, "%s.norm1", at);
    want_conv(ws, &b->conv1, b->out, b->in, 3, "%s.conv1", at);
    want_norm(ws, &b->norm2, b->out, "%s.norm2", at);
    want_conv(ws, &b->conv2, b->out, b->out, 3, "%s.conv2", at);
    if (b->in != b->out) want_linear(ws, &b->shortcut, b->out, b->in, 0, "%s.nin_shortcut", at);
}

static void middle_bind(struct vae_middle *m, struct weights *ws, const char *half)
{
    char at[64];

    snprintf(at, sizeof at, VAE "%s.mid.block_1", half);
    resblock_bind(&m->block1, ws, at);
    uint32_t c = m->block1.out;
    want_norm(ws, &m->attention.norm, c, VAE "%s.mid.attn_1.norm", half);
    want_linears(ws, &m->attention.qkv, c, c, 0, "q,k,v", VAE "%s.mid.attn_1", half);
    want_linear(ws, &m->attention.out, c, c, 0, VAE "%s.mid.attn_1.proj_out", half);
    snprintf(at, sizeof at, VAE "%s.mid.block_2", half);
    resblock_bind(&m->block2, ws, at);
}

static void level_bind(struct vae_level *l, struct weights *ws, const char *half, const char *way, const char *resample,
                       uint32_t index)
{
    uint32_t shape[4];
    char at[64];

    for (; l->blocks < VAE_MAX_BLOCKS; l->blocks++) {
        snprintf(at, sizeof at, VAE "%s.%s.%u.block.%u", half, way, index, l->blocks);
        if (!weights_have(ws, shape, "%s.conv1.weight", at)) break;
        resblock_bind(&l->block[l->blocks], ws, at);
    }
    l->resample = weights_have(ws, shape, VAE "%s.%s.%u.%s.conv.weight", half, way, index, resample);
    if (l->resample)
        want_conv(ws, &l->conv, shape[0], shape[0], 3, VAE "%s.%s.%u.%s.conv", half, way, index, resample);
}

static void levels_bind(struct vae_half *h, struct weights *ws, const char *half, const char *way, const char *resample)
{
    uint32_t shape[4];

    while (h->levels < VAE_MAX_LEVELS &&
           weights_have(ws, shape, VAE "%s.%s.%u.block.0.conv1.weight", half, way, h->levels)) {
        level_bind(&h->level[h->levels], ws, half, way, resample, h->levels);
        h->levels++;
    }
    weights_expect(ws, h->levels > 0, "the VAE's %s has no levels", half);
}

static void decoder_bind(struct vae_half *d, struct weights *ws)
{
    want_linear(ws, &d->quant, VAE_LATENT, VAE_LATENT, 0, VAE "post_quant_conv");
    middle_bind(&d->middle, ws, "decoder");
    levels_bind(d, ws, "decoder", "up", "upsample");
    want_conv(ws, &d->conv_in, d->middle.block1.in, VAE_LATENT, 3, VAE "decoder.conv_in");
    want_norm(ws, &d->norm_out, d->level[0].block[0].out, VAE "decoder.norm_out");
    want_conv(ws, &d->conv_out, 3, d->level[0].block[0].out, 3, VAE "decoder.conv_out");
}

static void encoder_bind(struct vae_half *e, struct weights *ws)
{
    levels_bind(e, ws, "encoder", "down", "downsample");
    middle_bind(&e->middle, ws, "encoder");
    want_conv(ws, &e->conv_in, e->level[0].block[0].in, 3, 3, VAE "encoder.conv_in");
    want_norm(ws, &e->norm_out, e->middle.block2.out, VAE "encoder.norm_out");
    want_conv(ws, &e->conv_out, 2 * VAE_LATENT, e->middle.block2.out, 3, VAE "encoder.conv_out");
    want_linear(ws, &e->quant, 2 * VAE_LATENT, 2 * VAE_LATENT, 0, VAE "quant_conv");
}

void vae_bind(struct vae *vae, struct weights *ws, bool encoder)
{
    uint32_t shape[4];

    *vae = (struct vae) { .factor = 1 };
    decoder_bind(&vae->decoder, ws);
    for (uint32_t i = 0; i < vae->decoder.levels; i++)
        if (vae->decoder.level[i].resample) vae->factor *= 2;
    vae->has_encoder = encoder && weights_have(ws, shape, VAE "encoder.conv_in.weight");
    if (vae->has_encoder) encoder_bind(&vae->encoder, ws);
}

/* ---- blocks -------------------------------------------------------------- */

/* y = conv2(silu(norm2(conv1(silu(norm1(x)))))) + shortcut(x). y is not x; x is overwritten where in != out: at full
 * size a tensor more or less is what a picture's peak memory is made of. */
static void resblock_record(struct pass *pass, const struct vae_resblock *b, struct tensor y, struct tensor x)
{
    size_t mark = scratch_mark(pass);
    bool same = b->in == b->out;
    struct tensor g = scratch_like(pass, y), h = same ? y : x;

    if (!same) op_conv2d(pass, y, x, &b->shortcut, NULL, NULL);
    op_group_norm(pass, h, x, none, &b->norm1, VAE_GROUPS, norm_eps, OP_ACT_SILU);
    op_conv2d(pass, g, h, &b->conv1, NULL, NULL);
    op_group_norm(pass, g, g, none, &b->norm2, VAE_GROUPS, norm_eps, OP_ACT_SILU);
    op_conv2d(pass, y, g, &b->conv2, NULL, &(struct epilogue) { .residual = same ? x : y });
    scratch_release(pass, mark);
}

/* x += out(attention(norm(x))), one head */
static void attention_record(struct pass *pass, const struct vae_attention *a, struct tensor x)
{
    uint32_t c = tensor_channels(x);
    size_t mark = scratch_mark(pass);
    struct tensor tokens = tensor_reshape(x, 3, (uint32_t[]) { x.shape[0], x.shape[1] * x.shape[2], c });
    struct tensor h = scratch_like(pass, tokens);
    struct tensor qkv = scratch_channels(pass, tokens, 3 * c);

    op_group_norm(pass, h, tokens, none, &a->norm, VAE_GROUPS, norm_eps, OP_ACT_NONE);
    op_linear(pass, qkv, h, &a->qkv, NULL);
    op_attention(pass, h, tensor_columns(qkv, 0, c), tensor_columns(qkv, c, c), tensor_columns(qkv, 2 * c, c), 1,
                 false);
    op_linear(pass, tokens, h, &a->out, &(struct epilogue) { .residual = tokens });
    scratch_release(pass, mark);
}

/* ---- a chain of stages ------------------------------------------------------ */

enum { MAX_STAGES = VAE_MAX_LEVELS * (VAE_MAX_BLOCKS + 1) + 4 };

struct stage {                              /* one step from tensor to tensor */
    const struct vae_resblock *block;       /* or */
    const struct vae_attention *attention;  /* (in place: takes no turn), or */
    const struct weight *conv;
    struct conv how;
    struct tensor shape;                    /* of its result */
};

struct chain {
    struct stage stage[MAX_STAGES];
    uint32_t count;
};

static struct stage *chain_add(struct chain *c, struct tensor like, uint32_t h, uint32_t w, uint32_t channels)
{
    struct stage *s = &c->stage[c->count++];

    s->shape = tensor_shape(like, channels);
    s->shape.shape[1] = h;
    s->shape.shape[2] = w;
    return s;
}

static void chain_middle(struct chain *c, const struct vae_middle *m, struct tensor like, uint32_t h, uint32_t w)
{
    chain_add(c, like, h, w, m->block1.out)->block = &m->block1;
    chain_add(c, like, h, w, m->block1.out)->attention = &m->attention;
    chain_add(c, like, h, w, m->block2.out)->block = &m->block2;
}

/* Record x -> ... -> the last stage's result, which is returned: last, where there is one, else it lives until the caller
 * releases its scratch. Results take two places in turn, each as large as its largest. */
static struct tensor chain_record(struct pass *pass, const struct chain *c, struct tensor x, struct tensor last)
{
    struct tensor place[2] = { none, none };
    uint32_t turn = 0, own = last.dims ? c->count - 1 : c->count;

    for (uint32_t i = 0; i < own; i++) {
        if (c->stage[i].attention) continue;
        if (tensor_bytes(c->stage[i].shape) > tensor_bytes(place[turn])) place[turn] = c->stage[i].shape;
        turn ^= 1;
    }
    for (turn = 0; turn < 2; turn++)
        if (place[turn].dims) place[turn] = scratch_like(pass, place[turn]);
    turn = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct stage *s = &c->stage[i];
        if (s->attention) {
            attention_record(pass, s->attention, x);
            continue;
        }
        struct tensor y = i < own ? tensor_at(place[turn], s->shape) : last;
        if (s->block) resblock_record(pass, s->block, y, x);
        else op_conv2d(pass, y, x, s->conv, &s->how, NULL);
        x = y;
        turn ^= 1;
    }
    return x;
}

/* All levels down to `finest`, upsampled towards the next one unless that is done in bands. */
static void chain_up(struct chain *c, const struct vae_half *d, struct tensor latent, uint32_t finest, bool banded)
{
    uint32_t h = latent.shape[1], w = latent.shape[2];

    chain_add(c, latent, h, w, d->middle.block1.in)->conv = &d->conv_in;
    chain_middle(c, &d->middle, latent, h, w);
    for (uint32_t i = d->levels; i-- > finest;) {
        const struct vae_level *l = &d->level[i];
        for (uint32_t k = 0; k < l->blocks; k++) chain_add(c, latent, h, w, l->block[k].out)->block = &l->block[k];
        if (!l->resample || (banded && i == finest)) continue;
        struct stage *up = chain_add(c, latent, h *= 2, w *= 2, l->conv.outputs);
        up->conv = &l->conv;
        up->how.upsample = true;
    }
}

static void decode_whole(struct pass *pass, const struct vae_half *d, struct tensor picture, struct tensor latent,
                         struct tensor z)
{
    struct chain c = { 0 };

    chain_up(&c, d, latent, 0, false);
    struct tensor y = chain_record(pass, &c, z, none);
    op_group_norm(pass, y, y, none, &d->norm_out, VAE_GROUPS, norm_eps, OP_ACT_SILU);
    op_conv2d(pass, picture, y, &d->conv_out, NULL, NULL);
}

static void decode_in_bands(struct pass *pass, const struct vae_half *d, struct tensor picture, struct tensor latent,
                            struct tensor z, uint32_t band_rows)
{
    struct chain c = { 0 };

    chain_up(&c, d, latent, 1, true);
    struct tensor u = scratch_like(pass, c.stage[c.count - 1].shape);
    size_t mark = scratch_mark(pass);
    chain_record(pass, &c, z, u);
    scratch_release(pass, mark);
    vae_bands_record(pass, d, picture, u, band_rows);
}

void vae_decode_record(struct pass *pass, const struct vae *vae, struct tensor picture, struct tensor latent,
                       uint32_t band_rows)
{
    const struct vae_half *d = &vae->decoder;
    size_t mark = scratch_mark(pass);

    pass_label(pass, "vae");
    struct tensor z = scratch_like(pass, latent);
    op_linear(pass, z, latent, &d->quant, NULL);
    if (band_rows && vae_bands_can(d)) decode_in_bands(pass, d, picture, latent, z, band_rows);
    else decode_whole(pass, d, picture, latent, z);
    scratch_release(pass, mark);
}

void vae_encode_record(struct pass *pass, const struct vae *vae, struct tensor moments, struct tensor picture)
{
    const struct vae_half *e = &vae->encoder;
    struct chain c = { 0 };
    size_t mark = scratch_mark(pass);
    uint32_t h = picture.shape[1], w = picture.shape[2];

    if (!pass_expect(pass, vae->has_encoder, "the VAE's encoder was not loaded")) return;
    pass_label(pass, "vae");
    chain_add(&c, picture, h, w, e->conv_in.outputs)->conv = &e->conv_in;
    for (uint32_t i = 0; i < e->levels; i++) {
        const struct vae_level *l = &e->level[i];
        for (uint32_t k = 0; k < l->blocks; k++) chain_add(&c, picture, h, w, l->block[k].out)->block = &l->block[k];
        if (!l->resample) continue;
        /* zeros right and bottom only: symmetric padding shifts the picture by half a pixel a level */
        struct stage *down = chain_add(&c, picture, h /= 2, w /= 2, l->conv.outputs);
        down->conv = &l->conv;
        down->how = (struct conv) { .stride = 2, .pad_end_only = true };
    }
    chain_middle(&c, &e->middle, picture, h, w);

    struct tensor y = chain_record(pass, &c, picture, none);
    struct tensor m = scratch_like(pass, moments);
    op_group_norm(pass, y, y, none, &e->norm_out, VAE_GROUPS, norm_eps, OP_ACT_SILU);
    op_conv2d(pass, m, y, &e->conv_out, NULL, NULL);
    op_linear(pass, moments, m, &e->quant, NULL);
    scratch_release(pass, mark);
}
