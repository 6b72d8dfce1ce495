#include "device/cpu/kernels/tile_bf16.h"

#include "device/cpu/kernels/stored.h"

#if VEC_BF16

/* sum[r] += the pairs of k at row[r], by b */
VEC_INLINE void take(const uint16_t *const *row, size_t k, const vec_pairs *b, vec sum[TILE_ROWS][TILE_VECS], const int rows,
                     const int vecs)
{
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        vec_pairs x = pairs_all(row[r] + k);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) sum[r][v] = vec_dot(sum[r][v], x, b[v]);
    }
}

VEC_INLINE void tile_fixed(const uint16_t *a, size_t across, size_t along, uint32_t length, const uint16_t *panel, float *sums,
                           bool add, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][TILE_VECS] = { 0 };
    const uint16_t *row[TILE_ROWS];

    for (int r = 0; r < rows; r++) row[r] = a + 2 * across * (size_t)r;
    for (size_t k = 0; length; length -= 2, k += 2 * along, panel += 2 * TILE_COLUMNS) {
        vec_pairs b[TILE_VECS];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) b[v] = pairs_load(panel + 2 * v * VEC_WIDTH);
        take(row, k, b, sum, rows, vecs);
    }
    tile_store(sum, sums, TILE_COLUMNS, add, rows, vecs);
}

/* All whole tiles. */
VEC_INLINE void tiles_fixed(const uint16_t *a, size_t across, size_t along, uint32_t length, const uint16_t *panel, float *sums,
                            bool add, uint32_t count, const int vecs)
{
    for (; count >= TILE_ROWS; count -= TILE_ROWS, a += 2 * across * TILE_ROWS, sums += TILE_ROWS * TILE_COLUMNS)
        tile_fixed(a, across, along, length, panel, sums, add, TILE_ROWS, vecs);
}

VEC_INLINE void halves_fixed(const uint16_t *a, size_t across, size_t along, uint32_t length, const uint16_t *halves,
                             uint16_t *panel, float *sums, bool add, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][TILE_VECS] = { 0 };
    const uint16_t *row[TILE_ROWS];

    for (int r = 0; r < rows; r++) row[r] = a + 2 * across * (size_t)r;
    for (size_t k = 0; length; length -= 2, k += 2 * along, halves += 2 * TILE_HALVES, panel += 2 * TILE_COLUMNS) {
        vec_pairs b[TILE_VECS];
        for (int c = 0; c < 2 * TILE_HALVES; c += CACHE_LINE / 2) __builtin_prefetch(halves + TILE_AHEAD * TILE_HALVES + c);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            size_t c = (size_t)v * VEC_WIDTH;
            b[v] = pairs_of(stored_vec(halves, c, true), stored_vec(halves, TILE_HALVES + c, true));
            pairs_store(panel + 2 * c, b[v]);
        }
        take(row, k, b, sum, rows, vecs);
    }
    tile_store(sum, sums, TILE_COLUMNS, add, rows, vecs);
}

void CPU_NAME(tile_bf16)(const uint16_t *a, size_t across, size_t along, uint32_t length, const uint16_t *panel, float *sums,
                         bool add, uint32_t count, uint32_t vecs)
{
    uint32_t rows = count % TILE_ROWS, whole = count - rows;

    switch (vecs) {
    case 1: tiles_fixed(a, across, along, length, panel, sums, add, whole, 1); break;
    case 2: tiles_fixed(a, across, along, length, panel, sums, add, whole, 2); break;
    case 3: tiles_fixed(a, across, along, length, panel, sums, add, whole, 3); break;
    case 4: tiles_fixed(a, across, along, length, panel, sums, add, whole, 4); break;
    }
    a += 2 * across * whole;
    sums += (size_t)whole * TILE_COLUMNS;
    TILE_DISPATCH(tile_fixed, a, across, along, length, panel, sums, add)
}

void CPU_NAME(tile_bf16_of_halves)(const uint16_t *a, size_t across, size_t along, uint32_t length, const uint16_t *halves,
                                   uint16_t *panel, float *sums, bool add, uint32_t rows, uint32_t vecs)
{
    TILE_DISPATCH(halves_fixed, a, across, along, length, halves, panel, sums, add)
}

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
