#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/save.h"
#include "base/str.h"
#include "image/png.h"

/* Pictures that models paint are smooth and a little noisy: after PNG's filters, runs
 * and Huffman codes are all there is to find. Longer searches take longer and give more:
 * on a 512x512 of that kind Z_RLE 15 ms and 254 KB, zlib's default 100 ms and 298 KB,
 * stb's own 47 ms and 474 KB; on flat shapes 25 ms and 201 KB, 60 ms and 214 KB. */
static unsigned char *deflate_pixels(unsigned char *data, int size, int *deflated, int quality)
{
    z_stream z = { .next_in = data, .avail_in = (uInt)size };
    (void)quality;

    if (deflateInit2(&z, 6, Z_DEFLATED, 15, 9, Z_RLE) != Z_OK) return NULL;
    uLong room = deflateBound(&z, (uLong)size);
    unsigned char *out = room <= INT_MAX ? malloc(room) : NULL;
    z.next_out = out;
    z.avail_out = (uInt)room;
    bool done = out && deflate(&z, Z_FINISH) == Z_STREAM_END;
    *deflated = (int)z.total_out;
    deflateEnd(&z);
    if (!done) free(out);
    return done ? out : NULL;
}

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBIW_ZLIB_COMPRESS deflate_pixels
#include <stb/stb_image_write.h>

enum { HEAD_BYTES = 33 }; /* the signature and IHDR, which come before any text */

static void put_u32(unsigned char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) out[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* text in Latin-1 to out (as long as text), or false when that cannot hold it. */
static bool to_latin1(const char *text, char *out)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x80) {
            *out++ = (char)*c;
        } else if (*c == 0xc2 || *c == 0xc3) { /* U+0080 to U+00FF */
            *out++ = (char)((*c & 3) << 6 | (c[1] & 63));
            c++;
        } else {
            return false;
        }
    }
    *out = '\0';
    return true;
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80) text++;
    return !*text;
}

/* A whole "parameters" chunk. Latin-1 that happens to be valid UTF-8 too goes into
 * iTXt, as a reader could not know which was meant. */
static unsigned char *text_chunk(const char *text, size_t *size)
{
    static const char plain[] = "tEXtparameters";
    static const char international[] = "iTXtparameters\0\0\0\0"; /* not compressed, no language: PNG 11.3.4.5 */
    char *latin1 = malloc(strlen(text) + 1);
    if (!latin1) return NULL;

    bool suffices = to_latin1(text, latin1);
    if (suffices && !is_ascii(text) && str_utf8_prefix(latin1, strlen(latin1)) == strlen(latin1)) suffices = false;
    const char *head = suffices ? plain : international, *value = suffices ? latin1 : text;
    size_t head_bytes = suffices ? sizeof plain : sizeof international, bytes = strlen(value); /* both end in NUL */
    unsigned char *chunk = malloc(head_bytes + bytes + 8);

    if (chunk) {
        put_u32(chunk, (uint32_t)(head_bytes - 4 + bytes));
        memcpy(chunk + 4, head, head_bytes);
        memcpy(chunk + 4 + head_bytes, value, bytes);
        put_u32(chunk + 4 + head_bytes + bytes, (uint32_t)crc32(0, chunk + 4, (uInt)(head_bytes + bytes)));
        *size = head_bytes + bytes + 8;
    }
    free(latin1);
    return chunk;
}

/* The finished file, put together when stb hands over its own. */
struct output {
    const unsigned char *text;
    size_t text_bytes;
    unsigned char *png;
    size_t size;
};

static void insert_text(void *user, void *bytes, int size)
{
    struct output *out = user;
    const unsigned char *png = bytes;

    out->size = (size_t)size + out->text_bytes;
    out->png = malloc(out->size);
    if (!out->png) return;
    memcpy(out->png, png, HEAD_BYTES);
    if (out->text) memcpy(out->png + HEAD_BYTES, out->text, out->text_bytes);
    memcpy(out->png + HEAD_BYTES + out->text_bytes, png + HEAD_BYTES, (size_t)size - HEAD_BYTES);
}

static bool check_arguments(int width, int height, const char *parameters, struct tinct_err *err)
{
    if (width < 1 || height < 1 || (int64_t)width * height > PNG_MAX_PIXELS)
        return tinct_fail(err, TINCT_ERR_ARG, "a PNG of %dx%d is out of range: 1x1 to 64 Mpx", width, height);
    if (!parameters) return true;
    size_t bytes = strlen(parameters);
    if (bytes > PNG_MAX_TEXT)
        return tinct_fail(err, TINCT_ERR_ARG, "the recipe is %zu bytes, a PNG of ours holds at most 1 MiB", bytes);
    if (str_utf8_prefix(parameters, bytes) != bytes)
        return tinct_fail(err, TINCT_ERR_ARG, "the recipe is not UTF-8 (byte %zu)", str_utf8_prefix(parameters, bytes));
    return true;
}

bool png_encode(const unsigned char *rgb, int width, int height, const char *parameters, unsigned char **png,
                size_t *size, struct tinct_err *err)
{
    struct output out = { 0 };
    unsigned char *text = NULL;

    *png = NULL;
    *size = 0;
    if (!check_arguments(width, height, parameters, err)) return false;
    if (parameters && !(text = text_chunk(parameters, &out.text_bytes)))
        return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to write a PNG");
    out.text = text;
    int written = stbi_write_png_to_func(insert_text, &out, width, height, 3, rgb, 3 * width);
    free(text);
    if (!written || !out.png) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to write a PNG");
    *png = out.png;
    *size = out.size;
    return true;
}

bool png_write(const char *path, const unsigned char *rgb, int width, int height, const char *parameters,
               bool overwrite, struct tinct_err *err)
{
    unsigned char *png;
    size_t size;
    bool fine = png_encode(rgb, width, height, parameters, &png, &size, err);

    if (!fine) return tinct_within(err, "%s", path);
    fine = save_file(path, png, size, overwrite, err);
    free(png);
    return fine;
}
