/* The window's parts and what they share. Each part draws itself into a rectangle and changes struct window. */
#ifndef TINCT_WINDOW_PARTS_H
#define TINCT_WINDOW_PARTS_H

#include "window/painter.h"
#include "window/prompt_box.h"
#include "window/trace.h"
#include "window/view.h"
#include "window/window.h"

enum { WINDOW_MODELS_MOST = 4096, WINDOW_MESSAGE_BYTES = 1024 };

enum window_tab { TAB_LORAS, TAB_RECIPE };

struct window {
    const struct window_options *options;
    struct ui *ui;
    struct painter *painter;
    struct painter_status status;       /* of this frame */
    unsigned shown_preview;
    struct form form;                   /* prompts: filled in from the boxes when they are used */
    struct prompt_box prompt, negative;
    struct view view;
    struct ui_rect view_rect;
    enum window_tab tab;
    bool help, automatic;               /* the overlay of keys; paint again when a slider moved */
    const char **model_names;           /* for the list: paths without folder and ending */
    char **model_paths;
    int model_count;
    char message[WINDOW_MESSAGE_BYTES]; /* the window's own, in the status line */
    bool message_bad;
    struct tinct_image shown;           /* the picture in view; rgb NULL: none */
    char shown_path[FORM_PATH_BYTES];
    double shown_seconds;
    struct trace trace;
};

/* ---- window.c ---- */

void window_say(struct window *w, bool bad, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
void window_paint(struct window *w, bool new_seed);
void window_stop(struct window *w);
bool window_busy(const struct window *w);
void window_use_model(struct window *w, const char *path);      /* listed from now on, and chosen */
/* Is a text being typed somewhere? Single letters are keys only when not. */
bool window_typing(const struct window *w);

/* ---- parts ---- */

void recipe_panel_show(struct window *w, struct ui_rect r);
void status_line_show(struct window *w, struct ui_rect r);
void keys_take(struct window *w);       /* this frame's keys */
void help_show(struct window *w);

#endif
