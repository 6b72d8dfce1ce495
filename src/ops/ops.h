/* The menu of operations. Each records one or a few dispatches in a pass and returns nothing: a refusal is the
 * pass's failure. Output first, as in memcpy. Activations are f32 or f16, the same in all operands of a call unless
 * said otherwise; statistics and sums are fp32. Channel counts and strides are multiples of 4. */
#ifndef TINCT_OPS_H
#define TINCT_OPS_H

#include "tensor/tensor.h"

enum act { OP_ACT_NONE, OP_ACT_SILU, OP_ACT_GELU, OP_ACT_QUICK_GELU };

/* What happens to a sum before it is stored: act(sum + bias + per_image) + residual. NULL stands for none of it. */
struct epilogue {
    struct tensor per_image;   /* [N, outputs] f32: added to every pixel of image n; may be a column range */
    struct tensor residual;    /* shape and type of y; may be y */
    enum act act;
};

/* Linear layer on every row:  y = act(x W^T + bias) + residual
 *
 *   y  [..., outputs], or [..., outputs / 2] where w is a GEGLU: value * gelu(gate), epilogue act none
 *   x  [..., inputs]; may be a column range
 *
 * Refused: channels differ from the weight's, rows of y and x differ. Source: torch.nn.Linear; arXiv:2002.05202. */
void op_linear(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct epilogue *e);

struct conv {                  /* zero: stride 1, padding kernel / 2 on all sides */
    uint32_t stride;           /* 0 counts as 1 */
    bool pad_end_only;         /* zeros right and bottom only, as the VAE's encoder downsamples */
    bool upsample;             /* nearest 2x before the convolution */
    bool above, below;         /* 3x3, stride 1: x is a band of a larger picture and has a row more than y there, which is
                                  seen where the picture's edge would be zeros */
    struct tensor shortcut, shortcut2;     /* what w's 1x1 convolution sees: side by side, a skip concatenation; or none */
};

/* 2-D convolution, an implicit GEMM:  y = act(conv(x) + bias + per_image) + residual, or
 *                                      y = conv(x) + shortcut w' + bias + per_image + residual
 *
 *   y  [N, Ho, Wo, outputs]  Ho = H, 2 H or 2 H - 1 (upsample) or (H + 1) / 2 (stride 2; H / 2 where pad_end_only)
 *   x  [N, H, W, inputs]
 *   shortcut [N, Ho, Wo, C], shortcut2 [N, Ho, Wo, C2] or none; C + C2 = w->shortcut, whose rows w' of w follow the taps'
 *
 * With above or below Ho is H less 1 for each; the rows of y are bit for bit those of the whole picture where y begins at
 * a multiple of 4 rows of it.
 *
 * Upsampled to an odd size, the last row or column is cut off before the convolution, as diffusers does it.
 * y is none of those it is made of, but the residual. outputs may be 3: y then has 4 channels, the last is 0.
 * Refused: shapes that do not fit each other. Source: torch.nn.Conv2d (cross-correlation). */
void op_conv2d(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct conv *c,
               const struct epilogue *e);

/* Attention per image and head:  y = softmax(q k^T / sqrt(d)) v
 *
 *   y     [N, T, heads d]      d = 4..512, a multiple of 4
 *   q     [N, T, heads d]      or one image: then all of y's are alike
 *   k, v  as many images, S rows each; may be column ranges of one tensor; y is none of them
 *   causal: token i sees tokens 0..i; T = S
 *
 * Refused: shapes that do not fit each other. Source: arXiv:1706.03762, arXiv:2205.14135. */
void op_attention(struct pass *pass, struct tensor y, struct tensor q, struct tensor k, struct tensor v,
                  uint32_t heads, bool causal);

/* Attention of x's rows to a text: op_layer_norm_linear and op_attention, in one dispatch and without a tensor between
 * them where device_joins_norms.
 *
 *   y, k, v  as above; x [N, T, C], dense; w [heads d, C]
 *
 * y is not x. Refused: what those two refuse. */
void op_cross_attention(struct pass *pass, struct tensor y, struct tensor x, const struct norm *norm, float eps,
                        const struct weight *w, struct tensor k, struct tensor v, uint32_t heads);

/* Group normalisation of every image, an affine map per channel, then act (none or SiLU).
 *
 *   y   [N, H, W, C + C2]   may be x where there is no x2
 *   x   [N, H, W, C], x2 [N, H, W, C2] or none: groups are taken over both side by side
 *
 * mean and biased variance over the pixels and channels of a group, robust to a large mean.
 * Refused: C + C2 not a multiple of groups; norm of another length. Source: arXiv:1803.08494, torch.nn.GroupNorm. */
void op_group_norm(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, const struct norm *norm,
                   uint32_t groups, float eps, enum act act);

/* The same in one dispatch, where the device has a kernel for it and the caches hold a picture's groups: other roundings
 * than op_group_norm's, so not for what may also be taken in parts. */
void op_group_norm_whole(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, const struct norm *norm,
                         uint32_t groups, float eps, enum act act);

/* The same of one image that is never there as a whole, bit for bit: parts of it, in any order, then the statistics of all
 * parts, then parts of the result.
 *
 *   parts  from scratch_group_norm_parts; x [1, h, W, C]: the image's pixels from first_pixel, a multiple of 256, on; as many
 *          are in every part but the last
 *   stats  [groups, 2] f32, of pixels in all; channels is C
 *   y      [1, h, W, C], may be x */
struct tensor scratch_group_norm_parts(struct pass *pass, uint32_t pixels, uint32_t groups);
void op_group_norm_parts(struct pass *pass, struct tensor parts, struct tensor x, uint32_t first_pixel, uint32_t groups);
void op_group_norm_stats(struct pass *pass, struct tensor stats, struct tensor parts, uint32_t pixels, uint32_t channels,
                         uint32_t groups, float eps);
void op_group_norm_apply(struct pass *pass, struct tensor y, struct tensor x, struct tensor stats, const struct norm *norm,
                         uint32_t groups, enum act act);

/* Layer normalisation of every row, then an affine map per channel.
 *
 *   y, x  [..., C]             y may be x; dense
 *
 * Refused: y and x differ in shape or type; gamma or beta not [C]. Source: arXiv:1607.06450, torch.nn.LayerNorm. */
void op_layer_norm(struct pass *pass, struct tensor y, struct tensor x, const struct norm *norm, float eps);

/* Layer normalisation of x's rows, then a linear layer of them: op_layer_norm and op_linear, in one dispatch and
 * without a tensor between them where device_joins_norms. x stays as it is; y is not x. */
void op_layer_norm_linear(struct pass *pass, struct tensor y, struct tensor x, const struct norm *norm, float eps,
                          const struct weight *w, const struct epilogue *e);

enum { OP_MIX_RESULTS = 8 };

/* Sums of a few tensors, with weights that are read whenever the pass runs:  y_m = sum_k a[k][m] x_k
 *
 *   y   [M, ...]   M = 1..OP_MIX_RESULTS; f32, or as activations are; may be entries of x
 *   x   [K, ...]   f32; or none
 *   x2  [K2, ...]  as activations are; or none. Its entries follow those of x
 *   a   [K + K2, OP_MIX_RESULTS] f32; columns beyond M do not count. Where one is 0, x_k is left out, whatever it holds
 *
 * An entry of x, x2 and y holds as many values, a multiple of 4; they are dense, or [entries, values] with a stride.
 * Sums are fp32 in the order of k. Refused: sizes that do not fit each other. */
void op_mix(struct pass *pass, struct tensor y, struct tensor x, struct tensor x2, struct tensor a);

/* A packed weight rebuilt from its pristine values, rounded once:  y = round_f16(w0 + delta + a b)
 *
 *   y       [panels, k, 64] f16, as tensor/pack.h lays weights out; may be w0
 *   w0      the same, f16 or f32
 *   a, b    [k, r] and [panels, r, 64] f32, r a multiple of 4; or none
 *   delta   [panels, k, 64] f32, or none
 *   beyond  [1] f32: set to 1 where a sum went beyond fp16 (65504), else left as it is
 *
 * Sums are fp32 in the order of r. Refused: shapes that do not fit each other; none of a, b, delta. Source: arXiv:2106.09685. */
void op_lora_merge(struct pass *pass, struct tensor y, struct tensor w0, struct tensor a, struct tensor b,
                   struct tensor delta, struct tensor beyond);

#endif
