/* Host arrays to and from tensors in device memory, in the type that the device stores. */
#ifndef TINCT_PIPELINE_TRANSFER_H
#define TINCT_PIPELINE_TRANSFER_H

#include "tensor/tensor.h"

/* Buffers for a stage's inputs and outputs: one allocation, dense tensors one behind the other. */
struct transfer {
    struct buffer *buffer;
    uint64_t used;
};

/* Reserve room while buffer is NULL; the tensor's memory is there after transfer_allocate. */
void transfer_add(struct transfer *t, struct tensor *out, enum dtype dtype, uint32_t dims, const uint32_t *shape);
bool transfer_allocate(struct transfer *t, struct device *device, struct tensor *const *tensors, uint32_t count,
                       struct tinct_err *err);
void transfer_free(struct transfer *t);

/* channels of the host's rows may be fewer than the tensor's: the rest is written as 0, and not read. */
bool tensor_upload(struct tensor t, const float *rows, uint32_t channels, struct tinct_err *err);
bool tensor_download(struct tensor t, float *rows, uint32_t channels, struct tinct_err *err);

#endif
