/* Compare: the picture painted again without the selected LoRA, beside the one with it. */
#include <SDL.h>
#include <stdio.h>
#include <string.h>

#include "window/parts.h"

/* The LoRA of the shown picture's recipe that is selected, or its first. */
static bool choose(struct window *w, const struct tinct_recipe *recipe)
{
    struct tinct_prompt *read = tinct_prompt_read(recipe->picture.prompt, false, NULL, NULL);
    bool any = read && read->lora_count > 0;
    size_t chosen = 0;

    for (size_t i = 0; any && i < read->lora_count; i++)
        if (strcmp(read->loras[i].name, w->selected_lora) == 0) chosen = i;
    if (any) snprintf(w->compared_lora, sizeof w->compared_lora, "%s", read->loras[chosen].name);
    tinct_prompt_free(read);
    return any;
}

static bool paint_without(struct window *w, const struct tinct_recipe *recipe)
{
    struct form form = { 0 };
    char *prompt = tinct_prompt_set_lora(recipe->picture.prompt, w->compared_lora, NULL, NULL);
    bool ok = prompt && form_copy(&form, &w->form) && form_restore(&form, recipe) && form_set_text(&form.prompt, prompt);

    if (ok) painter_paint(w->painter, &form, PAINTER_COMPARE);
    tinct_text_free(prompt);
    form_free(&form);
    return ok;
}

/* Paints the other picture unless it is there or on its way. */
static bool want_other(struct window *w)
{
    char before[sizeof w->compared_lora];
    struct tinct_recipe *recipe = w->shown.infotext ? tinct_recipe_parse(w->shown.infotext, NULL) : NULL;
    bool ok = false;

    snprintf(before, sizeof before, "%s", w->compared_lora);
    if (!recipe) {
        window_say(w, true, "there is no picture to compare");
    } else if (!choose(w, recipe)) {
        window_say(w, true, "this picture was painted without a LoRA: there is nothing to compare it with");
    } else if (w->view.other.texture && strcmp(before, w->compared_lora) == 0) {
        ok = true;
    } else if (window_busy(w)) {
        ok = w->status.purpose == PAINTER_COMPARE;
    } else {
        view_drop(w->ui, &w->view.other);
        ok = paint_without(w, recipe);
        if (ok) window_say(w, false, "painting it without %s", w->compared_lora);
    }
    tinct_recipe_free(recipe);
    return ok;
}

void compare_toggle(struct window *w)
{
    w->view.split = !w->view.split && want_other(w);
}

void compare_hold(struct window *w, bool held)
{
    if (held && !w->view.other_held) held = want_other(w);
    w->view.other_held = held;
}

void compare_forget(struct window *w)
{
    view_drop(w->ui, &w->view.other);
    *w->compared_lora = '\0';
    w->view.split = w->view.other_held = false;
}

static void label(struct window *w, struct ui_rect r, float align, const char *text)
{
    struct ui *ui = w->ui;
    float wide = ui_width(ui, UI_SMALL, text, 0) + ui_px(ui, 16), tall = ui_px(ui, 24);
    struct ui_rect at = { r.x + (r.w - wide) * align, r.y + ui_px(ui, 10), wide, tall };

    ui_fill(ui, at, UI_SHADE, tall / 2);
    ui_label(ui, UI_SMALL, UI_TEXT, at, 0.5f, text);
}

void compare_show(struct window *w, struct ui_rect r)
{
    char without[300], with[300];
    float pad = ui_px(w->ui, 10);
    struct ui_rect inner = { r.x + pad, r.y, r.w - 2 * pad, r.h };

    snprintf(without, sizeof without, "without %s", w->compared_lora);
    snprintf(with, sizeof with, "with %s", w->compared_lora);
    if (w->view.other_held) label(w, inner, 0, without);
    else if (w->view.split) {
        label(w, inner, 0, without);
        label(w, inner, 1, with);
    }
    trace_mark(&w->trace, "compare", r, "%s%s%s", w->view.split ? "split " : "", w->view.other_held ? "held " : "",
               w->view.other.texture && !w->view.other.preview ? without : "");
}
