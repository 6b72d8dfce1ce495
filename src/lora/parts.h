/* A module's tensors in memory, and the few products that every type's delta is made of. */
#ifndef TINCT_LORA_PARTS_H
#define TINCT_LORA_PARTS_H

#include "lora/file.h"

#include <stddef.h>

struct lora_parts {
    float *value[LORA_PARTS]; /* NULL: the module has none */
};

/* All parts as fp32, but alpha and scale, which lora/scale.h has read. */
bool lora_parts_read(struct lora_parts *parts, const struct lora_module *m, struct tinct_err *err);
void lora_parts_free(struct lora_parts *parts);

/* Size of a part's axis; the part is there (lora/fit.h). */
uint32_t lora_axis_size(const struct lora_module *m, enum lora_part part, int axis);

/* y [rows, cols] = u [rows, inner] @ d [inner, cols]; u's rows lie stride values apart. */
void lora_product(float *y, const float *u, size_t stride, const float *d, size_t rows, size_t inner, size_t cols);

/* y [m, in, taps] = sum over n of core [m, n, taps] * b [n, in]. */
void lora_spread(float *y, const float *core, const float *b, size_t m, size_t n, size_t in, size_t taps);

/* y [out, in, taps] = sum over m, n of a [m, out] * core [m, n, taps] * b [n, in]; false without memory. */
bool lora_tucker(float *y, const float *a, const float *core, const float *b, size_t m, size_t n, size_t out,
                 size_t in, size_t taps);

/* A layer's sizes. */
struct lora_sizes {
    size_t out, in, taps, total; /* rows, columns, kh kw; their product */
};
struct lora_sizes lora_sizes(const struct lora_target *target);

/* ---- one type each: delta [out, in, taps] at strength 1, scale included ---- */

bool lora_delta_low_rank(float *delta, const struct lora_module *m, const struct lora_parts *p, uint32_t keep);
bool lora_delta_loha(float *delta, const struct lora_module *m, const struct lora_parts *p);
bool lora_delta_lokr(float *delta, const struct lora_module *m, const struct lora_parts *p);
bool lora_delta_glora(float *delta, const struct lora_module *m, const struct lora_parts *p, const float *w0);

/* At a strength, since rescale and butterflies are not in proportion to it. */
bool lora_delta_oft(float *delta, const struct lora_module *m, const struct lora_parts *p, double strength,
                    const float *w0);

#endif
