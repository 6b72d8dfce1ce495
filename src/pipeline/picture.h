/* From the decoder's floats to pictures. */
#ifndef TINCT_PIPELINE_PICTURE_H
#define TINCT_PIPELINE_PICTURE_H

#include "base/err.h"

/* rgb [height, width, 3] in -1..1 to bytes, rounded; out->rgb is the caller's (tinct_image_free). Refused: NaN, Inf. */
bool picture_from_rgb(struct tinct_image *out, const float *rgb, uint32_t width, uint32_t height, struct tinct_err *err);

#endif
