#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/str.h"
#include "image/png_chunks.h"

enum { KEYS_BYTES = 1024 }; /* allowed for a key, a language and the key in it */

/* The data of one text chunk while it is taken apart. */
struct text_chunk {
    const struct png_chunk *chunk;
    const unsigned char *at, *end;
    struct tinct_err *err;
};

static bool refuse(const struct text_chunk *t, const char *what)
{
    return tinct_fail(t->err, TINCT_ERR_FORMAT, "bad PNG: %s (chunk %s at byte %" PRIu64 ")", what, t->chunk->type,
                      t->chunk->offset);
}

static bool no_memory(struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the texts of a PNG");
}

/* size bytes as UTF-8: as they are when they are that, else from Latin-1. */
static char *to_utf8(const unsigned char *bytes, size_t size)
{
    bool is_utf8 = str_utf8_prefix((const char *)bytes, size) == size;
    char *text = malloc(2 * size + 1), *out = text;

    if (!text) return NULL;
    for (size_t i = 0; i < size; i++) {
        if (is_utf8 || bytes[i] < 0x80) {
            *out++ = (char)bytes[i];
        } else {
            *out++ = (char)(0xc0 | bytes[i] >> 6);
            *out++ = (char)(0x80 | (bytes[i] & 63));
        }
    }
    *out = '\0';
    return text;
}

/* Up to the next NUL, which is stepped over. */
static bool take_field(struct text_chunk *t, const unsigned char **field, size_t *size)
{
    const unsigned char *nul = t->at < t->end ? memchr(t->at, '\0', (size_t)(t->end - t->at)) : NULL;

    if (!nul) return refuse(t, "a text has no end of its key");
    *field = t->at;
    *size = (size_t)(nul - t->at);
    t->at = nul + 1;
    return true;
}

static bool take_key(struct text_chunk *t, char **key)
{
    const unsigned char *field = NULL;
    size_t size = 0;

    if (!take_field(t, &field, &size)) return false;
    if (size < 1 || size > 79) return refuse(t, "a text's key is not 1 to 79 bytes");
    *key = to_utf8(field, size);
    return *key || no_memory(t->err);
}

/* The rest of the chunk, inflated, into a buffer that the caller frees. */
static bool inflate_rest(struct text_chunk *t, unsigned char **out, size_t *size)
{
    z_stream z = { .next_in = (unsigned char *)(uintptr_t)t->at, .avail_in = (uInt)(t->end - t->at) };
    int status = inflateInit(&z);

    *out = status == Z_OK ? malloc(PNG_MAX_TEXT + 1) : NULL;
    if (!*out) {
        if (status == Z_OK) inflateEnd(&z);
        return no_memory(t->err);
    }
    z.next_out = *out;
    z.avail_out = PNG_MAX_TEXT + 1;
    status = inflate(&z, Z_FINISH);
    *size = z.total_out;
    inflateEnd(&z);
    if (status == Z_MEM_ERROR) return no_memory(t->err);
    if (*size > PNG_MAX_TEXT) return refuse(t, "a text is over 1 MiB");
    return status == Z_STREAM_END || refuse(t, "a compressed text is damaged");
}

static bool take_method(struct text_chunk *t, int *method)
{
    if (t->at >= t->end) return refuse(t, "a text is cut short");
    *method = *t->at++;
    return true;
}

/* After the key of an iTXt: compression flag and method, language, translated key. */
static bool take_international(struct text_chunk *t, bool *compressed)
{
    const unsigned char *field = NULL;
    size_t size = 0;
    int flag = 0, method = 0;

    if (!take_method(t, &flag) || !take_method(t, &method)) return false;
    if (flag > 1 || (flag && method)) return refuse(t, "a text is compressed in an unknown way");
    *compressed = flag;
    return take_field(t, &field, &size) && take_field(t, &field, &size);
}

static bool take_value(struct text_chunk *t, char **value)
{
    bool international = t->chunk->type[0] == 'i', compressed = t->chunk->type[0] == 'z', fine;
    unsigned char *inflated = NULL;
    const unsigned char *bytes;
    size_t size = 0;
    int method = 0;

    if (international && !take_international(t, &compressed)) return false;
    if (!international && compressed) {
        if (!take_method(t, &method)) return false;
        if (method) return refuse(t, "a text is compressed in an unknown way");
    }
    fine = !compressed || inflate_rest(t, &inflated, &size);
    if (fine) {
        bytes = compressed ? inflated : t->at;
        if (!compressed) size = (size_t)(t->end - t->at);
        if (size > PNG_MAX_TEXT)
            fine = refuse(t, "a text is over 1 MiB");
        else if (size && memchr(bytes, '\0', size))
            fine = refuse(t, "a NUL inside a text");
        else if (international && str_utf8_prefix((const char *)bytes, size) != size)
            fine = refuse(t, "a text is not UTF-8");
        else if (!(*value = to_utf8(bytes, size)))
            fine = no_memory(t->err);
    }
    free(inflated);
    return fine;
}

static bool read_text(const struct png_source *source, const struct png_chunk *chunk, struct png_text *out,
                      struct tinct_err *err)
{
    struct text_chunk t = { .chunk = chunk, .err = err };
    unsigned char *bytes;

    if (chunk->length > PNG_MAX_TEXT + KEYS_BYTES) return refuse(&t, "a text is over 1 MiB");
    if (!(bytes = malloc(chunk->length + 1))) return no_memory(err);
    t.at = bytes;
    t.end = t.at + chunk->length;

    bool fine = png_source_read(source, bytes, chunk->offset + 8, chunk->length, err) &&
                take_key(&t, &out->key) && take_value(&t, &out->value);
    free(bytes);
    return fine;
}

bool png_read_texts(const struct png_source *source, const struct png_layout *layout, struct png *out,
                    struct tinct_err *err)
{
    size_t total = 0;

    out->texts = calloc((size_t)layout->kept_count, sizeof *out->texts);
    if (!out->texts) return no_memory(err);
    for (int i = 0; i < layout->kept_count; i++) {
        const struct png_chunk *chunk = &layout->kept[i];
        if (!png_is_text(chunk)) continue;
        struct png_text *text = &out->texts[out->text_count++]; /* counted first: png_free takes it half made */
        if (!read_text(source, chunk, text, err)) return false;
        total += strlen(text->value);
        if (total > PNG_MAX_ALL_TEXT)
            return tinct_fail(err, TINCT_ERR_FORMAT, "bad PNG: its texts are over 4 MiB (chunk %s at byte %" PRIu64 ")",
                              chunk->type, chunk->offset);
    }
    return true;
}

const char *png_text(const struct png *png, const char *key)
{
    for (size_t i = 0; i < png->text_count; i++)
        if (strcmp(png->texts[i].key, key) == 0) return png->texts[i].value;
    return NULL;
}
