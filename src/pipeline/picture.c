/* From the decoder's floats to a picture on disk. */
#include "pipeline/picture.h"

#include <math.h>
#include <stdlib.h>

#include "image/png.h"

bool picture_from_rgb(struct tinct_image *out, const float *rgb, uint32_t width, uint32_t height, struct tinct_err *err)
{
    size_t count = (size_t)width * height * 3;
    unsigned char *bytes = malloc(count);

    if (!bytes) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a picture of %ux%u", width, height);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(rgb[i])) {
            free(bytes);
            return tinct_fail(err, TINCT_ERR_NAN, "the VAE gave a value that is not a number");
        }
        float v = (rgb[i] + 1.0f) * 127.5f;
        bytes[i] = (unsigned char)(v <= 0.0f ? 0 : v >= 255.0f ? 255 : (int)(v + 0.5f));
    }
    out->width = (int)width;
    out->height = (int)height;
    out->rgb = bytes;
    return true;
}

bool tinct_image_save(const struct tinct_image *image, const char *path, bool overwrite, struct tinct_err *err)
{
    return png_write(path, image->rgb, image->width, image->height, image->infotext, overwrite, err);
}

void tinct_image_free(struct tinct_image *image)
{
    free(image->rgb);
    free(image->infotext);
    *image = (struct tinct_image) { 0 };
}
