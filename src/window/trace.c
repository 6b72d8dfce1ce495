#include "window/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MOST = 2000 };

void trace_begin(struct trace *t)
{
    t->used = 0;
}

static void add(struct trace *t, const char *text)
{
    size_t bytes = strlen(text);

    if (t->used + bytes + 1 > t->room) {
        size_t room = 2 * (t->used + bytes) + 4096;
        char *grown = realloc(t->text, room);
        if (!grown) return;
        t->text = grown;
        t->room = room;
    }
    memcpy(t->text + t->used, text, bytes + 1);
    t->used += bytes;
}

void trace_mark(struct trace *t, const char *name, struct ui_rect r, const char *fmt, ...)
{
    char value[VALUE_MOST], place[200];
    va_list args;

    if (!t->path) return;
    va_start(args, fmt);
    vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    for (char *c = value; *c; c++)
        if (*c == '\n') *c = ' ';
    snprintf(place, sizeof place, "%.100s %d %d %d %d ", name, (int)r.x, (int)r.y, (int)r.w, (int)r.h);
    add(t, place);
    add(t, value);
    add(t, "\n");
}

void trace_end(struct trace *t)
{
    char half[1100];

    if (!t->path || !t->text || (t->before && strcmp(t->before, t->text) == 0)) return;
    snprintf(half, sizeof half, "%.1000s.half", t->path);
    FILE *out = fopen(half, "wb");
    if (!out) return;
    fwrite(t->text, 1, t->used, out);
    if (fclose(out) == 0) rename(half, t->path);
    free(t->before);
    if ((t->before = malloc(t->used + 1))) memcpy(t->before, t->text, t->used + 1);
}

void trace_free(struct trace *t)
{
    free(t->text);
    free(t->before);
    *t = (struct trace) { 0 };
}
