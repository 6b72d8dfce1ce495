#include "tensor/tensor.h"

uint32_t tensor_channels(struct tensor t)
{
    return t.dims ? t.shape[t.dims - 1] : 0;
}

uint32_t tensor_rows(struct tensor t)
{
    uint32_t rows = t.dims ? 1 : 0;
    for (uint32_t i = 0; i + 1 < t.dims; i++) rows *= t.shape[i];
    return rows;
}

uint64_t tensor_bytes(struct tensor t)
{
    uint64_t rows = tensor_rows(t);
    if (!rows) return 0;
    return ((rows - 1) * t.stride + tensor_channels(t)) * dtype_size(t.dtype);
}

bool tensor_is(struct tensor t)
{
    return t.buffer != NULL;
}

bool tensor_same(struct tensor a, struct tensor b)
{
    if (a.dtype != b.dtype || a.dims != b.dims) return false;
    for (uint32_t i = 0; i < a.dims; i++)
        if (a.shape[i] != b.shape[i]) return false;
    return true;
}

bool tensor_is_vector(struct tensor t, uint32_t count)
{
    return t.dtype == DTYPE_F32 && t.dims == 1 && t.shape[0] == count;
}

bool tensor_is_dense(struct tensor t)
{
    return t.stride == tensor_channels(t);
}

struct span tensor_span(struct tensor t)
{
    if (!t.buffer) return (struct span) { 0 };
    return (struct span) { t.buffer, t.offset, tensor_bytes(t), (uint64_t)t.stride * dtype_size(t.dtype) };
}

struct span tensor_all(struct tensor t)
{
    struct span s = tensor_span(t);
    s.row_bytes = 0;
    return s;
}

struct tensor tensor_view(struct buffer *buffer, uint64_t offset, enum dtype dtype, uint32_t dims,
                          const uint32_t *shape)
{
    struct tensor t = { .dtype = dtype, .dims = dims, .buffer = buffer, .offset = offset };
    for (uint32_t i = 0; i < dims; i++) t.shape[i] = shape[i];
    t.stride = tensor_channels(t);
    return t;
}

struct tensor tensor_columns(struct tensor t, uint32_t first, uint32_t count)
{
    t.offset += (uint64_t)first * dtype_size(t.dtype);
    t.shape[t.dims - 1] = count;
    return t;
}

struct tensor tensor_reshape(struct tensor t, uint32_t dims, const uint32_t *shape)
{
    t.dims = dims;
    for (uint32_t i = 0; i < TENSOR_DIMS; i++) t.shape[i] = i < dims ? shape[i] : 0;
    return t;
}

struct tensor tensor_image(struct tensor t, uint32_t first, uint32_t count)
{
    uint64_t rows = tensor_rows(t) / t.shape[0];
    t.offset += first * rows * t.stride * dtype_size(t.dtype);
    t.shape[0] = count;
    return t;
}

struct tensor tensor_shape(struct tensor like, uint32_t channels)
{
    like.shape[like.dims - 1] = like.stride = channels;
    like.buffer = NULL;
    like.offset = 0;
    return like;
}

struct tensor tensor_at(struct tensor place, struct tensor shape)
{
    shape.buffer = place.buffer;
    shape.offset = place.offset;
    return shape;
}

enum dtype device_dtype(const struct device *device)
{
    return device_stores_f16(device) ? DTYPE_F16 : DTYPE_F32;
}

static struct tensor take(struct pass *pass, enum dtype dtype, uint32_t dims, const uint32_t *shape)
{
    uint64_t bytes = dtype_size(dtype);
    for (uint32_t i = 0; i < dims; i++) bytes *= shape[i];
    struct span s = scratch_take(pass, bytes);
    return tensor_view(s.buffer, s.offset, dtype, dims, shape);
}

struct tensor scratch_like(struct pass *pass, struct tensor like)
{
    return take(pass, like.dtype, like.dims, like.shape);
}

struct tensor scratch_channels(struct pass *pass, struct tensor like, uint32_t channels)
{
    like.shape[like.dims - 1] = channels;
    return take(pass, like.dtype, like.dims, like.shape);
}

struct tensor scratch_image(struct pass *pass, struct tensor like, uint32_t h, uint32_t w, uint32_t c)
{
    return take(pass, like.dtype, 4, (uint32_t[]) { like.shape[0], h, w, c });
}

struct tensor scratch_f32(struct pass *pass, uint32_t rows, uint32_t c)
{
    return take(pass, DTYPE_F32, 2, (uint32_t[]) { rows, c });
}
