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
    TILES_ROWS = VEC_REGISTERS == 32 ? 6 : 3,     /* of tiles: fewer instructions, for panels that the first cache holds */
    TILES_VECS = 4,
    TILES_COLUMNS = TILES_VECS * VEC_WIDTH,       /* divides 64 */
    TILE_HALVES = 64,
    TILE_AHEAD = 96,                              /* k from halves that are read to those that memory is asked for */
};

struct tile_run {
    const float *a[TILE_ROWS];
    uint32_t length;
};

/* rows 1..TILE_ROWS, vecs 1..TILE_VECS: the part of the tile that is wanted. Sums are `stride` floats apart; add:
 * to what is there. */
void CPU_NAME(tile)(const struct tile_run *run, uint32_t runs, const float *panel, float *sums, uint32_t stride,
                    bool add, uint32_t rows, uint32_t vecs);

/* The same for a panel that is made on the way: halves [k][TILE_HALVES] are widened while sums take what was widened before. */
void CPU_NAME(tile_of_halves)(const struct tile_run *run, uint32_t runs, const uint16_t *halves, float *panel, float *sums,
                              uint32_t stride, bool add, uint32_t rows, uint32_t vecs);

struct tile_rows {
    const float *a;
    size_t stride;
    uint32_t count, length;    /* rows, k */
};

/* tile for as many rows as there are, one after the other: calls would take as long as a third of a tile whose k is short.
 * a[r][k] is a[r * stride + k], or a[r + k * stride] where rows lie side by side (across). vecs 1..TILES_VECS of a panel that
 * is TILES_COLUMNS wide. */
void CPU_NAME(tiles)(const struct tile_rows *t, const float *panel, float *sums, uint32_t stride, uint32_t vecs);
void CPU_NAME(tiles_across)(const struct tile_rows *t, const float *panel, float *sums, uint32_t stride, bool add, uint32_t vecs);

/* What a tile ends with. */
VEC_INLINE void tile_store(vec sum[TILE_ROWS][4], float *sums, uint32_t stride, bool add, const int rows, const int vecs)
{
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *at = sums + r * stride + v * VEC_WIDTH;
            vec_store(at, add ? vec_load(at) + sum[r][v] : sum[r][v]);
        }
}

/* Calls f(..., rows, vecs) with numbers that the compiler knows, from variables rows and vecs. */
#define TILE_CASE(f, rows, vecs, ...)           \
    case (rows) * 8 + (vecs):              \
        f(__VA_ARGS__, rows, vecs);        \
        break;
#define TILE_CASES(f, vecs, ...)                                                                        \
    TILE_CASE(f, 1, vecs, __VA_ARGS__) TILE_CASE(f, 2, vecs, __VA_ARGS__) TILE_CASE(f, 3, vecs, __VA_ARGS__)      \
    TILE_CASE(f, 4, vecs, __VA_ARGS__) TILE_CASE(f, 5, vecs, __VA_ARGS__) TILE_CASE(f, 6, vecs, __VA_ARGS__)
#define TILE_DISPATCH(f, ...)                                                                           \
    switch (rows * 8 + vecs) {                                                                     \
        TILE_CASES(f, 1, __VA_ARGS__) TILE_CASES(f, 2, __VA_ARGS__) TILE_CASES(f, 3, __VA_ARGS__) TILE_CASES(f, 4, __VA_ARGS__) \
    }

#endif
