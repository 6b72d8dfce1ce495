/* The PNG reader: no input crashes it, and what it reads can be written and read again. Every
 * checksum is made right first, or nothing behind one would ever be reached. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "image/infotext.h"
#include "image/png.h"
#include "image/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void mend_checksums(uint8_t *png, size_t size)
{
    size_t at = 8;

    while (size >= 12 && at <= size - 12) {
        uint32_t length =
            (uint32_t)png[at] << 24 | (uint32_t)png[at + 1] << 16 | (uint32_t)png[at + 2] << 8 | png[at + 3];
        if (length > size - 12 - at) break;
        put_u32(png + at + 8 + length, (uint32_t)crc32(0, png + at + 4, length + 4));
        at += length + 12;
    }
}

static void write_again(const struct png *png)
{
    struct png again;
    unsigned char *bytes;
    size_t size, pixels = (size_t)png->width * (size_t)png->height;
    struct tinct_err err;

    if (!png_encode(png->rgb, png->width, png->height, png_text(png, "parameters"), &bytes, &size, &err) ||
        !png_read_memory(bytes, size, true, &again, &err) || memcmp(png->rgb, again.rgb, pixels * 3) != 0)
        abort();
    const char *text = png_text(png, "parameters"), *text_again = png_text(&again, "parameters");
    if (!text != !text_again || (text && strcmp(text, text_again) != 0)) abort();
    free(bytes);
    png_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct tinct_err err;
    struct png png;
    uint8_t *mended = malloc(size + 1);

    if (size >= 24 &&
        (bytes[16] || bytes[17] || bytes[20] || bytes[21])) { /* sides over 65535: refused or slow */
        free(mended);
        return 0;
    }
    memcpy(mended, bytes, size);
    mend_checksums(mended, size);
    if (png_read_memory(mended, size, true, &png, &err)) {
        (void)recipe_find(&png);
        if (png.width <= 256 && png.height <= 256) write_again(&png);
    }
    png_free(&png);
    free(mended);
    return 0;
}
