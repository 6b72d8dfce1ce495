/* The pieces of the prompt grammar, for the files of this room. */
#ifndef TINCT_TEXT_GRAMMAR_H
#define TINCT_TEXT_GRAMMAR_H

#include "base/str.h"
#include "text/prompt.h"

/* ---- numbers (number.c) ---- */

/* The number that all of text is, as Python's float() reads one, white space around it included; false for
 * anything else, for more than 60 characters, and for what is not finite. */
bool number_read(const char *text, size_t size, double *value);

/* number_read, refused when it fails and when the value is beyond PROMPT_MAX_WEIGHT; what names the weight. */
bool number_read_weight(const char *text, size_t size, const char *what, double *value, struct tinct_err *err);
bool number_check_weight(double value, const char *what, struct tinct_err *err);

/* ---- tags (tags.c) ---- */

/* Take the tags out of text: out gets tags, loras and store; the rest of the text goes to plain. */
bool tags_take(struct prompt *out, const char *text, size_t size, struct str *plain, struct tinct_err *err);
void tags_free(struct prompt *p);

/* ---- schedules (schedule.c) ---- */

/* Fill part's segments from its text. *unrolled counts bytes over all parts. */
bool schedule_unroll(struct prompt_part *part, const char *text, size_t size, const struct prompt_options *options,
                     size_t *unrolled, struct tinct_err *err);
void schedule_free(struct prompt_part *part);

/* ---- emphasis (emphasis.c) ---- */

struct emphasis_piece {
    size_t begin, end;       /* bytes of the pieces' text */
    double weight;
    bool is_break;           /* BREAK: a new chunk begins here */
};

struct emphasis {
    struct str text;         /* without brackets and escapes */
    struct emphasis_piece *pieces;
    size_t count, room;
};

/* (a) times 1.1, [a] divided by 1.1, (a:1.3) times 1.3, \( a bracket, BREAK; neighbours of one weight are one
 * piece. Inside brackets BREAK is the word "break" with their weight times -1, as in A1111. */
bool emphasis_parse(struct emphasis *e, const char *text, size_t size, struct tinct_err *err);
void emphasis_free(struct emphasis *e);

bool emphasis_too_deep(size_t at, struct tinct_err *err);   /* the sentence about nesting; false */

#endif
