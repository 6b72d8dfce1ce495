#include "model/unet/unet.h"

#include <math.h>
#include <stdio.h>

#define UNET "model.diffusion_model."

static const float norm_eps = 1e-5f;

/* ---- binding ------------------------------------------------------------ */

static void input_bind(struct unet *u, struct weights *ws, uint32_t i)
{
    struct unet_stage *s = &u->input[i];
    uint32_t shape[4];
    char at[64], attention[64];

    snprintf(at, sizeof at, UNET "input_blocks.%u.0", i);
    snprintf(attention, sizeof attention, UNET "input_blocks.%u.1", i);
    s->has_res = weights_have(ws, shape, "%s.in_layers.2.weight", at);
    if (s->has_res) {
        unet_resblock_bind(&s->res, ws, u->time_channels, &u->shift_channels, at);
        s->channels = s->res.out;
        s->has_transformer = weights_have(ws, shape, "%s.norm.weight", attention);
        if (s->has_transformer) unet_transformer_bind(&s->transformer, ws, u->context, &u->kv_channels, attention);
        return;
    }
    s->has_down = true;
    if (!weights_expect(ws, weights_have(ws, shape, "%s.op.weight", at), "%s is neither a block nor a downsampler", at))
        return;
    s->channels = shape[0];
    want_conv(ws, &s->conv, s->channels, s->channels, 3, "%s.op", at);
    u->levels++;
}

static void output_bind(struct unet *u, struct weights *ws, uint32_t i)
{
    struct unet_stage *s = &u->output[i];
    uint32_t shape[4];
    char at[64];

    snprintf(at, sizeof at, UNET "output_blocks.%u.0", i);
    s->has_res = true;
    unet_resblock_bind(&s->res, ws, u->time_channels, &u->shift_channels, at);
    s->channels = s->res.out;
    snprintf(at, sizeof at, UNET "output_blocks.%u.1", i);
    s->has_transformer = weights_have(ws, shape, "%s.norm.weight", at);
    if (s->has_transformer) unet_transformer_bind(&s->transformer, ws, u->context, &u->kv_channels, at);
    snprintf(at, sizeof at, UNET "output_blocks.%u.%u", i, s->has_transformer ? 2u : 1u);
    s->has_up = weights_have(ws, shape, "%s.conv.weight", at);
    if (s->has_up) want_conv(ws, &s->conv, s->channels, s->channels, 3, "%s.conv", at);
}

static uint32_t count_blocks(struct weights *ws, const char *part, const char *what)
{
    uint32_t shape[4], n = 0;

    while (n < UNET_MAX_BLOCKS && (weights_have(ws, shape, UNET "%s.%u.0.in_layers.2.weight", part, n) ||
                                   weights_have(ws, shape, UNET "%s.%u.0.%s.weight", part, n, what) ||
                                   (n == 0 && weights_have(ws, shape, UNET "%s.0.0.weight", part))))
        n++;
    return n;
}

void unet_bind(struct unet *u, struct weights *ws)
{
    uint32_t shape[4] = { 0 };

    *u = (struct unet) { .levels = 1 };
    if (!weights_expect(ws, weights_have(ws, shape, UNET "time_embed.0.weight"), UNET "time_embed.0.weight is missing"))
        return;
    u->time_channels = shape[0];
    u->model_channels = shape[1];
    u->context = checkpoint_about(weights_checkpoint(ws)).context;
    u->input_count = count_blocks(ws, "input_blocks", "op");
    u->output_count = count_blocks(ws, "output_blocks", "in_layers.2");
    if (!weights_expect(ws, u->input_count && u->output_count == u->input_count,
                        "unet: %u input blocks and %u output blocks", u->input_count, u->output_count))
        return;

    want_linear(ws, &u->time1, u->time_channels, u->model_channels, 0, UNET "time_embed.0");
    want_linear(ws, &u->time2, u->time_channels, u->time_channels, 0, UNET "time_embed.2");
    u->input[0].channels = u->model_channels;
    want_conv(ws, &u->input[0].conv, u->model_channels, UNET_LATENT, 3, UNET "input_blocks.0.0");
    for (uint32_t i = 1; i < u->input_count; i++) input_bind(u, ws, i);
    unet_resblock_bind(&u->middle1, ws, u->time_channels, &u->shift_channels, UNET "middle_block.0");
    unet_transformer_bind(&u->middle_transformer, ws, u->context, &u->kv_channels, UNET "middle_block.1");
    unet_resblock_bind(&u->middle2, ws, u->time_channels, &u->shift_channels, UNET "middle_block.2");
    for (uint32_t i = 0; i < u->output_count; i++) output_bind(u, ws, i);
    want_norm(ws, &u->out_norm, u->model_channels, UNET "out.0");
    want_conv(ws, &u->out_conv, UNET_LATENT, u->model_channels, 3, UNET "out.2");

    uint32_t below = u->middle2.out;
    for (uint32_t i = 0; i < u->output_count; i++) {
        uint32_t skip = u->input[u->input_count - 1 - i].channels;
        if (!weights_expect(ws, u->output[i].res.in == below + skip,
                            "output_blocks.%u takes %u channels, %u and a skip of %u arrive", i, u->output[i].res.in,
                            below, skip))
            return;
        below = u->output[i].channels;
    }
}

/* ---- the text's keys and values ------------------------------------------ */

static void transformer_context(struct pass *pass, const struct unet_transformer *t, struct tensor kv,
                                struct tensor context)
{
    for (uint32_t k = 0; k < t->depth; k++)
        op_linear(pass, tensor_columns(kv, t->block[k].kv_first, 2 * t->channels), context, &t->block[k].kv2, NULL);
}

void unet_context_record(struct pass *pass, const struct unet *u, struct tensor kv, struct tensor context)
{
    pass_label(pass, "context");
    for (uint32_t i = 0; i < u->input_count; i++)
        if (u->input[i].has_transformer) transformer_context(pass, &u->input[i].transformer, kv, context);
    transformer_context(pass, &u->middle_transformer, kv, context);
    for (uint32_t i = 0; i < u->output_count; i++)
        if (u->output[i].has_transformer) transformer_context(pass, &u->output[i].transformer, kv, context);
}

/* ---- the time's shifts ------------------------------------------------------ */

static void stage_time(struct pass *pass, const struct unet_resblock *b, struct tensor shifts, struct tensor emb)
{
    op_linear(pass, tensor_columns(shifts, b->shift_first, b->out), emb, &b->time, NULL);
}

/* emb = silu(time2(silu(time1(sinus)))): every residual block begins with that SiLU. */
void unet_time_record(struct pass *pass, const struct unet *u, struct tensor shifts, struct tensor sinus)
{
    size_t mark = scratch_mark(pass);
    struct tensor emb = scratch_f32(pass, tensor_rows(sinus), u->time_channels);
    struct tensor h = scratch_f32(pass, tensor_rows(sinus), u->time_channels);

    pass_label(pass, "time");
    op_linear(pass, h, sinus, &u->time1, &(struct epilogue) { .act = OP_ACT_SILU });
    op_linear(pass, emb, h, &u->time2, &(struct epilogue) { .act = OP_ACT_SILU });
    for (uint32_t i = 0; i < u->input_count; i++)
        if (u->input[i].has_res) stage_time(pass, &u->input[i].res, shifts, emb);
    stage_time(pass, &u->middle1, shifts, emb);
    stage_time(pass, &u->middle2, shifts, emb);
    for (uint32_t i = 0; i < u->output_count; i++) stage_time(pass, &u->output[i].res, shifts, emb);
    scratch_release(pass, mark);
}

/* ---- one evaluation ------------------------------------------------------- */

/* Gives the stage's result, which stays on the scratch stack: it is a skip connection. *alike: are x's images the same? Then the
 * result's. */
static struct tensor input_record(struct pass *pass, const struct unet_stage *s, struct tensor x, struct tensor shifts,
                                  struct tensor kv, bool *alike)
{
    const struct tensor none = { 0 };

    if (s->has_down) {
        struct tensor y = scratch_image(pass, x, (x.shape[1] + 1) / 2, (x.shape[2] + 1) / 2, s->channels);
        op_conv2d(pass, y, x, &s->conv, &(struct conv) { .stride = 2 }, NULL);
        return y;
    }
    struct tensor y = scratch_channels(pass, x, s->channels);
    if (!s->has_transformer) {
        unet_resblock(pass, &s->res, y, x, none, shifts);
        return y;
    }
    size_t mark = scratch_mark(pass);
    struct tensor h = scratch_like(pass, y);
    unet_resblock(pass, &s->res, h, x, none, shifts);
    unet_transformer(pass, &s->transformer, y, h, kv, *alike);
    *alike = false;
    scratch_release(pass, mark);
    return y;
}

/* y: the stage's result; where it goes up, at the size of the next skip (33 halves to 17 and must come back to 33). */
static void output_record(struct pass *pass, const struct unet_stage *s, struct tensor y, struct tensor x,
                          struct tensor skip, struct tensor shifts, struct tensor kv)
{
    size_t mark = scratch_mark(pass);
    struct tensor r = s->has_transformer || s->has_up ? scratch_channels(pass, x, s->channels) : y;
    struct tensor t = r;

    unet_resblock(pass, &s->res, r, x, skip, shifts);
    if (s->has_transformer) {
        t = s->has_up ? scratch_like(pass, r) : y;
        unet_transformer(pass, &s->transformer, t, r, kv, false);
    }
    if (s->has_up)
        op_conv2d(pass, y, t, &s->conv, &(struct conv) { .upsample = true }, NULL);
    scratch_release(pass, mark);
}

static void middle_record(struct pass *pass, const struct unet *u, struct tensor y, struct tensor x,
                          struct tensor shifts, struct tensor kv)
{
    const struct tensor none = { 0 };
    size_t mark = scratch_mark(pass);
    struct tensor a = scratch_like(pass, y), b = scratch_like(pass, y);

    unet_resblock(pass, &u->middle1, a, x, none, shifts);
    unet_transformer(pass, &u->middle_transformer, b, a, kv, false);
    unet_resblock(pass, &u->middle2, y, b, none, shifts);
    scratch_release(pass, mark);
}

/* Shape of output stage i's result: where it goes up, the next skip's size. */
static struct tensor output_shape(const struct unet *u, const struct tensor *skips, uint32_t i)
{
    uint32_t skip = u->input_count - 1 - i;

    return tensor_shape(skips[u->output[i].has_up && skip ? skip - 1 : skip], u->output[i].channels);
}

/* Two places that the output stages' results take in turn, each as large as the largest. */
static void take_turns(struct pass *pass, const struct unet *u, const struct tensor *skips, struct tensor turns[2])
{
    struct tensor largest = tensor_shape(skips[u->input_count - 1], u->middle2.out);

    for (uint32_t i = 0; i < u->output_count; i++)
        if (tensor_bytes(output_shape(u, skips, i)) > tensor_bytes(largest)) largest = output_shape(u, skips, i);
    turns[0] = scratch_like(pass, largest);
    turns[1] = scratch_like(pass, largest);
}

void unet_record(struct pass *pass, const struct unet *u, struct tensor eps, struct tensor x, struct tensor shifts,
                 struct tensor kv, bool alike)
{
    struct tensor skips[UNET_MAX_BLOCKS], turns[2];
    size_t mark = scratch_mark(pass);

    pass_label(pass, "unet");
    skips[0] = scratch_channels(pass, x, u->model_channels);
    op_conv2d(pass, skips[0], x, &u->input[0].conv, NULL, NULL);
    for (uint32_t i = 1; i < u->input_count; i++)
        skips[i] = input_record(pass, &u->input[i], skips[i - 1], shifts, kv, &alike);

    take_turns(pass, u, skips, turns);
    struct tensor h = tensor_at(turns[0], tensor_shape(skips[u->input_count - 1], u->middle2.out));
    middle_record(pass, u, h, skips[u->input_count - 1], shifts, kv);
    for (uint32_t i = 0; i < u->output_count; i++) {
        struct tensor y = tensor_at(turns[(i + 1) % 2], output_shape(u, skips, i));
        output_record(pass, &u->output[i], y, h, skips[u->input_count - 1 - i], shifts, kv);
        h = y;
    }
    op_group_norm_whole(pass, h, h, (struct tensor) { 0 }, &u->out_norm, UNET_GROUPS, norm_eps, OP_ACT_SILU);
    op_conv2d(pass, eps, h, &u->out_conv, NULL, NULL);
    scratch_release(pass, mark);
}

void unet_timestep(const struct unet *u, float *out, double t)
{
    uint32_t half = u->model_channels / 2;

    for (uint32_t i = 0; i < half; i++) {
        double a = t * exp(-log(10000.0) * i / half);
        out[i] = (float)cos(a);
        out[half + i] = (float)sin(a);
    }
}
