#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

/* ---- the grammar: cJSON alone takes 01, 1., raw newlines, bad UTF-8 and much more ---- */

struct scan {
    const char *start, *at, *end;
    struct tinct_err *err;
};

static bool refuse(const struct scan *s, const char *what)
{
    return tinct_fail(s->err, TINCT_ERR_FORMAT, "bad JSON: %s (byte %zu)", what, (size_t)(s->at - s->start));
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
}

static bool take(struct scan *s, char c)
{
    if (s->at >= s->end || *s->at != c) return false;
    s->at++;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of \uXXXX; -1 when they are not. */
static long read_hex4(const char *at, const char *end)
{
    long value = 0;

    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* After "\u": the code point, of one escape or of a surrogate pair; -1 when it is none or NUL. */
static long scan_unicode(struct scan *s)
{
    long high = read_hex4(s->at, s->end), low;

    if (high <= 0 || (high >= 0xdc00 && high < 0xe000)) return -1;
    s->at += 4;
    if (high < 0xd800 || high >= 0xdc00) return high;
    if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u') return -1;
    low = read_hex4(s->at + 2, s->end);
    if (low < 0xdc00 || low >= 0xe000) return -1;
    s->at += 6;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static char *put_utf8(char *out, long point)
{
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
        *out++ = (char)(0x80 | (point & 63));
    } else {
        if (point < 0x10000) {
            *out++ = (char)(0xe0 | point >> 12);
        } else {
            *out++ = (char)(0xf0 | point >> 18);
            *out++ = (char)(0x80 | (point >> 12 & 63));
        }
        *out++ = (char)(0x80 | (point >> 6 & 63));
        *out++ = (char)(0x80 | (point & 63));
    }
    return out;
}

/* A string from its opening quote; its decoded bytes and NUL go to out unless that is NULL. */
static bool scan_string(struct scan *s, char *out)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *known;
    char spare[8];

    s->at++;
    while (s->at < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at++;
        if (c < 0x20) return refuse(s, "a control character inside a string");
        if (c != '\\') {
            if (out) *out++ = (char)c;
            continue;
        }
        c = s->at < s->end ? (unsigned char)*s->at++ : 0;
        if (c == 'u') {
            long point = scan_unicode(s);
            if (point < 0) return refuse(s, "\\u without a character behind it");
            char *after = put_utf8(out ? out : spare, point);
            if (out) out = after;
        } else if (c && (known = strchr(escapes, c))) {
            if (out) *out++ = meant[known - escapes];
        } else {
            return refuse(s, "an unknown escape in a string");
        }
    }
    if (out) *out = '\0';
    return take(s, '"') || refuse(s, "a string has no end");
}

static bool scan_number(struct scan *s)
{
    char digits[64]; /* cJSON reads no more than 63 */
    size_t used = 0;
    double value;

    while (s->at + used < s->end && used < sizeof digits && s->at[used] && strchr("+-.0123456789eE", s->at[used])) {
        digits[used] = s->at[used];
        used++;
    }
    if (!used) return refuse(s, "a value was expected");
    if (used == sizeof digits) return refuse(s, "a number of more than 63 characters");
    digits[used] = '\0';
    if (!str_to_double(digits, &value)) return refuse(s, "not a number, or too large for one");
    if (!strpbrk(digits, ".eE") && fabs(value) >= 9007199254740992.0)
        return refuse(s, "an integer of 2^53 or more (write it as a string)");
    s->at += used;
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t bytes = strlen(word);
    if ((size_t)(s->end - s->at) < bytes || memcmp(s->at, word, bytes) != 0) return refuse(s, "an unknown word");
    s->at += bytes;
    return true;
}

static bool scan_value(struct scan *s, int depth);

static bool scan_members(struct scan *s, char close, int depth)
{
    if (depth > JSON_MAX_DEPTH) return refuse(s, "more than 64 levels");
    s->at++;
    skip_space(s);
    if (take(s, close)) return true;
    do {
        skip_space(s);
        if (close == '}') {
            if (s->at >= s->end || *s->at != '"') return refuse(s, "a member's name was expected");
            if (!scan_string(s, NULL)) return false;
            skip_space(s);
            if (!take(s, ':')) return refuse(s, "':' was expected");
        }
        if (!scan_value(s, depth)) return false;
        skip_space(s);
    } while (take(s, ','));
    return take(s, close) || refuse(s, close == '}' ? "',' or '}' was expected" : "',' or ']' was expected");
}

static bool scan_value(struct scan *s, int depth)
{
    skip_space(s);
    switch (s->at < s->end ? *s->at : '\0') {
    case '{': return scan_members(s, '}', depth + 1);
    case '[': return scan_members(s, ']', depth + 1);
    case '"': return scan_string(s, NULL);
    case 't': return scan_word(s, "true");
    case 'f': return scan_word(s, "false");
    case 'n': return scan_word(s, "null");
    default: return scan_number(s);
    }
}

static bool scan_text(const char *text, size_t size, struct tinct_err *err)
{
    struct scan s = { text, text, text + size, err };

    if (size > JSON_MAX_BYTES)
        return tinct_fail(err, TINCT_ERR_FORMAT, "bad JSON: %zu bytes, at most %d are read", size, JSON_MAX_BYTES);
    s.at = text + str_utf8_prefix(text, size);
    if (s.at < s.end) return refuse(&s, "not UTF-8");
    s.at = text;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) return refuse(&s, "it begins with a byte order mark");
    if (!scan_value(&s, 0)) return false;
    skip_space(&s);
    return s.at == s.end || refuse(&s, "something follows the value");
}

bool json_unquote(const char *literal, size_t size, char *out)
{
    struct scan s = { literal, literal, literal + size, NULL };

    return size >= 2 && literal[0] == '"' && str_utf8_prefix(literal, size) == size && !memchr(literal, '\0', size) &&
           scan_string(&s, out) && s.at == s.end;
}

/* ---- the tree ---- */

static const cJSON *tree(const struct json *value)
{
    return (const cJSON *)value;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool names_differ(const cJSON *object, struct tinct_err *err)
{
    size_t count = json_count((const struct json *)object), i = 0;
    char **names = count > 1 ? malloc(count * sizeof *names) : NULL;
    const char *twice = NULL;

    if (count <= 1) return true;
    if (!names) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to read JSON");
    for (const cJSON *member = object->child; member; member = member->next) names[i++] = member->string;
    qsort(names, count, sizeof *names, compare_names);
    for (i = 1; i < count && !twice; i++)
        if (strcmp(names[i - 1], names[i]) == 0) twice = names[i];
    if (twice) tinct_fail(err, TINCT_ERR_FORMAT, "bad JSON: two members are named \"%.64s\"", twice);
    free(names);
    return !twice;
}

/* No deeper than JSON_MAX_DEPTH: the scan has seen to that. */
static bool all_names_differ(const cJSON *value, struct tinct_err *err)
{
    if (cJSON_IsObject(value) && !names_differ(value, err)) return false;
    for (const cJSON *child = value->child; child; child = child->next)
        if (child->child && !all_names_differ(child, err)) return false;
    return true;
}

struct json *json_parse(const char *text, size_t size, struct tinct_err *err)
{
    if (!scan_text(text, size, err)) return NULL;

    cJSON *root = cJSON_ParseWithLengthOpts(text, size, NULL, 0);
    if (!root) tinct_fail(err, TINCT_ERR_MEMORY, "no memory to read JSON");
    if (root && !all_names_differ(root, err)) {
        cJSON_Delete(root);
        root = NULL;
    }
    return (struct json *)root;
}

void json_free(struct json *root)
{
    cJSON_Delete((cJSON *)root);
}

enum json_kind json_kind(const struct json *value)
{
    switch (tree(value)->type & 0xff) {
    case cJSON_False:
    case cJSON_True: return JSON_BOOL;
    case cJSON_Number: return JSON_NUMBER;
    case cJSON_String: return JSON_STRING;
    case cJSON_Array: return JSON_ARRAY;
    case cJSON_Object: return JSON_OBJECT;
    default: return JSON_NULL;
    }
}

const struct json *json_member(const struct json *object, const char *name)
{
    if (!cJSON_IsObject(tree(object))) return NULL;
    return (const struct json *)cJSON_GetObjectItemCaseSensitive(tree(object), name);
}

const struct json *json_first(const struct json *value)
{
    return value ? (const struct json *)tree(value)->child : NULL;
}

const struct json *json_next(const struct json *value)
{
    return (const struct json *)tree(value)->next;
}

const char *json_name(const struct json *member)
{
    return tree(member)->string ? tree(member)->string : "";
}

size_t json_count(const struct json *value)
{
    size_t count = 0;
    for (const struct json *v = json_first(value); v; v = json_next(v)) count++;
    return count;
}

bool json_to_bool(const struct json *value, bool *out)
{
    if (!cJSON_IsBool(tree(value))) return false;
    *out = cJSON_IsTrue(tree(value));
    return true;
}

bool json_to_double(const struct json *value, double *out)
{
    if (!cJSON_IsNumber(tree(value))) return false;
    *out = tree(value)->valuedouble;
    return true;
}

bool json_to_integer(const struct json *value, int64_t *out)
{
    double number;

    if (!json_to_double(value, &number) || number != floor(number) || fabs(number) >= 9007199254740992.0) return false;
    *out = (int64_t)number;
    return true;
}

const char *json_to_string(const struct json *value)
{
    return cJSON_IsString(tree(value)) ? tree(value)->valuestring : NULL;
}
