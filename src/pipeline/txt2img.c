/* From prompt to picture: the whole method, told once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pipeline/conditioning.h"
#include "pipeline/denoise.h"
#include "pipeline/lora_stack.h"
#include "pipeline/peak.h"
#include "pipeline/picture.h"
#include "pipeline/recipe.h"
#include "sampler/noise.h"
#include "sampler/sampler.h"

static const double latent_scale = 0.18215;     /* SD1: latents are multiplied by it, so that their variance is 1 */

enum { SIDE_LEAST = 64, SIDE_MOST = 4096, STEPS_DEFAULT = 20 };
static const float guidance_default = 7.0f;

/* ---- what is asked for, with defaults filled in ------------------------------- */

static bool side_is_good(const char *name, int side, struct tinct_err *err)
{
    if (side < SIDE_LEAST || side > SIDE_MOST)
        return tinct_fail(err, TINCT_ERR_ARG, "%s %d is outside %d..%d", name, side, SIDE_LEAST, SIDE_MOST);
    if (side % 8)
        return tinct_fail(err, TINCT_ERR_ARG, "%s %d is not a multiple of 8; try %d or %d", name, side, side / 8 * 8,
                          side / 8 * 8 + 8);
    return true;
}

/* A seed that no one chose: the clock and the process's layout, mixed. 32 bits, as A1111's. */
static int64_t random_seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t z = (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec * 0x9E3779B97F4A7C15u ^ (uint64_t)(uintptr_t)&now;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    return (int64_t)((z ^ z >> 31) & 0xFFFFFFFFu);
}

/* q: p with every default filled in. */
static bool settle(const struct tinct *t, const struct tinct_txt2img *p, struct tinct_txt2img *q, struct tinct_err *err)
{
    *q = *p;
    if (!q->prompt) return tinct_fail(err, TINCT_ERR_ARG, "no prompt");
    if (!q->negative) q->negative = "";
    if (!q->width) q->width = t->about.width;
    if (!q->height) q->height = t->about.height;
    if (!q->steps) q->steps = STEPS_DEFAULT;
    if (q->guidance == 0.0f) q->guidance = guidance_default;
    if (!q->sampler) q->sampler = "DPM++ 2M";
    if (!q->clip_skip) q->clip_skip = 1;
    if (q->seed < 0) q->seed = random_seed();
    if (q->steps < 0) return tinct_fail(err, TINCT_ERR_ARG, "%d steps are not in 1..1000", q->steps);
    if (!isfinite(q->guidance) || fabsf(q->guidance) > 1000.0f)
        return tinct_fail(err, TINCT_ERR_ARG, "a guidance of %g is not in -1000..1000", (double)q->guidance);
    if (!(q->subseed_strength >= 0.0f && q->subseed_strength <= 1.0f))
        return tinct_fail(err, TINCT_ERR_ARG, "a variation strength of %g is not in 0..1", (double)q->subseed_strength);
    if (q->clip_skip < 1 || (uint32_t)q->clip_skip > t->model->clip.layers)
        return tinct_fail(err, TINCT_ERR_ARG, "clip skip %d: the text encoder has %u layers", q->clip_skip,
                          t->model->clip.layers);
    return side_is_good("width", q->width, err) && side_is_good("height", q->height, err);
}

/* ---- one picture on its way ------------------------------------------------------ */

struct painting {
    struct tinct *t;
    struct tinct_txt2img *p;            /* settled; its prompts are those of loras */
    struct lora_stack *loras;
    uint32_t h, w;                      /* of the latent */
    size_t count;                       /* values in it */
    const struct sampler *sampler;
    struct levels levels;
    struct schedule schedule;
    struct conditioning *conditioning;
    struct guidance guidance;
    struct noise *noise;
    int evaluations;                    /* calls of the model so far */
    int steps_done;                     /* of the sampler */
    double step_began;
    struct tinct_err *err;
};

static bool choose_schedule(struct painting *a, struct tinct_err *err)
{
    enum schedule_kind kind = SCHEDULE_AUTOMATIC;

    levels_sd(&a->levels);
    a->sampler = sampler_find(a->p->sampler, &kind, err);
    if (!a->sampler) return false;
    if (a->p->sigmas)
        return sampler_schedule_custom(&a->schedule, a->sampler, &a->levels, a->p->sigmas, a->p->steps, err);
    if (a->p->scheduler && !schedule_find(&kind, a->p->scheduler, err)) return false;
    return sampler_schedule(&a->schedule, a->sampler, kind, &a->levels, a->p->steps, err);
}

static bool on_denoise(void *ctx, const float *x, double sigma, double t, float *denoised)
{
    struct painting *a = ctx;
    bool changed;

    if (!lora_stack_apply(a->loras, a->steps_done + 1, &changed, a->err)) return false;
    if (changed) conditioning_expire(a->conditioning);
    conditioning_at(a->conditioning, a->evaluations++, &a->guidance);
    a->guidance.times = a->schedule.t;
    a->guidance.time_count = (uint32_t)a->schedule.steps;
    return denoise(a->t, &a->guidance, a->h, a->w, x, sigma, t, denoised, a->err);
}

static void on_noise(void *ctx, double from, double to, float *out)
{
    struct painting *a = ctx;

    noise_between(a->noise, from, to, out);
}

static bool on_step(void *ctx, int done, const float *x, const float *denoised)
{
    struct painting *a = ctx;
    double now = context_now_ms();

    (void)x;
    struct tinct_progress progress = {
        .images = 1, .step = done, .steps = a->schedule.steps, .step_ms = now - a->step_began, .latent = denoised,
        .latent_width = (int)a->w, .latent_height = (int)a->h,
    };
    a->step_began = now;
    a->steps_done = done;
    return !a->p->on_step || a->p->on_step(a->p->user, &progress);
}

static bool sample(struct painting *a, float *latent, struct tinct_err *err)
{
    struct sampler_run run = {
        .sampler = a->sampler, .schedule = &a->schedule, .levels = &a->levels, .count = a->count, .eta = a->p->eta,
        .denoise = on_denoise, .noise = on_noise, .on_step = on_step, .ctx = a,
    };
    double scale = sampler_start_scale(a->sampler, &a->schedule);

    noise_first(a->noise, latent);
    if (a->p->noise) noise_to_nhwc(latent, a->p->noise, NOISE_CHANNELS, a->h, a->w);
    for (size_t i = 0; i < a->count; i++) latent[i] = (float)(latent[i] * scale);
    a->step_began = context_now_ms();
    return sampler_run(&run, latent, err);
}

static bool decode(struct painting *a, float *latent, struct tinct_image *out, struct tinct_err *err)
{
    uint32_t width = (uint32_t)a->p->width, height = (uint32_t)a->p->height;
    float *rgb = malloc((size_t)width * height * 3 * sizeof *rgb);

    if (!rgb) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a picture of %ux%u", width, height);
    for (size_t i = 0; i < a->count; i++) latent[i] = (float)(latent[i] / latent_scale);
    bool ok = vae_decode(a->t->model, rgb, latent, a->h, a->w, err) && picture_from_rgb(out, rgb, width, height, err);
    free(rgb);
    return ok;
}

static bool paint(struct painting *a, struct tinct_image *out, struct tinct_err *err)
{
    float *latent = malloc(a->count * sizeof *latent);
    bool ok = latent != NULL || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a latent");

    ok = ok && sample(a, latent, err) && decode(a, latent, out, err);
    free(latent);
    if (!ok) return false;
    out->seed = a->p->seed;
    char *embeddings = conditioning_embeddings(a->conditioning, err);
    if (embeddings) out->infotext = recipe_write(a->t, a->p, a->loras, embeddings, a->sampler, a->schedule.kind, err);
    free(embeddings);
    return out->infotext != NULL;
}

/* The text encoder's weights are those of the LoRAs before any prompt is encoded. */
static bool load_loras(struct painting *a, struct tinct_err *err)
{
    bool changed;

    a->loras = lora_stack_create(a->t, a->p, err);
    if (!a->loras) return false;
    a->p->prompt = lora_stack_prompt(a->loras);
    a->p->negative = lora_stack_negative(a->loras);
    return lora_stack_apply(a->loras, 1, &changed, err);
}

static bool prepare(struct painting *a, struct tinct_err *err)
{
    if (!choose_schedule(a, err) || !peak_fits(a->t, a->p, err) || !load_loras(a, err)) return false;
    a->noise = noise_open(&(struct noise_settings) {
        .rng = a->p->rng, .seed = (uint64_t)a->p->seed, .subseed = (uint64_t)a->p->subseed,
        .subseed_strength = a->p->subseed_strength, .ensd = a->p->ensd, .h = a->h, .w = a->w }, err);
    a->conditioning = a->noise ? conditioning_create(a->t, a->p, a->loras, a->sampler->second_order, err) : NULL;
    return a->conditioning != NULL;
}

bool tinct_txt2img(struct tinct *t, const struct tinct_txt2img *p, struct tinct_image *out, struct tinct_err *err)
{
    struct tinct_err own;
    struct tinct_txt2img settled;
    struct painting *a = calloc(1, sizeof *a);
    bool ok = a != NULL;

    *out = (struct tinct_image) { 0 };
    if (!err) err = &own;
    if (!a) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a picture");
    ok = settle(t, p, &settled, err);
    if (ok) {
        a->t = t;
        a->p = &settled;
        a->err = err;
        a->w = (uint32_t)settled.width / t->model->vae.factor;
        a->h = (uint32_t)settled.height / t->model->vae.factor;
        a->count = (size_t)a->h * a->w * UNET_LATENT;
        ok = prepare(a, err) && paint(a, out, err);
        conditioning_free(a->conditioning);
        lora_stack_free(a->loras);
        noise_close(a->noise);
    }
    free(a);
    if (!ok) tinct_image_free(out);
    return ok;
}
