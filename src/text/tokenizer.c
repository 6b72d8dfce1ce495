#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "text/bpe.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

static const char special_start[] = "<|startoftext|>", special_end[] = "<|endoftext|>";

/* ---- words ---------------------------------------------------------------- */

/* A stretch of text between special tokens: normalised, lower case, white space as ' '. */
struct stretch {
    uint32_t *points;
    size_t count;
};

static bool stretch_make(struct stretch *s, const char *text, size_t size)
{
    uint32_t *composed;
    size_t count, kept = 0;

    if (!unicode_compose(text, size, &composed, &count)) return false;
    s->points = malloc((2 * count + 1) * sizeof *s->points);
    for (size_t i = 0; s->points && i < count; i++) {
        if (unicode_is_space(composed[i])) {
            s->points[kept++] = ' ';
            continue;
        }
        kept += unicode_lower(composed[i], s->points + kept);
    }
    s->count = kept;
    free(composed);
    return s->points != NULL;
}

/* How many points of the ASCII literal stand at place at: all, or 0. */
static size_t literal_at(const struct stretch *s, size_t at, const char *literal)
{
    size_t length = strlen(literal);

    if (s->count - at < length) return 0;
    for (size_t i = 0; i < length; i++)
        if (s->points[at + i] != (unsigned char)literal[i]) return 0;
    return length;
}

static size_t first_literal(const struct stretch *s, size_t at, const char *const *literals)
{
    size_t length = 0;
    for (; *literals && !length; literals++) length = literal_at(s, at, *literals);
    return length;
}

static bool is_sign(uint32_t point)
{
    return !unicode_is_space(point) && !unicode_is_letter(point) && !unicode_is_number(point);
}

/* The end of the word that begins at place at, which is no space. A special token that lower-casing made is
 * three words, and keeps its last bracket from the signs that follow. */
static size_t word_end(const struct stretch *s, size_t at, size_t *special_until)
{
    static const char *const contractions[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", NULL };
    static const char *const specials[] = { special_start, special_end, NULL };
    size_t length, limit = s->count;

    if (at < *special_until) {
        limit = *special_until;
    } else if ((length = first_literal(s, at, specials))) {
        limit = *special_until = at + length;
    } else if ((length = first_literal(s, at, contractions))) {
        return at + length;
    }
    if (unicode_is_number(s->points[at])) return at + 1;
    bool (*same)(uint32_t) = unicode_is_letter(s->points[at]) ? unicode_is_letter : is_sign;
    while (at < limit && same(s->points[at])) at++;
    return at;
}

/* ---- ids ------------------------------------------------------------------ */

static bool tokens_room(struct tokens *t, size_t extra)
{
    if (extra <= t->room - t->count) return true;
    size_t room = t->room + t->room / 2 + extra + 80;
    uint32_t *ids = realloc(t->ids, room * sizeof *ids);
    if (!ids) return false;
    t->ids = ids;
    t->room = room;
    return true;
}

/* points [first, end) as a word of bytes in spelling, which has room. */
static bool add_word(struct tokens *t, struct bpe *b, unsigned char *spelling, const uint32_t *points, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++) size += unicode_put(points[i], (char *)spelling + size);
    if (!tokens_room(t, size)) return false;
    size_t added = bpe_word(b, t->ids + t->count, spelling, size);
    t->count += added;
    return added > 0;
}

static bool add_stretch(struct tokens *t, const char *text, size_t size)
{
    struct stretch s = { 0 };
    struct bpe b = { 0 };
    unsigned char *spelling = NULL;
    size_t special_until = 0;
    bool good = stretch_make(&s, text, size) && (spelling = malloc(4 * s.count + 4));

    for (size_t at = 0, end; good && at < s.count; at = end) {
        end = at + 1;
        if (s.points[at] == ' ') continue;
        end = word_end(&s, at, &special_until);
        good = add_word(t, &b, spelling, s.points + at, end - at);
    }
    bpe_free(&b);
    free(spelling);
    free(s.points);
    return good;
}

/* Where the next special token begins, and which; size when there is none. */
static size_t find_special(const char *text, size_t size, size_t *length, uint32_t *id)
{
    for (size_t i = 0; i < size; i++) {
        bool start = size - i >= sizeof special_start - 1 && !memcmp(text + i, special_start, sizeof special_start - 1);
        bool end = size - i >= sizeof special_end - 1 && !memcmp(text + i, special_end, sizeof special_end - 1);
        if (!start && !end) continue;
        *length = start ? sizeof special_start - 1 : sizeof special_end - 1;
        *id = start ? TOKEN_START : TOKEN_END;
        return i;
    }
    return size;
}

bool tokenize(struct tokens *t, const char *text, size_t size, struct tinct_err *err)
{
    size_t before = t->count, valid = str_utf8_prefix(text, size);
    bool good = true;

    if (valid < size) return tinct_fail(err, TINCT_ERR_ARG, "the text is not valid UTF-8 at byte %zu", valid);
    while (good && size) {
        size_t length = 0;
        uint32_t id = 0;
        size_t plain = find_special(text, size, &length, &id);
        good = (!plain || add_stretch(t, text, plain)) && tokens_room(t, 1);
        if (good && length) t->ids[t->count++] = id;
        text += plain + length;
        size -= plain + length;
    }
    if (good) return true;
    t->count = before;
    return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the tokens of a prompt");
}

void tokens_free(struct tokens *t)
{
    free(t->ids);
    *t = (struct tokens) { 0 };
}

/* ---- the other way ---------------------------------------------------------- */

size_t token_text(uint32_t id, char out[TOKEN_TEXT_MAX], bool *ends_word)
{
    uint32_t stack[TOKEN_TEXT_MAX];      /* symbols still to be spelled, the next on top */
    size_t depth = 0, size = 0;

    *ends_word = false;
    out[0] = '\0';
    if (id >= TOKEN_COUNT) return 0;
    if (id >= TOKEN_START) {
        strcpy(out, id == TOKEN_START ? special_start : special_end);
        return strlen(out);
    }
    stack[depth++] = id;
    while (depth) {
        uint32_t top = stack[--depth];
        if (top < VOCABULARY_FIRST_MERGE) {
            out[size++] = (char)vocabulary_id_byte[top & 255];
            *ends_word = top >= 256;
            continue;
        }
        stack[depth++] = vocabulary_right[top - VOCABULARY_FIRST_MERGE];
        stack[depth++] = vocabulary_left[top - VOCABULARY_FIRST_MERGE];
    }
    out[size] = '\0';
    return size;
}
