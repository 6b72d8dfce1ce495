/* The heart of gemm and attention: a few rows times a panel of columns, all sums in registers.
 *
 *   sums[r][c] (+)= sum_k a[r][k] panel[k][c]
 *
 * k runs through a list of runs, in each of which every row is contiguous: a convolution's row moves to another pixel
 * with every tap. A panel is TILE_COLUMNS wide, dense. */
#ifndef TINCT_CPU_TILE_H
#define TINCT_CPU_TILE_H

#include <stdbool.h>

#include "device/cpu/kernels/vec.h"

enum {
    TILE_ROWS = 6,
    TILE_VECS = VEC_REGISTERS == 32 ? 4 : 2,      /* 6 x 4 sums, 4 of the panel, 1 of a row: 29 of 32 registers */
    TILE_COLUMNS = TILE_VECS * VEC_WIDTH,         /* divides 64 */
};

struct tile_run {
    const float *a[TILE_ROWS];
    uint32_t length;
};

/* rows 1..TILE_ROWS, vecs 1..TILE_VECS: the part of the tile that is wanted. Sums are `stride` floats apart; add:
 * to what is there. */
void CPU_NAME(tile)(const struct tile_run *run, uint32_t runs, const float *panel, float *sums, uint32_t stride,
                    bool add, uint32_t rows, uint32_t vecs);

/* The same for one run whose rows lie side by side: a[r][k] is a[k * step + r]. */
void CPU_NAME(tile_across)(const float *a, size_t step, uint32_t length, const float *panel, float *sums,
                           uint32_t stride, bool add, uint32_t rows, uint32_t vecs);

/* Strips of nearly equal height: n rows in the least number of strips of at most TILE_ROWS. */
VEC_INLINE uint32_t strip_count(uint32_t n)
{
    return (n + TILE_ROWS - 1) / TILE_ROWS;
}

VEC_INLINE uint32_t strip_first(uint32_t n, uint32_t strip)
{
    return (uint32_t)((uint64_t)n * strip / strip_count(n));
}

#endif
