/* The embedding inside one of A1111's pictures: base64 of JSON,
 *
 *     {"string_to_param": {"*": {"TORCHTENSOR": [[0.1, ...], ...]}}, "name": ..., "step": ...}  */
#include "base/json.h"
#include "text/embedding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The bytes of base64, with or without '=' at its end, into out, as large as text; false for anything else. */
static bool decode(const char *text, char *out, size_t *size)
{
    size_t length = strlen(text);
    uint32_t bits = 0;

    while (length && (text[length - 1] == '=' || text[length - 1] == '\n')) length--;
    *size = 0;
    for (size_t i = 0; i < length; i++) {
        int value = digit(text[i]);
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4) out[(*size)++] = (char)(bits >> (6 - 2 * (i % 4)) & 255);
    }
    return length % 4 != 1;
}

static bool read_rows(struct embedding *out, const char *path, const struct json *rows, struct tinct_err *err)
{
    float *to = out->vectors;

    for (const struct json *row = json_first(rows); row; row = json_next(row)) {
        if (json_count(row) != out->width)
            return tinct_fail(err, TINCT_ERR_FORMAT, "%s: the embedding's vectors are of different lengths", path);
        for (const struct json *v = json_first(row); v; v = json_next(v)) {
            double value;
            if (!json_to_double(v, &value) || !isfinite((float)value))
                return tinct_fail(err, TINCT_ERR_FORMAT, "%s: the embedding holds something that is no number", path);
            *to++ = (float)value;
        }
    }
    return true;
}

static bool read_json(struct embedding *out, const char *path, const struct json *root, uint32_t wanted,
                      struct tinct_err *err)
{
    const struct json *params = json_member(root, "string_to_param"), *one = json_first(params);
    const struct json *rows = json_member(one, "TORCHTENSOR");

    if (!rows || json_count(params) != 1)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: the embedding in it has no \"string_to_param\" with one tensor",
                          path);
    if (!embedding_expect(path, json_count(rows), json_count(json_first(rows)), wanted, err)) return false;
    *out = (struct embedding) { malloc(json_count(rows) * wanted * sizeof(float)), (uint32_t)json_count(rows), wanted };
    if (!out->vectors) return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its vectors", path);
    return read_rows(out, path, rows, err);
}

bool embedding_decode(struct embedding *out, const char *path, const char *base64, uint32_t width,
                      struct tinct_err *err)
{
    char *text = malloc(strlen(base64) + 1);
    size_t size;

    *out = (struct embedding) { 0 };
    if (!text) return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for the embedding in it", path);
    if (!decode(base64, text, &size)) {
        free(text);
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: the embedding in it is no base64", path);
    }
    struct json *root = json_parse(text, size, err);
    bool ok = root ? read_json(out, path, root, width, err) : tinct_within(err, "%s", path);
    json_free(root);
    free(text);
    if (!ok) embedding_free(out);
    return ok;
}
