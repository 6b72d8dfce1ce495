#include "window/view.h"

#include <math.h>

static const float zoom_least = 0.05f, zoom_most = 32.0f;

void view_set(struct ui *ui, struct view_picture *picture, int w, int h, const unsigned char *rgb, int full_w, int full_h)
{
    picture->texture = ui_texture(ui, picture->texture, w, h, rgb);
    picture->w = full_w;
    picture->h = full_h;
    picture->preview = w != full_w;
}

void view_drop(struct ui *ui, struct view_picture *picture)
{
    ui_texture_free(ui, picture->texture);
    *picture = (struct view_picture) { 0 };
}

void view_fit(struct view *view)
{
    view->zoom = view->x = view->y = 0;
}

void view_toggle(struct view *view)
{
    if (view->zoom > 0) view_fit(view);
    else view->zoom = 1.0f;
}

float view_scale(const struct view *view, struct ui_rect r)
{
    if (view->zoom > 0 || view->picture.w <= 0) return view->zoom;
    float across = r.w / (float)view->picture.w, down = r.h / (float)view->picture.h, fit = across < down ? across : down;
    return fit > 1.0f && fit < 1.15f ? 1.0f : fit;      /* nearly 1:1 is 1:1, which is crisp */
}

/* Where the picture lies; whole pixels, so that 1:1 is sharp. */
static struct ui_rect placed(const struct view *view, struct ui_rect r)
{
    float scale = view_scale(view, r), w = (float)view->picture.w * scale, h = (float)view->picture.h * scale;
    return (struct ui_rect) { roundf(r.x + r.w / 2 - w / 2 - view->x * scale), roundf(r.y + r.h / 2 - h / 2 - view->y * scale), roundf(w), roundf(h) };
}

/* A side that fits stays in the middle, else no gap opens at the edges. */
static float keep_inside(float at, float size, float scale, float room)
{
    float most = (size - room / scale) / 2;
    return most <= 0 ? 0 : at > most ? most : at < -most ? -most : at;
}

static void settle(struct view *view, struct ui_rect r)
{
    float scale = view_scale(view, r);

    if (view->zoom <= 0 || scale <= 0) {
        view->x = view->y = 0;
        return;
    }
    view->x = keep_inside(view->x, (float)view->picture.w, scale, r.w);
    view->y = keep_inside(view->y, (float)view->picture.h, scale, r.h);
}

void view_zoom(struct view *view, struct ui_rect r, float by, float at_x, float at_y)
{
    float before = view_scale(view, r), after = before * by;

    if (before <= 0) return;
    after = after < zoom_least ? zoom_least : after > zoom_most ? zoom_most : after;
    if ((before < 1.0f && after > 1.0f) || (before > 1.0f && after < 1.0f)) after = 1.0f;      /* 1:1 is never missed */
    float from_middle_x = at_x - (r.x + r.w / 2), from_middle_y = at_y - (r.y + r.h / 2);
    view->x += from_middle_x / before - from_middle_x / after;
    view->y += from_middle_y / before - from_middle_y / after;
    view->zoom = after;
    settle(view, r);
}

static void draw(struct ui *ui, const struct view_picture *p, struct ui_rect at)
{
    bool enlarged = at.w >= 2.0f * (float)p->w && !p->preview;
    ui_picture(ui, p->texture, at, enlarged ? UI_SHARP : UI_SMOOTH);
}

static void draw_divider(struct view *view, struct ui *ui, struct ui_rect r, struct ui_rect at)
{
    float x = roundf(at.x + at.w * view->divider), wide = ui_px(ui, 2), knob = ui_px(ui, 18);
    float top = at.y > r.y ? at.y : r.y, bottom = at.y + at.h < r.y + r.h ? at.y + at.h : r.y + r.h;

    ui_clip(ui, (struct ui_rect) { r.x, r.y, x - r.x, r.h });
    draw(ui, &view->other, at);
    ui_unclip(ui);
    ui_fill(ui, (struct ui_rect) { x - wide / 2, top, wide, bottom - top }, UI_TEXT, 0);
    ui_fill(ui, (struct ui_rect) { x - knob / 2, (top + bottom) / 2 - knob / 2, knob, knob }, UI_TEXT, knob / 2);
    ui_fill(ui, (struct ui_rect) { x - knob / 2 + wide, (top + bottom) / 2 - knob / 2 + wide, knob - 2 * wide, knob - 2 * wide }, UI_PANEL, knob / 2);
}

static void take_mouse(struct view *view, struct ui *ui, struct ui_rect r, struct ui_rect at)
{
    static const char id[] = "picture";
    struct ui_area area = ui_area(ui, id, r);
    struct ui_mouse mouse = ui_mouse(ui);
    bool split = view->split && view->other.texture;
    float divider_x = at.x + at.w * view->divider;

    if (area.over && mouse.wheel != 0) view_zoom(view, r, powf(1.25f, mouse.wheel), mouse.x, mouse.y);
    if (area.pressed) view->dragging_divider = split && fabsf(mouse.x - divider_x) < ui_px(ui, 14);
    if (area.doubled && !view->dragging_divider) {
        view_toggle(view);
        ui_again(ui);
    }
    if (!area.held) return;
    if (view->dragging_divider) {
        float share = (mouse.x - at.x) / at.w;
        view->divider = share < 0 ? 0 : share > 1 ? 1 : share;
    } else if (view->zoom > 0 && (mouse.down[0] || mouse.down[2]) && !area.pressed) {
        view->x -= mouse.dx / view->zoom;
        view->y -= mouse.dy / view->zoom;
    }
}

void view_show(struct view *view, struct ui *ui, struct ui_rect r)
{
    ui_checker(ui, r);
    if (!view->picture.texture) return;
    settle(view, r);
    take_mouse(view, ui, r, placed(view, r));
    settle(view, r);
    struct ui_rect at = placed(view, r);
    ui_clip(ui, r);
    draw(ui, view->other_held && view->other.texture ? &view->other : &view->picture, at);
    if (view->split && view->other.texture && !view->other_held) draw_divider(view, ui, r, at);
    ui_unclip(ui);
}
