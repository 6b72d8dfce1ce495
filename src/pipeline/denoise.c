#include "pipeline/denoise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/transfer.h"

enum { PLACES = SAMPLER_DENOISED };             /* the latents': the sampler's, and its noise */

_Static_assert((int)SAMPLER_PLACES == (int)OP_MIX_RESULTS, "a sampler's sums are one dispatch");

struct denoiser {
    const struct model *model;
    struct unet_run_size size;
    struct unet_run *run;
    struct transfer latents, weights;
    struct tensor places;                       /* [PLACES, h w 4] f32, each on a whole SPAN_ALIGN */
    struct tensor point, sums;                  /* [PLACES, OP_MIX_RESULTS], [PLACES + images, OP_MIX_RESULTS]: weights */
    float *host;                                /* all weights, as they lie in their buffer */
    struct pass *pass;
    uint64_t serial;                            /* of the guidance whose texts the run holds; 0: none */
};

static uint32_t all_images(const struct denoiser *d)
{
    return d->size.images + d->size.more_images;
}

/* ---- making one ---- */

static void lay_out(struct denoiser *d)
{
    uint32_t values = d->size.h * d->size.w * UNET_LATENT, each = SPAN_ALIGN / sizeof(float);

    transfer_add(&d->latents, &d->places, DTYPE_F32, 2, (uint32_t[]) { PLACES, (values + each - 1) / each * each });
    d->places = tensor_columns(d->places, 0, values);
    transfer_add(&d->weights, &d->point, DTYPE_F32, 2, (uint32_t[]) { PLACES, OP_MIX_RESULTS });
    transfer_add(&d->weights, &d->sums, DTYPE_F32, 2, (uint32_t[]) { PLACES + all_images(d), OP_MIX_RESULTS });
}

/* The point, scaled, to all images. */
static void show(struct pass *pass, const struct denoiser *d)
{
    const struct tensor none = { 0 }, x = unet_run_x(d->run);

    for (uint32_t i = 0, n; i < x.shape[0]; i += n) {
        n = x.shape[0] - i < OP_MIX_RESULTS ? x.shape[0] - i : OP_MIX_RESULTS;
        op_mix(pass, tensor_image(x, i, n), d->places, none, d->point);
    }
}

static bool record(struct denoiser *d, struct tinct_err *err)
{
    struct pass *pass = d->pass = pass_begin(d->model->device);

    pass_label(pass, "sampler");
    show(pass, d);
    unet_run_record(pass, d->run);
    pass_label(pass, "sampler");
    op_mix(pass, tensor_image(d->places, 0, SAMPLER_PLACES), d->places, unet_run_eps(d->run), d->sums);
    return pass_end(pass, err);
}

struct stage_needs denoiser_needs(const struct model *m, const struct unet_run_size *size)
{
    struct denoiser d = { .model = m, .size = *size };
    struct stage_needs needs = unet_run_needs(m, size);

    lay_out(&d);
    needs.own += d.latents.used + d.weights.used;
    return needs;
}

struct denoiser *denoiser_create(const struct model *m, const struct unet_run_size *size, struct tinct_err *err)
{
    struct denoiser *d = calloc(1, sizeof *d);

    if (!d) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a picture's steps");
        return NULL;
    }
    d->model = m;
    d->size = *size;
    lay_out(d);
    d->host = calloc(1, d->weights.used);
    bool ok = d->host || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a picture's steps");
    ok = ok && transfer_allocate(&d->latents, m->device, (struct tensor *[]) { &d->places }, 1, err) &&
         transfer_allocate(&d->weights, m->device,
                           (struct tensor *[]) { &d->point, &d->sums }, 2, err) &&
         (d->run = unet_run_create(m, size, err)) && record(d, err);
    if (ok) return d;
    denoiser_free(d);
    return NULL;
}

void denoiser_free(struct denoiser *d)
{
    if (!d) return;
    pass_free(d->pass);
    unet_run_free(d->run);
    transfer_free(&d->latents);
    transfer_free(&d->weights);
    free(d->host);
    free(d);
}

/* ---- guidance ---- */

/* The negative prompt says nothing where guidance is 1. */
static uint32_t first_part(const struct guidance *g)
{
    return g->scale == 1.0f && g->count == 2 && g->part[1].weight == 1.0f ? 1 : 0;
}

struct unet_run_size denoiser_size(const struct guidance *g, uint32_t h, uint32_t w)
{
    uint32_t first = first_part(g), images = g->count - first;
    bool together = g->part[first].tokens == g->part[g->count - 1].tokens;

    return (struct unet_run_size) { .h = h, .w = w, .images = together ? images : 1, .tokens = g->part[first].tokens,
                                    .more_images = together ? 0 : images - 1,
                                    .more_tokens = together ? 0 : g->part[g->count - 1].tokens, .alike = 1 };
}

/* The texts, where they are others than at the last step. */
static bool say(struct denoiser *d, const struct guidance *g, struct tinct_err *err)
{
    size_t rows = (size_t)d->size.images * d->size.tokens + (size_t)d->size.more_images * d->size.more_tokens;
    uint32_t channels = d->model->unet.context;

    if (d->serial == g->serial) return true;
    float *all = malloc(rows * channels * sizeof *all), *at = all;
    if (!all) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the texts of a step");
    for (uint32_t i = first_part(g); i < g->count; i++) {
        size_t values = (size_t)g->part[i].tokens * channels;
        memcpy(at, g->part[i].z, values * sizeof *at);
        at += values;
    }
    bool ok = unet_run_context(d->run, all, err) && unet_run_times(d->run, g->times, g->time_count, err);
    d->serial = ok ? g->serial : 0;
    free(all);
    return ok;
}

/* ---- a step ---- */

/* Where the weight of an operand in a result lies on the host. */
static float *weight(struct denoiser *d, struct tensor a, uint32_t operand, uint32_t result)
{
    return d->host + a.offset / sizeof(float) + (size_t)operand * OP_MIX_RESULTS + result;
}

/* Guidance is linear in the network's answers, which every place takes its share of: p = p_u + sum_i weight_i scale (p_i - p_u). */
static void weigh_answers(struct denoiser *d, const struct guidance *g, const struct sampler_advance *a)
{
    double base = 1;

    for (uint32_t i = first_part(g) + 1, image = 1; i < g->count; i++, image++) {
        double share = (double)g->part[i].weight * g->scale;
        for (uint32_t p = 0; p < SAMPLER_PLACES; p++)
            *weight(d, d->sums, PLACES + image, p) = (float)(share * a->places[p][SAMPLER_DENOISED]);
        base -= share;
    }
    for (uint32_t p = 0; p < SAMPLER_PLACES; p++)
        *weight(d, d->sums, PLACES, p) = (float)(base * a->places[p][SAMPLER_DENOISED]);
}

static void weigh(struct denoiser *d, const struct guidance *g, const struct sampler_advance *given)
{
    struct sampler_advance a = *given;

    for (uint32_t k = 0; k < PLACES; k++)
        for (uint32_t i = 0; i < OP_MIX_RESULTS; i++) *weight(d, d->point, k, i) = (float)(a.point[k] * level_c_in(a.sigma));
    sampler_advance_by(&a, level_denoised_eps(a.sigma));
    for (uint32_t p = 0; p < SAMPLER_PLACES; p++)
        for (uint32_t k = 0; k < PLACES; k++) *weight(d, d->sums, k, p) = (float)a.places[p][k];
    weigh_answers(d, g, &a);
}

bool denoiser_advance(struct denoiser *d, const struct guidance *g, const struct sampler_advance *advance, struct tinct_err *err)
{
    weigh(d, g, advance);
    return say(d, g, err) && unet_run_at(d->run, advance->t, err) &&
           buffer_write(d->weights.buffer, 0, d->host, d->weights.used, err) && pass_start(d->pass, err);
}

/* ---- the latents ---- */

static struct tensor place_of(const struct denoiser *d, uint32_t place)
{
    return tensor_image(d->places, place, 1);
}

bool denoiser_write(struct denoiser *d, uint32_t place, const float *values, struct tinct_err *err)
{
    struct tensor t = place_of(d, place);

    return buffer_write(t.buffer, t.offset, values, tensor_bytes(t), err);
}

static bool all_finite(const float *x, size_t count, struct tinct_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return tinct_fail(err, TINCT_ERR_NAN, "the UNet gave a value that is not a number");
    return true;
}

bool denoiser_read(struct denoiser *d, uint32_t place, float *values, struct tinct_err *err)
{
    struct tensor t = place_of(d, place);

    return buffer_read(t.buffer, t.offset, values, tensor_bytes(t), err) && all_finite(values, tensor_channels(t), err);
}

bool denoiser_is_sound(const struct denoiser *d, struct tinct_err *err)
{
    struct tensor t = place_of(d, SAMPLER_D);
    struct device *device = d->model->device;
    const char *memory = buffer_map(t.buffer);

    if (!memory || !device_is_done(device, device_started(device))) return true;
    return all_finite((const float *)(memory + t.offset), tensor_channels(t), err);
}
