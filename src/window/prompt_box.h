/* A prompt on the screen: an edit with word wrap, a caret, selection by mouse, LoRA tags in colour, and what the parser says of it. */
#ifndef TINCT_WINDOW_PROMPT_BOX_H
#define TINCT_WINDOW_PROMPT_BOX_H

#include "window/edit.h"
#include "window/ui.h"

struct prompt_box {
    struct edit edit;
    bool negative, focused;
    struct edit_line *lines;        /* of lines_revision at lines_width */
    size_t line_count;
    unsigned lines_revision;
    float lines_width;
    float scroll, goal_x;           /* goal_x: where Up and Down keep to; negative: where the caret is */
    bool follow;                    /* the caret is to be seen */
    struct tinct_prompt *read;      /* of read_revision; NULL: refused */
    unsigned read_revision;
    struct tinct_err error;         /* code TINCT_OK: none */
    struct tinct_embeddings *embeddings;    /* the caller's, that count as what they are; NULL: none */
};

bool prompt_box_init(struct prompt_box *box, const char *text, bool negative);
void prompt_box_free(struct prompt_box *box);

/* These count from now on. */
void prompt_box_embeddings(struct prompt_box *box, struct tinct_embeddings *embeddings);

/* Reads the text where it changed since; true then. */
bool prompt_box_read(struct prompt_box *box);

/* Draws it and takes the mouse. hint: shown while it is empty. */
void prompt_box_show(struct prompt_box *box, struct ui *ui, const char *id, struct ui_rect r, const char *hint);

/* Takes a key or typed text while it has the focus; false: not a key of an editor's. */
bool prompt_box_event(struct prompt_box *box, struct ui *ui, const struct ui_event *event);

#endif
