/* Weights out of files into the one layout that every GEMM and convolution
 * reads, on both devices (spec/performance.md, section 6).
 *
 *   packed    [ceil(N/64)][Kp][64]  fp16
 *   K         [tap][channel], tap = ky * kw + kx; a linear layer has one tap
 *   Kp        K rounded up to a multiple of 32
 *
 * so output column n of weight row k lies at ((n / 64) * Kp + k) * 64 + n % 64.
 * Columns beyond N and rows beyond K are zero. The input channels of a layer
 * behind a concatenation need nothing special: they are one run per tap. Layers
 * whose results are added are one: their rows of K follow each other. */
#ifndef TINCT_TENSOR_PACK_H
#define TINCT_TENSOR_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/stored.h"

enum { PACK_COLUMNS = 64, PACK_K_MULTIPLE = 32, PACK_PARTS = 3 };

/* How a packed weight or vector comes out of file tensors. Kept with the weight:
 * a LoRA's delta takes the same way. */
struct pack_recipe {
    struct stored parts[PACK_PARTS]; /* concatenated along N, no gap between (q, k, v);
                                        [N_i, C], [N_i, C, kh, kw] or, for vectors, [N_i];
                                        the same C, kh, kw in all */
    uint32_t part_count;             /* 1..PACK_PARTS */
    bool stacked;                    /* along K instead: [N, C_i] or [N, C_i, kh_i, kw_i], and vectors [N] are added;
                                        neither geglu nor channels */
    bool geglu;                      /* one part, N = 2H, rows [0, H) values and [H, 2H) gates: in every 8 columns
                                        8j..8j+7 the first 4 are values 4j..4j+3, the last 4 their gates; H % 4 == 0 */
    uint32_t channels;               /* channels a tap takes in K, >= C, the rest zero rows (3 -> 4 where a picture
                                        enters); 0: C */
};

struct pack_shape {
    uint32_t n, k;               /* columns and rows that mean something: sum of N_i; taps * channels, of all where stacked */
    uint32_t n_padded, k_padded; /* multiples of 64 and of 32 */
    uint32_t channels, taps;     /* of the first part: k = taps * channels unless stacked */
    size_t bytes;                /* of the packed weight: n_padded * k_padded * 2 */
};

/* What the recipe gives. Refused with TINCT_ERR_FORMAT, naming the tensor: parts
 * that differ in C, kh or kw, not 2 or 4 dimensions, an empty axis, N or K beyond
 * 2^20, a dtype that convert.h does not take, a GEGLU whose N is no multiple of 8. */
bool pack_shape(struct pack_shape *shape, const struct pack_recipe *recipe, struct tinct_err *err);

/* Where a part's inputs lie: value [channel][tap] of its rows in row first + tap * pitch + channel of K. */
struct pack_rows {
    uint32_t first, channels, taps, pitch;
};
struct pack_rows pack_rows(const struct pack_recipe *recipe, uint32_t part);

uint32_t pack_vector_length(const struct pack_recipe *recipe);   /* of a vector: columns that mean something */

enum pack_form {
    PACK_WEIGHT,     /* fp16, the layout above: shape.bytes */
    PACK_WEIGHT_F32, /* the same layout as fp32: 2 * shape.bytes; what a LoRA's delta is added to */
    PACK_VECTOR_F32, /* biases, norms: parts [N_i] one after the other (geglu: interleaved as the
                        columns are) as fp32, zero up to n_padded: 4 * n_padded bytes */
    PACK_PLAIN_F16,  /* one part of any shape in the file's order as fp16 (embedding tables): 2 * count bytes */
    PACK_PLAIN_F32,  /* the same as fp32: 4 * count bytes */
};

struct pack_job {
    enum pack_form form;
    struct pack_recipe recipe;
    const float *values;          /* NULL: read the parts out of their files. Else these, as the parts lie in files, one
                                     after the other: [N_i, C * kh * kw], or [N_i] of a vector; not for plain forms */
    uint32_t first_panel, panels; /* of a weight: only these panels of 64 columns go to out; panels 0: all */
    void *out; /* host memory (mapped device memory will do: it is written once, in runs of 8 bytes
                  that fill 512 in a row, and never read), aligned to 64 bytes */
};

/* Bytes that job->out must hold. Refused as pack_shape; a vector must have 1 dimension. */
bool pack_job_bytes(size_t *bytes, const struct pack_job *job, struct tinct_err *err);

/* Run all jobs, spread over threads (0: thread_default_count()) in pieces of 64
 * columns, in the order of their places in the file: hand over a whole model at
 * once. Takes 64 rows of the widest weight as working memory per thread.
 * Refused with TINCT_ERR_FORMAT, naming file and tensor: NaN or Inf; a finite value
 * that fp16 cannot hold (65520 and up) where fp16 is written; with TINCT_ERR_IO:
 * what file_read refuses, or a file that changed meanwhile. After a failure the
 * out memories hold anything. */
bool pack_run(const struct pack_job *jobs, uint32_t count, int threads, struct tinct_err *err);

/* The row of the parts, put one after the other, that a column < n holds; of each part where they are stacked. */
uint32_t pack_source_row(const struct pack_recipe *recipe, uint32_t n, uint32_t column);

/* The inverse of PACK_WEIGHT, for tests and for showing weights: out [N_i][C][taps] in the file's
 * order (parts one after the other, GEGLU undone), as fp32. */
void pack_inverse(float *out, const uint16_t *packed, const struct pack_recipe *recipe);

#endif
