#include "text/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "text/grammar.h"
#include "text/unicode.h"

/* ---- parts ---------------------------------------------------------------- */

/* Where the next AND begins that is a word of its own, from byte at on; size when there is none. */
static size_t find_and(const char *text, size_t size, size_t at)
{
    bool in_word = false;

    while (at < size) {
        size_t after = at + 3, next = at;
        if (!in_word && size - at >= 3 && !memcmp(text + at, "AND", 3) &&
            (after == size || !unicode_is_word(unicode_next(text, &after))))
            return at;
        in_word = unicode_is_word(unicode_next(text, &next));
        at = next;
    }
    return size;
}

static size_t without_end_space(const char *text, size_t size)
{
    for (size_t at = size; at > 0; size = at)
        if (!unicode_is_python_space(unicode_previous(text, &at))) break;
    return size;
}

/* Where the digits begin that end text: [0-9.]*, one '.' at most and one digit at least; size when there are none. */
static size_t number_begin(const char *text, size_t size)
{
    size_t at = size, digits = 0, points = 0;

    for (; at > 0 && ((text[at - 1] >= '0' && text[at - 1] <= '9') || text[at - 1] == '.'); at--) {
        digits += text[at - 1] != '.';
        points += text[at - 1] == '.';
    }
    return digits && points <= 1 ? at : size;
}

/* "a cat :0.5 " is "a cat" with weight 0.5; the text's size without weight and white space at its end. */
static bool split_weight(const char *text, size_t *size, double *weight, struct tinct_err *err)
{
    size_t end = without_end_space(text, *size), number = number_begin(text, end), at = number;

    *size = end;
    *weight = 1;
    if (number == end) return true;
    if (at > 0 && (text[at - 1] == '+' || text[at - 1] == '-')) number = --at;
    at = without_end_space(text, at);
    if (!at || text[at - 1] != ':') return true;
    *size = without_end_space(text, at - 1);
    return number_read_weight(text + number, end - number, "the weight of an AND part", weight, err);
}

static bool add_part(struct prompt *p, const char *text, size_t size, const struct prompt_options *options,
                     size_t *unrolled, struct tinct_err *err)
{
    if (p->part_count == PROMPT_MAX_PARTS)
        return tinct_fail(err, TINCT_ERR_ARG, "the prompt has more than %d parts between AND; at most %d can be used",
                          PROMPT_MAX_PARTS, PROMPT_MAX_PARTS);
    struct prompt_part *part = &p->parts[p->part_count++];
    part->weight = 1;
    return (options->negative || split_weight(text, &size, &part->weight, err)) &&
           schedule_unroll(part, text, size, options, unrolled, err);
}

static bool add_parts(struct prompt *p, const char *text, size_t size, const struct prompt_options *options,
                      struct tinct_err *err)
{
    size_t unrolled = 0;

    p->parts = calloc(PROMPT_MAX_PARTS, sizeof *p->parts);
    if (!p->parts) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
    for (size_t begin = 0, end; begin <= size; begin = end + 3) {
        end = options->negative ? size : find_and(text, size, begin);
        if (!add_part(p, text + begin, end - begin, options, &unrolled, err)) return false;
    }
    return true;
}

/* ---- the whole -------------------------------------------------------------- */

static bool check_text(const char *text, size_t size, struct tinct_err *err)
{
    size_t valid;

    if (size > PROMPT_MAX_BYTES)
        return tinct_fail(err, TINCT_ERR_ARG, "the prompt has %zu bytes; at most %d can be used", size,
                          PROMPT_MAX_BYTES);
    if ((valid = str_utf8_prefix(text, size)) < size)
        return tinct_fail(err, TINCT_ERR_ARG, "the prompt is not valid UTF-8 at byte %zu", valid);
    return true;
}

static bool parse(struct prompt *p, const char *text, const struct prompt_options *options, struct tinct_err *err)
{
    struct str plain = { 0 };
    size_t size = strlen(text);

    if (!check_text(text, size, err)) return false;
    bool good = options->negative || tags_take(p, text, size, &plain, err);
    if (options->negative) str_add_bytes(&plain, text, size);
    if (good && plain.failed) good = tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
    good = good && add_parts(p, plain.bytes, plain.length, options, err);
    str_free(&plain);
    return good;
}

bool prompt_parse(struct prompt *out, const char *text, const struct prompt_options *options, struct tinct_err *err)
{
    *out = (struct prompt) { 0 };
    if (options->steps < 1)
        return tinct_fail(err, TINCT_ERR_ARG, "a prompt for %d steps; at least 1 is needed", options->steps);
    if (parse(out, text, options, err)) return true;
    prompt_free(out);
    return false;
}

void prompt_free(struct prompt *p)
{
    for (size_t i = 0; i < p->part_count; i++) schedule_free(&p->parts[i]);
    free(p->parts);
    tags_free(p);
    *p = (struct prompt) { 0 };
}

const struct prompt_segment *prompt_segment_at(const struct prompt_part *part, int evaluation)
{
    size_t i = 0;
    while (i + 1 < part->segment_count && evaluation > part->segments[i].end_step) i++;
    return &part->segments[i];
}
