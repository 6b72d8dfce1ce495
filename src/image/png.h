/* PNG files: pixels as RGB8, and the texts inside.
 *
 * Files are hostile. Nothing is allocated before the header is checked (64 Mpx),
 * chunks are counted, inflated texts are capped; colour profiles, animation and
 * whatever else a PNG may carry is stepped over unread. */
#ifndef TINCT_IMAGE_PNG_H
#define TINCT_IMAGE_PNG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
    PNG_MAX_PIXELS = 1 << 26,     /* 64 Mpx, 8192 x 8192 */
    PNG_MAX_TEXT = 1 << 20,       /* bytes of one text, inflated */
    PNG_MAX_ALL_TEXT = 4 << 20,   /* bytes of all texts of a file */
    PNG_MAX_CHUNKS = 1000,        /* besides the pixels' own */
};

/* RGB8 pixels as a PNG in memory, with text as its "parameters": a tEXt chunk when
 * Latin-1 suffices and cannot be taken for UTF-8, else iTXt. The same input gives
 * the same bytes.
 *
 *   rgb         [height, width, 3]
 *   parameters  UTF-8, at most PNG_MAX_TEXT bytes; NULL: no text
 *   *png        size bytes; the caller frees it
 *
 * Refused with TINCT_ERR_ARG: a size out of range, a text too long or not UTF-8. */
bool png_encode(const unsigned char *rgb, int width, int height, const char *parameters, unsigned char **png,
                size_t *size, struct tinct_err *err);

/* The same into a file, as save_file (base/save.h) writes it. */
bool png_write(const char *path, const unsigned char *rgb, int width, int height, const char *parameters,
               bool overwrite, struct tinct_err *err);

struct png_text {
    char *key;   /* "parameters", "prompt", ...; UTF-8, 1..79 characters of Latin-1 in the file */
    char *value; /* UTF-8 */
};

struct png {
    int width, height;
    unsigned char *rgb;     /* [height, width, 3]; NULL unless asked for */
    struct png_text *texts; /* in the file's order */
    size_t text_count;
};

/* Transparency is dropped, not blended; 16 bits become 8; grey and palettes become
 * RGB. A tEXt or zTXt that is valid UTF-8 is taken as that, since several programs
 * write it so against the standard; else it is Latin-1.
 *
 * Refused with TINCT_ERR_IO as file_open does, with TINCT_ERR_FORMAT: not a PNG,
 * or a rule that it breaks, with the byte of the chunk. On failure *out is zeroed;
 * free it with png_free. */
bool png_read(const char *path, bool pixels, struct png *out, struct tinct_err *err);
bool png_read_memory(const void *bytes, size_t size, bool pixels, struct png *out, struct tinct_err *err);

/* The first text of that key, exact case; NULL when there is none. */
const char *png_text(const struct png *png, const char *key);

void png_free(struct png *png);

/* True when a file begins with these bytes and so claims to be a PNG. */
bool png_claimed(const void *bytes, size_t size);

#endif
