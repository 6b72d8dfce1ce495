/* (a) [a] (a:1.3) \( BREAK: weights of words, as A1111's parse_prompt_attention has them. */
#include <stdlib.h>
#include <string.h>

#include "text/grammar.h"
#include "text/unicode.h"

/* Brackets that are open, as the index of the piece that comes first inside. The two kinds do not see each other. */
struct open_brackets {
    size_t pieces[PROMPT_MAX_NESTING];
    int count;
};

struct reader {
    struct emphasis *e;
    struct open_brackets round, square;
    bool failed;                 /* no memory */
};

bool emphasis_too_deep(size_t at, struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_ARG, "the prompt opens more than %d brackets inside one another (byte %zu); "
                      "write \\( or \\[ for a bracket that is text", PROMPT_MAX_NESTING, at);
}

static void add_piece(struct reader *r, const char *text, size_t size, double weight)
{
    struct emphasis *e = r->e;

    if (e->count == e->room) {
        size_t room = e->room ? 2 * e->room : 16;
        struct emphasis_piece *pieces = realloc(e->pieces, room * sizeof *pieces);
        r->failed |= !pieces;
        if (!pieces) return;
        e->pieces = pieces;
        e->room = room;
    }
    size_t begin = e->text.length;
    str_add_bytes(&e->text, text, size);
    e->pieces[e->count++] = (struct emphasis_piece) { begin, begin + size, weight, false };
}

/* Each piece lies in at most PROMPT_MAX_NESTING brackets, so this stays linear over the whole text. */
static void multiply_from(struct emphasis *e, size_t first, double factor)
{
    for (size_t i = first; i < e->count; i++) e->pieces[i].weight *= factor;
}

static bool open_bracket(struct reader *r, struct open_brackets *open, size_t at, struct tinct_err *err)
{
    if (r->round.count + r->square.count == PROMPT_MAX_NESTING) return emphasis_too_deep(at, err);
    open->pieces[open->count++] = r->e->count;
    return true;
}

static size_t skip_space(const char *text, size_t size, size_t at)
{
    for (size_t next = at; next < size && unicode_is_python_space(unicode_next(text, &next));) at = next;
    return at;
}

/* Whether text[at] == ':' begins a ": 1.3 )": its number is [*first, *last), its end *end. */
static bool weight_at(const char *text, size_t size, size_t at, size_t *first, size_t *last, size_t *end)
{
    size_t i = *first = skip_space(text, size, at + 1);

    if (i < size && (text[i] == '+' || text[i] == '-')) i++;
    size_t digits = i;
    while (i < size && ((text[i] >= '0' && text[i] <= '9') || text[i] == '.')) i++;
    *last = i;
    i = skip_space(text, size, i);
    if (*last == digits || i == size || text[i] != ')') return false;
    *end = i + 1;
    return true;
}

/* Where the next BREAK begins that is a word of its own, from at on; size when there is none. */
static size_t find_break(const char *text, size_t size, size_t at)
{
    bool in_word = false;

    while (at < size) {
        size_t after = at + 5;
        if (!in_word && size - at >= 5 && !memcmp(text + at, "BREAK", 5) &&
            (after == size || !unicode_is_word(unicode_next(text, &after))))
            return at;
        in_word = unicode_is_word(unicode_next(text, &at));
    }
    return size;
}

/* Text without brackets: split at every BREAK and the white space around it. */
static void add_text(struct reader *r, const char *text, size_t size)
{
    for (size_t begin = 0, at;; begin = skip_space(text, size, at + 5)) {
        size_t end = at = find_break(text, size, begin);
        while (end > begin && at < size) {
            size_t before = end;
            if (!unicode_is_python_space(unicode_previous(text, &before))) break;
            end = before;
        }
        add_piece(r, text + begin, end - begin, 1);
        if (at == size) return;
        add_piece(r, "BREAK", 5, -1);
    }
}

static size_t plain_end(const char *text, size_t size, size_t at)
{
    while (at < size && !strchr("\\()[]:", text[at])) at++;
    return at;
}

/* One sign or stretch of text at byte at; the byte behind it, 0 when it was refused. */
static size_t read_one(struct reader *r, const char *text, size_t size, size_t at, struct tinct_err *err)
{
    size_t first, last, end = at + 1;
    double factor;

    switch (text[at]) {
    case '\\':
        if (end < size && strchr("()[]\\", text[end])) end++;
        add_piece(r, text + at + 1, end - at - 1, 1);
        return end;
    case '(':
        return open_bracket(r, &r->round, at, err) ? end : 0;
    case '[':
        return open_bracket(r, &r->square, at, err) ? end : 0;
    case ':':
        if (!weight_at(text, size, at, &first, &last, &end) || !r->round.count) break;
        if (!number_read_weight(text + first, last - first, "a weight in the prompt", &factor, err)) return 0;
        multiply_from(r->e, r->round.pieces[--r->round.count], factor);
        return end;
    case ')':
        if (!r->round.count) break;
        multiply_from(r->e, r->round.pieces[--r->round.count], 1.1);
        return end;
    case ']':
        if (!r->square.count) break;
        multiply_from(r->e, r->square.pieces[--r->square.count], 1 / 1.1);
        return end;
    default:
        end = plain_end(text, size, at);
        break;
    }
    add_text(r, text + at, end - at);
    return end;
}

/* Neighbours of one weight become one piece, whose words may then join. A BREAK that brackets have weighted is
 * a word from here on. */
static void merge_pieces(struct emphasis *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < e->count; i++) {
        struct emphasis_piece *p = &e->pieces[i];
        if (kept && e->pieces[kept - 1].weight == p->weight) {
            e->pieces[kept - 1].end = p->end;
        } else {
            e->pieces[kept++] = *p;
        }
    }
    e->count = kept;
    for (size_t i = 0; i < kept; i++) {
        struct emphasis_piece *p = &e->pieces[i];
        p->is_break = p->weight == -1 && p->end - p->begin == 5 && !memcmp(e->text.bytes + p->begin, "BREAK", 5);
    }
}

static bool check_weights(const struct emphasis *e, struct tinct_err *err)
{
    for (size_t i = 0; i < e->count; i++)
        if (!number_check_weight(e->pieces[i].weight, "a weight in the prompt, brackets multiplied,", err))
            return false;
    return true;
}

bool emphasis_parse(struct emphasis *e, const char *text, size_t size, struct tinct_err *err)
{
    struct reader r = { .e = e };

    *e = (struct emphasis) { 0 };
    for (size_t at = 0; at < size;)
        if (!(at = read_one(&r, text, size, at, err))) return false;
    while (r.round.count) multiply_from(e, r.round.pieces[--r.round.count], 1.1);
    while (r.square.count) multiply_from(e, r.square.pieces[--r.square.count], 1 / 1.1);
    if (!e->count) add_piece(&r, "", 0, 1);
    if (r.failed || e->text.failed) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt's weights");
    merge_pieces(e);
    return check_weights(e, err);
}

void emphasis_free(struct emphasis *e)
{
    str_free(&e->text);
    free(e->pieces);
    *e = (struct emphasis) { 0 };
}
