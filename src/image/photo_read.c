#include <stdlib.h>

#include "base/file.h"
#include "image/photo.h"

static bool decode(const char *path, const unsigned char *bytes, size_t size, struct photo *out, struct tinct_err *err)
{
    if (jpeg_claimed(bytes, size)) return jpeg_decode(bytes, size, out, err) || tinct_within(err, "%s", path);
    if (webp_claimed(bytes, size)) return webp_decode(bytes, size, out, err) || tinct_within(err, "%s", path);
    return tinct_fail(err, TINCT_ERR_FORMAT, "%s: neither a JPEG nor a WebP picture", path);
}

bool photo_read(const char *path, struct photo *out, struct tinct_err *err)
{
    struct file *file = file_open(path, err);
    unsigned char *bytes = NULL;
    bool ok = false;

    *out = (struct photo) { 0 };
    if (!file) return false;
    size_t size = file_size(file) <= PHOTO_MAX_BYTES ? (size_t)file_size(file) : 0;
    if (!size) tinct_fail(err, TINCT_ERR_FORMAT, "%s: a picture of more than %d MiB", path, PHOTO_MAX_BYTES >> 20);
    else if (!(bytes = malloc(size))) tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to read it", path);
    else ok = file_read(file, bytes, 0, size, err) && decode(path, bytes, size, out, err);
    free(bytes);
    file_close(file);
    return ok;
}
