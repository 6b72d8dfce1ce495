/* Pictures in the formats that people's previews have besides PNG: JPEG and WebP, pixels alone.
 *
 * Files are hostile: 64 MiB and 64 Mpx at most, checked before anything is decoded; a JPEG of more scans than any camera or
 * program writes is refused. */
#ifndef TINCT_IMAGE_PHOTO_H
#define TINCT_IMAGE_PHOTO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
    PHOTO_MAX_BYTES = 64 << 20,
    PHOTO_MAX_PIXELS = 1 << 26,   /* 64 Mpx, as for a PNG */
    PHOTO_MAX_SCANS = 100,        /* of a progressive JPEG; usual are 10 */
};

struct photo {
    int width, height;
    unsigned char *rgb;           /* [height, width, 3]; the caller frees it */
};

/* True when a file begins with these bytes and so claims to be one. 12 of them tell. */
bool jpeg_claimed(const void *bytes, size_t size);
bool webp_claimed(const void *bytes, size_t size);

/* Grey becomes RGB; transparency is dropped, not blended; the first frame of a film is no picture. Refused with TINCT_ERR_FORMAT:
 * what the decoder cannot read, CMYK, data that ends early. *out is zeroed on failure. */
bool jpeg_decode(const void *bytes, size_t size, struct photo *out, struct tinct_err *err);
bool webp_decode(const void *bytes, size_t size, struct photo *out, struct tinct_err *err);

/* Either of them from a file; its sentences begin with the path. */
bool photo_read(const char *path, struct photo *out, struct tinct_err *err);

#endif
