/* What the window is drawn with: SDL2 and Dear ImGui behind a C face, so that everything else here is C.
 *
 *     while (ui_wait(ui)) {
 *         ui_begin(ui);
 *         ... widgets, drawing ...
 *         ui_end(ui);
 *     }
 *
 * All places are rectangles in pixels of the screen's own, from the top left; ui_px turns sizes of a 96 dpi screen into
 * them. The layout is the caller's: nothing here moves a widget. One thread only, but for ui_wake. */
#ifndef TINCT_WINDOW_UI_H
#define TINCT_WINDOW_UI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tinct.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ui;

struct ui_rect {
    float x, y, w, h;
};

struct ui_place {
    int x, y, w, h;       /* of the window; sizes for a 96 dpi screen; w 0: the usual */
    bool placed;          /* x and y count */
    bool maximised;
};

struct ui_options {
    const char *title;
    struct ui_place place;
    float scale;          /* pixels for one of a 96 dpi screen; 0: what the screen says */
};

/* Refused with TINCT_ERR_DEVICE: no display, no OpenGL 3. NULL then, nothing left open. */
struct ui *ui_open(const struct ui_options *options, struct tinct_err *err);
void ui_close(struct ui *ui);                      /* NULL is fine */
void ui_hide(struct ui *ui);                       /* out of sight, while work ends */
void ui_title(struct ui *ui, const char *title);
struct ui_place ui_where(struct ui *ui);

/* ---- frames ---- */

enum ui_event_kind { UI_KEY, UI_INPUT, UI_DROP };

struct ui_event {
    enum ui_event_kind kind;
    int key;                       /* UI_KEY: an SDL_Keycode */
    bool ctrl, shift, alt, repeated;
    char *text;                    /* UI_INPUT: what was typed; UI_DROP: a path. Until the next ui_wait */
};

/* Sleeps until something happened, or a frame is still owed. False: the window is to be closed. */
bool ui_wait(struct ui *ui);
void ui_wake(struct ui *ui);                       /* from any thread: ui_wait returns */
void ui_again(struct ui *ui);                      /* one more frame is owed */
void ui_begin(struct ui *ui);
void ui_end(struct ui *ui);

/* What came since the last frame, in order. */
const struct ui_event *ui_events(const struct ui *ui, size_t *count);

struct ui_mouse {
    float x, y, dx, dy, wheel;     /* dx, dy: since the last frame; wheel: notches, up is positive */
    bool down[3], pressed[3], released[3], doubled;    /* left, right, middle; doubled: the left's second press */
    bool ctrl, shift;
};
struct ui_mouse ui_mouse(const struct ui *ui);

bool ui_field_typing(const struct ui *ui);         /* a field of ImGui's has the keyboard */
bool ui_popup_open(const struct ui *ui);           /* an open list takes the keys */
void ui_popup_close(struct ui *ui);                /* with this frame */
struct ui_rect ui_window(const struct ui *ui);     /* 0, 0 and the size */
float ui_px(const struct ui *ui, float at_96_dpi);

/* ---- drawing ---- */

enum ui_color {
    UI_BACK, UI_PANEL, UI_FIELD, UI_FIELD_OVER, UI_EDGE, UI_TEXT, UI_MUTED, UI_FAINT, UI_ACCENT, UI_ACCENT_DIM, UI_SELECTION,
    UI_WARN, UI_ERROR, UI_SHADE, UI_COLORS
};

enum ui_font { UI_NORMAL, UI_SMALL, UI_BOLD, UI_FONTS };

void ui_fill(struct ui *ui, struct ui_rect r, enum ui_color color, float rounding);
void ui_outline(struct ui *ui, struct ui_rect r, enum ui_color color, float rounding, float thickness);
void ui_clip(struct ui *ui, struct ui_rect r);     /* until ui_unclip, within what is clipped already */
void ui_unclip(struct ui *ui);
void ui_over(struct ui *ui, bool over);            /* draw above everything, popups too, until false */

/* bytes 0: up to its NUL. */
void ui_text(struct ui *ui, enum ui_font font, enum ui_color color, float x, float y, const char *text, size_t bytes);
/* Within r, in its middle line: cut with "..." where it is too long. align 0: left, 0.5: middle, 1: right. */
void ui_label(struct ui *ui, enum ui_font font, enum ui_color color, struct ui_rect r, float align, const char *text);
/* On as many lines as it takes; the height. draw false: only that. Drawn within r, whose last line is cut with "..." where
 * there is more. */
float ui_paragraph(struct ui *ui, enum ui_font font, enum ui_color color, struct ui_rect r, const char *text, bool draw);
float ui_width(const struct ui *ui, enum ui_font font, const char *text, size_t bytes);
float ui_advance(const struct ui *ui, enum ui_font font, uint32_t character);
float ui_line(const struct ui *ui, enum ui_font font);     /* height of a line */
/* Characters of text beyond Latin, Greek and Cyrillic are drawn from the next frame on. */
void ui_need(struct ui *ui, const char *text);

/* ---- pictures ---- */

enum ui_filter { UI_SMOOTH, UI_SHARP };            /* where it is drawn larger than it is */

/* rgb [h, w, 3]. 0 when there is no memory for it. */
uint32_t ui_texture(struct ui *ui, uint32_t texture, int w, int h, const unsigned char *rgb);   /* texture 0: a new one */
void ui_texture_free(struct ui *ui, uint32_t texture);
void ui_picture(struct ui *ui, uint32_t texture, struct ui_rect r, enum ui_filter filter);
void ui_checker(struct ui *ui, struct ui_rect r);

/* ---- widgets ---- */

struct ui_area {
    bool over, held, pressed, released, clicked, doubled;   /* clicked: pressed and released on it */
};
/* A part that takes the mouse and shows nothing. id: unlike all others' in the same scroll. */
struct ui_area ui_area(struct ui *ui, const char *id, struct ui_rect r);

enum ui_button { UI_PLAIN, UI_PRIMARY, UI_QUIET, UI_PICKED };
bool ui_button(struct ui *ui, const char *label, struct ui_rect r, enum ui_button look);     /* as ImGui: "shown##id" */
bool ui_check(struct ui *ui, const char *label, struct ui_rect r, bool *value);
/* A value typed takes effect when the field is left or Enter is pressed; then true. */
bool ui_int(struct ui *ui, const char *id, struct ui_rect r, int *value, int least, int most, int step);
bool ui_float(struct ui *ui, const char *id, struct ui_rect r, float *value, float least, float most, float step);
bool ui_seed(struct ui *ui, const char *id, struct ui_rect r, int64_t *value);
bool ui_choice(struct ui *ui, const char *id, struct ui_rect r, int *index, const char *const *names, int count);
bool ui_field(struct ui *ui, const char *id, struct ui_rect r, char *text, size_t size, const char *hint);
void ui_focus_next(struct ui *ui);                 /* the next field takes the keyboard, all of it selected */
void ui_unfocus(struct ui *ui);                    /* takes the keyboard from ImGui's fields */
void ui_enable(struct ui *ui, bool enabled);       /* false: widgets from here on are greyed and dead, until true */
void ui_tip(struct ui *ui, const char *text);      /* shown while the mouse is on the last widget */

/* What is drawn between the two scrolls inside r. Begin gives how far it is scrolled: widgets are drawn at
 * y - scrolled. End wants the height of it all. */
float ui_scroll_begin(struct ui *ui, const char *id, struct ui_rect r);
void ui_scroll_end(struct ui *ui, float height);
void ui_scroll_to(struct ui *ui, float top, float height);   /* inside a scroll: brings that part into sight */
/* The same to the right: r and everything else as above, x for y. The wheel moves it. */
float ui_strip_begin(struct ui *ui, const char *id, struct ui_rect r);
void ui_strip_end(struct ui *ui, float width);
void ui_strip_to(struct ui *ui, float left, float width);

#ifdef __cplusplus
}
#endif
#endif
