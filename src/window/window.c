/* The window: opening it, what happens in a frame, and closing it. Parts draw themselves (parts.h). */
#include "window/window.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window/parts.h"

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
    if (!window_busy(w)) painter_open(w->painter, &w->form);
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

    if (rgb) view_set(w->ui, &w->view.picture, width, height, rgb, 8 * width, 8 * height);
    free(rgb);
}

static void show_image(struct window *w, struct tinct_image *image, const char *path, double seconds)
{
    tinct_image_free(&w->shown);
    w->shown = *image;
    snprintf(w->shown_path, sizeof w->shown_path, "%s", path);
    w->shown_seconds = seconds;
    view_set(w->ui, &w->view.picture, image->width, image->height, image->rgb, image->width, image->height);
}

static void take_picture(struct window *w, struct painter_picture *picture)
{
    if (*picture->path && w->options->saved) w->options->saved(picture->path);
    window_say(w, false, "%s   %dx%d, seed %lld, %.1f s", picture->path, picture->image.width, picture->image.height,
               (long long)picture->image.seed, picture->seconds);
    show_image(w, &picture->image, picture->path, picture->seconds);
}

/* What the painter has for us. */
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
    if (before != PAINTER_IDLE && w->status.phase == PAINTER_IDLE && w->status.failed)
        window_say(w, true, "%s%s%s", w->status.message, *w->status.advice ? "; " : "", w->status.advice);
}

/* ---- a frame ---- */

/* "12 / 75 tokens", or what is wrong with the prompt. */
static void show_under_prompt(struct window *w, const struct prompt_box *box, const char *name, struct ui_rect r)
{
    char text[80] = "";
    bool bad = box->error.code != TINCT_OK;

    if (!bad && box->read) snprintf(text, sizeof text, "%d / %d tokens", box->read->tokens, 75 * box->read->chunks);
    ui_label(w->ui, UI_SMALL, bad ? UI_ERROR : UI_FAINT, r, bad ? 0 : 1, bad ? box->error.text : text);
    trace_mark(&w->trace, name, r, "%s", bad ? box->error.text : text);
    if (bad && ui_area(w->ui, name, r).over) ui_tip(w->ui, box->error.text);
}

static float show_prompt(struct window *w, struct prompt_box *box, const char *name, const char *hint, struct ui_rect r)
{
    struct ui *ui = w->ui;
    float under = ui_px(ui, 18);
    char under_name[40];

    prompt_box_read(box);
    prompt_box_show(box, ui, name, r, hint);
    trace_mark(&w->trace, name, r, "%s", box->edit.text);
    snprintf(under_name, sizeof under_name, "%s.under", name);
    show_under_prompt(w, box, under_name, (struct ui_rect) { r.x, r.y + r.h + ui_px(ui, 1), r.w, under });
    return r.h + under + ui_px(ui, 5);
}

static void show_paint_button(struct window *w, struct ui_rect r)
{
    const struct painter_status *s = &w->status;
    float check = ui_px(w->ui, 70);
    struct ui_rect button = { r.x, r.y, r.w - check, r.h };

    if (window_busy(w)) {
        if (ui_button(w->ui, "Stop##paint", button, UI_PLAIN)) window_stop(w);
        float share = s->steps > 0 ? ((float)s->image + (float)s->step / (float)s->steps) / (float)(s->images ? s->images : 1) : 0;
        ui_fill(w->ui, (struct ui_rect) { button.x, button.y + button.h - ui_px(w->ui, 3), button.w * share, ui_px(w->ui, 3) }, UI_ACCENT, ui_px(w->ui, 1));
        ui_tip(w->ui, "Esc");
    } else {
        if (ui_button(w->ui, "Paint##paint", button, UI_PRIMARY)) window_paint(w, !w->form.keep_seed);
        ui_tip(w->ui, "Ctrl+Enter");
    }
    trace_mark(&w->trace, "paint", button, "%s", window_busy(w) ? "busy" : "idle");
    struct ui_rect box = { r.x + r.w - check + ui_px(w->ui, 10), r.y, check - ui_px(w->ui, 10), r.h };
    ui_check(w->ui, "auto", box, &w->automatic);
    ui_tip(w->ui, "Paint again, from the same seed, whenever a LoRA's weight is moved");
    trace_mark(&w->trace, "auto", box, "%s", w->automatic ? "on" : "off");
}

static void show_left(struct window *w, struct ui_rect r)
{
    struct ui *ui = w->ui;
    float tall = r.h > ui_px(ui, 760) ? ui_px(ui, 132) : ui_px(ui, 92);

    float y = r.y + show_prompt(w, &w->prompt, "prompt", "What shall be painted?", (struct ui_rect) { r.x, r.y, r.w, tall });
    y += show_prompt(w, &w->negative, "negative", "What shall not be in it?", (struct ui_rect) { r.x, y, r.w, ui_px(ui, 54) });
    show_paint_button(w, (struct ui_rect) { r.x, y, r.w, ui_px(ui, 34) });
    y += ui_px(ui, 46);
    recipe_panel_show(w, (struct ui_rect) { r.x, y, r.w, r.y + r.h - y });
}

static void show_view(struct window *w, struct ui_rect r)
{
    w->view_rect = r;
    view_show(&w->view, w->ui, r);
    if (!w->view.picture.texture && !window_busy(w))
        ui_label(w->ui, UI_NORMAL, UI_FAINT, r, 0.5f, "Write a prompt, then Ctrl+Enter");
    trace_mark(&w->trace, "view", r, "%dx%d zoom %.3f%s %s", w->view.picture.w, w->view.picture.h, (double)view_scale(&w->view, r),
               w->view.picture.preview ? " preview" : "", w->shown_path);
}

static void show_all(struct window *w)
{
    struct ui *ui = w->ui;
    struct ui_rect all = ui_window(ui);
    float pad = ui_px(ui, 12), status = ui_px(ui, 26), left = ui_px(ui, all.w > ui_px(ui, 1250) ? 380 : 336);

    show_view(w, (struct ui_rect) { left + 2 * pad, 0, all.w - left - 2 * pad, all.h - status });
    show_left(w, (struct ui_rect) { pad, pad, left, all.h - status - 2 * pad });
    status_line_show(w, (struct ui_rect) { 0, all.h - status, all.w, status });
    if (w->help) help_show(w);
}

bool window_frame(struct window *w)
{
    bool open = ui_wait(w->ui);

    listen(w);
    ui_begin(w->ui);
    trace_begin(&w->trace);
    keys_take(w);
    show_all(w);
    trace_end(&w->trace);
    ui_end(w->ui);
    return open;
}

/* ---- opening and closing ---- */

static void wake(void *ui)
{
    ui_wake(ui);
}

static bool make(struct window *w, const struct window_options *o, struct tinct_err *err)
{
    struct painter_options painter = {
        .open = o->open, .path = o->path, .path_user = o->path_user, .overwrite = o->overwrite, .wake = wake,
    };

    w->options = o;
    w->trace.path = o->trace;
    w->model_paths = calloc(WINDOW_MODELS_MOST, sizeof *w->model_paths);
    w->model_names = calloc(WINDOW_MODELS_MOST, sizeof *w->model_names);
    w->ui = ui_open(&(struct ui_options) { .title = "tinct", .scale = o->scale }, err);
    if (!w->ui) return false;
    painter.wake_user = w->ui;
    w->painter = painter_start(&painter, err);
    if (!w->painter) return false;
    if (!w->model_paths || !w->model_names || !form_copy(&w->form, &o->form) || !prompt_box_init(&w->prompt, w->form.prompt, false) ||
        !prompt_box_init(&w->negative, w->form.negative, true)) {
        if (err) *err = (struct tinct_err) { .code = TINCT_ERR_MEMORY, .text = "no memory for the window" };
        return false;
    }
    return true;
}

struct window *window_open(const struct window_options *options, struct tinct_err *err)
{
    struct window *w = calloc(1, sizeof *w);

    if (!w || !make(w, options, err)) {
        if (!w && err) *err = (struct tinct_err) { .code = TINCT_ERR_MEMORY, .text = "no memory for the window" };
        window_close(w);
        return NULL;
    }
    for (size_t i = 0; i < options->model_count; i++) list_model(w, options->models[i]);
    w->view.divider = 0.5f;
    w->prompt.focused = true;
    if (*w->form.model) window_use_model(w, w->form.model);
    if (options->start) window_paint(w, false);
    return w;
}

void window_close(struct window *w)
{
    if (!w) return;
    if (w->ui) ui_hide(w->ui);
    painter_close(w->painter);
    prompt_box_free(&w->prompt);
    prompt_box_free(&w->negative);
    tinct_image_free(&w->shown);
    form_free(&w->form);
    for (int i = 0; i < w->model_count; i++) free(w->model_paths[i]);
    free(w->model_paths);
    free(w->model_names);
    trace_free(&w->trace);
    if (w->ui) {
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
