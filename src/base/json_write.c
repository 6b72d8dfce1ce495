#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static void quote_byte(struct str *out, unsigned char c)
{
    switch (c) {
    case '"': str_add(out, "\\\""); break;
    case '\\': str_add(out, "\\\\"); break;
    case '\b': str_add(out, "\\b"); break;
    case '\f': str_add(out, "\\f"); break;
    case '\n': str_add(out, "\\n"); break;
    case '\r': str_add(out, "\\r"); break;
    case '\t': str_add(out, "\\t"); break;
    default:
        if (c < 0x20)
            str_addf(out, "\\u%04x", c);
        else
            str_add_bytes(out, &c, 1);
    }
}

void json_quote(struct str *out, const char *text)
{
    size_t left = strlen(text);

    str_add(out, "\"");
    while (left) {
        size_t valid = str_utf8_prefix(text, left);
        for (size_t i = 0; i < valid; i++) quote_byte(out, (unsigned char)text[i]);
        text += valid;
        left -= valid;
        if (!left) break;
        str_add(out, "\xef\xbf\xbd"); /* U+FFFD for a byte that is no UTF-8 */
        text++;
        left--;
    }
    str_add(out, "\"");
}

static void begin_value(struct json_writer *w, const char *name)
{
    bool in_array = w->depth && (w->arrays >> w->depth & 1);

    assert(w->depth == 0 || in_array == !name);
    if (w->follows) str_add(&w->text, ",");
    if (w->depth) str_addf(&w->text, "\n%*s", 2 * w->depth, "");
    if (name && !in_array) {
        json_quote(&w->text, name);
        str_add(&w->text, ": ");
    }
    w->follows = true;
}

void json_begin(struct json_writer *w, const char *name, enum json_kind kind)
{
    assert(w->depth < JSON_MAX_DEPTH - 1);
    begin_value(w, name);
    str_add(&w->text, kind == JSON_ARRAY ? "[" : "{");
    w->depth++;
    w->arrays &= ~(UINT64_C(1) << w->depth);
    if (kind == JSON_ARRAY) w->arrays |= UINT64_C(1) << w->depth;
    w->follows = false;
}

void json_end(struct json_writer *w)
{
    bool array = w->arrays >> w->depth & 1;

    assert(w->depth > 0);
    w->depth--;
    if (w->follows) str_addf(&w->text, "\n%*s", 2 * w->depth, "");
    str_add(&w->text, array ? "]" : "}");
    w->follows = true;
}

void json_put_string(struct json_writer *w, const char *name, const char *value)
{
    begin_value(w, name);
    if (value)
        json_quote(&w->text, value);
    else
        str_add(&w->text, "null");
}

void json_put_integer(struct json_writer *w, const char *name, int64_t value)
{
    bool exact = value < INT64_C(9007199254740992) && value > -INT64_C(9007199254740992);

    begin_value(w, name);
    str_addf(&w->text, exact ? "%" PRId64 : "\"%" PRId64 "\"", value);
}

void json_put_double(struct json_writer *w, const char *name, double value)
{
    begin_value(w, name);
    if (isfinite(value))
        str_add_double(&w->text, value);
    else
        str_add(&w->text, "null");
}

void json_put_bool(struct json_writer *w, const char *name, bool value)
{
    begin_value(w, name);
    str_add(&w->text, value ? "true" : "false");
}

char *json_finish(struct json_writer *w, struct tinct_err *err)
{
    assert(w->depth == 0);
    str_add(&w->text, "\n");
    w->follows = false;
    return str_take(&w->text, err);
}
