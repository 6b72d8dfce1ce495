/* A tensor: a shaped view on device memory. It owns nothing and is passed by value.
 *
 * Channels are the last dimension and contiguous: a picture [N, H, W, C], a token list [N, T, C] and a matrix
 * [R, C] are all rows of C values. A view of a range of columns has a stride above its channels. */
#ifndef TINCT_TENSOR_H
#define TINCT_TENSOR_H

#include "device/device.h"
#include "tensor/dtype.h"

enum { TENSOR_DIMS = 4 };

struct tensor {
    enum dtype dtype;
    uint32_t dims;                      /* 1..TENSOR_DIMS; 0: no tensor */
    uint32_t shape[TENSOR_DIMS];        /* outermost first */
    uint32_t stride;                    /* elements from one row to the next, at least the channels */
    struct buffer *buffer;
    uint64_t offset;                    /* bytes */
};

uint32_t tensor_channels(struct tensor t);
uint32_t tensor_rows(struct tensor t);                            /* product of all dimensions but the last */
uint64_t tensor_bytes(struct tensor t);                           /* from the first to the last element */
bool tensor_is(struct tensor t);                                  /* is there one? */
bool tensor_same(struct tensor a, struct tensor b);               /* same dtype and shape */
bool tensor_is_vector(struct tensor t, uint32_t count);           /* f32 [count] */
bool tensor_is_dense(struct tensor t);                            /* stride == channels */
struct span tensor_span(struct tensor t);                         /* absent tensor: absent span */
struct span tensor_all(struct tensor t);                          /* the same, not laid out by a dispatch's rows */

/* On a buffer of the caller's. */
struct tensor tensor_view(struct buffer *buffer, uint64_t offset, enum dtype dtype, uint32_t dims,
                          const uint32_t *shape);
struct tensor tensor_columns(struct tensor t, uint32_t first, uint32_t count);    /* of every row */
struct tensor tensor_reshape(struct tensor t, uint32_t dims, const uint32_t *shape);   /* same rows and channels */
struct tensor tensor_image(struct tensor t, uint32_t first, uint32_t count);      /* entries of the outermost dimension */

struct tensor tensor_shape(struct tensor like, uint32_t channels);                /* a dense shape without memory */
struct tensor tensor_at(struct tensor place, struct tensor shape);                /* that shape at place's memory */

/* From a pass's scratch stack, dense, of the type of `like`. */
struct tensor scratch_like(struct pass *pass, struct tensor like);
struct tensor scratch_channels(struct pass *pass, struct tensor like, uint32_t channels);   /* other channels */
struct tensor scratch_image(struct pass *pass, struct tensor like, uint32_t h, uint32_t w, uint32_t c);   /* [N, h, w, c] */
struct tensor scratch_f32(struct pass *pass, uint32_t rows, uint32_t c);                    /* [rows, c] f32 */
enum dtype device_dtype(const struct device *device);             /* of activations: DTYPE_F32 or DTYPE_F16 */

/* A layer's packed weight, [ceil(outputs / 64)][k][64] f16 with k = taps * inputs + shortcut rounded up to 32. */
struct weight {
    struct tensor packed;               /* [panels, k, 64] f16 */
    struct tensor bias;                 /* [outputs] f32, or none */
    uint32_t outputs, inputs;           /* columns (both halves of a GEGLU), channels of one tap */
    uint32_t kernel_h, kernel_w;        /* 1, 1 for a linear layer */
    uint32_t shortcut;                  /* channels of a 1x1 convolution whose result is added; 0: there is none */
    bool geglu;                         /* columns interleaved as shaders/gemm.h says */
};

struct norm {                           /* group or layer norm */
    struct tensor gamma, beta;          /* [channels] f32 */
};

#endif
