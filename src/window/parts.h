/* The window's parts and what they share. Each part draws itself into a rectangle and changes struct window. */
#ifndef TINCT_WINDOW_PARTS_H
#define TINCT_WINDOW_PARTS_H

#include "window/history.h"
#include "window/loader.h"
#include "window/painter.h"
#include "window/prompt_box.h"
#include "window/shelf.h"
#include "window/trace.h"
#include "window/view.h"
#include "window/window.h"

enum { PARTS_GAP = 12 };       /* between parts, at 96 dpi; a part's scroll bar stands in the one to its right */
enum { WINDOW_MODELS_MOST = 4096, WINDOW_MESSAGE_BYTES = 1024, WINDOW_NAME_BYTES = 256 };

enum window_tab { TAB_LORAS, TAB_RECIPE };

struct lora_row {
    size_t tag;                         /* 1 + its tag's index in the prompt; 0: none */
    uint32_t texture;                   /* its picture; 0: none */
    int w, h;
    bool asked;                         /* the loader for the picture */
};

struct window {
    const struct window_options *options;
    struct ui *ui;
    struct painter *painter;
    struct painter_status status;       /* of this frame */
    unsigned shown_preview;
    struct loader *loader;
    uint64_t whole_id;                  /* of the whole picture that was asked for last */
    struct form form;                   /* prompts: filled in from the boxes when they are used */
    struct prompt_box prompt, negative;
    enum window_tab tab;
    bool help, automatic;               /* the overlay of keys; paint again when a slider moved */
    const char **model_names;           /* for the list: paths without folder and ending */
    char **model_paths;
    int model_count;
    char message[WINDOW_MESSAGE_BYTES]; /* the window's own, in the status line */
    bool message_bad;

    struct view view;
    struct ui_rect view_rect;
    struct tinct_image shown;           /* the picture in view; rgb NULL: none */
    char shown_path[FORM_PATH_BYTES];   /* "": it is not in a file */
    char compared_lora[WINDOW_NAME_BYTES];      /* that view.other lacks */
    struct history history;

    struct shelf *shelf;
    uint32_t shelf_number;              /* counts shelves: pictures asked for an old one's rows are dropped */
    struct lora_row *lora_rows;         /* [lora_row_count] */
    size_t lora_row_count;
    char lora_filter[128], selected_lora[WINDOW_NAME_BYTES];
    bool only_used;

    bool saving, save_begins;           /* the line that asks where to save */
    char save_path[FORM_PATH_BYTES];
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
void window_list_loras(struct window *w);                       /* anew, for the chosen model */
void window_lora_changed(struct window *w);                     /* a slider moved: with auto, paints */

/* ---- layout.c ---- */

void layout_show(struct window *w);     /* everything */

/* ---- parts ---- */

void recipe_panel_show(struct window *w, struct ui_rect r);
void status_line_show(struct window *w, struct ui_rect r);

void lora_panel_show(struct window *w, struct ui_rect r);
void lora_panel_set(struct window *w, const char *name, const double *weight, bool joined);    /* weight NULL: out of the prompt */
void lora_panel_forget(struct window *w);                       /* all thumbnails */
void lora_panel_loaded(struct window *w, const struct loader_result *result);

void keys_take(struct window *w);       /* this frame's keys and drops */
bool window_typing(const struct window *w);     /* is a text edited somewhere? Single letters are keys only when not */
void help_show(struct window *w);

void files_drop(struct window *w, const char *path);
void files_told(struct window *w, const struct loader_result *result);     /* what a dropped file is */
void files_show_picture(struct window *w, const char *path);    /* and restores its recipe */
bool files_restore(struct window *w, const struct tinct_recipe *recipe);
void files_copy_recipe(struct window *w);
void files_begin_save(struct window *w);
void files_save(struct window *w);

void compare_toggle(struct window *w);
void compare_hold(struct window *w, bool held);
void compare_forget(struct window *w);  /* another picture is shown */
void compare_show(struct window *w, struct ui_rect r);

#endif
