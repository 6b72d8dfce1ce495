#include "image/infotext_fields.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/json.h"
#include "base/str.h"

/* A piece of the text that is read. */
struct span {
    const char *at;
    size_t bytes;
};

/* Python's \w: letters, digits and the underscore of any script. Bytes of the character
 * at text, 0 when it is none. */
static size_t word_character(struct span text)
{
    utf8proc_int32_t point;
    utf8proc_ssize_t bytes;

    if (!text.bytes) return 0;
    if (text.bytes > 4) text.bytes = 4;
    bytes = utf8proc_iterate((const utf8proc_uint8_t *)text.at, (utf8proc_ssize_t)text.bytes, &point);
    if (bytes <= 0) return 0;
    if (point == '_') return 1;
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return (size_t)bytes;
    default:
        return 0;
    }
}

static void skip(struct span *text, size_t bytes)
{
    text->at += bytes;
    text->bytes -= bytes;
}

/* A word character, then one or more of those, ' ', '-' and '/', then ':'. Where a run of
 * them has no colon behind it no later start within it has one either, so this is linear. */
static bool find_key(struct span *rest, struct span *key)
{
    while (rest->bytes) {
        size_t bytes = word_character(*rest), characters = 0;
        if (!bytes) {
            skip(rest, 1);
            continue;
        }
        key->at = rest->at;
        while (rest->bytes) {
            bytes = strchr(" -/", *rest->at) && *rest->at ? 1 : word_character(*rest);
            if (!bytes) break;
            skip(rest, bytes);
            characters++;
        }
        key->bytes = (size_t)(rest->at - key->at);
        if (rest->bytes && *rest->at == ':' && characters >= 2) {
            skip(rest, 1);
            return true;
        }
    }
    return false;
}

/* Bytes of "..." with backslash escapes that a comma or the end follows; 0: no such thing. */
static size_t quoted_run(struct span text)
{
    size_t i = 1;

    if (!text.bytes || text.at[0] != '"') return 0;
    while (i < text.bytes && text.at[i] != '"') i += text.at[i] == '\\' ? 2 : 1;
    if (i >= text.bytes || i == 1) return 0;
    i++;
    return i == text.bytes || text.at[i] == ',' ? i : 0;
}

/* sd.cpp ends the line with an object of its own, unquoted, which the grammar would take apart. */
static bool begins_sdcpp(struct span key, struct span rest)
{
    return key.bytes == 5 && memcmp(key.at, "SDCPP", 5) == 0 && rest.bytes && rest.at[0] == '{' &&
           rest.at[rest.bytes - 1] == '}';
}

static bool next_pair(struct span *rest, struct span *key, struct span *value)
{
    size_t blank;

    if (!find_key(rest, key)) return false;
    while ((blank = infotext_blank(rest->at, rest->bytes))) skip(rest, blank);
    if (begins_sdcpp(*key, *rest)) return false;
    value->at = rest->at;
    value->bytes = quoted_run(*rest);
    if (!value->bytes) {
        const char *comma = rest->bytes ? memchr(rest->at, ',', rest->bytes) : NULL;
        value->bytes = comma ? (size_t)(comma - rest->at) : rest->bytes;
    }
    skip(rest, value->bytes);
    if (rest->bytes) skip(rest, 1); /* the comma */
    return true;
}

static size_t count_pairs(struct span line)
{
    struct span key, value;
    size_t count = 0;
    while (next_pair(&line, &key, &value)) count++;
    return count;
}

/* ---- filling the struct ---- */

struct reading {
    struct infotext *out;
    struct infotext_pair *extras;
    char *free; /* where the next string goes; there is room for all of them */
};

static char *keep(struct reading *r, struct span text)
{
    char *kept = r->free;
    if (text.bytes) memcpy(kept, text.at, text.bytes);
    kept[text.bytes] = '\0';
    r->free += text.bytes + 1;
    return kept;
}

static char *keep_value(struct reading *r, struct span value)
{
    char *kept = r->free;

    if (!json_unquote(value.at, value.bytes, kept)) return keep(r, value);
    r->free += strlen(kept) + 1;
    return kept;
}

static bool read_whole(const char *text, int64_t *out)
{
    char *end;
    const char *digits = text + (*text == '-');

    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || errno) return false;
    *out = value;
    return true;
}

bool infotext_size(const char *value, int *width, int *height)
{
    size_t digits = strspn(value, "0123456789"), more;
    long w, h;

    if (!digits || digits > 9 || value[digits] != 'x') return false;
    more = strspn(value + digits + 1, "0123456789");
    if (!more || more > 9 || value[digits + 1 + more]) return false;
    w = strtol(value, NULL, 10);
    h = strtol(value + digits + 1, NULL, 10);
    *width = (int)w;
    *height = (int)h;
    return true;
}

static bool set_number(void *member, enum infotext_kind kind, const char *value)
{
    double fraction;
    int64_t whole;

    if (kind == INFOTEXT_FRACTION) {
        if (!str_to_double(value, &fraction) || !isfinite((float)fraction)) return false;
        memcpy(member, &(float) { (float)fraction }, sizeof(float));
        return true;
    }
    if (!read_whole(value, &whole)) return false;
    if (kind == INFOTEXT_COUNT) {
        if (whole < 1 || whole > INT_MAX) return false;
        memcpy(member, &(int) { (int)whole }, sizeof(int));
        return true;
    }
    if (kind == INFOTEXT_SEED ? whole < 0 : whole == 0) return false;
    memcpy(member, &whole, sizeof whole);
    return true;
}

/* False when value does not fit the field. */
static bool set_field(struct infotext *out, const struct infotext_field *field, const char *value)
{
    void *member = (char *)out + field->offset;

    switch (field->kind) {
    case INFOTEXT_EXTRA: return false;
    case INFOTEXT_TEXT: memcpy(member, &value, sizeof value); return true;
    case INFOTEXT_SIZE: return infotext_size(value, &out->width, &out->height) && out->width && out->height;
    default: return set_number(member, field->kind, value);
    }
}

static void read_pairs(struct reading *r, struct span line)
{
    struct span key, value;

    while (next_pair(&line, &key, &value)) {
        char *name = keep(r, key), *text = keep_value(r, value);
        const struct infotext_field *field = infotext_field_of(name);
        if (field && set_field(r->out, field, text)) continue;
        r->extras[r->out->extra_count++] = (struct infotext_pair) { name, text };
    }
}

/* The stripped lines of one prompt go to r->free, one after the other. */
static void add_line(struct reading *r, const char *begin, struct span line)
{
    if (r->free > begin) *r->free++ = '\n';
    if (line.bytes) memcpy(r->free, line.at, line.bytes);
    r->free += line.bytes;
}

static void read_prompts(struct reading *r, struct span lines)
{
    const size_t mark_bytes = strlen(infotext_negative_mark);
    char *begin = r->free;

    r->out->prompt = begin;
    r->out->negative = NULL;
    for (bool more = lines.bytes > 0; more;) {
        const char *end = lines.bytes ? memchr(lines.at, '\n', lines.bytes) : NULL;
        struct span line = { lines.at, end ? (size_t)(end - lines.at) : lines.bytes };
        more = end != NULL;
        skip(&lines, line.bytes + more);
        line.bytes = infotext_strip(&line.at, line.bytes);
        if (line.bytes >= mark_bytes && memcmp(line.at, infotext_negative_mark, mark_bytes) == 0) {
            skip(&line, mark_bytes);
            line.bytes = infotext_strip(&line.at, line.bytes);
            if (!r->out->negative) {
                *r->free++ = '\0';
                r->out->negative = begin = r->free;
            }
        }
        add_line(r, begin, line);
    }
    *r->free++ = '\0';
    if (!r->out->negative) r->out->negative = r->free - 1;
}

bool infotext_read(const char *text, size_t size, struct infotext *out, struct tinct_err *err)
{
    struct span all = { text, size };
    const char *nul = size ? memchr(text, '\0', size) : NULL;

    *out = INFOTEXT_EMPTY;
    if (nul) all.bytes = (size_t)(nul - text);
    all.bytes = infotext_strip(&all.at, all.bytes);

    struct span line = all;
    for (size_t i = all.bytes; i-- > 0;)
        if (all.at[i] == '\n') {
            line = (struct span) { all.at + i + 1, all.bytes - i - 1 };
            break;
        }
    struct span lines = { all.at, (size_t)(line.at - all.at) };
    size_t pairs = count_pairs(line);
    if (pairs < 3) { /* a sentence with colons, not a recipe */
        lines = all;
        line.bytes = pairs = 0;
    } else if (lines.bytes) {
        lines.bytes--; /* the line break before the parameters */
    }

    size_t pair_bytes = pairs * sizeof(struct infotext_pair);
    char *memory = malloc(pair_bytes + 2 * all.bytes + 2 * pairs + 8);
    if (!memory) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to read a recipe");
    struct reading r = { out, (struct infotext_pair *)(void *)memory, memory + pair_bytes };
    out->memory = memory;
    out->extras = r.extras;
    out->clip_skip = 1;
    out->rng = "GPU";
    read_prompts(&r, lines);
    read_pairs(&r, line);
    return true;
}

void infotext_free(struct infotext *info)
{
    free(info->memory);
    *info = INFOTEXT_EMPTY;
}

const char *infotext_extra(const struct infotext *info, const char *key)
{
    for (size_t i = info->extra_count; i-- > 0;) /* of two the last counts, as in A1111 */
        if (strcmp(info->extras[i].key, key) == 0) return info->extras[i].value;
    return NULL;
}

bool infotext_before(const struct infotext *info, int major, int minor, int patch)
{
    const int wanted[3] = { major, minor, patch };
    int have[3];
    const char *at = info->version ? info->version : "";

    at += *at == 'v';
    for (int i = 0; i < 3; i++) {
        size_t digits = strspn(at, "0123456789");
        if (!digits || digits > 4) return false;
        have[i] = atoi(at);
        at += digits;
        if (i < 2 && *at++ != '.') return false;
    }
    if (*at && *at != '-' && *at != '+') return false;
    for (int i = 0; i < 3; i++)
        if (have[i] != wanted[i]) return have[i] < wanted[i];
    return false;
}
