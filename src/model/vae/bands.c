#include "model/vae/bands.h"

struct band {
    uint32_t first, end;                    /* rows of the picture */
    bool above, below;                      /* there are rows beyond it */
};

struct bands {
    struct pass *pass;
    uint32_t height, width, rows;
    struct tensor parts, stats;             /* of a group norm */
    struct tensor up, h;                    /* a band upsampled, [1, rows + 8, W, C]; and normalised, [1, rows + 2, W, C] */
};

bool vae_bands_can(const struct vae_half *d)
{
    const struct vae_level *l = &d->level[0];
    bool ok = d->levels > 1 && d->level[1].resample && !l->resample && l->blocks && l->block[0].in != l->block[0].out;

    for (uint32_t i = 1; ok && i < l->blocks; i++) ok = l->block[i].in == l->block[i].out;
    return ok;
}

/* ---- rows ----------------------------------------------------------------- */

/* Goes on from { 0 } to the first band, and so on; false behind the last. What would be left as less than a unit is the
 * last one's too. */
static bool next(const struct bands *b, struct band *band)
{
    uint32_t first = band->end, end = b->height - first < b->rows + VAE_BAND_ROWS ? b->height : first + b->rows;

    *band = (struct band) { first, end, first > 0, end < b->height };
    return first < b->height;
}

static struct tensor rows_of(struct tensor x, uint32_t first, uint32_t count)
{
    x.offset += (uint64_t)first * x.shape[2] * x.stride * dtype_size(x.dtype);
    x.shape[1] = count;
    return x;
}

static struct tensor own_rows(struct tensor x, struct band band)
{
    return rows_of(x, band.first, band.end - band.first);
}

/* Its rows and those that a 3x3 convolution sees around them. */
static struct tensor seen_rows(struct tensor x, struct band band)
{
    return rows_of(x, band.first - band.above, band.end - band.first + band.above + band.below);
}

/* The same rows of u, upsampled and convolved. Two source rows on either side make four rows more, as many as Winograd's
 * tiles have, which so lie as in the whole picture. The outermost row lacks its neighbour; the innermost one is wanted. */
static struct tensor widen(const struct bands *b, const struct weight *conv, struct tensor u, struct band band)
{
    uint32_t first = band.first / 2 - 2 * band.above, count = (band.end - band.first) / 2 + 2 * (band.above + band.below);
    struct tensor up = rows_of(b->up, 0, 2 * count);

    op_conv2d(b->pass, up, rows_of(u, first, count), conv, &(struct conv) { .upsample = true }, NULL);
    return rows_of(up, 3 * band.above, band.end - band.first + band.above + band.below);
}

/* ---- one half of a block: act(norm(x)), convolved --------------------------- */

static void finish_stats(const struct bands *b, uint32_t channels)
{
    op_group_norm_stats(b->pass, b->stats, b->parts, b->height * b->width, channels, VAE_GROUPS, VAE_NORM_EPS);
}

static void stats_of(const struct bands *b, struct tensor x)
{
    op_group_norm_parts(b->pass, b->parts, x, 0, VAE_GROUPS);
    finish_stats(b, tensor_channels(x));
}

/* y's band = conv(silu(norm(x))) + residual, x being what is seen of it. */
static void convolve(const struct bands *b, struct band band, struct tensor y, struct tensor x, const struct norm *norm,
                     const struct weight *conv, struct tensor residual)
{
    struct tensor h = tensor_at(b->h, tensor_shape(x, tensor_channels(x)));

    op_group_norm_apply(b->pass, h, x, b->stats, norm, VAE_GROUPS, OP_ACT_SILU);
    op_conv2d(b->pass, own_rows(y, band), h, conv, &(struct conv) { .above = band.above, .below = band.below },
              &(struct epilogue) { .residual = residual });
}

/* y = conv(silu(norm(x))), added to what y holds where it is a block's second half. */
static void half_record(const struct bands *b, struct tensor y, struct tensor x, const struct norm *norm,
                        const struct weight *conv, bool second)
{
    const struct tensor none = { 0 };

    stats_of(b, x);
    for (struct band band = { 0 }; next(b, &band);)
        convolve(b, band, y, seen_rows(x, band), norm, conv, second ? own_rows(y, band) : none);
}

/* The block that follows the upsampling: y = conv2(g) + shortcut(x), g = conv1(x), x upsampled from u. */
static void first_record(const struct bands *b, const struct vae_resblock *block, const struct weight *conv, struct tensor y,
                         struct tensor g, struct tensor u)
{
    const struct tensor none = { 0 };

    for (struct band band = { 0 }; next(b, &band);) {
        struct tensor x = widen(b, conv, u, band);
        op_group_norm_parts(b->pass, b->parts, rows_of(x, band.above, band.end - band.first), band.first * b->width,
                            VAE_GROUPS);
    }
    finish_stats(b, block->in);
    for (struct band band = { 0 }; next(b, &band);) {
        struct tensor x = widen(b, conv, u, band);
        op_conv2d(b->pass, own_rows(y, band), rows_of(x, band.above, band.end - band.first), &block->shortcut, NULL, NULL);
        convolve(b, band, g, x, &block->norm1, &block->conv1, none);
    }
    half_record(b, y, g, &block->norm2, &block->conv2, true);
}

/* ---- the level ------------------------------------------------------------- */

void vae_bands_record(struct pass *pass, const struct vae_half *d, struct tensor picture, struct tensor u, uint32_t band_rows)
{
    const struct vae_level *l = &d->level[0];
    struct bands b = { .pass = pass, .height = picture.shape[1], .width = picture.shape[2], .rows = band_rows };
    uint32_t in = l->block[0].in, out = l->block[0].out, rest = b.height % band_rows;
    uint32_t most = b.height < band_rows + VAE_BAND_ROWS ? b.height : band_rows + (rest < VAE_BAND_ROWS ? rest : 0);
    size_t mark = scratch_mark(pass);

    if (!pass_expect(pass, band_rows % VAE_BAND_ROWS == 0 && picture.shape[0] == 1, "vae: bands of %u rows of %u pictures",
                     band_rows, picture.shape[0]))
        return;
    struct tensor y = scratch_image(pass, u, b.height, b.width, out), g = scratch_like(pass, y);
    b.parts = scratch_group_norm_parts(pass, b.height * b.width, VAE_GROUPS);
    b.stats = scratch_f32(pass, VAE_GROUPS, 2);
    b.up = scratch_image(pass, u, most + 8, b.width, in);
    b.h = scratch_image(pass, u, most + 2, b.width, in > out ? in : out);
    first_record(&b, &l->block[0], &d->level[1].conv, y, g, u);
    for (uint32_t i = 1; i < l->blocks; i++) {
        half_record(&b, g, y, &l->block[i].norm1, &l->block[i].conv1, false);
        half_record(&b, y, g, &l->block[i].norm2, &l->block[i].conv2, true);
    }
    half_record(&b, picture, y, &d->norm_out, &d->conv_out, false);
    scratch_release(pass, mark);
}
