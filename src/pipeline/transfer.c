#include "pipeline/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/convert.h"

void transfer_add(struct transfer *t, struct tensor *out, enum dtype dtype, uint32_t dims, const uint32_t *shape)
{
    *out = tensor_view(NULL, t->used, dtype, dims, shape);
    t->used += (tensor_bytes(*out) + SPAN_ALIGN - 1) / SPAN_ALIGN * SPAN_ALIGN;
}

bool transfer_allocate(struct transfer *t, struct device *device, struct tensor *const *tensors, uint32_t count,
                       struct tinct_err *err)
{
    t->buffer = buffer_create(device, t->used, err);
    for (uint32_t i = 0; i < count; i++) tensors[i]->buffer = t->buffer;
    return t->buffer != NULL;
}

void transfer_free(struct transfer *t)
{
    buffer_free(t->buffer);
    t->buffer = NULL;
}

static float *spread(const float *rows, uint32_t count, uint32_t from, uint32_t to)
{
    float *wide = calloc((size_t)count * to, sizeof *wide);

    for (uint32_t r = 0; wide && r < count; r++)
        memcpy(wide + (size_t)r * to, rows + (size_t)r * from, from * sizeof *wide);
    return wide;
}

bool tensor_upload(struct tensor t, const float *rows, uint32_t channels, struct tinct_err *err)
{
    uint32_t count = tensor_rows(t), width = tensor_channels(t);
    size_t values = (size_t)count * width;
    float *wide = channels < width ? spread(rows, count, channels, width) : NULL;
    uint16_t *half = t.dtype == DTYPE_F16 ? malloc(values * sizeof *half) : NULL;
    bool ok = (channels == width || wide) && (t.dtype == DTYPE_F32 || half);

    if (!ok) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory to hand %zu values to the device", values);
    } else {
        const float *from = wide ? wide : rows;
        if (half) convert_to_f16(half, from, DTYPE_F32, values);
        ok = buffer_write(t.buffer, t.offset, half ? (const void *)half : from, values * dtype_size(t.dtype), err);
    }
    free(half);
    free(wide);
    return ok;
}

bool tensor_download(struct tensor t, float *rows, uint32_t channels, struct tinct_err *err)
{
    uint32_t count = tensor_rows(t), width = tensor_channels(t);
    size_t values = (size_t)count * width;

    if (t.dtype == DTYPE_F32 && channels == width) return buffer_read(t.buffer, t.offset, rows, values * 4, err);
    float *wide = malloc(values * sizeof *wide);
    void *raw = t.dtype == DTYPE_F16 ? malloc(values * 2) : wide;
    bool ok = wide && raw;

    if (!ok) tinct_fail(err, TINCT_ERR_MEMORY, "no memory to take %zu values from the device", values);
    if (ok) ok = buffer_read(t.buffer, t.offset, raw, values * dtype_size(t.dtype), err);
    if (ok) {
        if (t.dtype == DTYPE_F16) convert_to_f32(wide, raw, DTYPE_F16, values);
        for (uint32_t r = 0; r < count; r++)
            memcpy(rows + (size_t)r * channels, wide + (size_t)r * width, channels * sizeof *rows);
    }
    if (raw != wide) free(raw);
    free(wide);
    return ok;
}
