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

enum { STEPS_AHEAD = 2 };               /* one is at work while the one before is told */

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
    struct denoiser *denoiser;          /* the context's */
    float *latent;                      /* [count]: what goes to the device and comes back */
    int evaluations;                    /* of the model so far */
    int steps_started, steps_told;      /* of the sampler; to on_step */
    uint64_t started[STEPS_AHEAD];      /* the device's count behind step i, at i % STEPS_AHEAD */
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

/* ---- steps ---- */

/* The prompts of the next evaluation, with the weights of the next step. */
static bool turn_to_next(struct painting *a)
{
    bool changed;

    if (!lora_stack_apply(a->loras, a->steps_started + 1, &changed, a->err)) return false;
    if (changed) conditioning_expire(a->conditioning);
    conditioning_at(a->conditioning, a->evaluations++, &a->guidance);
    return true;
}

static bool on_advance(void *ctx, const struct sampler_advance *advance)
{
    struct painting *a = ctx;

    return turn_to_next(a) && denoiser_advance(a->denoiser, &a->guidance, advance, a->err);
}

static bool on_noise(void *ctx, double from, double to)
{
    struct painting *a = ctx;

    noise_between(a->noise, from, to, a->latent);
    return denoiser_write(a->denoiser, SAMPLER_NOISE, a->latent, a->err);
}

/* latent: NULL where nobody asked for it. */
static bool tell_step(struct painting *a, const float *latent)
{
    double now = context_now_ms();
    struct tinct_progress progress = {
        .images = 1, .step = ++a->steps_told, .steps = a->schedule.steps, .step_ms = now - a->step_began, .latent = latent,
        .latent_width = (int)a->w, .latent_height = (int)a->h,
    };

    a->step_began = now;
    return !a->p->on_step || a->p->on_step(a->p->user, &progress) ||
           tinct_fail(a->err, TINCT_ERR_CANCELLED, "cancelled after step %d of %d", a->steps_told, a->schedule.steps);
}

static bool tell_steps_until(struct painting *a, int done)
{
    while (a->steps_told < done)
        if (!device_wait(a->t->device, a->started[(a->steps_told + 1) % STEPS_AHEAD], a->err) || !tell_step(a, NULL)) return false;
    return true;
}

/* The device is at work with this step while the one before is waited for and told, unless the latent is asked for, or it is
 * done already. */
static bool on_step(void *ctx, int done)
{
    struct painting *a = ctx;

    a->steps_started = done;
    a->started[done % STEPS_AHEAD] = device_started(a->t->device);
    if (a->p->latents && a->p->on_step)
        return denoiser_read(a->denoiser, SAMPLER_D, a->latent, a->err) && tell_step(a, a->latent);
    return tell_steps_until(a, done - 1) && denoiser_is_sound(a->denoiser, a->err) &&
           (!device_is_done(a->t->device, a->started[done % STEPS_AHEAD]) || tell_steps_until(a, done));
}

static bool sample(struct painting *a, struct tinct_err *err)
{
    struct sampler_run run = {
        .sampler = a->sampler, .schedule = &a->schedule, .levels = &a->levels, .eta = a->p->eta,
        .advance = on_advance, .noise = on_noise, .on_step = on_step, .ctx = a,
    };
    float *latent = a->latent;
    double scale = sampler_start_scale(a->sampler, &a->schedule);

    conditioning_at(a->conditioning, 0, &a->guidance);
    a->guidance.times = a->schedule.t;
    a->guidance.time_count = (uint32_t)a->schedule.steps;
    a->denoiser = context_run(a->t, denoiser_size(&a->guidance, a->h, a->w), err);
    if (!a->denoiser) return false;
    noise_first(a->noise, latent);
    if (a->p->noise) noise_to_nhwc(latent, a->p->noise, NOISE_CHANNELS, a->h, a->w);
    for (size_t i = 0; i < a->count; i++) latent[i] = (float)(latent[i] * scale);
    a->step_began = context_now_ms();
    return denoiser_write(a->denoiser, SAMPLER_X, latent, err) && sampler_run(&run, err) &&
           tell_steps_until(a, a->schedule.steps) && denoiser_read(a->denoiser, SAMPLER_X, latent, err);
}

static bool decode(struct painting *a, struct tinct_image *out, struct tinct_err *err)
{
    float *latent = a->latent;
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
    a->latent = malloc(a->count * sizeof *a->latent);
    bool ok = a->latent != NULL || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a latent");

    ok = ok && sample(a, err) && decode(a, out, err);
    free(a->latent);
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
