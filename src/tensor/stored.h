/* A tensor as it lies in a file: a view that owns nothing. */
#ifndef TINCT_TENSOR_STORED_H
#define TINCT_TENSOR_STORED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/file.h"
#include "tensor/dtype.h"

enum { STORED_DIMS = 4 };

struct stored {
    const struct file *file;      /* open as long as the view is used */
    const char *name;             /* as the file spells it, for sentences */
    enum dtype dtype;
    uint32_t dims;                /* 0 (a scalar) to 4 */
    uint32_t shape[STORED_DIMS];  /* [dims], row-major, the last one contiguous; the rest is 1 */
    uint64_t offset;              /* of its first byte in the file */
};

/* Elements: the product of shape, 1 for a scalar. */
uint64_t stored_count(const struct stored *s);

/* Rows [first, first + rows) of the outermost axis, e.g. q of a fused in_proj
 * [3C, C]. They must be there. */
struct stored stored_rows(struct stored s, uint32_t first, uint32_t rows);

/* Fails with TINCT_ERR_FORMAT, naming file and tensor, for flags of convert.h. */
bool stored_refuse_values(const struct stored *s, unsigned flags, struct tinct_err *err);

/* All elements as fp32, in the file's order: out holds stored_count(s). Meant for
 * small tensors; large ones go through tensor/pack.h. Refused: a type that
 * convert.h does not take, NaN or Inf, and what file_read refuses. */
bool stored_read_f32(float *out, const struct stored *s, struct tinct_err *err);

#endif
