#include "base/err.h"

#include <stdio.h>
#include <string.h>

/* Names from strangers' files go to a terminal: control characters must not. */
static void make_printable(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
}

bool tinct_failv(struct tinct_err *err, enum tinct_code code, const char *fmt, va_list args)
{
    if (!err) return false;
    err->code = code;
    err->advice[0] = '\0';
    vsnprintf(err->text, sizeof err->text, fmt, args);
    make_printable(err->text);
    return false;
}

bool tinct_fail(struct tinct_err *err, enum tinct_code code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tinct_failv(err, code, fmt, args);
    va_end(args);
    return false;
}

bool tinct_within(struct tinct_err *err, const char *fmt, ...)
{
    char words[sizeof err->text], cause[sizeof err->text];
    va_list args;

    if (!err) return false;
    va_start(args, fmt);
    vsnprintf(words, sizeof words, fmt, args);
    va_end(args);
    memcpy(cause, err->text, sizeof cause);

    size_t used = strlen(words);
    if (used > sizeof err->text - 3) used = sizeof err->text - 3;
    memcpy(err->text, words, used);
    err->text[used++] = ':';
    err->text[used++] = ' ';
    size_t room = sizeof err->text - used - 1, rest = strlen(cause);
    if (rest > room) rest = room;
    memcpy(err->text + used, cause, rest);
    err->text[used + rest] = '\0';
    make_printable(err->text);
    return false;
}

bool tinct_advise(struct tinct_err *err, const char *fmt, ...)
{
    va_list args;

    if (!err) return false;
    va_start(args, fmt);
    vsnprintf(err->advice, sizeof err->advice, fmt, args);
    va_end(args);
    make_printable(err->advice);
    return false;
}
