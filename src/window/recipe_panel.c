/* Model, sampler, steps, size, seed and the rest of the recipe. */
#include <stdio.h>
#include <string.h>

#include "window/parts.h"

enum { NAMES_MOST = 40 };

/* A table of names and the chosen one; "" stands at index 0 for "usual" where there is such a word. */
static int find_name(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

struct grid {
    struct window *w;
    struct ui_rect r;
    float y, label, row, gap;
};

static struct ui_rect next_row(struct grid *g, const char *label)
{
    struct ui *ui = g->w->ui;
    struct ui_rect row = { g->r.x + g->label, g->y, g->r.w - g->label, g->row };

    ui_label(ui, UI_NORMAL, UI_MUTED, (struct ui_rect) { g->r.x, g->y, g->label - ui_px(ui, 8), g->row }, 0, label);
    g->y += g->row + g->gap;
    return row;
}

static void split(struct ui_rect row, float gap, struct ui_rect *left, struct ui_rect *right)
{
    float half = (row.w - gap) / 2;
    *left = (struct ui_rect) { row.x, row.y, half, row.h };
    *right = (struct ui_rect) { row.x + half + gap, row.y, half, row.h };
}

static void show_model(struct window *w, struct ui_rect r)
{
    int chosen = find_name((const char *const *)w->model_paths, w->model_count, w->form.model);

    trace_mark(&w->trace, "model", r, "%s", w->form.model);
    if (w->model_count == 0) {
        ui_label(w->ui, UI_NORMAL, UI_WARN, r, 0, "none: drop a .safetensors here");
        return;
    }
    if (ui_choice(w->ui, "##model", r, &chosen, w->model_names, w->model_count)) window_use_model(w, w->model_paths[chosen]);
    ui_tip(w->ui, w->form.model);
}

static void show_names(struct window *w, const char *id, struct ui_rect r, const char *(*name)(int), const char *usual, char *chosen_name)
{
    const char *names[NAMES_MOST];
    int count = 0;

    if (usual) names[count++] = usual;
    for (int i = 0; name(i) && count < NAMES_MOST - 1; i++) names[count++] = name(i);
    int chosen = *chosen_name ? find_name(names, count, chosen_name) : 0;
    if (*chosen_name && chosen < 0) {           /* a recipe may use another spelling */
        names[count] = chosen_name;
        chosen = count++;
    }
    if (ui_choice(w->ui, id, r, &chosen, names, count) && chosen < count)
        snprintf(chosen_name, FORM_NAME_BYTES, "%s", usual && chosen == 0 ? "" : names[chosen]);
}

static void round_to_8(int *value)
{
    *value = *value < 64 ? 64 : *value > 4096 ? 4096 : (*value + 4) / 8 * 8;
}

static void show_size(struct window *w, struct ui_rect row)
{
    struct ui *ui = w->ui;
    float swap = ui_px(ui, 30), gap = ui_px(ui, 4);
    struct ui_rect left, right, rest = { row.x, row.y, row.w - swap - gap, row.h };
    int width = w->form.width ? w->form.width : w->status.model_width ? w->status.model_width : 512;
    int height = w->form.height ? w->form.height : w->status.model_height ? w->status.model_height : 512;

    split(rest, gap, &left, &right);
    bool changed = ui_int(ui, "##width", left, &width, 64, 4096, 0);
    ui_tip(ui, "Width in pixels, a multiple of 8");
    changed |= ui_int(ui, "##height", right, &height, 64, 4096, 0);
    ui_tip(ui, "Height in pixels, a multiple of 8");
    if (ui_button(ui, "↔##swap", (struct ui_rect) { row.x + row.w - swap, row.y, swap, row.h }, UI_PLAIN)) {
        int wide = width;
        width = height;
        height = wide;
        changed = true;
    }
    ui_tip(ui, "Swap width and height");
    trace_mark(&w->trace, "size", left, "%dx%d", width, height);
    if (!changed) return;
    round_to_8(&width);
    round_to_8(&height);
    w->form.width = width;
    w->form.height = height;
}

static void show_seed(struct window *w, struct ui_rect row)
{
    struct ui *ui = w->ui;
    float button = ui_px(ui, 44), keep = ui_px(ui, 66), gap = ui_px(ui, 6);
    struct ui_rect field = { row.x, row.y, row.w - button - keep - 2 * gap, row.h };

    if (ui_seed(ui, "##seed", field, &w->form.seed)) w->form.keep_seed = true;
    if (ui_button(ui, "new##seed", (struct ui_rect) { field.x + field.w + gap, row.y, button, row.h }, UI_PLAIN)) w->form.seed = form_random_seed();
    ui_tip(ui, "Another seed (r)");
    ui_check(ui, "keep##seed", (struct ui_rect) { row.x + row.w - keep, row.y, keep, row.h }, &w->form.keep_seed);
    ui_tip(ui, "Paint with this seed again, instead of a new one each time (l)");
    trace_mark(&w->trace, "seed", field, "%lld", (long long)w->form.seed);
}

/* What only a restored recipe brings: told, and taken away by one click. */
static void show_extras(struct grid *g)
{
    struct form *f = &g->w->form;
    char text[200] = "";

    if (f->eta_given) snprintf(text, sizeof text, "eta %g  ", (double)f->eta);
    if (f->rng == TINCT_RNG_CPU) snprintf(text + strlen(text), sizeof text - strlen(text), "noise from the CPU  ");
    if (f->ensd) snprintf(text + strlen(text), sizeof text - strlen(text), "ENSD %u  ", (unsigned)f->ensd);
    if (f->subseed_strength > 0) snprintf(text + strlen(text), sizeof text - strlen(text), "variation %g  ", (double)f->subseed_strength);
    if (f->emphasis != TINCT_EMPHASIS_ORIGINAL) snprintf(text + strlen(text), sizeof text - strlen(text), "other emphasis  ");
    if (!*text) return;
    struct ui_rect row = next_row(g, "Besides");
    float button = ui_px(g->w->ui, 56);
    ui_label(g->w->ui, UI_NORMAL, UI_TEXT, (struct ui_rect) { row.x, row.y, row.w - button - ui_px(g->w->ui, 6), row.h }, 0, text);
    if (ui_button(g->w->ui, "drop##extras", (struct ui_rect) { row.x + row.w - button, row.y, button, row.h }, UI_PLAIN)) {
        f->eta_given = false;
        f->rng = TINCT_RNG_GPU;
        f->ensd = 0;
        f->subseed_strength = 0;
        f->emphasis = TINCT_EMPHASIS_ORIGINAL;
    }
}

void recipe_panel_show(struct window *w, struct ui_rect r)
{
    struct ui *ui = w->ui;
    struct form *f = &w->form;
    float scrolled = ui_scroll_begin(ui, "recipe", (struct ui_rect) { r.x, r.y, r.w + ui_px(ui, PARTS_GAP), r.h });
    struct grid g = { w, { r.x, r.y - scrolled, r.w, r.h }, 0, ui_px(ui, 90), ui_px(ui, 28), ui_px(ui, 6) };
    struct ui_rect row;

    g.y = g.r.y;
    show_model(w, next_row(&g, "Model"));
    show_names(w, "##sampler", next_row(&g, "Sampler"), tinct_sampler_name, NULL, f->sampler);
    show_names(w, "##schedule", next_row(&g, "Schedule"), tinct_scheduler_name, NULL, f->scheduler);
    row = next_row(&g, "Steps");
    ui_int(ui, "##steps", row, &f->steps, 1, 1000, 1);
    ui_tip(ui, "Evaluations of the model");
    trace_mark(&w->trace, "steps", row, "%d", f->steps);
    row = next_row(&g, "CFG scale");
    ui_float(ui, "##cfg", row, &f->guidance, 1.0f, 100.0f, 0.5f);
    ui_tip(ui, "How closely the prompt is followed; 1 paints twice as fast, without guidance");
    trace_mark(&w->trace, "cfg", row, "%g", (double)f->guidance);
    show_size(w, next_row(&g, "Size"));
    show_seed(w, next_row(&g, "Seed"));
    row = next_row(&g, "Pictures");
    ui_int(ui, "##batch", row, &f->count, 1, 1000, 1);
    ui_tip(ui, "So many at once, with seeds one after the other");
    trace_mark(&w->trace, "batch", row, "%d", f->count);
    ui_int(ui, "##skip", next_row(&g, "CLIP skip"), &f->clip_skip, 1, 12, 1);
    ui_tip(ui, "The layer of the text encoder that is used, counted from the last");
    show_extras(&g);
    ui_scroll_end(ui, g.y - g.r.y);
}
