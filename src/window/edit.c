#include "window/edit.h"

#include <stdlib.h>
#include <string.h>

/* ---- characters ---- */

static bool is_inside(char c)                   /* of a character of several bytes, not its first */
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

uint32_t edit_next(const char *text, size_t *at)
{
    const unsigned char *t = (const unsigned char *)text + *at;
    int more = t[0] < 0x80 ? 0 : t[0] >= 0xf0 ? 3 : t[0] >= 0xe0 ? 2 : 1;
    uint32_t c = more == 3 ? t[0] & 7u : more == 2 ? t[0] & 15u : more == 1 ? t[0] & 31u : t[0];

    for (int i = 1; i <= more; i++) c = c << 6 | (t[i] & 0x3fu);
    *at += c ? (size_t)more + 1 : 0;
    return c;
}

/* Bytes of the valid character at t that a prompt may hold; 0: none. */
static size_t valid_bytes(const unsigned char *t)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    int more = t[0] < 0x80 ? 0 : t[0] >= 0xf8 ? -1 : t[0] >= 0xf0 ? 3 : t[0] >= 0xe0 ? 2 : t[0] >= 0xc0 ? 1 : -1;
    uint32_t c = more == 3 ? t[0] & 7u : more == 2 ? t[0] & 15u : more == 1 ? t[0] & 31u : t[0];

    for (int i = 1; i <= more; i++) {
        if ((t[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (t[i] & 0x3fu);
    }
    bool fine = more >= 0 && c >= least[more] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) && (c >= 0x20 || c == '\n') && c != 0x7f;
    return fine ? (size_t)more + 1 : 0;
}

/* A copy of at most most bytes with valid characters only; tabs become blanks, "\r\n" one line break. */
static char *clean(const char *text, size_t most)
{
    size_t size = strlen(text), used = 0;
    char *out = malloc((size < most ? size : most) + 1);

    for (size_t i = 0; out && i < size;) {
        size_t bytes = valid_bytes((const unsigned char *)text + i);
        char blank = text[i] == '\t' ? ' ' : text[i] == '\r' && text[i + 1] != '\n' ? '\n' : '\0';
        if (used + (bytes ? bytes : 1) > most) break;
        memcpy(out + used, text + i, bytes);
        used += bytes;
        if (blank) out[used++] = blank;
        i += bytes ? bytes : 1;
    }
    if (out) out[used] = '\0';
    return out;
}

static size_t left_of(const struct edit *e, size_t at)
{
    if (at > 0) at--;
    while (at > 0 && is_inside(e->text[at])) at--;
    return at;
}

static size_t right_of(const struct edit *e, size_t at)
{
    if (e->text[at]) at++;
    while (is_inside(e->text[at])) at++;
    return at;
}

/* A word's byte: all beyond ASCII are. */
static bool is_word(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x80 || (u >= '0' && u <= '9') || (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') || u == '_' || u == '\'';
}

/* ---- undo ---- */

static void drop_states(struct edit_state *states, size_t *count)
{
    for (size_t i = 0; i < *count; i++) free(states[i].text);
    *count = 0;
}

static void push_state(struct edit_state *states, size_t *count, struct edit_state state)
{
    if (*count == EDIT_UNDO_MOST) {
        free(states[0].text);
        memmove(states, states + 1, (EDIT_UNDO_MOST - 1) * sizeof *states);
        (*count)--;
    }
    states[(*count)++] = state;
}

/* The text becomes fresh (allocated, now e's); the old one can be undone to. */
static void change(struct edit *e, char *fresh, size_t caret, bool typed)
{
    struct edit_state old = { e->text, e->caret, e->anchor };

    if (typed && e->typing && e->undo_count) free(old.text);
    else push_state(e->undo, &e->undo_count, old);
    drop_states(e->redo, &e->redo_count);
    e->text = fresh;
    e->caret = e->anchor = caret;
    e->typing = typed;
    e->revision++;
}

static void go_back(struct edit *e, struct edit_state *from, size_t *from_count, struct edit_state *to, size_t *to_count)
{
    if (!*from_count) return;
    push_state(to, to_count, (struct edit_state) { e->text, e->caret, e->anchor });
    struct edit_state state = from[--*from_count];
    e->text = state.text;
    e->caret = state.caret;
    e->anchor = state.anchor;
    e->typing = false;
    e->revision++;
}

void edit_undo(struct edit *e)
{
    go_back(e, e->undo, &e->undo_count, e->redo, &e->redo_count);
}

void edit_redo(struct edit *e)
{
    go_back(e, e->redo, &e->redo_count, e->undo, &e->undo_count);
}

/* ---- the text ---- */

bool edit_init(struct edit *e, const char *text)
{
    *e = (struct edit) { .text = clean(text, EDIT_BYTES_MOST) };
    e->undo = calloc(EDIT_UNDO_MOST, sizeof *e->undo);
    e->redo = calloc(EDIT_UNDO_MOST, sizeof *e->redo);
    if (e->text) e->caret = e->anchor = strlen(e->text);
    return e->text && e->undo && e->redo;
}

void edit_free(struct edit *e)
{
    if (e->undo) drop_states(e->undo, &e->undo_count);
    if (e->redo) drop_states(e->redo, &e->redo_count);
    free(e->undo);
    free(e->redo);
    free(e->text);
    *e = (struct edit) { 0 };
}

void edit_set(struct edit *e, const char *text, bool joined)
{
    char *fresh = clean(text, EDIT_BYTES_MOST);

    if (!fresh || strcmp(fresh, e->text) == 0) {
        free(fresh);
        return;
    }
    size_t bytes = strlen(fresh), caret = e->caret < bytes ? e->caret : bytes;
    while (caret > 0 && is_inside(fresh[caret])) caret--;
    change(e, fresh, caret, joined);
    e->typing = joined;
}

void edit_selection(const struct edit *e, size_t *begin, size_t *end)
{
    *begin = e->caret < e->anchor ? e->caret : e->anchor;
    *end = e->caret < e->anchor ? e->anchor : e->caret;
}

/* Bytes begin..end become text, which is clean. */
static void replace(struct edit *e, size_t begin, size_t end, const char *text, bool typed)
{
    size_t bytes = strlen(text), size = strlen(e->text);
    char *fresh = malloc(size - (end - begin) + bytes + 1);

    if (!fresh) return;
    memcpy(fresh, e->text, begin);
    memcpy(fresh + begin, text, bytes);
    memcpy(fresh + begin + bytes, e->text + end, size - end + 1);
    change(e, fresh, begin + bytes, typed);
}

void edit_insert(struct edit *e, const char *text, bool typed)
{
    size_t begin, end;

    edit_selection(e, &begin, &end);
    char *inserted = clean(text, EDIT_BYTES_MOST - (strlen(e->text) - (end - begin)));
    if (inserted && (*inserted || begin < end)) replace(e, begin, end, inserted, typed && begin == end);
    free(inserted);
}

void edit_erase(struct edit *e, enum edit_move move)
{
    size_t begin, end;

    edit_selection(e, &begin, &end);
    if (begin == end) {
        size_t to = edit_target(e, e->caret, move);
        begin = to < e->caret ? to : e->caret;
        end = to < e->caret ? e->caret : to;
    }
    if (begin < end) replace(e, begin, end, "", false);
}

/* ---- moving ---- */

size_t edit_target(const struct edit *e, size_t from, enum edit_move move)
{
    switch (move) {
    case EDIT_LEFT: return left_of(e, from);
    case EDIT_RIGHT: return right_of(e, from);
    case EDIT_WORD_LEFT:
        while (from > 0 && !is_word(e->text[from - 1])) from--;
        while (from > 0 && is_word(e->text[from - 1])) from--;
        return from;
    case EDIT_WORD_RIGHT:
        while (is_word(e->text[from])) from++;
        while (e->text[from] && !is_word(e->text[from])) from++;
        return from;
    case EDIT_START: return 0;
    case EDIT_END: return strlen(e->text);
    }
    return from;
}

void edit_place(struct edit *e, size_t at, bool select)
{
    e->caret = at;
    if (!select) e->anchor = at;
    e->typing = false;
}

void edit_select_word(struct edit *e, size_t at)
{
    size_t begin = at, end = at;

    while (begin > 0 && is_word(e->text[begin - 1])) begin--;
    while (is_word(e->text[end])) end++;
    if (begin == end) end = right_of(e, end);
    e->anchor = begin;
    e->caret = end;
    e->typing = false;
}
