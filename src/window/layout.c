/* Where the window's parts are. */
#include <stdio.h>

#include "window/parts.h"

/* "12 / 75 tokens", or what is wrong with the prompt. */
static void show_under_prompt(struct window *w, const struct prompt_box *box, const char *name, struct ui_rect r)
{
    char text[80] = "";
    bool bad = box->error.code != TINCT_OK;

    if (!bad && box->read) snprintf(text, sizeof text, "%d / %d tokens", box->read->tokens, 75 * box->read->chunks);
    if (bad) ui_paragraph(w->ui, UI_SMALL, UI_ERROR, r, box->error.text, true);
    else ui_label(w->ui, UI_SMALL, UI_FAINT, r, 1, text);
    trace_mark(&w->trace, name, r, "%s", bad ? box->error.text : text);
}

/* An error of several lines takes them from the box: nothing below moves while somebody types. */
static float show_prompt(struct window *w, struct prompt_box *box, const char *name, const char *hint, struct ui_rect r)
{
    struct ui *ui = w->ui;
    float under = ui_px(ui, 18), all = r.h + under, most = r.h - ui_line(ui, UI_NORMAL);
    char under_name[40];

    prompt_box_read(box);
    if (box->error.code != TINCT_OK) {
        float tall = ui_paragraph(ui, UI_SMALL, UI_ERROR, r, box->error.text, false);
        under = tall > most ? most : tall > under ? tall : under;
    }
    r.h = all - under;
    prompt_box_show(box, ui, name, r, hint);
    trace_mark(&w->trace, name, r, "%s", box->edit.text);
    snprintf(under_name, sizeof under_name, "%s.under", name);
    show_under_prompt(w, box, under_name, (struct ui_rect) { r.x, r.y + r.h + ui_px(ui, 1), r.w, under });
    return all + ui_px(ui, 5);
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

static void show_tabs(struct window *w, struct ui_rect r)
{
    static const char *const names[] = { "LoRAs##tab", "Recipe##tab" }, *const marks[] = { "tab.loras", "tab.recipe" };
    float gap = ui_px(w->ui, 6), wide = (r.w - gap) / 2;

    for (int i = 0; i < 2; i++) {
        struct ui_rect at = { r.x + (wide + gap) * (float)i, r.y, wide, r.h };
        bool on = (int)w->tab == i;
        if (ui_button(w->ui, names[i], at, UI_QUIET)) w->tab = (enum window_tab)i;
        ui_fill(w->ui, (struct ui_rect) { at.x, at.y + at.h - ui_px(w->ui, 2), at.w, ui_px(w->ui, 2) }, on ? UI_ACCENT : UI_FIELD, 0);
        trace_mark(&w->trace, marks[i], at, "%s", on ? "on" : "off");
    }
}

static void show_left(struct window *w, struct ui_rect r, bool tabs)
{
    struct ui *ui = w->ui;
    float tall = r.h > ui_px(ui, 760) ? ui_px(ui, 132) : ui_px(ui, 92), tab = ui_px(ui, 30);

    float y = r.y + show_prompt(w, &w->prompt, "prompt", "What shall be painted?", (struct ui_rect) { r.x, r.y, r.w, tall });
    y += show_prompt(w, &w->negative, "negative", "What shall not be in it?", (struct ui_rect) { r.x, y, r.w, ui_px(ui, 54) });
    show_paint_button(w, (struct ui_rect) { r.x, y, r.w, ui_px(ui, 34) });
    y += ui_px(ui, 34) + ui_px(ui, 8);
    if (tabs) {
        show_tabs(w, (struct ui_rect) { r.x, y, r.w, tab });
        y += tab + ui_px(ui, 10);
    }
    struct ui_rect rest = { r.x, y, r.w, r.y + r.h - y };
    if (tabs && w->tab == TAB_LORAS) lora_panel_show(w, rest);
    else recipe_panel_show(w, rest);
}

static void show_view(struct window *w, struct ui_rect r)
{
    const char *hint = w->status.phase == PAINTER_LOADING ? "Loading the model…" : w->status.phase == PAINTER_PAINTING ? "Painting…" :
                       w->model_count == 0 ? "Drop a Stable Diffusion 1.x checkpoint (.safetensors) here" : "Write a prompt, then press Ctrl+Enter";

    w->view_rect = r;
    view_show(&w->view, w->ui, r);
    compare_show(w, r);
    if (!w->view.picture.texture) ui_label(w->ui, UI_NORMAL, UI_FAINT, r, 0.5f, hint);
    trace_mark(&w->trace, "view", r, "%dx%d zoom %.3f%s %s", w->view.picture.w, w->view.picture.h, (double)view_scale(&w->view, r),
               w->view.picture.preview ? " preview" : "", w->shown_path);
}

static void show_history(struct window *w, struct ui_rect r)
{
    const char *path;

    ui_fill(w->ui, r, UI_PANEL, 0);
    r.x += ui_px(w->ui, 8);
    r.w -= ui_px(w->ui, 16);
    if (w->history.count == 0) ui_label(w->ui, UI_NORMAL, UI_FAINT, r, 0.5f, "Pictures appear here. Drop a PNG to read its recipe.");
    else if (history_show(&w->history, w->ui, w->loader, r) && (path = history_path(&w->history))) files_show_picture(w, path);
    trace_mark(&w->trace, "history", r, "%zu %s", w->history.count, history_path(&w->history) ? history_path(&w->history) : "");
}

/* Wide windows show the LoRAs in a column of their own. */
void layout_show(struct window *w)
{
    struct ui *ui = w->ui;
    struct ui_rect all = ui_window(ui);
    bool wide = all.w >= ui_px(ui, 1400);
    float pad = ui_px(ui, PARTS_GAP), status = ui_px(ui, w->saving ? 34 : 26), left = ui_px(ui, all.w > ui_px(ui, 1200) ? 360 : 336);
    float right = wide ? ui_px(ui, 330) + pad : 0, strip = ui_px(ui, all.h > ui_px(ui, 760) ? 116 : 92), x = left + 2 * pad;

    if (w->help) ui_enable(ui, false);          /* nothing below the overlay takes the mouse */
    show_view(w, (struct ui_rect) { x, 0, all.w - x - right - (wide ? pad : 0), all.h - status - strip });
    show_history(w, (struct ui_rect) { x, all.h - status - strip, all.w - x - right - (wide ? pad : 0), strip });
    show_left(w, (struct ui_rect) { pad, pad, left, all.h - status - 2 * pad }, !wide);
    if (wide) lora_panel_show(w, (struct ui_rect) { all.w - right, pad, right - pad, all.h - status - 2 * pad });
    status_line_show(w, (struct ui_rect) { 0, all.h - status, all.w, status });
    if (!w->help) return;
    ui_enable(ui, true);
    help_show(w);
}
