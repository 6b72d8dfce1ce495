#include "tensor/stored.h"

#include "tensor/convert.h"

#include <stddef.h>

uint64_t stored_count(const struct stored *s)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < s->dims; i++) count *= s->shape[i];
    return count;
}

struct stored stored_rows(struct stored s, uint32_t first, uint32_t rows)
{
    uint64_t row = stored_count(&s) / s.shape[0];
    s.offset += first * row * dtype_size(s.dtype);
    s.shape[0] = rows;
    return s;
}

bool stored_refuse_values(const struct stored *s, unsigned flags, struct tinct_err *err)
{
    if (flags & CONVERT_NOT_FINITE)
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: holds NaN or Inf; the file is damaged or its training failed",
                   file_path(s->file), s->name);
    else
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: holds a value of 65520 or more, which fp16 cannot hold",
                   file_path(s->file), s->name);
    return false;
}

bool stored_read_f32(float *out, const struct stored *s, struct tinct_err *err)
{
    enum { RUN_BYTES = 16384 };
    uint64_t raw[RUN_BYTES / 8]; /* aligned for every type */
    size_t element = dtype_size(s->dtype);
    uint64_t count = stored_count(s);

    if (!convert_takes(s->dtype))
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: values of type %s cannot be read", file_path(s->file),
                          s->name, dtype_file_name(s->dtype));
    for (uint64_t i = 0; i < count; i += RUN_BYTES / element) {
        size_t n = count - i < RUN_BYTES / element ? (size_t)(count - i) : RUN_BYTES / element;
        if (!file_read(s->file, raw, s->offset + i * element, n * element, err)) return false;
        unsigned flags = convert_to_f32(out + i, raw, s->dtype, n);
        if (flags) return stored_refuse_values(s, flags, err);
    }
    return true;
}
