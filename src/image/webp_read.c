#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>

#include "image/photo.h"

bool webp_claimed(const void *bytes, size_t size)
{
    return size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp((const char *)bytes + 8, "WEBP", 4) == 0;
}

bool webp_decode(const void *bytes, size_t size, struct photo *out, struct tinct_err *err)
{
    WebPBitstreamFeatures about;

    *out = (struct photo) { 0 };
    if (WebPGetFeatures(bytes, size, &about) != VP8_STATUS_OK) return tinct_fail(err, TINCT_ERR_FORMAT, "bad WebP: its header cannot be read");
    if (about.has_animation) return tinct_fail(err, TINCT_ERR_FORMAT, "a WebP film, not a picture");
    if ((uint64_t)about.width * (uint64_t)about.height > PHOTO_MAX_PIXELS)
        return tinct_fail(err, TINCT_ERR_FORMAT, "bad WebP: more than 64 megapixels");
    size_t row = 3 * (size_t)about.width, all = row * (size_t)about.height;
    unsigned char *rgb = malloc(all);
    if (!rgb) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for its pixels");
    if (!WebPDecodeRGBInto(bytes, size, rgb, all, (int)row)) {
        free(rgb);
        return tinct_fail(err, TINCT_ERR_FORMAT, "bad WebP: its pixels cannot be read");
    }
    *out = (struct photo) { about.width, about.height, rgb };
    return true;
}
