/* The safetensors format: 8 bytes of header length N (little-endian), N bytes of
 * JSON, then the tensors' bytes without a gap.
 *
 * Read strictly, as a file from a stranger: N <= 100,000,000 and within the file;
 * JSON that begins with '{' and is padded with spaces only; valid UTF-8; no name,
 * field or metadata key twice; known dtypes; begin <= end, no holes, no overlap,
 * sizes equal to shape times bits, without overflow and in whole bytes; an end that
 * is the file's end. Own limits, each with its sentence: 8 dimensions, 262,144
 * tensors, 65,536 metadata entries, 2^48 bytes. Memory is the header's length plus
 * at most 256 bytes a tensor. Nothing promises alignment of the data.
 *
 * Source: the format description of github.com/huggingface/safetensors. */
#ifndef TINCT_TENSOR_SAFETENSORS_H
#define TINCT_TENSOR_SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/file.h"
#include "tensor/dtype.h"

struct safetensors;

struct safetensors_tensor {
    const char *name;      /* UTF-8 without U+0000, as the file spells it */
    enum dtype dtype;
    uint32_t dims;         /* 0: a scalar */
    const uint64_t *shape; /* [dims] */
    uint64_t offset;       /* of its first byte, from the file's first */
    uint64_t bytes;
};

struct safetensors_metadata {
    const char *key, *value; /* UTF-8; a U+0000 in them reads U+FFFD */
};

/* Open and check the whole header. Refused with TINCT_ERR_FORMAT, naming path and
 * rule; a file of another kind (pickle, GGUF, PNG, a web page, a git-lfs pointer)
 * is named, with advice. Refused as file_open does too. */
struct safetensors *safetensors_open(const char *path, struct tinct_err *err);

/* NULL is fine. Every string and tensor taken from it ends here. */
void safetensors_close(struct safetensors *st);

const struct file *safetensors_file(const struct safetensors *st);

/* Tensors in the order of their data. */
uint32_t safetensors_count(const struct safetensors *st);
const struct safetensors_tensor *safetensors_at(const struct safetensors *st, uint32_t index);
const struct safetensors_tensor *safetensors_find(const struct safetensors *st, const char *name); /* or NULL */

/* __metadata__, sorted by key. */
uint32_t safetensors_metadata_count(const struct safetensors *st);
struct safetensors_metadata safetensors_metadata_at(const struct safetensors *st, uint32_t index);
const char *safetensors_metadata(const struct safetensors *st, const char *key); /* its value, or NULL */

#endif
