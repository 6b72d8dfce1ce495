/* The window: opening it, what happens in a frame, and closing it. Parts draw themselves (parts.h). */
#include "window/window.h"

#include <SDL.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window/parts.h"
#include "window/settings.h"

void window_say(struct window *w, bool bad, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(w->message, sizeof w->message, fmt, args);
    va_end(args);
    w->message_bad = bad;
    ui_need(w->ui, w->message);
}

/* ---- models ---- */

static bool list_model(struct window *w, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    size_t letters = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    char *kept = malloc(strlen(path) + 1 + letters + 1);

    if (!kept || w->model_count == WINDOW_MODELS_MOST) {
        free(kept);
        return false;
    }
    strcpy(kept, path);
    char *short_name = kept + strlen(path) + 1;
    memcpy(short_name, name, letters);
    short_name[letters] = '\0';
    w->model_paths[w->model_count] = kept;
    w->model_names[w->model_count++] = short_name;
    ui_need(w->ui, short_name);
    return true;
}

void window_use_model(struct window *w, const char *path)
{
    bool listed = false;

    for (int i = 0; i < w->model_count; i++) listed |= strcmp(w->model_paths[i], path) == 0;
    if (!listed && !list_model(w, path)) return;
    if (path != w->form.model) snprintf(w->form.model, sizeof w->form.model, "%s", path);
    window_list_loras(w);
    if (!window_busy(w)) painter_open(w->painter, &w->form);
}

/* ---- LoRAs ---- */

static void wake(void *ui)
{
    ui_wake(ui);
}

void window_list_loras(struct window *w)
{
    const struct window_options *o = w->options;

    prompt_box_embeddings(&w->prompt, NULL);
    prompt_box_embeddings(&w->negative, NULL);
    shelf_close(w->shelf, false);
    lora_panel_forget(w);
    w->shelf_number++;
    w->shelf = shelf_open(&(struct tinct_lora_list_options) {
        .lora_dir = o->lora_dir, .models_dir = o->models_dir, .cache_dir = o->open.cache_dir,
        .model = *w->form.model ? w->form.model : NULL }, o->open.embedding_dir, wake, w->ui);
}

void window_lora_changed(struct window *w)
{
    if (w->automatic && w->shown.rgb) window_paint(w, false);
}

/* ---- painting ---- */

bool window_busy(const struct window *w)
{
    return w->status.phase != PAINTER_IDLE;
}

static bool take_prompts(struct window *w)
{
    prompt_box_read(&w->prompt);
    prompt_box_read(&w->negative);
    const struct tinct_err *err = w->prompt.error.code != TINCT_OK ? &w->prompt.error : &w->negative.error;
    if (err->code != TINCT_OK) {
        window_say(w, true, "%s", err->text);
        return false;
    }
    return form_set_text(&w->form.prompt, w->prompt.edit.text) && form_set_text(&w->form.negative, w->negative.edit.text);
}

void window_paint(struct window *w, bool new_seed)
{
    struct tinct_err err;

    if (!*w->form.model) {
        window_say(w, true, "no model is chosen: drop a .safetensors checkpoint here");
        return;
    }
    if (!take_prompts(w)) return;
    if (new_seed || w->form.seed < 0) w->form.seed = form_random_seed();
    struct tinct_txt2img settings = form_picture(&w->form);
    if (!tinct_check(&settings, &err)) {
        window_say(w, true, "%s", err.text);
        return;
    }
    *w->message = '\0';
    painter_paint(w->painter, &w->form, PAINTER_KEEP);
}

void window_stop(struct window *w)
{
    painter_stop(w->painter);
}

static void show_preview(struct window *w)
{
    int width, height;
    unsigned char *rgb = painter_preview(w->painter, &width, &height);
    bool compared = w->status.purpose == PAINTER_COMPARE;

    if (rgb) view_set(w->ui, compared ? &w->view.other : &w->view.picture, width, height, rgb, 8 * width, 8 * height);
    if (!compared && w->view.other.texture) compare_forget(w);
    free(rgb);
}

static void show_image(struct window *w, const struct tinct_image *image, const char *path)
{
    tinct_image_free(&w->shown);
    w->shown = *image;
    snprintf(w->shown_path, sizeof w->shown_path, "%s", path);
    view_set(w->ui, &w->view.picture, image->width, image->height, image->rgb, image->width, image->height);
    compare_forget(w);
}

static void take_picture(struct window *w, struct painter_picture *picture)
{
    if (picture->purpose == PAINTER_COMPARE) {
        view_set(w->ui, &w->view.other, picture->image.width, picture->image.height, picture->image.rgb, picture->image.width,
                 picture->image.height);
        window_say(w, false, "without %s: c shows both, Space only this one", w->compared_lora);
        tinct_image_free(&picture->image);
        return;
    }
    if (*picture->path && w->options->saved) w->options->saved(picture->path);
    if (*picture->path) history_add(&w->history, w->ui, picture->path, &picture->image);
    window_say(w, false, "%s   %dx%d, seed %lld, %.1f s", picture->path, picture->image.width, picture->image.height,
               (long long)picture->image.seed, picture->seconds);
    show_image(w, &picture->image, picture->path);
}

static void take_loaded(struct window *w, struct loader_result *result)
{
    if (result->kind == LOADER_HISTORY) history_loaded(&w->history, w->ui, result);
    if (result->kind == LOADER_LORA) lora_panel_loaded(w, result);
    if (result->kind == LOADER_ABOUT) files_told(w, result);
    if (result->kind == LOADER_WHOLE && result->id == w->whole_id) {
        if (!result->image.rgb) {
            window_say(w, true, "%s", result->err.text);
        } else if (!window_busy(w) || w->status.purpose == PAINTER_COMPARE) {
            show_image(w, &result->image, result->path);
            return;
        }
    }
    tinct_image_free(&result->image);
    tinct_text_free(result->about);
}

/* A few milliseconds' worth of what is loaded: a hundred thumbnails at once would hold a frame up. */
static void take_all_loaded(struct window *w)
{
    const Uint32 budget_ms = 6, began = SDL_GetTicks();
    struct loader_result loaded;

    while (loader_take(w->loader, &loaded)) {
        take_loaded(w, &loaded);
        if (SDL_GetTicks() - began < budget_ms) continue;
        ui_again(w->ui);
        break;
    }
}

/* What the painter and the loader have for us. */
static void listen(struct window *w)
{
    enum painter_phase before = w->status.phase;
    struct painter_picture picture;

    painter_status(w->painter, &w->status);
    if (w->status.previews != w->shown_preview) {
        w->shown_preview = w->status.previews;
        show_preview(w);
    }
    while (painter_take(w->painter, &picture)) take_picture(w, &picture);
    take_all_loaded(w);
    prompt_box_embeddings(&w->prompt, shelf_embeddings(w->shelf));
    prompt_box_embeddings(&w->negative, shelf_embeddings(w->shelf));
    if (before == PAINTER_IDLE || w->status.phase != PAINTER_IDLE) return;
    if (w->view.picture.preview && w->shown.rgb)        /* stopped: back to the picture before */
        view_set(w->ui, &w->view.picture, w->shown.width, w->shown.height, w->shown.rgb, w->shown.width, w->shown.height);
    if (w->status.failed)
        window_say(w, true, "%s%s%s", w->status.message, *w->status.advice ? "; " : "", w->status.advice);
}

/* ---- a frame ---- */

bool window_frame(struct window *w)
{
    bool open = ui_wait(w->ui);

    listen(w);
    ui_begin(w->ui);
    trace_begin(&w->trace);
    keys_take(w);
    layout_show(w);
    trace_end(&w->trace);
    ui_end(w->ui);
    return open;
}

/* ---- settings ---- */

/* What the command line gives goes before what was remembered. */
static bool settle_form(struct window *w, struct settings *s)
{
    const struct window_options *o = w->options;
    const struct tinct_txt2img *p = &o->picture;
    struct form *f = &s->form;

    if (o->open.model) snprintf(f->model, sizeof f->model, "%s", o->open.model);
    if (!*f->model && o->model_count) snprintf(f->model, sizeof f->model, "%s", o->models[0]);
    if (p->sampler) snprintf(f->sampler, sizeof f->sampler, "%s", p->sampler);
    if (p->scheduler) snprintf(f->scheduler, sizeof f->scheduler, "%s", p->scheduler);
    if (p->width) f->width = p->width;
    if (p->height) f->height = p->height;
    if (p->steps) f->steps = p->steps;
    if (p->clip_skip) f->clip_skip = p->clip_skip;
    if (p->guidance > 0) f->guidance = p->guidance;
    if (o->count) f->count = o->count;
    if (p->seed >= 0) f->seed = p->seed;
    f->keep_seed |= o->seed_given;
    f->eta_given = p->eta != NULL;
    f->eta = p->eta ? *p->eta : 0.0f;
    f->rng = p->rng;
    return (!o->prompt_given || (form_set_text(&f->prompt, p->prompt) && form_set_text(&f->negative, p->negative ? p->negative : ""))) &&
           form_copy(&w->form, f);
}

static void remember(struct window *w)
{
    struct settings s = { .form = w->form, .place = ui_where(w->ui), .automatic = w->automatic, .tab = (int)w->tab };

    if (!form_set_text(&w->form.prompt, w->prompt.edit.text) || !form_set_text(&w->form.negative, w->negative.edit.text)) return;
    s.form = w->form;
    settings_write(&s, w->options->config_dir);
}

/* ---- opening and closing ---- */

static bool make(struct window *w, struct settings *s, struct tinct_err *err)
{
    const struct window_options *o = w->options;
    struct painter_options painter = {
        .open = o->open, .path = o->path, .path_user = o->path_user, .overwrite = o->overwrite, .wake = wake,
    };

    w->trace.path = o->trace;
    w->automatic = s->automatic;
    w->tab = (enum window_tab)s->tab;
    w->view.divider = 0.5f;
    w->ui = ui_open(&(struct ui_options) { .title = "tinct", .place = s->place, .scale = o->scale }, err);
    if (!w->ui) return false;
    painter.wake_user = w->ui;
    w->painter = painter_start(&painter, err);
    if (!w->painter) return false;
    w->model_paths = calloc(WINDOW_MODELS_MOST, sizeof *w->model_paths);
    w->model_names = calloc(WINDOW_MODELS_MOST, sizeof *w->model_names);
    w->loader = loader_start(wake, w->ui);
    return w->model_paths && w->model_names && w->loader && settle_form(w, s) && prompt_box_init(&w->prompt, w->form.prompt, false) &&
           prompt_box_init(&w->negative, w->form.negative, true);
}

static void begin(struct window *w)
{
    const struct window_options *o = w->options;

    w->prompt.focused = true;
    for (size_t i = 0; i < o->model_count; i++) list_model(w, o->models[i]);
    history_open(&w->history, o->output_dir);
    if (*w->form.model) window_use_model(w, w->form.model);
    else window_list_loras(w);
    if (o->start) window_paint(w, w->form.seed < 0);
}

struct window *window_open(const struct window_options *options, struct tinct_err *err)
{
    struct window *w = calloc(1, sizeof *w);
    struct settings s = { 0 };
    bool ok = w && form_init(&s.form);

    if (err) *err = (struct tinct_err) { .code = TINCT_ERR_MEMORY, .text = "no memory for the window" };
    if (ok) {
        w->options = options;
        settings_read(&s, options->config_dir);
        if (options->start) {           /* what was asked for, and nothing else */
            form_free(&s.form);
            ok = form_init(&s.form);
        }
    }
    ok = ok && make(w, &s, err);
    form_free(&s.form);
    if (!ok) {
        window_close(w);
        return NULL;
    }
    begin(w);
    return w;
}

void window_close(struct window *w)
{
    if (!w) return;
    if (w->prompt.edit.text && w->negative.edit.text) remember(w);
    if (w->ui) ui_hide(w->ui);
    painter_close(w->painter);
    loader_close(w->loader);
    shelf_close(w->shelf, true);
    prompt_box_free(&w->prompt);
    prompt_box_free(&w->negative);
    tinct_image_free(&w->shown);
    form_free(&w->form);
    for (int i = 0; i < w->model_count; i++) free(w->model_paths[i]);
    free(w->model_paths);
    free(w->model_names);
    trace_free(&w->trace);
    if (w->ui) {
        lora_panel_forget(w);
        history_close(&w->history, w->ui);
        view_drop(w->ui, &w->view.picture);
        view_drop(w->ui, &w->view.other);
        ui_close(w->ui);
    }
    free(w);
}

bool window_run(const struct window_options *options, struct tinct_err *err)
{
    struct window *w = window_open(options, err);

    if (!w) return false;
    while (window_frame(w)) {}
    window_close(w);
    return true;
}
