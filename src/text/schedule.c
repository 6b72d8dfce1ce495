/* [a:b:w], [b:w] and [a|b]: text that changes with the steps, as A1111's prompt_parser.py has it.
 *
 * Its grammar is ambiguous where brackets do not match, and its parser then takes one reading or another by
 * chance. Here every bracket pair whose inside is balanced is scheduled if it can be:
 *
 *     [a|b|c]              alternation, when no ':' stands directly inside
 *     [a:b:w] [b:w]        change at w, when no '|' does and w is a number
 *     (a) (a:b) [a]        left to emphasis
 *     anything else        literal, and with it every pair around it
 *
 * A '|' outside of an alternation, or a backslash at the end of the text or of a line, makes the whole text literal. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/grammar.h"

enum kind { LITERAL, EMPHASIS, CHANGE, ALTERNATION };

struct pair {
    size_t open, close;          /* bytes of its brackets; close 0 while it is open */
    enum kind kind;
    size_t colons, bars;         /* directly inside */
    size_t colon[2];             /* the last two, the very last in [1] */
    bool holds_literal;          /* a pair directly inside is literal */
    int when;                    /* CHANGE: the last step of the text before, 1-based */
};

struct reader {
    const char *text;
    size_t size;
    struct pair *pairs;          /* in order of their opening brackets */
    size_t pair_count;
    size_t stack[PROMPT_MAX_NESTING];
    int depth;
    bool literal;                /* the whole text is */
};

/* ---- reading ---------------------------------------------------------------- */

static void leave_literal(struct reader *r, struct pair *p)
{
    p->kind = LITERAL;
    if (p->bars) r->literal = true;
}

/* A step for w: a share when it has a '.', else a step; both counted through the passes. */
static bool read_when(struct pair *p, const char *text, size_t size, const struct prompt_options *o)
{
    double w;

    if (!number_read(text, size, &w)) return false;
    if (o->old_schedule) w = w < 1 ? w * o->steps : w;
    else if (memchr(text, '.', size)) w = (w - (o->base_steps ? 1 : 0)) * o->steps;
    else w -= o->base_steps;
    p->when = w >= o->steps ? o->steps : w <= 0 ? 0 : (int)w;
    return true;
}

static enum kind judge(struct pair *p, const struct reader *r, const struct prompt_options *o)
{
    bool round = r->text[p->open] == '(';
    size_t number = p->colon[1] + 1;

    if (p->holds_literal) return LITERAL;
    if (round) return p->colons <= 1 && !p->bars ? EMPHASIS : LITERAL;
    if (p->bars) return p->colons ? LITERAL : ALTERNATION;
    if (!p->colons) return EMPHASIS;
    return p->colons <= 2 && read_when(p, r->text + number, p->close - number, o) ? CHANGE : LITERAL;
}

static bool open_pair(struct reader *r, size_t at, struct tinct_err *err)
{
    if (r->depth == PROMPT_MAX_NESTING) return emphasis_too_deep(at, err);
    r->stack[r->depth++] = r->pair_count;
    r->pairs[r->pair_count++] = (struct pair) { .open = at };
    return true;
}

static void close_pair(struct reader *r, size_t at, const struct prompt_options *o)
{
    struct pair *p = r->depth ? &r->pairs[r->stack[r->depth - 1]] : NULL;

    if (!p || r->text[p->open] != (r->text[at] == ')' ? '(' : '[')) {
        while (r->depth) leave_literal(r, &r->pairs[r->stack[--r->depth]]);   /* none of them can match now */
        return;
    }
    r->depth--;
    p->close = at;
    p->kind = judge(p, r, o);
    if (p->kind != LITERAL) return;
    leave_literal(r, p);
    if (r->depth) r->pairs[r->stack[r->depth - 1]].holds_literal = true;
}

static void note_sign(struct reader *r, size_t at)
{
    struct pair *p = r->depth ? &r->pairs[r->stack[r->depth - 1]] : NULL;

    if (r->text[at] == '|') {
        if (p) p->bars++;
        else r->literal = true;
    } else if (p) {
        p->colons++;
        p->colon[0] = p->colon[1];
        p->colon[1] = at;
    }
}

static bool read_pairs(struct reader *r, const struct prompt_options *o, struct tinct_err *err)
{
    for (size_t i = 0; i < r->size; i++) {
        switch (r->text[i]) {
        case '\\':
            i++;
            if (i == r->size || r->text[i] == '\n') r->literal = true;
            break;
        case '(':
        case '[':
            if (!open_pair(r, i, err)) return false;
            break;
        case ')':
        case ']':
            close_pair(r, i, o);
            break;
        case ':':
        case '|':
            note_sign(r, i);
            break;
        default:
            break;
        }
    }
    while (r->depth) leave_literal(r, &r->pairs[r->stack[--r->depth]]);
    return true;
}

/* ---- writing ------------------------------------------------------------------ */

/* The text of one step. Pairs are visited in order of their opening brackets. */
struct writer {
    const struct reader *r;
    int step;                    /* 1-based */
    size_t pair;                 /* the next one */
    struct str *out;
};

static void write_stretch(struct writer *w, size_t begin, size_t end, bool shown);

/* One of the items of p that separators part; the pairs inside the others are passed over. */
static void write_items(struct writer *w, const struct pair *p, char separator, size_t end, size_t chosen)
{
    size_t begin = p->open + 1, item = 0;

    for (size_t i = begin, inside = w->pair; i <= end; i++) {
        const struct pair *next = inside < w->r->pair_count ? &w->r->pairs[inside] : NULL;
        if (i < end && w->r->text[i] == '\\') {
            i++;
        } else if (next && next->open == i) {
            i = next->close;
            while (inside < w->r->pair_count && w->r->pairs[inside].open < i) inside++;
        } else if (i == end || w->r->text[i] == separator) {
            write_stretch(w, begin, i, item == chosen);
            begin = i + 1;
            item++;
        }
    }
}

static void write_pair(struct writer *w, const struct pair *p)
{
    if (p->kind == ALTERNATION) {
        write_items(w, p, '|', p->close, (size_t)(w->step - 1) % (p->bars + 1));
    } else if (p->colons == 2) {
        write_items(w, p, ':', p->colon[1], w->step > p->when);
    } else {
        write_stretch(w, p->open + 1, p->colon[1], w->step > p->when);
    }
}

static void write_stretch(struct writer *w, size_t begin, size_t end, bool shown)
{
    while (w->pair < w->r->pair_count && w->r->pairs[w->pair].open < end) {
        const struct pair *p = &w->r->pairs[w->pair++];
        if (!shown || p->kind < CHANGE) continue;
        str_add_bytes(w->out, w->r->text + begin, p->open - begin);
        write_pair(w, p);
        begin = p->close + 1;
        while (w->pair < w->r->pair_count && w->r->pairs[w->pair].open < begin) w->pair++;
    }
    if (shown && end > begin) str_add_bytes(w->out, w->r->text + begin, end - begin);
}

/* ---- segments ------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* The 1-based end steps, ascending, without doubles; how many. ends has room for the steps and every pair. */
static size_t collect_ends(int *ends, const struct reader *r, int steps)
{
    size_t count = 0, kept = 0;
    bool alternates = false;

    if (!r->literal)
        for (size_t i = 0; i < r->pair_count; i++) {
            if (r->pairs[i].kind == CHANGE && r->pairs[i].when >= 1) ends[count++] = r->pairs[i].when;
            alternates |= r->pairs[i].kind == ALTERNATION;
        }
    for (int step = alternates ? 1 : steps; step <= steps; step++) ends[count++] = step;
    qsort(ends, count, sizeof *ends, by_value);
    for (size_t i = 0; i < count; i++)
        if (!kept || ends[i] != ends[kept - 1]) ends[kept++] = ends[i];
    return kept;
}

static uint64_t hash_text(const char *text, size_t size)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

/* The index of an equal text that part has; text_count when there is none. */
static size_t find_text(const struct prompt_part *part, const uint64_t *hashes, uint64_t hash, const char *text)
{
    size_t i = 0;
    while (i < part->text_count && (hashes[i] != hash || strcmp(part->texts[i], text))) i++;
    return i;
}

/* Takes text. */
static bool add_text(struct prompt_part *part, char *text, size_t size, size_t *unrolled, struct tinct_err *err)
{
    *unrolled += size;
    part->texts[part->text_count++] = text;
    return *unrolled <= PROMPT_MAX_UNROLLED ||
           tinct_fail(err, TINCT_ERR_ARG, "the prompt's alternations unroll to more than %d MiB of text; use fewer of "
                      "them, or fewer steps", PROMPT_MAX_UNROLLED >> 20);
}

static bool add_segment(struct prompt_part *part, uint64_t *hashes, const struct reader *r, int end_step,
                        size_t *unrolled, struct tinct_err *err)
{
    struct str s = { 0 };
    struct writer w = { r, end_step, r->literal ? r->pair_count : 0, &s };

    write_stretch(&w, 0, r->size, true);
    size_t size = s.length;
    char *text = str_take(&s, err);
    if (!text) return false;
    uint64_t hash = hash_text(text, size);
    size_t index = find_text(part, hashes, hash, text);
    part->segments[part->segment_count++] = (struct prompt_segment) { end_step, index };
    if (index < part->text_count) {
        free(text);
        return true;
    }
    hashes[index] = hash;
    return add_text(part, text, size, unrolled, err);
}

static bool make_segments(struct prompt_part *part, const struct reader *r, int steps, size_t *unrolled,
                          struct tinct_err *err)
{
    int *ends = malloc(((size_t)steps + r->pair_count) * sizeof *ends);
    size_t count = ends ? collect_ends(ends, r, steps) : 0;
    uint64_t *hashes = malloc((count + 1) * sizeof *hashes);
    part->segments = calloc(count + 1, sizeof *part->segments);
    part->texts = calloc(count + 1, sizeof *part->texts);
    bool good = ends && hashes && part->segments && part->texts;

    if (!good) tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the segments of a prompt");
    for (size_t i = 0; good && i < count; i++) good = add_segment(part, hashes, r, ends[i], unrolled, err);
    free(ends);
    free(hashes);
    return good;
}

bool schedule_unroll(struct prompt_part *part, const char *text, size_t size, const struct prompt_options *options,
                     size_t *unrolled, struct tinct_err *err)
{
    struct reader r = { .text = text, .size = size };
    size_t brackets = 0;

    for (size_t i = 0; i < size; i++) brackets += text[i] == '(' || text[i] == '[';
    r.pairs = malloc((brackets + 1) * sizeof *r.pairs);
    bool good = r.pairs ? read_pairs(&r, options, err)
                        : tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the brackets of a prompt");
    good = good && make_segments(part, &r, options->steps, unrolled, err);
    free(r.pairs);
    return good;
}

void schedule_free(struct prompt_part *part)
{
    for (size_t i = 0; i < part->text_count; i++) free(part->texts[i]);
    free(part->texts);
    free(part->segments);
}
