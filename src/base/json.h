/* JSON as RFC 8259 has it and not a letter more: one strict wrapper over cJSON.
 *
 * Reading refuses, each with its own sentence that says at which byte: more than
 * 1 MiB, invalid UTF-8, a byte order mark, anything after the value, more than 64
 * levels, two members of one name, a NUL inside a string, unpaired surrogates,
 * numbers too large for a double, and integers of 2^53 or more (which a double
 * would change without a word; such numbers travel as strings).
 *
 * For requests, sidecars and our own small files. The safetensors header has its
 * own reader (tensor/safetensors.h): a tree of 1.7 million tensors takes 1.2 GB. */
#ifndef TINCT_BASE_JSON_H
#define TINCT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { JSON_MAX_BYTES = 1 << 20, JSON_MAX_DEPTH = 64 };

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json; /* a value; lives as long as the one that json_parse returned */

/* NULL with TINCT_ERR_FORMAT, or TINCT_ERR_MEMORY. Free with json_free. */
struct json *json_parse(const char *text, size_t size, struct tinct_err *err);
void json_free(struct json *root); /* NULL is fine */

enum json_kind json_kind(const struct json *value);

/* NULL when object has no member of exactly that name, is no object, or is NULL. */
const struct json *json_member(const struct json *object, const char *name);

/* The members or items in order, NULL at the end: for (v = json_first(o); v; v = json_next(v)) */
const struct json *json_first(const struct json *value);
const struct json *json_next(const struct json *value);
const char *json_name(const struct json *member); /* "" for items of an array */
size_t json_count(const struct json *value);

/* False, and *out untouched, when value is NULL or of another kind. */
bool json_to_bool(const struct json *value, bool *out);
bool json_to_double(const struct json *value, double *out);
bool json_to_integer(const struct json *value, int64_t *out); /* 3 and 3.0, not 3.5 */
const char *json_to_string(const struct json *value);         /* UTF-8; NULL when it is none */

/* ---- writing ----
 *
 *     struct json_writer w = { 0 };
 *     json_begin(&w, NULL, JSON_OBJECT);
 *     json_put_string(&w, "name", name);
 *     json_end(&w);
 *     char *text = json_finish(&w, err);
 *
 * Indented by two spaces a level. name is NULL for items of an array and for the root. What is
 * not valid UTF-8 becomes U+FFFD; a number that is not finite becomes null. */
struct json_writer {
    struct str text;
    int depth;
    uint64_t arrays; /* bit per open level: it is an array */
    bool follows;    /* something stands before on this level */
};

void json_begin(struct json_writer *w, const char *name, enum json_kind kind); /* JSON_ARRAY or JSON_OBJECT */
void json_end(struct json_writer *w);
void json_put_string(struct json_writer *w, const char *name, const char *value); /* NULL gives null */
void json_put_integer(struct json_writer *w, const char *name, int64_t value);    /* from 2^53 on as a string */
void json_put_double(struct json_writer *w, const char *name, double value);
void json_put_bool(struct json_writer *w, const char *name, bool value);

/* The text and a newline; the caller frees it. NULL with TINCT_ERR_MEMORY. */
char *json_finish(struct json_writer *w, struct tinct_err *err);

/* "text" as a JSON string, quotes included, non-ASCII kept: what Python's
 * json.dumps(text, ensure_ascii=False) gives. */
void json_quote(struct str *out, const char *text);

/* The other way, for a whole string literal of size bytes with its quotes; writes at
 * most size bytes with NUL to out. False when it is no valid literal, or holds a NUL. */
bool json_unquote(const char *literal, size_t size, char *out);

#endif
