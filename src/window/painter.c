#include "window/painter.h"

#include <SDL.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window/preview.h"

enum { DONE_MOST = 16 };

struct job {
    struct form form;
    enum painter_purpose purpose;
    bool open_only;
};

struct painter {
    struct painter_options options;
    SDL_Thread *thread;
    SDL_mutex *lock;                /* of all from here to the next line */
    SDL_cond *changed;
    struct job waiting;
    bool has_waiting, stop, quit;
    struct painter_status status;
    unsigned char *preview;         /* [preview_h, preview_w, 3] */
    int preview_w, preview_h;
    struct painter_picture *done[DONE_MOST];
    int done_count;

    struct tinct *t;                /* the thread's own from here */
    struct job job;
    struct preview latent_rgb;
    float *latent;                  /* the last step's */
    int latent_w, latent_h;
};

static double now(void)
{
    return (double)SDL_GetPerformanceCounter() / (double)SDL_GetPerformanceFrequency();
}

static void wake(const struct painter *p)
{
    if (p->options.wake) p->options.wake(p->options.wake_user);
}

/* ---- the thread's side ---- */

static void tell(struct painter *p, bool failed, const char *message, const char *advice)
{
    SDL_LockMutex(p->lock);
    snprintf(p->status.message, sizeof p->status.message, "%s", message);
    snprintf(p->status.advice, sizeof p->status.advice, "%s", advice);
    p->status.failed = failed;
    SDL_UnlockMutex(p->lock);
}

static void enter(struct painter *p, enum painter_phase phase)
{
    SDL_LockMutex(p->lock);
    p->status.phase = phase;
    p->status.began = now();
    p->status.step = 0;
    if (phase == PAINTER_IDLE) p->status.stopping = false;
    SDL_UnlockMutex(p->lock);
    wake(p);
}

static bool is_open(const struct painter *p)
{
    return p->t && strcmp(tinct_about(p->t).model, p->job.form.model) == 0;
}

static bool open_model(struct painter *p)
{
    struct tinct_options options = p->options.open;
    struct tinct_err err;

    if (is_open(p)) return true;
    tinct_close(p->t);
    options.model = p->job.form.model;
    enter(p, PAINTER_LOADING);
    p->t = tinct_open(&options, &err);
    if (!p->t) tell(p, true, err.text, err.advice);
    SDL_LockMutex(p->lock);
    struct tinct_about about = p->t ? tinct_about(p->t) : (struct tinct_about) { .model = "", .device = p->status.device };
    preview_init(&p->latent_rgb, about.has_latent_rgb ? (const float(*)[3])about.latent_rgb : NULL);
    snprintf(p->status.model, sizeof p->status.model, "%s", about.model);
    if (p->t) snprintf(p->status.device, sizeof p->status.device, "%s", about.device);
    p->status.model_width = about.width;
    p->status.model_height = about.height;
    p->status.weights_bytes = about.weights_bytes;
    SDL_UnlockMutex(p->lock);
    return p->t != NULL;
}

/* What the prompt names is there: told before a model is loaded for nothing. */
static bool names_are_there(struct painter *p)
{
    struct tinct_txt2img settings = form_picture(&p->job.form);
    struct tinct_err err;

    if (p->job.open_only || is_open(p) || tinct_lora_check(&p->options.open, &settings, &err)) return true;
    tell(p, true, err.text, err.advice);
    return false;
}

/* Keeps the latent for preview_learn. */
static void keep_latent(struct painter *p, const struct tinct_progress *step)
{
    size_t bytes = sizeof(float) * 4 * (size_t)step->latent_width * (size_t)step->latent_height;

    if (p->latent_w != step->latent_width || p->latent_h != step->latent_height || !p->latent) {
        free(p->latent);
        p->latent = malloc(bytes);
        p->latent_w = step->latent_width;
        p->latent_h = step->latent_height;
    }
    if (p->latent) memcpy(p->latent, step->latent, bytes);
}

static bool on_step(void *user, const struct tinct_progress *step)
{
    struct painter *p = user;
    size_t pixels = (size_t)step->latent_width * (size_t)step->latent_height;
    unsigned char *rgb = malloc(3 * pixels);

    if (rgb) preview_paint(&p->latent_rgb, step->latent, step->latent_width, step->latent_height, rgb);
    keep_latent(p, step);
    SDL_LockMutex(p->lock);
    struct painter_status *s = &p->status;
    s->step = step->step;
    s->steps = step->steps;
    s->step_ms = s->step_ms > 0 ? 0.7 * s->step_ms + 0.3 * step->step_ms : step->step_ms;
    if (rgb) {
        free(p->preview);
        p->preview = rgb;
        p->preview_w = step->latent_width;
        p->preview_h = step->latent_height;
        s->previews++;
    }
    bool go_on = !p->stop;
    SDL_UnlockMutex(p->lock);
    wake(p);
    return go_on;
}

/* Waits while the window has not taken the pictures before. */
static void hand_over(struct painter *p, struct painter_picture *picture)
{
    SDL_LockMutex(p->lock);
    while (p->done_count == DONE_MOST && !p->quit) SDL_CondWait(p->changed, p->lock);
    if (p->quit) {
        tinct_image_free(&picture->image);
        free(picture);
    } else {
        p->done[p->done_count++] = picture;
    }
    SDL_UnlockMutex(p->lock);
    wake(p);
}

static bool save(struct painter *p, struct painter_picture *picture, int index, struct tinct_err *err)
{
    const struct painter_options *o = &p->options;

    if (picture->purpose != PAINTER_KEEP) return true;
    if (o->path(o->path_user, picture->path, sizeof picture->path, index, picture->image.seed) &&
        tinct_image_save(&picture->image, picture->path, o->overwrite, err))
        return true;
    if (!*picture->path) snprintf(err->text, sizeof err->text, "the path of the picture is too long");
    *picture->path = '\0';
    return false;
}

static bool paint_one(struct painter *p, int index, struct tinct_err *err)
{
    struct tinct_txt2img settings = form_picture(&p->job.form);
    struct painter_picture *picture = calloc(1, sizeof *picture);
    double began = now();

    *err = (struct tinct_err) { .code = TINCT_ERR_MEMORY, .text = "no memory for a picture" };
    if (!picture) return false;
    settings.seed += index;
    settings.on_step = on_step;
    settings.latents = true;
    settings.user = p;
    picture->purpose = p->job.purpose;
    if (!tinct_txt2img(p->t, &settings, &picture->image, err)) {
        free(picture);
        return false;
    }
    picture->seconds = now() - began;
    if (p->latent && p->latent_w * 8 == picture->image.width && p->latent_h * 8 == picture->image.height)
        preview_learn(&p->latent_rgb, p->latent, p->latent_w, p->latent_h, picture->image.rgb);
    bool ok = save(p, picture, index, err);
    hand_over(p, picture);
    return ok;
}

static void paint_all(struct painter *p)
{
    struct tinct_err err;
    int count = p->job.purpose == PAINTER_KEEP ? p->job.form.count : 1;
    bool ok = true;

    for (int i = 0; i < count && ok; i++) {
        enter(p, PAINTER_PAINTING);
        SDL_LockMutex(p->lock);
        p->status.image = i;
        p->status.images = count;
        ok = !p->stop;
        SDL_UnlockMutex(p->lock);
        if (ok && !(ok = paint_one(p, i, &err)) && err.code != TINCT_ERR_CANCELLED) tell(p, true, err.text, err.advice);
    }
}

static int run(void *user)
{
    struct painter *p = user;

    SDL_LockMutex(p->lock);
    for (;;) {
        while (!p->has_waiting && !p->quit) SDL_CondWait(p->changed, p->lock);
        if (p->quit) break;
        form_free(&p->job.form);
        p->job = p->waiting;
        p->waiting = (struct job) { 0 };
        p->has_waiting = p->stop = false;
        p->status.stopping = false;
        p->status.purpose = p->job.purpose;
        p->status.step_ms = 0;
        SDL_UnlockMutex(p->lock);
        tell(p, false, "", "");
        if (names_are_there(p) && open_model(p) && !p->job.open_only) paint_all(p);
        enter(p, PAINTER_IDLE);
        SDL_LockMutex(p->lock);
    }
    SDL_UnlockMutex(p->lock);
    tinct_close(p->t);
    p->t = NULL;
    return 0;
}

/* ---- the window's side ---- */

struct painter *painter_start(const struct painter_options *options, struct tinct_err *err)
{
    struct painter *p = calloc(1, sizeof *p);

    if (p) {
        p->options = *options;
        p->lock = SDL_CreateMutex();
        p->changed = SDL_CreateCond();
        if (p->lock && p->changed) p->thread = SDL_CreateThread(run, "painter", p);
    }
    if (p && p->thread) return p;
    if (err) *err = (struct tinct_err) { .code = TINCT_ERR_MEMORY, .text = "no thread to paint on" };
    painter_close(p);
    return NULL;
}

void painter_close(struct painter *p)
{
    if (!p) return;
    if (p->thread) {
        SDL_LockMutex(p->lock);
        p->quit = p->stop = true;
        SDL_CondBroadcast(p->changed);
        SDL_UnlockMutex(p->lock);
        SDL_WaitThread(p->thread, NULL);
    }
    for (int i = 0; i < p->done_count; i++) {
        tinct_image_free(&p->done[i]->image);
        free(p->done[i]);
    }
    form_free(&p->waiting.form);
    form_free(&p->job.form);
    free(p->preview);
    free(p->latent);
    if (p->changed) SDL_DestroyCond(p->changed);
    if (p->lock) SDL_DestroyMutex(p->lock);
    free(p);
}

static void give(struct painter *p, const struct form *form, enum painter_purpose purpose, bool open_only)
{
    struct job job = { .purpose = purpose, .open_only = open_only };

    if (!form_copy(&job.form, form)) {
        form_free(&job.form);
        return;
    }
    SDL_LockMutex(p->lock);
    form_free(&p->waiting.form);
    p->waiting = job;
    p->has_waiting = p->stop = true;
    SDL_CondBroadcast(p->changed);
    SDL_UnlockMutex(p->lock);
}

void painter_paint(struct painter *p, const struct form *form, enum painter_purpose purpose)
{
    give(p, form, purpose, false);
}

void painter_open(struct painter *p, const struct form *form)
{
    give(p, form, PAINTER_KEEP, true);
}

void painter_stop(struct painter *p)
{
    SDL_LockMutex(p->lock);
    form_free(&p->waiting.form);
    p->has_waiting = false;
    if (p->status.phase != PAINTER_IDLE) p->stop = p->status.stopping = true;
    SDL_UnlockMutex(p->lock);
}

void painter_status(struct painter *p, struct painter_status *status)
{
    SDL_LockMutex(p->lock);
    *status = p->status;
    SDL_UnlockMutex(p->lock);
}

unsigned char *painter_preview(struct painter *p, int *w, int *h)
{
    unsigned char *copy = NULL;

    SDL_LockMutex(p->lock);
    size_t bytes = 3 * (size_t)p->preview_w * (size_t)p->preview_h;
    if (p->preview && (copy = malloc(bytes))) memcpy(copy, p->preview, bytes);
    *w = p->preview_w;
    *h = p->preview_h;
    SDL_UnlockMutex(p->lock);
    return copy;
}

bool painter_take(struct painter *p, struct painter_picture *out)
{
    SDL_LockMutex(p->lock);
    bool any = p->done_count > 0;
    if (any) {
        *out = *p->done[0];
        free(p->done[0]);
        memmove(p->done, p->done + 1, (size_t)--p->done_count * sizeof *p->done);
        SDL_CondBroadcast(p->changed);
    }
    SDL_UnlockMutex(p->lock);
    return any;
}
