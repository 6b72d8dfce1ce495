/* Operands of gemm (shaders/gemm.h) and its result from loops in double, for the cpu device's kernels. */
#ifndef TINCT_TESTS_GEMM_CASE_H
#define TINCT_TESTS_GEMM_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gemm.h"

struct gemm_case {
    struct gemm_params p;
    uint32_t images;
    bool bf16_x, bf16_w;       /* want is of x, or w, rounded to bf16, */
    bool bf16_own;             /* and so are x2 and x3 and their w */
    float *x1, *x2, *x3, *w, *bias, *per_image, *residual, *want;     /* w [k][cols] */
    uint16_t *packed;
    size_t x1_count, x2_count, x3_count, y_count, packed_count;
};

enum { GEMM_CASES = 20 };

/* Shapes: each kind of layer, tails in both directions, seams of blocks. */
struct gemm_case gemm_case(int i);

/* A linear layer, a 3x3 convolution with a bias, and one that takes in x2 and x3 as well. */
struct gemm_case gemm_case_linear(uint32_t rows, uint32_t cols, uint32_t c, uint32_t flags, uint32_t act);
struct gemm_case gemm_case_conv(uint32_t images, uint32_t h, uint32_t w, uint32_t c1, uint32_t cols);
struct gemm_case gemm_case_shortcut(struct gemm_case g, uint32_t c2, uint32_t c3);

/* Sets operands and the result. */
void gemm_case_make(struct gemm_case *g);
void gemm_case_free(struct gemm_case *g);

/* Operands are random; the same seed gives the same. */
void random_begin(uint32_t seed);
float *random_floats(size_t count, float scale);       /* in (-scale, scale) */

#endif
