/* What is where in the window, written to a file for tests that drive it as a person would: a line for each mark,
 *
 *     NAME X Y W H VALUE
 *
 * rewritten, whole, when anything of it changed. Without a file nothing is done. */
#ifndef TINCT_WINDOW_TRACE_H
#define TINCT_WINDOW_TRACE_H

#include "window/ui.h"

struct trace {
    const char *path;           /* NULL: none */
    char *text, *before;
    size_t used, room;
};

void trace_begin(struct trace *t);
void trace_mark(struct trace *t, const char *name, struct ui_rect r, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;
void trace_end(struct trace *t);
void trace_free(struct trace *t);

#endif
