#include "pipeline/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "pipeline/adapters.h"
#include "pipeline/latent_rgb.h"

/* Less than this is packed in a tenth of a second. */
static const uint64_t least_kept = 256ull << 20;

double context_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

void context_log(const struct tinct *t, enum tinct_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    if (!t->log) return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    t->log(t->log_user, level, line);
}

static char *copy_of(const char *text)
{
    char *copy = text ? malloc(strlen(text) + 1) : NULL;

    return copy ? strcpy(copy, text) : NULL;
}

/* The side a checkpoint was trained at: its metadata's word, else 512. */
static int native_side(const struct model *m)
{
    const char *resolution = safetensors_metadata(checkpoint_file(m->checkpoint), "modelspec.resolution");
    int side = resolution ? atoi(resolution) : 0;

    return side >= 64 && side <= 4096 && side % 8 == 0 ? side : 512;
}

static void describe(struct tinct *t, const struct tinct_options *o, double begin)
{
    const struct device_info *d = device_about(t->device);
    struct str name = { 0 };

    str_addf(&name, "%s: %s (%s)", d->backend, d->name, d->detail);
    t->vae_path = copy_of(o->vae);
    t->cache_dir = copy_of(o->cache_dir);
    t->embedding_dir = copy_of(o->embedding_dir);
    t->about = (struct tinct_about) {
        .device = str_take(&name, NULL), .model = copy_of(o->model), .model_kind = "SD1.x",
        .width = native_side(t->model), .height = native_side(t->model),
        .weights_bytes = weights_bytes(t->model->weights), .load_ms = context_now_ms() - begin,
    };
    if (o->vae) return;         /* the matrix is of the model's own VAE */
    t->about.has_latent_rgb = latent_rgb_parse(safetensors_metadata(checkpoint_file(t->model->checkpoint), "tinct.latent_rgb"),
                                               t->about.latent_rgb);
}

/* Once: it may show when the weights are packed, or when they are written. */
static void tell_unkept(struct tinct *t)
{
    const char *note = weights_note(t->model->weights);

    if (*note && !t->told_unkept) context_log(t, TINCT_LOG_WARN, "%s; --no-cache does without", note);
    t->told_unkept = *note;
}

struct tinct *tinct_open(const struct tinct_options *o, struct tinct_err *err)
{
    double begin = context_now_ms();
    struct tinct *t = calloc(1, sizeof *t);

    if (!t) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a context");
        return NULL;
    }
    t->log = o->log;
    t->log_user = o->log_user;
    t->threads = o->threads;
    if (!lora_places_open(&t->places, o, err)) goto fail;
    if (!o->model) {
        tinct_fail(err, TINCT_ERR_ARG, "no model is named");
        goto fail;
    }
    t->device = device_open(&(struct device_options) {
        .name = o->device, .precision = o->precision, .threads = o->threads, .cache_dir = o->cache_dir,
        .no_winograd = o->no_winograd, .validation = getenv("TINCT_VALIDATION") != NULL, .log = o->log, .log_user = o->log_user }, err);
    if (!t->device) goto fail;
    t->model = model_open(t->device, &(struct model_options) {
        .path = o->model, .vae_path = o->vae, .threads = o->threads, .least_kept = least_kept,
        .cache_dir = o->no_weights_cache ? NULL : o->cache_dir }, err);
    if (!t->model) goto fail;
    tell_unkept(t);
    describe(t, o, begin);
    if (!t->about.device || !t->about.model) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a context");
        goto fail;
    }
    context_log(t, TINCT_LOG_DEBUG, "%s: %s, %.0f MiB of weights on %s in %.0f ms", t->about.model, t->about.model_kind,
                (double)t->about.weights_bytes / (1024.0 * 1024.0), t->about.device, t->about.load_ms);
    return t;
fail:
    tinct_close(t);
    return NULL;
}

void tinct_close(struct tinct *t)
{
    if (!t) return;
    context_drop_runs(t);
    context_drop_held(t);
    adapters_free(t->adapters);
    lora_places_close(&t->places);
    free(t->told);
    if (t->model) {
        weights_settle(t->model->weights);
        tell_unkept(t);
    }
    model_close(t->model);
    device_close(t->device);
    free((char *)t->about.device);
    free((char *)t->about.model);
    free(t->vae_path);
    free(t->cache_dir);
    free(t->embedding_dir);
    free(t);
}

struct tinct_about tinct_about(const struct tinct *t)
{
    return t->about;
}

void context_drop_runs(struct tinct *t)
{
    for (int i = 0; i < CONTEXT_RUNS; i++) {
        denoiser_free(t->runs[i]);
        t->runs[i] = NULL;
    }
}

struct denoiser *context_run(struct tinct *t, struct unet_run_size size, struct tinct_err *err)
{
    int at = 0;

    while (at < CONTEXT_RUNS - 1 && t->runs[at] && memcmp(&t->sizes[at], &size, sizeof size)) at++;
    struct denoiser *run = t->runs[at];
    if (run && memcmp(&t->sizes[at], &size, sizeof size)) {
        denoiser_free(run);                 /* the least recently used makes room */
        run = t->runs[at] = NULL;
    }
    if (!run) run = denoiser_create(t->model, &size, err);
    if (!run) return NULL;
    memmove(&t->runs[1], &t->runs[0], (size_t)at * sizeof t->runs[0]);
    memmove(&t->sizes[1], &t->sizes[0], (size_t)at * sizeof t->sizes[0]);
    t->runs[0] = run;
    t->sizes[0] = size;
    return run;
}
