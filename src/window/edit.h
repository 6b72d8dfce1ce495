/* A text that is edited: caret, selection, undo, and where its lines break. It knows no keys, no fonts and no screen. */
#ifndef TINCT_WINDOW_EDIT_H
#define TINCT_WINDOW_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EDIT_BYTES_MOST = 60 * 1024, EDIT_UNDO_MOST = 200 };

struct edit_state {
    char *text;
    size_t caret, anchor;
};

struct edit {
    char *text;                 /* valid UTF-8, NUL at the end; always allocated after edit_init */
    size_t caret, anchor;       /* bytes; the selection lies between them */
    unsigned revision;          /* counts changes of the text */
    struct edit_state *undo, *redo;
    size_t undo_count, redo_count;
    bool typing;                /* the last change was typing: the next letter joins its undo step */
};

/* False without memory. Anything else here that lacks memory leaves the text as it was. */
bool edit_init(struct edit *e, const char *text);
void edit_free(struct edit *e);

/* The whole text anew, as one step that can be undone; nothing when it is the same. Invalid UTF-8 and
 * control characters other than line breaks are left out; cut at EDIT_BYTES_MOST. The caret stays where it was as far as it can.
 * joined: one step with the change before, as while a slider moves. */
void edit_set(struct edit *e, const char *text, bool joined);

/* Replaces the selection. */
void edit_insert(struct edit *e, const char *text, bool typed);

enum edit_move { EDIT_LEFT, EDIT_RIGHT, EDIT_WORD_LEFT, EDIT_WORD_RIGHT, EDIT_START, EDIT_END };

/* Where a move from a place leads. */
size_t edit_target(const struct edit *e, size_t from, enum edit_move move);

void edit_place(struct edit *e, size_t at, bool select);       /* caret to at; select: the anchor stays */
void edit_erase(struct edit *e, enum edit_move move);          /* the selection, or what the move passes */
void edit_select_word(struct edit *e, size_t at);
void edit_undo(struct edit *e);
void edit_redo(struct edit *e);

/* The selected bytes, first and behind the last. */
void edit_selection(const struct edit *e, size_t *begin, size_t *end);

/* "(selection:1.1)": the weight of what is selected, or of the word or tag at the caret, changed by step; a pair of brackets
 * whose weight becomes 1 goes away. A LoRA tag's own weight is changed in place. */
void edit_weigh(struct edit *e, double step);

/* ---- lines ---- */

struct edit_line {
    size_t begin, end;          /* bytes; end is before the blank or the line break that ended it */
};

/* Lines of at most width, broken behind blanks where there are some, else anywhere. *lines is allocated, one at least;
 * 0 without memory. advance gives a character's width. */
size_t edit_wrap(const char *text, float width, float (*advance)(const void *user, uint32_t character), const void *user,
                 struct edit_line **lines);

/* One character; *at moves behind it. 0 at the end. */
uint32_t edit_next(const char *text, size_t *at);

#endif
