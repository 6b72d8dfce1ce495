/* The LoRAs: a row each with its picture, its weight as a slider and its trigger words. The prompt's tags are the truth: a
 * slider rewrites its tag, and shows what the tag says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "window/parts.h"
#include "window/trigger.h"

enum { TRIGGERS_SHOWN = 12, THUMB_PX = 128 };

static const float least = -1.0f, most = 2.0f;

struct row {
    struct window *w;
    size_t index;
    const char *name;                           /* as its tag spells it, where it has one */
    const struct tinct_lora_card *card;         /* NULL: not read yet */
    const struct tinct_prompt_lora *tag;        /* in the prompt; NULL: not used */
    struct ui_rect r;
};

/* ---- what is used ---- */

/* Which row each tag of the prompt means; its first counts. */
static void find_tags(struct window *w)
{
    const struct tinct_prompt *read = w->prompt.read;
    size_t found;

    for (size_t i = 0; i < w->lora_row_count; i++) w->lora_rows[i].tag = 0;
    for (size_t i = read ? read->lora_count : 0; i-- > 0;)
        if (shelf_find(w->shelf, read->loras[i].name, &found) && found < w->lora_row_count) w->lora_rows[found].tag = i + 1;
}

static const struct tinct_prompt_lora *tag_of(const struct window *w, size_t index)
{
    size_t tag = w->lora_rows[index].tag;
    return tag ? &w->prompt.read->loras[tag - 1] : NULL;
}

void lora_panel_set(struct window *w, const char *name, const double *weight, bool joined)
{
    struct tinct_err err;
    char *text = tinct_prompt_set_lora(w->prompt.edit.text, name, weight, &err);

    if (!text) {
        window_say(w, true, "%s", err.text);
        return;
    }
    edit_set(&w->prompt.edit, text, joined);
    tinct_text_free(text);
    prompt_box_read(&w->prompt);
    find_tags(w);
    snprintf(w->selected_lora, sizeof w->selected_lora, "%s", name);
    window_lora_changed(w);
}

static void set_row(struct row *row, const double *weight, bool joined)
{
    lora_panel_set(row->w, row->name, weight, joined);
    row->tag = tag_of(row->w, row->index);      /* the one before is gone */
}

static double suggested(const struct row *row)
{
    return row->card && row->card->readable ? (double)row->card->weight : 1.0;
}

/* ---- a slider ---- */

static void draw_slider(struct ui *ui, struct ui_rect r, double weight, bool used, bool over)
{
    float line = ui_px(ui, 4), knob = ui_px(ui, 14), y = r.y + r.h / 2;
    float zero = r.x + r.w * (0 - least) / (most - least), one = r.x + r.w * (1 - least) / (most - least);
    float clamped = (float)(weight < (double)least ? (double)least : weight > (double)most ? (double)most : weight);
    float at = r.x + r.w * (clamped - least) / (most - least), left = at < zero ? at : zero, right = at < zero ? zero : at;

    ui_fill(ui, (struct ui_rect) { r.x, y - line / 2, r.w, line }, UI_FIELD_OVER, line / 2);
    ui_fill(ui, (struct ui_rect) { zero - 1, y - line, 2, 2 * line }, UI_EDGE, 0);
    ui_fill(ui, (struct ui_rect) { one - 1, y - line, 2, 2 * line }, UI_EDGE, 0);
    if (used) ui_fill(ui, (struct ui_rect) { left, y - line / 2, right - left, line }, UI_ACCENT, line / 2);
    ui_fill(ui, (struct ui_rect) { at - knob / 2, y - knob / 2, knob, knob }, used ? UI_ACCENT : over ? UI_MUTED : UI_FAINT, knob / 2);
}

static void show_slider(struct row *row, struct ui_rect r)
{
    struct window *w = row->w;
    struct ui_mouse mouse = ui_mouse(w->ui);
    double weight = row->tag ? row->tag->te : suggested(row);
    char id[40], text[120];

    snprintf(id, sizeof id, "weight%zu", row->index);
    struct ui_area area = ui_area(w->ui, id, r);
    double grain = mouse.shift ? 0.01 : 0.05, moved = (double)(least + (mouse.x - r.x) / r.w * (most - least));
    moved = round((moved < (double)least ? (double)least : moved > (double)most ? (double)most : moved) / grain) * grain;
    bool moves = (area.held || area.released) && (fabsf(mouse.dx) > 0 || area.pressed) && !area.doubled;
    if (area.doubled) weight = suggested(row);
    if (area.doubled || (moves && (!row->tag || fabs(moved - weight) > 1e-6)))
        set_row(row, area.doubled ? &weight : &moved, !area.pressed);
    draw_slider(w->ui, r, row->tag ? row->tag->te : suggested(row), row->tag != NULL, area.over);
    snprintf(text, sizeof text, "%g is suggested: a double click goes back to it. Shift moves finely.", round(suggested(row) * 100) / 100);
    if (!area.held) ui_tip(w->ui, row->card && row->card->weight_told ? text : "A double click goes back to 1. Shift moves finely.");
    trace_mark(&w->trace, "slider", r, "%s %.2f", row->name, row->tag ? row->tag->te : 0.0);
}

/* ---- trigger words ---- */

static void toggle_trigger(struct window *w, const char *words)
{
    size_t at;
    const char *prompt = w->prompt.edit.text;
    char *text = trigger_find(prompt, words, &at) ? trigger_remove(prompt, words) : trigger_add(prompt, words);

    if (text) edit_set(&w->prompt.edit, text, false);
    free(text);
    prompt_box_read(&w->prompt);
    find_tags(w);
}

/* Buttons in lines below each other; the height. draw false: only that. */
static float show_triggers(struct row *row, float top, bool draw)
{
    struct ui *ui = row->w->ui;
    float x = row->r.x, tall = ui_px(ui, 22), gap = ui_px(ui, 4), pad = ui_px(ui, 9), y = top;
    size_t count = row->card && row->card->readable ? row->card->trigger_count : 0, at;

    if (!count) return 0;
    for (size_t i = 0; i < count && i < TRIGGERS_SHOWN; i++) {
        const char *words = row->card->triggers[i];
        float wide = ui_width(ui, UI_SMALL, words, 0) + 2 * pad;
        wide = wide > row->r.w ? row->r.w : wide;
        if (x + wide > row->r.x + row->r.w && x > row->r.x) {
            x = row->r.x;
            y += tall + gap;
        }
        struct ui_rect chip = { x, y, wide, tall };
        char id[48];
        snprintf(id, sizeof id, "trigger%zu.%zu", row->index, i);
        if (draw) {
            struct ui_area area = ui_area(ui, id, chip);
            bool there = trigger_find(row->w->prompt.edit.text, words, &at);
            ui_fill(ui, chip, there ? UI_ACCENT_DIM : area.over ? UI_FIELD_OVER : UI_FIELD, tall / 2);
            ui_label(ui, UI_SMALL, there ? UI_TEXT : UI_MUTED, (struct ui_rect) { x + pad, y, wide - 2 * pad, tall }, 0.5f, words);
            ui_tip(ui, there ? "A trigger word in the prompt: click to take it out" : "A trigger word: click to add it to the prompt");
            trace_mark(&row->w->trace, "trigger", chip, "%s", words);
            if (area.clicked) toggle_trigger(row->w, words);
        }
        x += wide + gap;
    }
    return y + tall - top;
}

/* ---- a row ---- */

static void show_thumb(struct row *row, struct ui_rect r)
{
    struct window *w = row->w;
    struct lora_row *t = &w->lora_rows[row->index];
    const char *path = row->card && row->card->readable ? row->card->preview : "", *slash = strrchr(row->name, '/');
    char letter[2] = { slash ? slash[1] : row->name[0], '\0' };

    if (!t->asked && *path && strcmp(path, "embedded") != 0)
        t->asked = loader_ask(w->loader, LOADER_LORA, (uint64_t)w->shelf_number << 32 | row->index, path, THUMB_PX);
    ui_fill(w->ui, r, UI_FIELD, ui_px(w->ui, 4));
    if (!t->texture) {
        if (letter[0] > 0x20) ui_label(w->ui, UI_BOLD, UI_FAINT, r, 0.5f, letter);
        return;
    }
    float scale = r.w / (float)t->w < r.h / (float)t->h ? r.w / (float)t->w : r.h / (float)t->h;
    float wide = (float)t->w * scale, tall = (float)t->h * scale;
    ui_picture(w->ui, t->texture, (struct ui_rect) { r.x + (r.w - wide) / 2, r.y + (r.h - tall) / 2, wide, tall }, UI_SMOOTH);
}

static void show_name(struct row *row, struct ui_rect r)
{
    struct window *w = row->w;
    bool usable = !row->card || row->card->fits;
    char id[40], text[160] = "", tip[600];
    float value = ui_px(w->ui, 48);
    double weight = suggested(row);

    snprintf(id, sizeof id, "name%zu", row->index);
    struct ui_area area = ui_area(w->ui, id, r);
    bool selected = row->tag && strcmp(w->selected_lora, row->name) == 0;
    ui_label(w->ui, row->tag ? UI_BOLD : UI_NORMAL, !usable ? UI_FAINT : selected ? UI_ACCENT : area.over || row->tag ? UI_TEXT : UI_MUTED,
             (struct ui_rect) { r.x, r.y, r.w - value, r.h }, 0, row->name);
    if (row->tag && row->tag->te != row->tag->unet) snprintf(text, sizeof text, "%g / %g", row->tag->te, row->tag->unet);
    else if (row->tag) snprintf(text, sizeof text, "%.2f", row->tag->te);
    ui_label(w->ui, UI_NORMAL, UI_TEXT, (struct ui_rect) { r.x + r.w - value, r.y, value, r.h }, 1, text);
    if (row->card && row->card->readable)
        snprintf(tip, sizeof tip, "%.300s\n%s for %s, rank %u%s%s", row->card->path, row->card->type, row->card->base,
                 (unsigned)row->card->rank_max, usable ? "" : "\n", usable ? row->tag ? "\nClick to take it out" : "\nClick to use it" : "");
    else snprintf(tip, sizeof tip, "%.500s", row->name);
    ui_tip(w->ui, tip);
    trace_mark(&w->trace, "lora", r, "%s", row->name);
    if (area.clicked && (usable || row->tag)) set_row(row, row->tag ? NULL : &weight, false);
}

static bool is_misfit(const struct row *row)
{
    return row->card && !row->card->fits && !row->tag;
}

/* A misfit has two lines for its reason. */
static float row_height(struct row *row)
{
    struct ui *ui = row->w->ui;
    float triggers = row->tag ? show_triggers(row, 0, false) : 0;
    return ui_px(ui, is_misfit(row) ? 62 : 52) + (triggers > 0 ? triggers + ui_px(ui, 4) : 0) + ui_px(ui, 8);
}

static void show_row(struct row *row)
{
    struct window *w = row->w;
    struct ui *ui = w->ui;
    float thumb = ui_px(ui, 48), gap = ui_px(ui, 10), line = ui_px(ui, 24);
    struct ui_rect right = { row->r.x + thumb + gap, row->r.y + ui_px(ui, 1), row->r.w - thumb - gap, line };
    struct ui_rect below = { right.x + ui_px(ui, 7), right.y + line, right.w - ui_px(ui, 14), line };

    if (!row->card) shelf_want(w->shelf, row->index);
    ui_need(ui, row->name);
    show_thumb(row, (struct ui_rect) { row->r.x, row->r.y + ui_px(ui, 2), thumb, thumb });
    show_name(row, right);
    if (is_misfit(row)) {
        below = (struct ui_rect) { right.x, right.y + line, right.w, 2 * ui_line(ui, UI_SMALL) };
        ui_paragraph(ui, UI_SMALL, UI_WARN, below, row->card->why, true);
        char id[40];
        snprintf(id, sizeof id, "why%zu", row->index);
        ui_area(ui, id, below);
        ui_tip(ui, row->card->why);
    } else {
        show_slider(row, below);
    }
    if (row->tag) show_triggers(row, row->r.y + ui_px(ui, 54), true);
}

/* ---- the panel ---- */

static bool passes(const struct window *w, const struct row *row)
{
    size_t letters = strlen(w->lora_filter);

    if (w->only_used && !row->tag) return false;
    if (!letters) return true;
    for (const char *c = row->name; *c; c++)
        if (strncasecmp(c, w->lora_filter, letters) == 0) return true;
    for (size_t i = 0; row->card && row->card->readable && i < row->card->trigger_count; i++)
        for (const char *c = row->card->triggers[i]; *c; c++)
            if (strncasecmp(c, w->lora_filter, letters) == 0) return true;
    return false;
}

static void show_empty(struct window *w, struct ui_rect r, size_t count)
{
    char text[1400];
    const char *error = shelf_error(w->shelf);
    const char *folder = w->options->lora_dir ? w->options->lora_dir : "loras";

    if (error) snprintf(text, sizeof text, "%s", error);
    else if (!shelf_listed(w->shelf)) snprintf(text, sizeof text, "Looking for LoRAs…");
    else if (count == 0) snprintf(text, sizeof text, "No LoRAs in %.1000s/: put .safetensors files there, or drop one here.", folder);
    else if (w->only_used) snprintf(text, sizeof text, "None is used: click a name, move a slider, or write <lora:name:0.8>.");
    else snprintf(text, sizeof text, "None of %zu is called like that.", count);
    ui_paragraph(w->ui, UI_NORMAL, error ? UI_WARN : UI_FAINT, (struct ui_rect) { r.x, r.y + ui_px(w->ui, 10), r.w, r.h }, text, true);
    trace_mark(&w->trace, "loras.empty", r, "%s", text);
}

static void show_rows(struct window *w, struct ui_rect r, size_t count)
{
    float scrolled = ui_scroll_begin(w->ui, "loras", (struct ui_rect) { r.x, r.y, r.w + ui_px(w->ui, PARTS_GAP), r.h }), y = 0;
    size_t shown = 0;

    for (size_t i = 0; i < count; i++) {
        struct row row = { w, i, shelf_name(w->shelf, i), shelf_card(w->shelf, i), tag_of(w, i), r };
        if (row.tag) row.name = row.tag->name;
        if (!passes(w, &row)) continue;
        row.r = (struct ui_rect) { r.x, r.y + y - scrolled, r.w, 0 };
        row.r.h = row_height(&row);
        if (row.r.y + row.r.h > r.y && row.r.y < r.y + r.h) {
            char name[200];
            snprintf(name, sizeof name, "%s", row.name);        /* a change of the prompt frees the tag's */
            row.name = name;
            show_row(&row);
        }
        y += row.r.h;
        shown++;
    }
    if (!shown) show_empty(w, r, count);
    ui_scroll_end(w->ui, y);
}

void lora_panel_show(struct window *w, struct ui_rect r)
{
    struct ui *ui = w->ui;
    float row = ui_px(ui, 28), gap = ui_px(ui, 6), used = ui_px(ui, 92);
    size_t count = shelf_count(w->shelf);

    if (count != w->lora_row_count) lora_panel_forget(w);
    if (!w->lora_rows && count && !(w->lora_rows = calloc(count, sizeof *w->lora_rows))) count = 0;
    w->lora_row_count = w->lora_rows ? count : 0;
    find_tags(w);
    if (count > 0) {
        struct ui_rect field = { r.x, r.y, r.w - used - gap, row }, button = { field.x + field.w + gap, r.y, used, row };
        char label[60];
        size_t tags = w->prompt.read ? w->prompt.read->lora_count : 0;
        ui_field(ui, "##filter", field, w->lora_filter, sizeof w->lora_filter, "filter by name or trigger");
        trace_mark(&w->trace, "filter", field, "%s", w->lora_filter);
        snprintf(label, sizeof label, "used: %zu##used", tags);
        if (ui_button(ui, label, button, w->only_used ? UI_PICKED : UI_PLAIN)) w->only_used = !w->only_used;
        ui_tip(ui, w->only_used ? "Show all LoRAs" : "Show only those in the prompt");
        trace_mark(&w->trace, "used", button, "%zu", tags);
        r.y += row + gap;
        r.h -= row + gap;
    }
    show_rows(w, r, count);
}

void lora_panel_forget(struct window *w)
{
    for (size_t i = 0; i < w->lora_row_count; i++) ui_texture_free(w->ui, w->lora_rows[i].texture);
    free(w->lora_rows);
    w->lora_rows = NULL;
    w->lora_row_count = 0;
}

void lora_panel_loaded(struct window *w, const struct loader_result *result)
{
    size_t index = (size_t)(result->id & 0xffffffffu);

    if (result->id >> 32 != w->shelf_number || index >= w->lora_row_count || !result->image.rgb) return;
    struct lora_row *t = &w->lora_rows[index];
    t->texture = ui_texture(w->ui, t->texture, result->image.width, result->image.height, result->image.rgb);
    t->w = result->image.width;
    t->h = result->image.height;
}
