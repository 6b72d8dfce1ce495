#include "lora/parts.h"

#include <stdlib.h>
#include <string.h>

bool lora_parts_read(struct lora_parts *parts, const struct lora_module *m, struct tinct_err *err)
{
    struct stored view;

    *parts = (struct lora_parts) { { NULL } };
    for (int part = 0; part < LORA_PARTS; part++) {
        if (part == LORA_ALPHA || part == LORA_SCALE || !lora_module_view(m, (enum lora_part)part, &view)) continue;
        float *values = malloc((size_t)stored_count(&view) * sizeof *values);
        parts->value[part] = values;
        if (!values) tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to read %s", lora_path(m->file), view.name);
        if (!values || !stored_read_f32(values, &view, err)) {
            lora_parts_free(parts);
            return false;
        }
    }
    return true;
}

void lora_parts_free(struct lora_parts *parts)
{
    for (int part = 0; part < LORA_PARTS; part++) free(parts->value[part]);
    *parts = (struct lora_parts) { { NULL } };
}

uint32_t lora_axis_size(const struct lora_module *m, enum lora_part part, int axis)
{
    struct stored view;
    return lora_module_view(m, part, &view) ? view.shape[axis] : 0;
}

struct lora_sizes lora_sizes(const struct lora_target *t)
{
    struct lora_sizes s = { t->shape[0], t->shape[1], (size_t)t->shape[2] * t->shape[3], 0 };
    s.total = s.out * s.in * s.taps;
    return s;
}

void lora_product(float *y, const float *u, size_t stride, const float *d, size_t rows, size_t inner, size_t cols)
{
    enum { RUN = 2048 }; /* columns whose rows of d stay in the cache */

    for (size_t c = 0; c < cols; c += RUN) {
        size_t n = cols - c < RUN ? cols - c : RUN;
        for (size_t r = 0; r < rows; r++) {
            float *restrict to = y + r * cols + c;
            memset(to, 0, n * sizeof *to);
            for (size_t k = 0; k < inner; k++) {
                const float *restrict from = d + k * cols + c;
                float factor = u[r * stride + k];
                for (size_t i = 0; i < n; i++) to[i] += factor * from[i];
            }
        }
    }
}

void lora_spread(float *y, const float *core, const float *b, size_t m, size_t n, size_t in, size_t taps)
{
    memset(y, 0, m * in * taps * sizeof *y);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            const float *tap = core + (i * n + j) * taps;
            for (size_t c = 0; c < in; c++)
                for (size_t t = 0; t < taps; t++) y[(i * in + c) * taps + t] += tap[t] * b[j * in + c];
        }
}

bool lora_tucker(float *y, const float *a, const float *core, const float *b, size_t m, size_t n, size_t out,
                 size_t in, size_t taps)
{
    float *wide = malloc(m * in * taps * sizeof *wide), *turned = malloc(m * out * sizeof *turned);
    bool ok = wide && turned;

    if (ok) {
        lora_spread(wide, core, b, m, n, in, taps);
        for (size_t i = 0; i < m; i++)
            for (size_t o = 0; o < out; o++) turned[o * m + i] = a[i * out + o];
        lora_product(y, turned, m, wide, out, m, in * taps);
    }
    free(wide);
    free(turned);
    return ok;
}
