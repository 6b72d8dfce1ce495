/* Keys: what each does, and the overlay that lists them. */
#include <SDL.h>
#include <stdlib.h>
#include <string.h>

#include "window/parts.h"

bool window_typing(const struct window *w)
{
    return w->prompt.focused || w->negative.focused || ui_field_typing(w->ui);
}

static void escape(struct window *w)
{
    if (ui_popup_open(w->ui)) ui_popup_close(w->ui);
    else if (w->help) w->help = false;
    else if (w->saving) w->saving = false;
    else if (window_busy(w)) window_stop(w);
    else if (w->view.split) w->view.split = false;
    else w->prompt.focused = w->negative.focused = false;
}

/* Wherever the keyboard is. */
static bool anywhere(struct window *w, const struct ui_event *e)
{
    bool enter = e->key == SDLK_RETURN || e->key == SDLK_KP_ENTER;

    if (e->ctrl && enter) {
        window_paint(w, !w->form.keep_seed);
    } else if (e->key == SDLK_ESCAPE) {
        escape(w);
    } else if (e->ctrl && e->key == SDLK_s) {
        files_begin_save(w);
    } else if (enter && w->saving) {
        files_save(w);
    } else if (e->key == SDLK_F1) {
        w->help = !w->help;
    } else {
        return false;
    }
    return true;
}

static void change_focus(struct window *w)
{
    bool to_negative = w->prompt.focused;

    w->prompt.focused = !to_negative;
    w->negative.focused = to_negative;
    ui_unfocus(w->ui);
}

static void zoom_middle(struct window *w, float by)
{
    struct ui_rect r = w->view_rect;
    view_zoom(&w->view, r, by, r.x + r.w / 2, r.y + r.h / 2);
}

static void walk(struct window *w, int by)
{
    if (history_walk(&w->history, by)) files_show_picture(w, history_path(&w->history));
}

static void single(struct window *w, const struct ui_event *e)
{
    if (e->ctrl && e->key == SDLK_c) files_copy_recipe(w);
    if (e->ctrl || e->alt) return;
    switch (e->key) {
    case SDLK_LEFT:
    case SDLK_UP: walk(w, -1); break;
    case SDLK_RIGHT:
    case SDLK_DOWN: walk(w, 1); break;
    case SDLK_c: if (!e->repeated) compare_toggle(w); break;
    case SDLK_f: view_toggle(&w->view); break;
    case SDLK_1: w->view.zoom = 1.0f; break;
    case SDLK_0: view_fit(&w->view); break;
    case SDLK_r: w->form.seed = form_random_seed(); break;
    case SDLK_l: w->form.keep_seed = !w->form.keep_seed; break;
    case SDLK_PLUS:
    case SDLK_EQUALS:
    case SDLK_KP_PLUS: zoom_middle(w, 1.25f); break;
    case SDLK_MINUS:
    case SDLK_KP_MINUS: zoom_middle(w, 0.8f); break;
    default: break;
    }
}

void keys_take(struct window *w)
{
    size_t count;
    const struct ui_event *events = ui_events(w->ui, &count);

    if (w->help && ui_mouse(w->ui).pressed[0]) {
        w->help = false;
        ui_again(w->ui);
    }
    compare_hold(w, !window_typing(w) && !ui_popup_open(w->ui) && SDL_GetKeyboardState(NULL)[SDL_SCANCODE_SPACE]);
    for (size_t i = 0; i < count; i++) {
        const struct ui_event *e = &events[i];
        if (e->kind == UI_DROP) files_drop(w, e->text);
        struct prompt_box *box = w->prompt.focused ? &w->prompt : w->negative.focused ? &w->negative : NULL;
        if (e->kind == UI_KEY && anywhere(w, e)) continue;
        if (e->kind == UI_KEY && e->key == SDLK_TAB && !ui_field_typing(w->ui)) change_focus(w);
        else if (box) prompt_box_event(box, w->ui, e);
        else if (e->kind == UI_INPUT && strcmp(e->text, "?") == 0 && !window_typing(w)) w->help = !w->help;
        else if (e->kind == UI_KEY && !window_typing(w) && !ui_popup_open(w->ui)) single(w, e);
    }
}

/* ---- the overlay ---- */

struct line {
    const char *keys, *does; /* keys NULL: a heading */
};

static const struct line lines[] = {
    { NULL, "Anywhere" },
    { "Ctrl+Enter", "paint" },
    { "Esc", "stop, within a step" },
    { "Tab", "prompt, negative prompt" },
    { "Ctrl+S", "save the picture as" },
    { "F1", "these keys; ? while no text is edited" },
    { NULL, "While no text is edited" },
    { "r", "a new seed" },
    { "l", "keep the seed, or draw a new one each time" },
    { "←  →", "walk through the history" },
    { "Space", "hold: the picture without the selected LoRA" },
    { "c", "the two beside each other, with a divider" },
    { "Ctrl+C", "copy the recipe" },
    { "f", "fit the picture, or show it 1:1" },
    { "+  −", "larger, smaller; the wheel does the same" },
    { NULL, "In a prompt" },
    { "Ctrl+Up  Ctrl+Down", "weight of a word, the selection or a LoRA" },
    { "Ctrl+Z  Ctrl+Y", "undo, redo" },
};

void help_show(struct window *w)
{
    struct ui *ui = w->ui;
    struct ui_rect all = ui_window(ui);
    float line = ui_px(ui, 23), pad = ui_px(ui, 24), wide = ui_px(ui, 560);
    float tall = line * (float)(sizeof lines / sizeof *lines) + 2 * pad + ui_px(ui, 12);
    struct ui_rect r = { (all.w - wide) / 2, (all.h - tall) / 2, wide, tall };

    ui_over(ui, true);
    ui_fill(ui, all, UI_SHADE, 0);
    ui_fill(ui, r, UI_PANEL, ui_px(ui, 10));
    ui_outline(ui, r, UI_EDGE, ui_px(ui, 10), ui_px(ui, 1));
    float y = r.y + pad;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct ui_rect left = { r.x + pad, y, ui_px(ui, 170), line }, right = { r.x + pad + ui_px(ui, 180), y, wide - 2 * pad - ui_px(ui, 180), line };
        if (!lines[i].keys) {
            if (i) left.y = y += ui_px(ui, 6);
            ui_label(ui, UI_BOLD, UI_ACCENT, left, 0, lines[i].does);
        } else {
            ui_label(ui, UI_NORMAL, UI_TEXT, left, 0, lines[i].keys);
            ui_label(ui, UI_NORMAL, UI_MUTED, right, 0, lines[i].does);
        }
        y += line;
    }
    ui_over(ui, false);
}
