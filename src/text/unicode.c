#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

struct range {
    uint32_t first, last;
};

/* Unicode 15.1 and 16, which the tokenizer's regular expressions know and Debian 12's utf8proc (15.0) does not. */
static const struct range new_letters[] = {
    { 0x1c89, 0x1c8a },   { 0xa7cb, 0xa7cd },   { 0xa7da, 0xa7dc },   { 0x105c0, 0x105f3 }, { 0x10d4a, 0x10d65 },
    { 0x10d6f, 0x10d85 }, { 0x10ec2, 0x10ec4 }, { 0x11380, 0x11389 }, { 0x1138b, 0x1138b }, { 0x1138e, 0x1138e },
    { 0x11390, 0x113b5 }, { 0x113b7, 0x113b7 }, { 0x113d1, 0x113d1 }, { 0x113d3, 0x113d3 }, { 0x11bc0, 0x11be0 },
    { 0x13460, 0x143fa }, { 0x16100, 0x1611d }, { 0x16d40, 0x16d6c }, { 0x18cff, 0x18cff }, { 0x1e5d0, 0x1e5ed },
    { 0x1e5f0, 0x1e5f0 }, { 0x2ebf0, 0x2ee5d },
};
static const struct range new_numbers[] = {
    { 0x10d40, 0x10d49 }, { 0x116d0, 0x116e3 }, { 0x11bf0, 0x11bf9 }, { 0x16130, 0x16139 },
    { 0x16d70, 0x16d79 }, { 0x1ccf0, 0x1ccf9 }, { 0x1e5f1, 0x1e5fa },
};

/* Capitals of Unicode 16 and 17, which its lower-casing knows. */
static const struct lower {
    struct range capitals;
    int32_t step;            /* to the small letter */
} new_capitals[] = {
    { { 0x1c89, 0x1c89 }, 1 },      { { 0xa7cb, 0xa7cb }, 0x264 - 0xa7cb }, { { 0xa7cc, 0xa7cc }, 1 },
    { { 0xa7ce, 0xa7ce }, 1 },      { { 0xa7d2, 0xa7d2 }, 1 },              { { 0xa7d4, 0xa7d4 }, 1 },
    { { 0xa7da, 0xa7da }, 1 },      { { 0xa7dc, 0xa7dc }, 0x19b - 0xa7dc }, { { 0x10d50, 0x10d65 }, 32 },
    { { 0x16ea0, 0x16eb8 }, 27 },
};

/* Its normalisation is that of Unicode 9: these marks, which came later, stay where they are, and nothing is
 * moved or composed across them. U+11938, which is U+11935 U+11930, came later too. */
static const struct range unmoved[] = {
    { 0x7fd, 0x7fd },      { 0x898, 0x89f },      { 0x8ca, 0x8d3 },      { 0x9fe, 0x9fe },      { 0xc3c, 0xc3c },
    { 0xd3b, 0xd3c },      { 0xeba, 0xeba },      { 0x1715, 0x1715 },    { 0x1abf, 0x1ace },    { 0x1df6, 0x1dfa },
    { 0xa82c, 0xa82c },    { 0x10d24, 0x10d27 },  { 0x10eab, 0x10eac },  { 0x10efd, 0x10eff },  { 0x10f46, 0x10f50 },
    { 0x10f82, 0x10f85 },  { 0x11070, 0x11070 },  { 0x1133b, 0x1133b },  { 0x1145e, 0x1145e },  { 0x11839, 0x1183a },
    { 0x11930, 0x11930 },  { 0x11938, 0x11938 },  { 0x1193d, 0x1193e },  { 0x11943, 0x11943 },  { 0x119e0, 0x119e0 },
    { 0x11a34, 0x11a34 },  { 0x11a47, 0x11a47 },  { 0x11a99, 0x11a99 },  { 0x11d42, 0x11d42 },  { 0x11d44, 0x11d45 },
    { 0x11d97, 0x11d97 },  { 0x11f41, 0x11f42 },  { 0x16ff0, 0x16ff1 },  { 0x1e08f, 0x1e08f },  { 0x1e130, 0x1e136 },
    { 0x1e2ae, 0x1e2ae },  { 0x1e2ec, 0x1e2ef },  { 0x1e4ec, 0x1e4ef },
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static bool within(const struct range *table, size_t count, uint32_t point)
{
    for (size_t low = 0, high = count; low < high;) {
        size_t middle = (low + high) / 2;
        if (point < table[middle].first) high = middle;
        else if (point > table[middle].last) low = middle + 1;
        else return true;
    }
    return false;
}

uint32_t unicode_next(const char *text, size_t *at)
{
    const unsigned char *b = (const unsigned char *)text + *at;

    if (b[0] < 0x80) {
        *at += 1;
        return b[0];
    }
    if (b[0] < 0xe0) {
        *at += 2;
        return (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu);
    }
    if (b[0] < 0xf0) {
        *at += 3;
        return (b[0] & 0xfu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu);
    }
    *at += 4;
    return (b[0] & 7u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu);
}

uint32_t unicode_previous(const char *text, size_t *at)
{
    do *at -= 1;
    while (((unsigned char)text[*at] & 0xc0) == 0x80);
    size_t again = *at;
    return unicode_next(text, &again);
}

size_t unicode_put(uint32_t point, char out[4])
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)point, (utf8proc_uint8_t *)out);
}

static int category(uint32_t point)
{
    return (int)utf8proc_category((utf8proc_int32_t)point);
}

bool unicode_is_letter(uint32_t point)
{
    if (point < 0x80) return (point | 32) >= 'a' && (point | 32) <= 'z';
    int c = category(point);
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) ||
           within(new_letters, COUNT(new_letters), point);
}

bool unicode_is_number(uint32_t point)
{
    if (point < 0x80) return point >= '0' && point <= '9';
    int c = category(point);
    return (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO) ||
           within(new_numbers, COUNT(new_numbers), point);
}

bool unicode_is_space(uint32_t point)
{
    if (point < 0x80) return point == ' ' || (point >= '\t' && point <= '\r');
    int c = category(point);
    return point == 0x85 || (c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP);
}

size_t unicode_lower(uint32_t point, uint32_t out[2])
{
    out[0] = point;
    if (point < 0x80) {
        if (point >= 'A' && point <= 'Z') out[0] = point + 32;
        return 1;
    }
    if (point == 0x130) {        /* the one letter whose lower case is two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    for (size_t i = 0; i < COUNT(new_capitals); i++)
        if (within(&new_capitals[i].capitals, 1, point)) {
            out[0] = (uint32_t)((int32_t)point + new_capitals[i].step);
            return 1;
        }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)point);
    return 1;
}

bool unicode_is_python_space(uint32_t point)
{
    return unicode_is_space(point) || (point >= 0x1c && point <= 0x1f);
}

bool unicode_is_word(uint32_t point)
{
    return point == '_' || unicode_is_letter(point) || unicode_is_number(point);
}

static bool is_unmoved(uint32_t point)
{
    return within(unmoved, COUNT(unmoved), point);
}

/* 0 for what starts a new character, else the class by which marks on one letter are sorted. */
static unsigned mark_class(utf8proc_int32_t point)
{
    return point < 0x300 || is_unmoved((uint32_t)point) ? 0u : (unsigned)utf8proc_get_property(point)->combining_class;
}

/* Sort one run of marks by class, equal ones as they stand. Counting keeps a run of 30,000 marks linear. */
static void sort_marks(utf8proc_int32_t *run, size_t count, utf8proc_int32_t *spare)
{
    size_t places[257] = { 0 };

    for (size_t i = 0; i < count; i++) places[mark_class(run[i]) + 1]++;
    for (size_t c = 1; c < 257; c++) places[c] += places[c - 1];
    for (size_t i = 0; i < count; i++) spare[places[mark_class(run[i])]++] = run[i];
    memcpy(run, spare, count * sizeof *run);
}

static void sort_all_marks(utf8proc_int32_t *points, size_t count, utf8proc_int32_t *spare)
{
    for (size_t i = 0; i < count;) {
        size_t first = i;
        while (i < count && mark_class(points[i])) i++;
        if (i - first > 1) sort_marks(points + first, i - first, spare);
        if (i == first) i++;
    }
}

/* Compose each stretch between unmoved points; the new length. */
static size_t compose_stretches(utf8proc_int32_t *points, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count;) {
        size_t first = i;
        while (i < count && !is_unmoved((uint32_t)points[i])) i++;
        size_t length = (size_t)utf8proc_normalize_utf32(points + first, (utf8proc_ssize_t)(i - first),
                                                         UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        memmove(points + kept, points + first, length * sizeof *points);
        kept += length;
        if (i < count) points[kept++] = points[i++];
    }
    return kept;
}

enum { DECOMPOSED_MAX = 4 };     /* points that one becomes in form D; Unicode promises that this stays so */

bool unicode_compose(const char *text, size_t size, uint32_t **points, size_t *count)
{
    size_t used = 0, room = size * DECOMPOSED_MAX + DECOMPOSED_MAX;
    utf8proc_int32_t *buffer = malloc(room * sizeof *buffer), *spare = malloc(room * sizeof *spare);
    bool plain = true;           /* ASCII alone stays as it is */

    if (!buffer || !spare) {
        free(buffer);
        free(spare);
        return false;
    }
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t point = (utf8proc_int32_t)unicode_next(text, &at);
        int boundary = 0;
        if (point < 0x80) {
            buffer[used++] = point;
            continue;
        }
        plain = false;
        if (is_unmoved((uint32_t)point)) {
            buffer[used++] = point;
            continue;
        }
        used += (size_t)utf8proc_decompose_char(point, buffer + used, (utf8proc_ssize_t)(room - used),
                                                UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
    }
    if (!plain) {
        sort_all_marks(buffer, used, spare);
        used = compose_stretches(buffer, used);
    }
    free(spare);
    *points = (uint32_t *)buffer;
    *count = used;
    return true;
}
