#include "window/prompt_box.h"

#include <SDL.h>
#include <stdlib.h>
#include <string.h>

bool prompt_box_init(struct prompt_box *box, const char *text, bool negative)
{
    *box = (struct prompt_box) { .negative = negative, .goal_x = -1, .read_revision = ~0u };
    return edit_init(&box->edit, text);
}

void prompt_box_free(struct prompt_box *box)
{
    edit_free(&box->edit);
    free(box->lines);
    tinct_prompt_free(box->read);
    *box = (struct prompt_box) { 0 };
}

void prompt_box_embeddings(struct prompt_box *box, struct tinct_embeddings *embeddings)
{
    if (box->embeddings == embeddings) return;
    box->embeddings = embeddings;
    box->read_revision = box->edit.revision - 1;
}

bool prompt_box_read(struct prompt_box *box)
{
    if (box->read_revision == box->edit.revision) return false;
    tinct_prompt_free(box->read);
    box->error = (struct tinct_err) { .code = TINCT_OK };
    box->read = tinct_prompt_read(box->edit.text, box->negative, box->embeddings, &box->error);
    box->read_revision = box->edit.revision;
    return true;
}

/* ---- places ---- */

static float advance(const void *user, uint32_t character)
{
    return ui_advance(user, UI_NORMAL, character);
}

static void wrap(struct prompt_box *box, struct ui *ui, float width)
{
    if (box->lines && box->lines_revision == box->edit.revision && box->lines_width == width) return;
    free(box->lines);
    ui_need(ui, box->edit.text);
    box->line_count = edit_wrap(box->edit.text, width, advance, ui, &box->lines);
    box->lines_revision = box->edit.revision;
    box->lines_width = width;
}

/* A place between two lines belongs to the second. */
static size_t line_of(const struct prompt_box *box, size_t at)
{
    size_t line = box->line_count ? box->line_count - 1 : 0;
    while (line > 0 && box->lines[line].begin > at) line--;
    return line;
}

static float x_of(const struct prompt_box *box, const struct ui *ui, size_t line, size_t at)
{
    size_t begin = box->lines[line].begin;
    return at > begin ? ui_width(ui, UI_NORMAL, box->edit.text + begin, at - begin) : 0.0f;
}

/* The place in a line that is nearest to x. */
static size_t place_at(const struct prompt_box *box, const struct ui *ui, size_t line, float x)
{
    const struct edit_line *l = &box->lines[line];
    size_t at = l->begin, end = l->end;
    bool broken = line + 1 < box->line_count && box->lines[line + 1].begin == end;     /* within a text: its end is the next line's */

    while (at < end) {
        size_t next = at;
        float w = ui_advance(ui, UI_NORMAL, edit_next(box->edit.text, &next));
        if (x < w / 2 || (broken && next >= end)) break;
        x -= w;
        at = next;
    }
    return at;
}

/* ---- drawing ---- */

static enum ui_color color_at(const struct prompt_box *box, size_t at, size_t *until)
{
    bool current = box->read && box->read_revision == box->edit.revision;

    for (size_t i = 0; current && i < box->read->lora_count; i++) {
        const struct tinct_prompt_lora *l = &box->read->loras[i];
        if (at < l->begin && l->begin < *until) *until = l->begin;
        if (at < l->begin || at >= l->end) continue;
        if (l->end < *until) *until = l->end;
        return UI_ACCENT;
    }
    return UI_TEXT;
}

static void draw_line(const struct prompt_box *box, struct ui *ui, size_t line, float x, float y)
{
    const struct edit_line *l = &box->lines[line];
    size_t from, to;

    edit_selection(&box->edit, &from, &to);
    size_t a = from > l->begin ? from : l->begin, b = to < l->end ? to : l->end;
    if (from < to && a <= b && box->focused && (a < b || (to > l->end && from <= l->end))) {
        float left = x_of(box, ui, line, a), right = x_of(box, ui, line, b) + (to > l->end ? ui_px(ui, 4) : 0);
        ui_fill(ui, (struct ui_rect) { x + left, y, right - left, ui_line(ui, UI_NORMAL) }, UI_SELECTION, 0);
    }
    for (size_t at = l->begin, until; at < l->end; at = until) {
        until = l->end;
        enum ui_color color = color_at(box, at, &until);
        ui_text(ui, UI_NORMAL, color, x + x_of(box, ui, line, at), y + ui_px(ui, 2), box->edit.text + at, until - at);
    }
}

static void draw_text(struct prompt_box *box, struct ui *ui, struct ui_rect inner)
{
    float height = ui_line(ui, UI_NORMAL), all = height * (float)box->line_count, most = all > inner.h ? all - inner.h : 0;
    size_t line = line_of(box, box->edit.caret);
    float caret_y = height * (float)line;

    if (box->follow && caret_y < box->scroll) box->scroll = caret_y;
    if (box->follow && caret_y + height > box->scroll + inner.h) box->scroll = caret_y + height - inner.h;
    box->follow = false;
    box->scroll = box->scroll < 0 ? 0 : box->scroll > most ? most : box->scroll;
    for (size_t i = 0; i < box->line_count; i++) {
        float y = inner.y + height * (float)i - box->scroll;
        if (y + height > inner.y && y < inner.y + inner.h) draw_line(box, ui, i, inner.x, y);
    }
    if (box->focused)
        ui_fill(ui, (struct ui_rect) { inner.x + x_of(box, ui, line, box->edit.caret) - ui_px(ui, 1), inner.y + caret_y - box->scroll,
                                       ui_px(ui, 1.5f), height }, UI_ACCENT, 0);
    if (most > 0) {
        float knob = inner.h * inner.h / all;
        ui_fill(ui, (struct ui_rect) { inner.x + inner.w + ui_px(ui, 4), inner.y + (inner.h - knob) * box->scroll / most, ui_px(ui, 3), knob },
                UI_EDGE, ui_px(ui, 2));
    }
}

static void take_mouse(struct prompt_box *box, struct ui *ui, struct ui_area area, struct ui_rect inner)
{
    struct ui_mouse mouse = ui_mouse(ui);
    float height = ui_line(ui, UI_NORMAL), down = (mouse.y - inner.y + box->scroll) / height;
    size_t line = down < 0 ? 0 : down >= (float)box->line_count ? box->line_count - 1 : (size_t)down;

    if (area.over && mouse.wheel != 0) {
        box->scroll -= mouse.wheel * 3 * height;
        ui_again(ui);
    }
    if (mouse.pressed[0] && !area.pressed) box->focused = false;
    if (area.pressed) {
        ui_unfocus(ui);
        box->focused = true;
    }
    if (!area.held || !box->line_count || !mouse.down[0]) return;
    size_t at = place_at(box, ui, line, mouse.x - inner.x);
    if (area.doubled) edit_select_word(&box->edit, at);
    else if (area.pressed) edit_place(&box->edit, at, mouse.shift);
    else if (at != box->edit.caret && !mouse.pressed[0] && (at < box->edit.anchor || at > box->edit.anchor)) edit_place(&box->edit, at, true);
    box->goal_x = -1;
    box->follow = true;
}

void prompt_box_show(struct prompt_box *box, struct ui *ui, const char *id, struct ui_rect r, const char *hint)
{
    float pad = ui_px(ui, 8);
    struct ui_rect inner = { r.x + pad, r.y + pad - ui_px(ui, 1), r.w - 2 * pad, r.h - 2 * pad + ui_px(ui, 2) };
    struct ui_area area = ui_area(ui, id, r);

    wrap(box, ui, inner.w);
    take_mouse(box, ui, area, inner);
    ui_fill(ui, r, UI_FIELD, ui_px(ui, 6));
    if (box->error.code != TINCT_OK) ui_outline(ui, r, UI_ERROR, ui_px(ui, 6), ui_px(ui, 1));
    else if (box->focused) ui_outline(ui, r, UI_ACCENT, ui_px(ui, 6), ui_px(ui, 1));
    ui_clip(ui, (struct ui_rect) { r.x, inner.y, r.w, inner.h });
    if (!*box->edit.text && hint) ui_text(ui, UI_NORMAL, UI_FAINT, inner.x, inner.y + ui_px(ui, 2), hint, 0);
    if (box->line_count) draw_text(box, ui, inner);
    ui_unclip(ui);
}

/* ---- keys ---- */

static void go(struct prompt_box *box, size_t at, bool select)
{
    edit_place(&box->edit, at, select);
    box->goal_x = -1;
}

/* Left and Right without Shift leave a selection at its side. */
static void go_sideways(struct prompt_box *box, enum edit_move move, bool select)
{
    size_t begin, end;

    edit_selection(&box->edit, &begin, &end);
    if (begin < end && !select) go(box, move == EDIT_LEFT || move == EDIT_WORD_LEFT ? begin : end, false);
    else go(box, edit_target(&box->edit, box->edit.caret, move), select);
}

static void go_lines(struct prompt_box *box, struct ui *ui, int lines, bool select)
{
    if (!box->line_count) return;
    wrap(box, ui, box->lines_width);
    size_t line = line_of(box, box->edit.caret);
    float x = box->goal_x >= 0 ? box->goal_x : x_of(box, ui, line, box->edit.caret);
    if (lines < 0 && line == 0) edit_place(&box->edit, 0, select);
    else if (lines > 0 && line + 1 == box->line_count) edit_place(&box->edit, strlen(box->edit.text), select);
    else edit_place(&box->edit, place_at(box, ui, line + (size_t)(lines < 0 ? -1 : 1), x), select);
    box->goal_x = x;
}

static void go_to_line_side(struct prompt_box *box, struct ui *ui, bool end, bool select)
{
    if (!box->line_count) return;
    wrap(box, ui, box->lines_width);
    size_t line = line_of(box, box->edit.caret);
    go(box, end ? place_at(box, ui, line, 1e9f) : box->lines[line].begin, select);
}

static void copy(const struct prompt_box *box)
{
    size_t begin, end;

    edit_selection(&box->edit, &begin, &end);
    char *text = begin < end ? malloc(end - begin + 1) : NULL;
    if (!text) return;
    memcpy(text, box->edit.text + begin, end - begin);
    text[end - begin] = '\0';
    SDL_SetClipboardText(text);
    free(text);
}

static void cut(struct prompt_box *box)
{
    size_t begin, end;

    edit_selection(&box->edit, &begin, &end);
    copy(box);
    if (begin < end) edit_erase(&box->edit, EDIT_RIGHT);
}

static void paste(struct prompt_box *box)
{
    char *text = SDL_GetClipboardText();
    if (text) edit_insert(&box->edit, text, false);
    SDL_free(text);
}

static bool control_key(struct prompt_box *box, const struct ui_event *e)
{
    struct edit *edit = &box->edit;

    switch (e->key) {
    case SDLK_LEFT: go_sideways(box, EDIT_WORD_LEFT, e->shift); return true;
    case SDLK_RIGHT: go_sideways(box, EDIT_WORD_RIGHT, e->shift); return true;
    case SDLK_HOME: go(box, 0, e->shift); return true;
    case SDLK_END: go(box, strlen(edit->text), e->shift); return true;
    case SDLK_UP: edit_weigh(edit, 0.1); return true;
    case SDLK_DOWN: edit_weigh(edit, -0.1); return true;
    case SDLK_BACKSPACE: edit_erase(edit, EDIT_WORD_LEFT); return true;
    case SDLK_DELETE: edit_erase(edit, EDIT_WORD_RIGHT); return true;
    case SDLK_a: edit->anchor = 0; edit->caret = strlen(edit->text); return true;
    case SDLK_c: copy(box); return true;
    case SDLK_x: cut(box); return true;
    case SDLK_v: paste(box); return true;
    case SDLK_z: if (e->shift) edit_redo(edit); else edit_undo(edit); return true;
    case SDLK_y: edit_redo(edit); return true;
    default: return false;
    }
}

static bool plain_key(struct prompt_box *box, struct ui *ui, const struct ui_event *e)
{
    switch (e->key) {
    case SDLK_LEFT: go_sideways(box, EDIT_LEFT, e->shift); return true;
    case SDLK_RIGHT: go_sideways(box, EDIT_RIGHT, e->shift); return true;
    case SDLK_UP: go_lines(box, ui, -1, e->shift); return true;
    case SDLK_DOWN: go_lines(box, ui, 1, e->shift); return true;
    case SDLK_HOME: go_to_line_side(box, ui, false, e->shift); return true;
    case SDLK_END: go_to_line_side(box, ui, true, e->shift); return true;
    case SDLK_BACKSPACE: edit_erase(&box->edit, EDIT_LEFT); return true;
    case SDLK_DELETE: edit_erase(&box->edit, EDIT_RIGHT); return true;
    case SDLK_RETURN:
    case SDLK_KP_ENTER: edit_insert(&box->edit, "\n", false); return true;
    case SDLK_INSERT: if (e->shift) paste(box); return true;
    default: return false;
    }
}

bool prompt_box_event(struct prompt_box *box, struct ui *ui, const struct ui_event *e)
{
    unsigned before = box->edit.revision;
    bool taken = true;

    if (e->kind == UI_INPUT) edit_insert(&box->edit, e->text, true);
    else if (e->kind == UI_KEY && e->ctrl && !e->alt) taken = control_key(box, e);
    else if (e->kind == UI_KEY && !e->alt) taken = plain_key(box, ui, e);
    else taken = false;
    if (taken) box->follow = true;
    if (before != box->edit.revision) box->goal_x = -1;
    return taken;
}
