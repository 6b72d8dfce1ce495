/* The tile of gemm and attention (tile.h) with bf16 products and fp32 sums, two k at a time. */
#ifndef TINCT_CPU_TILE_BF16_H
#define TINCT_CPU_TILE_BF16_H

#include "device/cpu/kernels/bf16.h"
#include "device/cpu/kernels/tile.h"

/* sums[r][c] (+)= sum_k a[r][k] panel[k][c]. The pair of k and k + 1 of row r is number r across + k / 2 along of a; panel
 * [length / 2][TILE_COLUMNS][2], sums [count][TILE_COLUMNS]. Any count of rows, one tile after the other (tile.h, tiles);
 * vecs 1..TILE_VECS: the part that is wanted. length: even. */
void CPU_NAME(tile_bf16)(const uint16_t *a, size_t across, size_t along, uint32_t length, const uint16_t *panel, float *sums,
                         bool add, uint32_t count, uint32_t vecs);

/* The same for 1..TILE_ROWS rows, of halves [k][TILE_HALVES], which become the panel on the way (tile_of_halves). */
void CPU_NAME(tile_bf16_of_halves)(const uint16_t *a, size_t across, size_t along, uint32_t length, const uint16_t *halves,
                                   uint16_t *panel, float *sums, bool add, uint32_t rows, uint32_t vecs);

#endif
