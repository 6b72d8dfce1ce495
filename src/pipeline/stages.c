#include "pipeline/stages.h"

#include <math.h>
#include <stdlib.h>

#include "model/vae/bands.h"
#include "pipeline/transfer.h"

/* Ends and runs a pass that is used once, and frees it. */
static bool run_once(struct pass *pass, struct tinct_err *err)
{
    bool ok = pass_end(pass, err) && pass_run(pass, err);

    pass_free(pass);
    return ok;
}

struct stage_needs stage_needs_of(struct pass *pass, uint64_t operands)
{
    struct stage_needs needs = { pass_scratch_bytes(pass), pass_own_bytes(pass) + operands };

    pass_free(pass);
    return needs;
}

/* ---- text ------------------------------------------------------------------ */

bool text_encode(const struct model *m, float *z, const uint32_t *ids, const float *const *own, uint32_t chunks,
                 uint32_t clip_skip, struct tinct_err *err)
{
    struct transfer t = { 0 };
    struct tensor x;
    bool ok = true;

    for (uint32_t i = 0; ok && i < chunks; i++) {
        size_t first = (size_t)i * CLIP_TOKENS;
        ok = clip_embed(&m->clip, z + first * m->clip.width, ids + first, own ? own + first : NULL, err);
    }
    transfer_add(&t, &x, DTYPE_F32, 3, (uint32_t[]) { chunks, CLIP_TOKENS, m->clip.width });
    ok = ok && transfer_allocate(&t, m->device, (struct tensor *[]) { &x }, 1, err) &&
         tensor_upload(x, z, m->clip.width, err);
    if (ok) {
        struct pass *pass = pass_begin(m->device);
        clip_record(pass, &m->clip, x, x, clip_skip);
        ok = run_once(pass, err) && tensor_download(x, z, m->clip.width, err);
    }
    transfer_free(&t);
    return ok || tinct_within(err, "text encoder");
}

/* ---- VAE ------------------------------------------------------------------- */

/* Values of some VAEs leave fp16, and nothing is left of the picture: then it is made again in fp32. */
static bool has_overflowed(const struct model *m, enum dtype dtype, const float *values, size_t count)
{
    size_t i = 0;

    if (dtype != DTYPE_F16) return false;
    while (i < count && isfinite(values[i])) i++;
    if (i == count) return false;
    device_log(m->device, TINCT_LOG_WARN, "this VAE's values are too large for fp16: it works in fp32 instead, which takes longer");
    return true;
}

static bool decode_as(const struct model *m, float *rgb, const float *latent, uint32_t h, uint32_t w, enum dtype dtype,
                      uint32_t band_rows, struct tinct_err *err)
{
    uint32_t f = m->vae.factor;
    struct transfer t = { 0 };
    struct tensor z, picture;

    transfer_add(&t, &z, dtype, 4, (uint32_t[]) { 1, h, w, VAE_LATENT });
    transfer_add(&t, &picture, dtype, 4, (uint32_t[]) { 1, h * f, w * f, 4 });
    bool ok = transfer_allocate(&t, m->device, (struct tensor *[]) { &z, &picture }, 2, err) &&
              tensor_upload(z, latent, VAE_LATENT, err);
    if (ok) {
        struct pass *pass = pass_begin(m->device);
        vae_decode_record(pass, &m->vae, picture, z, band_rows);
        ok = run_once(pass, err) && tensor_download(picture, rgb, 3, err);
    }
    transfer_free(&t);
    return ok || tinct_within(err, "vae");
}

bool vae_decode_in_bands(const struct model *m, float *rgb, const float *latent, uint32_t h, uint32_t w,
                         uint32_t band_rows, struct tinct_err *err)
{
    return decode_as(m, rgb, latent, h, w, device_dtype(m->device), band_rows, err);
}

static struct stage_needs decode_needs(const struct model *m, uint32_t h, uint32_t w, enum dtype dtype, uint32_t band_rows)
{
    uint32_t f = m->vae.factor;
    struct pass *pass = pass_begin(m->device);

    vae_decode_record(pass, &m->vae, tensor_view(NULL, 0, dtype, 4, (uint32_t[]) { 1, h * f, w * f, 4 }),
                      tensor_view(NULL, 0, dtype, 4, (uint32_t[]) { 1, h, w, VAE_LATENT }), band_rows);
    return stage_needs_of(pass, (uint64_t)h * w * (VAE_LATENT + f * f * 4) * dtype_size(dtype));
}

/* Pixels are the same either way, so what is free may decide. */
static uint32_t band_rows_for(const struct model *m, uint32_t h, uint32_t w, enum dtype dtype)
{
    static const uint64_t most_at_once = 1500000000;
    struct stage_needs whole = decode_needs(m, h, w, dtype, 0);
    uint64_t bytes = whole.scratch + whole.own, have = device_memory_free(m->device) + device_scratch_bytes(m->device);
    bool fits = bytes <= most_at_once && bytes <= have && whole.scratch <= device_max_buffer(m->device);

    return fits ? 0 : VAE_BAND_ROWS;
}

bool vae_decode(const struct model *m, float *rgb, const float *latent, uint32_t h, uint32_t w, struct tinct_err *err)
{
    enum dtype dtype = device_dtype(m->device);
    size_t count = (size_t)h * w * m->vae.factor * m->vae.factor * 3;

    if (!decode_as(m, rgb, latent, h, w, dtype, band_rows_for(m, h, w, dtype), err)) return false;
    return !has_overflowed(m, dtype, rgb, count) ||
           decode_as(m, rgb, latent, h, w, DTYPE_F32, band_rows_for(m, h, w, DTYPE_F32), err);
}

struct stage_needs vae_decode_needs(const struct model *m, uint32_t h, uint32_t w)
{
    enum dtype dtype = device_dtype(m->device);
    return decode_needs(m, h, w, dtype, band_rows_for(m, h, w, dtype));
}

static bool encode_as(const struct model *m, float *moments, const float *rgb, uint32_t h, uint32_t w, enum dtype dtype,
                      struct tinct_err *err)
{
    uint32_t f = m->vae.factor;
    struct transfer t = { 0 };
    struct tensor picture, out;

    transfer_add(&t, &picture, dtype, 4, (uint32_t[]) { 1, h, w, 4 });
    transfer_add(&t, &out, dtype, 4, (uint32_t[]) { 1, h / f, w / f, 2 * VAE_LATENT });
    bool ok = transfer_allocate(&t, m->device, (struct tensor *[]) { &picture, &out }, 2, err) &&
              tensor_upload(picture, rgb, 3, err);
    if (ok) {
        struct pass *pass = pass_begin(m->device);
        vae_encode_record(pass, &m->vae, out, picture);
        ok = run_once(pass, err) && tensor_download(out, moments, 2 * VAE_LATENT, err);
    }
    transfer_free(&t);
    return ok || tinct_within(err, "vae");
}

bool vae_encode(const struct model *m, float *moments, const float *rgb, uint32_t h, uint32_t w, struct tinct_err *err)
{
    enum dtype dtype = device_dtype(m->device);
    size_t count = (size_t)(h / m->vae.factor) * (w / m->vae.factor) * 2 * VAE_LATENT;

    if (!encode_as(m, moments, rgb, h, w, dtype, err)) return false;
    return !has_overflowed(m, dtype, moments, count) || encode_as(m, moments, rgb, h, w, DTYPE_F32, err);
}
