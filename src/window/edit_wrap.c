/* Where a text's lines break in a width. */
#include <stdlib.h>

#include "window/edit.h"

struct lines {
    struct edit_line *at;
    size_t count, room;
};

static bool add_line(struct lines *l, size_t begin, size_t end)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 16;
        struct edit_line *grown = realloc(l->at, room * sizeof *grown);
        if (!grown) return false;
        l->at = grown;
        l->room = room;
    }
    l->at[l->count++] = (struct edit_line) { begin, end };
    return true;
}

size_t edit_wrap(const char *text, float width, float (*advance)(const void *user, uint32_t character), const void *user,
                 struct edit_line **lines)
{
    struct lines l = { 0 };
    size_t begin = 0, at = 0, blank = 0;     /* blank: behind the line's last blank; begin: there is none */
    float x = 0;
    bool ok = true;

    while (ok && text[at]) {
        size_t next = at;
        uint32_t c = edit_next(text, &next);
        if (c == '\n') {
            ok = add_line(&l, begin, at);
            begin = blank = at = next;
            x = 0;
            continue;
        }
        float w = advance(user, c);
        if (x + w > width && at > begin && c != ' ') {
            size_t cut = blank > begin ? blank : at;
            ok = add_line(&l, begin, cut);
            begin = blank = at = cut;
            x = 0;
            continue;
        }
        x += w;
        at = next;
        if (c == ' ') blank = at;
    }
    if (ok) ok = add_line(&l, begin, at);
    if (!ok) {
        free(l.at);
        l = (struct lines) { 0 };
    }
    *lines = l.at;
    return l.count;
}
