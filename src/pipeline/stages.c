#include "pipeline/stages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/vae/bands.h"
#include "pipeline/transfer.h"

/* Ends and runs a pass that is used once, and frees it. */
static bool run_once(struct pass *pass, struct tinct_err *err)
{
    bool ok = pass_end(pass, err) && pass_run(pass, err);

    pass_free(pass);
    return ok;
}

/* What a recorded pass and its operands take. Frees the pass. */
static struct stage_needs needs_of(struct pass *pass, uint64_t operands)
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

/* ---- UNet ------------------------------------------------------------------ */

enum { TIMES = 32 };                        /* embedded together: a GEMM of one row reads the weights of one of 32 */

struct unet_run {
    const struct model *model;
    struct transfer transfer;
    struct tensor x, eps, context, kv;
    struct tensor sinus, table, shifts;     /* [TIMES, C], [TIMES, all shifts], the step's row */
    struct pass *context_pass, *time_pass, *step_pass;
    double *times;                          /* [time_count]: what will be asked for */
    uint32_t time_count;
    float *sinuses, *rows;                  /* on the host: [TIMES, C], [TIMES, all shifts] */
    double row_time[TIMES];                 /* of the rows */
    uint32_t row_count;
};

static bool unet_run_record(struct unet_run *r, struct tinct_err *err)
{
    const struct unet *u = &r->model->unet;

    r->context_pass = pass_begin(r->model->device);
    unet_context_record(r->context_pass, u, r->kv, r->context);
    r->time_pass = pass_begin(r->model->device);
    unet_time_record(r->time_pass, u, r->table, r->sinus);
    r->step_pass = pass_begin(r->model->device);
    unet_record(r->step_pass, u, r->eps, r->x, r->shifts, r->kv);
    return pass_end(r->context_pass, err) && pass_end(r->time_pass, err) && pass_end(r->step_pass, err);
}

static void add_operands(struct unet_run *r, uint32_t images, uint32_t h, uint32_t w, uint32_t tokens)
{
    const struct unet *u = &r->model->unet;
    enum dtype dtype = device_dtype(r->model->device);

    transfer_add(&r->transfer, &r->x, dtype, 4, (uint32_t[]) { images, h, w, UNET_LATENT });
    transfer_add(&r->transfer, &r->eps, dtype, 4, (uint32_t[]) { images, h, w, UNET_LATENT });
    transfer_add(&r->transfer, &r->sinus, DTYPE_F32, 2, (uint32_t[]) { TIMES, u->model_channels });
    transfer_add(&r->transfer, &r->table, DTYPE_F32, 2, (uint32_t[]) { TIMES, u->shift_channels });
    transfer_add(&r->transfer, &r->shifts, DTYPE_F32, 2, (uint32_t[]) { 1, u->shift_channels });
    transfer_add(&r->transfer, &r->context, dtype, 3, (uint32_t[]) { images, tokens, u->context });
    transfer_add(&r->transfer, &r->kv, dtype, 3, (uint32_t[]) { images, tokens, u->kv_channels });
}

struct stage_needs unet_run_needs(const struct model *m, uint32_t images, uint32_t h, uint32_t w, uint32_t tokens)
{
    struct unet_run r = { .model = m };
    struct stage_needs step, context, time;

    add_operands(&r, images, h, w, tokens);
    struct pass *pass = pass_begin(m->device);
    unet_record(pass, &m->unet, r.eps, r.x, r.shifts, r.kv);
    step = needs_of(pass, r.transfer.used);
    pass = pass_begin(m->device);
    unet_context_record(pass, &m->unet, r.kv, r.context);
    context = needs_of(pass, 0);
    pass = pass_begin(m->device);
    unet_time_record(pass, &m->unet, r.table, r.sinus);
    time = needs_of(pass, 0);
    uint64_t scratch = step.scratch > context.scratch ? step.scratch : context.scratch;
    return (struct stage_needs) { scratch > time.scratch ? scratch : time.scratch, step.own + context.own + time.own };
}

struct unet_run *unet_run_create(const struct model *m, uint32_t images, uint32_t h, uint32_t w, uint32_t tokens,
                                 struct tinct_err *err)
{
    struct unet_run *r = calloc(1, sizeof *r);

    if (r) r->sinuses = calloc((size_t)TIMES * m->unet.model_channels, sizeof(float));
    if (r) r->rows = calloc((size_t)TIMES * m->unet.shift_channels, sizeof(float));
    if (!r || !r->sinuses || !r->rows) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a UNet run");
        unet_run_free(r);
        return NULL;
    }
    r->model = m;
    add_operands(r, images, h, w, tokens);
    struct tensor *const all[] = { &r->x, &r->eps, &r->sinus, &r->table, &r->shifts, &r->context, &r->kv };
    if (!transfer_allocate(&r->transfer, m->device, all, sizeof all / sizeof *all, err) || !unet_run_record(r, err)) {
        tinct_within(err, "unet");
        unet_run_free(r);
        return NULL;
    }
    return r;
}

void unet_run_free(struct unet_run *r)
{
    if (!r) return;
    pass_free(r->context_pass);
    pass_free(r->time_pass);
    pass_free(r->step_pass);
    transfer_free(&r->transfer);
    free(r->times);
    free(r->sinuses);
    free(r->rows);
    free(r);
}

bool unet_run_context(struct unet_run *r, const float *context, struct tinct_err *err)
{
    r->row_count = r->time_count = 0;        /* weights may be others than at the last text */
    return (tensor_upload(r->context, context, r->model->unet.context, err) && pass_run(r->context_pass, err)) ||
           tinct_within(err, "unet");
}

bool unet_run_times(struct unet_run *r, const double *t, uint32_t count, struct tinct_err *err)
{
    double *times = malloc((count + 1) * sizeof *times);

    if (!times) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for %u timesteps", count);
    memcpy(times, t, count * sizeof *times);
    free(r->times);
    r->times = times;
    r->time_count = count;
    return true;
}

/* The rows of t and of those that will follow it. */
static bool make_rows(struct unet_run *r, double t, struct tinct_err *err)
{
    const struct unet *u = &r->model->unet;
    uint32_t first = 0;

    while (first < r->time_count && r->times[first] != t) first++;
    r->row_count = 0;
    r->row_time[r->row_count++] = t;
    for (uint32_t i = first + 1; i < r->time_count && r->row_count < TIMES; i++)
        r->row_time[r->row_count++] = r->times[i];
    for (uint32_t i = 0; i < r->row_count; i++)
        unet_timestep(u, r->sinuses + (size_t)i * u->model_channels, r->row_time[i]);
    bool ok = tensor_upload(r->sinus, r->sinuses, u->model_channels, err) && pass_run(r->time_pass, err) &&
              tensor_download(r->table, r->rows, u->shift_channels, err);
    if (!ok) r->row_count = 0;
    return ok;
}

static bool place_shifts(struct unet_run *r, double t, struct tinct_err *err)
{
    uint32_t all = r->model->unet.shift_channels, i = 0;

    while (i < r->row_count && r->row_time[i] != t) i++;
    if (i == r->row_count) {
        if (!make_rows(r, t, err)) return false;
        i = 0;
    }
    return tensor_upload(r->shifts, r->rows + (size_t)i * all, all, err);
}

bool unet_run_step(struct unet_run *r, float *eps, const float *x, double t, struct tinct_err *err)
{
    return (place_shifts(r, t, err) && tensor_upload(r->x, x, UNET_LATENT, err) && pass_run(r->step_pass, err) &&
            tensor_download(r->eps, eps, UNET_LATENT, err)) ||
           tinct_within(err, "unet");
}

const struct pass *unet_run_pass(const struct unet_run *r)
{
    return r->step_pass;
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
    return needs_of(pass, (uint64_t)h * w * (VAE_LATENT + f * f * 4) * dtype_size(dtype));
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
