#include "model/unet/blocks.h"

#include <stdio.h>

static const float norm_eps = 1e-5f;

void unet_resblock_bind(struct unet_resblock *b, struct weights *ws, uint32_t time_channels, uint32_t *shift_first,
                        const char *at)
{
    uint32_t shape[4];
    char conv2[128], skip[128];

    *b = (struct unet_resblock) { 0 };
    if (!weights_expect(ws, weights_have(ws, shape, "%s.in_layers.2.weight", at), "%s.in_layers.2.weight is missing", at))
        return;
    b->out = shape[0];
    b->in = shape[1];
    b->shift_first = *shift_first;
    *shift_first += b->out;
    if (!weights_expect(ws, b->in % UNET_GROUPS == 0 && b->out % UNET_GROUPS == 0,
                        "%s: %u to %u channels are not multiples of %d groups", at, b->in, b->out, UNET_GROUPS))
        return;
    want_norm(ws, &b->norm1, b->in, "%s.in_layers.0", at);
    want_conv(ws, &b->conv1, b->out, b->in, 3, "%s.in_layers.2", at);
    want_linear(ws, &b->time, b->out, time_channels, 0, "%s.emb_layers.1", at);
    want_norm(ws, &b->norm2, b->out, "%s.out_layers.0", at);
    snprintf(conv2, sizeof conv2, "%s.out_layers.3", at);
    snprintf(skip, sizeof skip, "%s.skip_connection", at);
    if (b->in == b->out) want_conv(ws, &b->conv2, b->out, b->out, 3, "%s", conv2);
    else want_conv_and_shortcut(ws, &b->conv2, b->out, b->out, 3, b->in, skip, conv2);
}

/* h = conv1(silu(norm1(x))) + shift; y = conv2(silu(norm2(h))) + skip(x) */
void unet_resblock(struct pass *pass, const struct unet_resblock *b, struct tensor y, struct tensor x,
                   struct tensor x2, struct tensor shifts)
{
    size_t mark = scratch_mark(pass);
    struct tensor shift = tensor_columns(shifts, b->shift_first, b->out);
    struct tensor g = scratch_like(pass, y);                                    /* out */
    bool same = b->in == b->out;

    shift.shape[0] = x.shape[0];
    shift.stride = 0;                                                           /* one row for all images */

    size_t inner = scratch_mark(pass);
    struct tensor h = same ? y : scratch_channels(pass, x, b->in);              /* in */
    op_group_norm_whole(pass, h, x, x2, &b->norm1, UNET_GROUPS, norm_eps, OP_ACT_SILU);
    op_conv2d(pass, g, h, &b->conv1, NULL, &(struct epilogue) { .per_image = shift });
    scratch_release(pass, inner);

    op_group_norm_whole(pass, g, g, (struct tensor) { 0 }, &b->norm2, UNET_GROUPS, norm_eps, OP_ACT_SILU);
    if (same) op_conv2d(pass, y, g, &b->conv2, NULL, &(struct epilogue) { .residual = x });
    else op_conv2d(pass, y, g, &b->conv2, &(struct conv) { .shortcut = x, .shortcut2 = x2 }, NULL);
    scratch_release(pass, mark);
}
