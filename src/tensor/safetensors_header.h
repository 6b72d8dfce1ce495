/* The JSON header of a safetensors file, read in one sweep without a tree.
 *
 * The text is taken apart where it lies: names, metadata keys and values are
 * unescaped in place (an escape is never shorter than what it stands for), so the
 * only other memory is one entry a tensor. */
#ifndef TINCT_TENSOR_SAFETENSORS_HEADER_H
#define TINCT_TENSOR_SAFETENSORS_HEADER_H

#include "tensor/safetensors.h"

enum {
    SAFETENSORS_MAX_HEADER = 100000000,  /* bytes, as the format has it */
    SAFETENSORS_MAX_DIMS = 8,            /* the rest: ours, far above any model */
    SAFETENSORS_MAX_TENSORS = 1 << 18,
    SAFETENSORS_MAX_METADATA = 1 << 16,
};

struct safetensors_header {
    struct safetensors_tensor *tensors;     /* [count], by offset */
    struct safetensors_tensor **by_name;    /* [count], the same by name */
    uint32_t count;
    struct safetensors_metadata *metadata;  /* [metadata_count], by key */
    uint32_t metadata_count;
    uint64_t *shapes;                       /* all shapes, one after the other */
};

/* Read text [length], which is changed and must live as long as the header (one more
 * byte behind it is not needed). data_bytes is what follows the header in the file;
 * offsets are counted from the file's first byte, where the text begins at 8.
 * Refused with TINCT_ERR_FORMAT (or _MEMORY) and a sentence without a path; then
 * *header is zeroed. */
bool safetensors_header_read(struct safetensors_header *header, char *text, size_t length, uint64_t data_bytes,
                             struct tinct_err *err);

void safetensors_header_free(struct safetensors_header *header);

#endif
