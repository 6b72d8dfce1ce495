/* A string that grows. The first failure sticks, so that a text is put together
 * line by line and checked once, when it is taken. */
#ifndef TINCT_BASE_STR_H
#define TINCT_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct str {
    char *bytes; /* ends with NUL once anything was added; NULL before */
    size_t length;
    size_t room;
    bool failed; /* no memory: what was added since is lost */
};

/* { 0 } is an empty string. */
void str_add(struct str *s, const char *text);
void str_add_bytes(struct str *s, const void *bytes, size_t size);
void str_addf(struct str *s, const char *fmt, ...) TINCT_PRINTF(2, 3);

/* The shortest decimal that reads back as the same float (str_add_float) or
 * double, with '.' whatever the locale: 7, 0.1, 1e-05. Not a number gives "nan",
 * infinity "inf". */
void str_add_float(struct str *s, float value);
void str_add_double(struct str *s, double value);

/* Text of a stranger on one line: at most most bytes of it, '?' for each control
 * character (C1 ones included), and "... (N bytes)" behind one that was cut or is no UTF-8. */
void str_add_printable(struct str *s, const char *text, size_t most);

/* The whole text, "" when nothing was added; the caller frees it and s is empty
 * again. NULL with TINCT_ERR_MEMORY when memory ran out on the way. */
char *str_take(struct str *s, struct tinct_err *err);

void str_free(struct str *s);

/* The number that all of text is, in JSON's grammar (no hex, no "inf", '.' whatever
 * the locale). False and *value untouched when text is anything else or too large. */
bool str_to_double(const char *text, double *value);

/* How many of the size bytes are valid UTF-8 from the start; size when all are. */
size_t str_utf8_prefix(const char *bytes, size_t size);

#endif
