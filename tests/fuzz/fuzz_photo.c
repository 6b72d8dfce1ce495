/* The JPEG and WebP readers, as previews of LoRAs come to them: no input crashes them, and what they
 * read is within the limits, every byte of it. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "image/photo.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile unsigned char seen;

static void look_at(const struct photo *photo)
{
    if (photo->width < 1 || photo->height < 1 || (int64_t)photo->width * photo->height > PHOTO_MAX_PIXELS) abort();
    for (size_t i = 0; i < (size_t)photo->width * (size_t)photo->height * 3; i++) seen ^= photo->rgb[i];
}

/* A frame of over 2047 pixels a side: lawful, and slow. */
static bool large_jpeg(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + 8 < size; i++)
        if (bytes[i] == 0xff && bytes[i + 1] >= 0xc0 && bytes[i + 1] <= 0xc2 && (bytes[i + 5] >= 8 || bytes[i + 7] >= 8)) return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct photo photo;
    struct tinct_err err;

    if (large_jpeg(bytes, size)) return 0;
    if (jpeg_claimed(bytes, size)) {
        if (jpeg_decode(bytes, size, &photo, &err)) look_at(&photo);
        else if (photo.rgb) abort();
        free(photo.rgb);
    }
    if (webp_claimed(bytes, size)) {
        if (webp_decode(bytes, size, &photo, &err)) look_at(&photo);
        else if (photo.rgb) abort();
        free(photo.rgb);
    }
    return 0;
}
