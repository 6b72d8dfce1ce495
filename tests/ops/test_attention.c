#include "ops/attention_definition.h"

struct heads_case {             /* one case; what is zero is absent */
    uint32_t images, queries, keys, heads, head_dim;   /* images 0 counts as 1; keys 0: queries */
    uint32_t copies;            /* of one image's results, where images is 1; 0 counts as 1 */
    bool causal;
    bool fused;                 /* q, k, v are column ranges of one tensor; else of two */
    uint32_t row_stride;        /* elements from token to token, of all; 0: dense, or 3 C where fused */
    float q_mean, q_spread, k_mean, k_spread;          /* spreads 0 count as 1 */
};

struct operands {
    float *q, *k, *v;           /* [images, tokens, heads head_dim] */
};

static void definition(const struct optest *t, const struct heads_case *h, const struct operands *in, uint32_t image,
                       uint32_t row, uint32_t head, struct attended *at, double *y, double *tolerance)
{
    size_t channels = (size_t)h->heads * h->head_dim, first = head * h->head_dim;
    const float *q = in->q + ((size_t)image * h->queries + row) * channels + first;

    for (uint32_t c = 0; c < h->head_dim; c++) at->q[c] = q[c];
    at->k = in->k + (size_t)image * h->keys * channels + first;
    at->v = in->v + (size_t)image * h->keys * channels + first;
    at->seen = h->causal ? row + 1 : h->keys;
    attend(t, at, y, tolerance);
}

static void compare(struct optest *t, const struct heads_case *h, const struct operands *in, const float *got)
{
    uint32_t rows = h->copies * h->images * h->queries, channels = h->heads * h->head_dim;
    uint32_t samples = optest_samples(rows, 3.0 * h->keys * channels);
    size_t count = (size_t)samples * channels;
    double *want = optest_host(t, count * sizeof *want), *tolerance = optest_host(t, count * sizeof *tolerance);
    struct attended row_at_hand = attended_of(t, h->keys, h->head_dim, channels);
    float *part = optest_host(t, count * sizeof *part);

    optest_all_written(t, got, (size_t)rows * channels);
    for (uint32_t i = 0; i < samples; i++) {
        uint32_t row = optest_sample(t, i, samples, rows);
        for (uint32_t head = 0; head < h->heads; head++) {
            size_t at = (size_t)i * channels + head * h->head_dim;
            definition(t, h, in, row / h->queries % h->images, row % h->queries, head, &row_at_hand, want + at, tolerance + at);
        }
        memcpy(part + (size_t)i * channels, got + (size_t)row * channels, channels * sizeof *got);
    }
    optest_close(t, part, want, tolerance, samples, channels);
}

/* parts [rows, channels] each, side by side in rows of stride; the parts' tensors go to out. */
static void side_by_side(struct optest *t, uint32_t images, uint32_t tokens, uint32_t channels, uint32_t stride,
                         float *const *parts, uint32_t count, struct tensor *out)
{
    size_t rows = (size_t)images * tokens;
    float *all = optest_host(t, rows * count * channels * sizeof *all);

    for (size_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < count; i++)
            memcpy(all + (r * count + i) * channels, parts[i] + r * channels, channels * sizeof *all);
    struct tensor whole = optest_columns(t, t->dtype, 3, (uint32_t[]) { images, tokens, count * channels }, 0, stride, all);
    for (uint32_t i = 0; i < count; i++) out[i] = tensor_columns(whole, i * channels, channels);
}

static void run_on(struct optest *t, const struct heads_case *h, const struct operands *in)
{
    uint32_t c = h->heads * h->head_dim, stride = h->row_stride;
    struct tensor qkv[3];
    float *parts[] = { in->q, in->k, in->v };

    if (h->fused) {
        side_by_side(t, h->images, h->queries, c, stride ? stride : 3 * c, parts, 3, qkv);
    } else {
        side_by_side(t, h->images, h->queries, c, stride ? stride : c, parts, 1, qkv);
        side_by_side(t, h->images, h->keys, c, stride ? stride : 2 * c, parts + 1, 2, qkv + 1);
    }
    struct tensor y = optest_columns(t, t->dtype, 3, (uint32_t[]) { h->copies * h->images, h->queries, c }, 0,
                                     stride ? stride : c, NULL);
    op_attention(optest_pass(t), y, qkv[0], qkv[1], qkv[2], h->heads, h->causal);
    optest_run(t);
    compare(t, h, in, optest_read(t, y));
}

static struct heads_case filled_in(struct heads_case h)
{
    if (!h.images) h.images = 1;
    if (!h.copies) h.copies = 1;
    if (!h.keys) h.keys = h.queries;
    if (h.q_spread <= 0) h.q_spread = 1;
    if (h.k_spread <= 0) h.k_spread = 1;
    return h;
}

static void attention(struct optest *t, struct heads_case h)
{
    h = filled_in(h);
    size_t channels = (size_t)h.heads * h.head_dim, q = h.images * h.queries * channels, k = h.images * h.keys * channels;
    struct operands in = { .q = optest_random(t, q, h.q_mean, h.q_spread),
                           .k = optest_random(t, k, h.k_mean, h.k_spread), .v = optest_random(t, k, 0.25f, 1) };
    run_on(t, &h, &in);
}

static void every_head_size(struct optest *t)
{
    static const uint32_t sizes[] = { 4, 8, 12, 16, 24, 40, 64, 80, 160 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        attention(t, (struct heads_case) { .images = 2, .queries = 96, .keys = 77, .heads = 8, .head_dim = sizes[i] });
}

static void vae_head(struct optest *t)
{
    attention(t, (struct heads_case) { .queries = 256, .heads = 1, .head_dim = 512 });
}

static void long_context(struct optest *t)
{
    attention(t, (struct heads_case) { .queries = 100, .keys = 4096, .heads = 8, .head_dim = 40, .q_spread = 3 });
}

static void unet_self(struct optest *t)
{
    attention(t, (struct heads_case) { .images = 2, .queries = 256, .heads = 8, .head_dim = 80, .fused = true });
}

static void unet_cross(struct optest *t)
{
    attention(t, (struct heads_case) { .images = 2, .queries = 13 * 37, .keys = 77, .heads = 8, .head_dim = 40 });
}

/* As guidance does before the text comes in. */
static void copies(struct optest *t)
{
    attention(t, (struct heads_case) { .copies = 2, .queries = 256, .heads = 8, .head_dim = 40, .fused = true });
    attention(t, (struct heads_case) { .copies = 3, .queries = 65, .keys = 33, .heads = 3, .head_dim = 12, .row_stride = 148 });
}

static void clip_causal(struct optest *t)
{
    attention(t, (struct heads_case) { .images = 2, .queries = 77, .heads = 12, .head_dim = 64, .causal = true,
                                       .fused = true });
}

static const uint32_t around_tiles[] = { 1, 2, 3, 5, 7, 8, 9, 15, 17, 31, 33, 63, 64, 65, 127, 129 };
enum { AROUND_TILES = sizeof around_tiles / sizeof *around_tiles };

static void every_length(struct optest *t)
{
    for (int i = 0; i < AROUND_TILES; i++)
        attention(t, (struct heads_case) { .images = 2, .queries = around_tiles[i],
                                           .keys = around_tiles[AROUND_TILES - 1 - i], .heads = 3, .head_dim = 8 });
}

static void every_causal_length(struct optest *t)
{
    for (int i = 0; i < AROUND_TILES; i++)
        attention(t, (struct heads_case) { .images = 2, .queries = around_tiles[i], .heads = 2, .head_dim = 16,
                                           .causal = true, .fused = true });
}

static void long_causal_context(struct optest *t)    /* of more keys than some kernels convert at a time */
{
    attention(t, (struct heads_case) { .queries = 900, .heads = 2, .head_dim = 160, .causal = true, .fused = true });
}

static void row_strides(struct optest *t)
{
    attention(t, (struct heads_case) { .images = 2, .queries = 65, .keys = 33, .heads = 3, .head_dim = 12,
                                       .row_stride = 148 });
}

static void sharp_softmax(struct optest *t)      /* scores of several thousand: exp must not overflow */
{
    attention(t, (struct heads_case) { .queries = 67, .keys = 77, .heads = 4, .head_dim = 40, .q_spread = 60,
                                       .k_spread = 60 });
}

static void all_scores_low(struct optest *t)     /* around -800: exp of each alone is 0 */
{
    attention(t, (struct heads_case) { .queries = 67, .keys = 77, .heads = 2, .head_dim = 64, .q_mean = 10, .k_mean = -10,
                                       .q_spread = 0.1f, .k_spread = 0.1f });
}

/* The maximum grows with every key, so that every block's weights are rescaled by the next. */
static void growing_scores(struct optest *t)
{
    struct heads_case h = filled_in((struct heads_case) { .queries = 40, .keys = 333, .heads = 2, .head_dim = 16,
                                                          .q_mean = 1, .q_spread = 0.25f });
    size_t channels = h.heads * h.head_dim;
    struct operands in = { .q = optest_random(t, h.queries * channels, h.q_mean, h.q_spread),
                           .k = optest_host(t, h.keys * channels * sizeof(float)),
                           .v = optest_random(t, h.keys * channels, 0, 1) };

    for (size_t i = 0; i < h.keys * channels; i++) in.k[i] = (float)(i / channels) / 32;     /* exact in f16 */
    run_on(t, &h, &in);
}

static void beyond_65535_groups(struct optest *t)
{
    if (!optest_groups_are_slow(t))
        attention(t, (struct heads_case) { .images = 33000, .queries = 2, .keys = 3, .heads = 2, .head_dim = 4 });
    attention(t, (struct heads_case) { .queries = 140000, .keys = 3, .heads = 1, .head_dim = 4 });
}

/* Tokens of 1 KiB of which a head takes little: queries, or keys and values, that span 130 MiB. */
static void queries_beyond_128_mib(struct optest *t)
{
    attention(t, (struct heads_case) { .queries = 130 * 1024 + 3, .keys = 5, .heads = 1, .head_dim = 8,
                                       .row_stride = t->dtype == DTYPE_F32 ? 256 : 512 });
}

static void copies_beyond_128_mib(struct optest *t)
{
    attention(t, (struct heads_case) { .copies = 3, .queries = 65 * 1024 + 3, .keys = 5, .heads = 1, .head_dim = 8,
                                       .row_stride = t->dtype == DTYPE_F32 ? 256 : 512 });
}

static void keys_beyond_128_mib(struct optest *t)
{
    attention(t, (struct heads_case) { .queries = 5, .keys = 130 * 1024 + 3, .heads = 1, .head_dim = 8,
                                       .row_stride = t->dtype == DTYPE_F32 ? 256 : 512 });
}

static struct tensor tokens(struct optest *t, uint32_t images, uint32_t count, uint32_t channels)
{
    return optest_tensor(t, t->dtype, 3, (uint32_t[]) { images, count, channels }, NULL);
}

static void refusals(struct optest *t)
{
    struct tensor q = tokens(t, 2, 5, 32), k = tokens(t, 2, 7, 32), k3 = tokens(t, 3, 7, 32), k2 = tokens(t, 2, 6, 32);
    struct tensor narrow = tokens(t, 2, 7, 16), y = tokens(t, 2, 5, 32);
    struct tensor big = tokens(t, 1, 2, 1032), big_y = tokens(t, 1, 2, 1032);

    op_attention(optest_pass(t), k, q, k, k, 4, false);
    optest_refused(t, "attention: y and q, k and v must be alike");
    op_attention(optest_pass(t), y, q, k, k2, 4, false);
    optest_refused(t, "attention: y and q, k and v must be alike");
    op_attention(optest_pass(t), y, q, k3, k3, 4, false);
    optest_refused(t, "attention: q is [2, T, 32], k is [3, S, 32]");
    op_attention(optest_pass(t), y, q, narrow, narrow, 4, false);
    optest_refused(t, "attention: q is [2, T, 32], k is [2, S, 16]");
    op_attention(optest_pass(t), y, q, k, k, 5, false);
    optest_refused(t, "attention: 5 heads in 32 channels");
    op_attention(optest_pass(t), y, q, k, k, 16, false);
    optest_refused(t, "attention: 16 heads in 32 channels");
    op_attention(optest_pass(t), big_y, big, big, big, 2, false);
    optest_refused(t, "attention: 2 heads in 1032 channels");
    op_attention(optest_pass(t), y, q, k, k, 4, true);
    optest_refused(t, "attention: causal with 5 queries and 7 keys");
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "every head size", every_head_size },
        { "one head of 512", vae_head },
        { "4096 keys", long_context },
        { "2x256, 8 heads of 80, fused", unet_self },
        { "2x481 on 77, 8 heads of 40", unet_cross },
        { "copies of one image", copies },
        { "2x77 causal, 12 heads of 64, fused", clip_causal },
        { "every length", every_length },
        { "every causal length", every_causal_length },
        { "900 causal, 2 heads of 160", long_causal_context },
        { "row strides", row_strides },
        { "sharp softmax", sharp_softmax },
        { "all scores low", all_scores_low },
        { "growing scores", growing_scores },
        { "beyond 65535 groups", beyond_65535_groups },
        { "queries beyond 128 MiB", queries_beyond_128_mib },
        { "copies beyond 128 MiB", copies_beyond_128_mib },
        { "keys beyond 128 MiB", keys_beyond_128_mib },
        { "refusals", refusals },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
