#include "base/str.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

/* Room for extra more bytes and the NUL. */
static bool make_room(struct str *s, size_t extra)
{
    if (s->failed) return false;
    if (extra < s->room - s->length && s->bytes) return true;

    size_t room = s->room ? s->room : 64;
    while (room - s->length <= extra) {
        if (room > SIZE_MAX / 2) goto fail;
        room *= 2;
    }
    char *bytes = realloc(s->bytes, room);
    if (!bytes) goto fail;
    s->bytes = bytes;
    s->room = room;
    return true;
fail:
    s->failed = true;
    return false;
}

void str_add_bytes(struct str *s, const void *bytes, size_t size)
{
    if (!make_room(s, size)) return;
    if (size) memcpy(s->bytes + s->length, bytes, size);
    s->length += size;
    s->bytes[s->length] = '\0';
}

void str_add(struct str *s, const char *text)
{
    str_add_bytes(s, text, strlen(text));
}

void str_addf(struct str *s, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, fmt, args);
    if (size < 0) s->failed = true;
    if (size >= 0 && make_room(s, (size_t)size)) {
        vsnprintf(s->bytes + s->length, (size_t)size + 1, fmt, again);
        s->length += (size_t)size;
    }
    va_end(again);
    va_end(args);
}

/* An application may have set a locale whose numbers have a comma. */
static locale_t enter_c_locale(locale_t *before)
{
    locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (c) *before = uselocale(c);
    return c;
}

static void leave_c_locale(locale_t c, locale_t before)
{
    if (!c) return;
    uselocale(before);
    freelocale(c);
}

void str_add_float(struct str *s, float value)
{
    char digits[32];
    locale_t before, c = enter_c_locale(&before);

    for (int precision = 1; precision <= 9; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, (double)value);
        if (strtof(digits, NULL) == value) break;
    }
    leave_c_locale(c, before);
    str_add(s, isnan(value) ? "nan" : digits);
}

void str_add_double(struct str *s, double value)
{
    char digits[32];
    locale_t before, c = enter_c_locale(&before);

    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) break;
    }
    leave_c_locale(c, before);
    str_add(s, isnan(value) ? "nan" : digits);
}

void str_add_printable(struct str *s, const char *text, size_t most)
{
    size_t length = strlen(text), kept = str_utf8_prefix(text, length < most ? length : most);

    for (size_t i = 0; i < kept; i++) {
        unsigned char c = (unsigned char)text[i];
        bool c1 = c == 0xc2 && i + 1 < kept && (unsigned char)text[i + 1] < 0xa0;
        bool control = c < 0x20 || c == 0x7f || c1;
        if (c1) i++;
        str_add_bytes(s, control ? "?" : text + i, 1);
    }
    if (kept < length) str_addf(s, "... (%zu bytes)", length);
}

char *str_take(struct str *s, struct tinct_err *err)
{
    make_room(s, 0);
    if (s->failed) {
        str_free(s);
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a text");
        return NULL;
    }
    char *text = s->bytes;
    text[s->length] = '\0';
    *s = (struct str) { 0 };
    return text;
}

void str_free(struct str *s)
{
    free(s->bytes);
    *s = (struct str) { 0 };
}

static const char *skip_digits(const char *c)
{
    while (*c >= '0' && *c <= '9') c++;
    return c;
}

/* -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? and nothing more */
static bool is_number(const char *c)
{
    const char *first = *c == '-' ? ++c : c;

    c = skip_digits(c);
    if (c == first || (*first == '0' && c > first + 1)) return false;
    if (*c == '.') {
        first = ++c;
        c = skip_digits(c);
        if (c == first) return false;
    }
    if (*c == 'e' || *c == 'E') {
        c++;
        if (*c == '+' || *c == '-') c++;
        first = c;
        c = skip_digits(c);
        if (c == first) return false;
    }
    return *c == '\0';
}

bool str_to_double(const char *text, double *value)
{
    if (!is_number(text)) return false;

    locale_t before, c = enter_c_locale(&before);
    double read = strtod(text, NULL);
    leave_c_locale(c, before);
    if (!isfinite(read)) return false;
    *value = read;
    return true;
}

size_t str_utf8_prefix(const char *bytes, size_t size)
{
    size_t at = 0;

    while (at < size) {
        utf8proc_int32_t point;
        size_t left = size - at;
        if ((unsigned char)bytes[at] < 0x80) {
            at++;
            continue;
        }
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)bytes + at, left < 4 ? (utf8proc_ssize_t)left : 4, &point);
        if (used <= 0) break;
        at += (size_t)used;
    }
    return at;
}
