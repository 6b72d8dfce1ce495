#include "device/cpu/kernels/tile.h"

#include "device/cpu/kernels/stored.h"

/* sum[r] += a[r][k] b */
VEC_INLINE void take(const float *const *a, size_t k, const vec *b, vec sum[TILE_ROWS][4], const int rows, const int vecs)
{
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        vec x = vec_all(a[r][k]);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) sum[r][v] += x * b[v];
    }
}

/* sum += a panel for one run: a[r][k] is a[r][k * step]. Gives the panel's next row. */
VEC_INLINE const float *multiply(const float *const *a, size_t step, uint32_t length, const float *panel,
                                 vec sum[TILE_ROWS][4], const int rows, const int vecs)
{
    for (size_t k = 0; length; length--, k += step, panel += TILE_COLUMNS) {
        vec b[4];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) b[v] = vec_load(panel + v * VEC_WIDTH);
        take(a, k, b, sum, rows, vecs);
    }
    return panel;
}

VEC_INLINE void tile_fixed(const struct tile_run *run, uint32_t runs, const float *panel, float *sums, uint32_t stride,
                           bool add, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][4] = { 0 };

    if (vecs > TILE_VECS) return;      /* a case of wider sets */
    for (uint32_t i = 0; i < runs; i++) panel = multiply(run[i].a, 1, run[i].length, panel, sum, rows, vecs);
    tile_store(sum, sums, stride, add, rows, vecs);
}

VEC_INLINE void halves_fixed(const struct tile_run *run, uint32_t runs, const uint16_t *halves, float *panel, float *sums,
                             uint32_t stride, bool add, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][4] = { 0 };

    if (vecs > TILE_VECS) return;
    for (uint32_t i = 0; i < runs; i++)
        for (size_t k = 0; k < run[i].length; k++, halves += TILE_HALVES, panel += TILE_COLUMNS) {
            vec b[4];
            for (int c = 0; c < vecs * VEC_WIDTH; c += CACHE_LINE / 2) __builtin_prefetch(halves + TILE_AHEAD * TILE_HALVES + c);
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) {
                b[v] = stored_vec(halves, (size_t)v * VEC_WIDTH, true);
                vec_store(panel + v * VEC_WIDTH, b[v]);
            }
            take(run[i].a, k, b, sum, rows, vecs);
        }
    tile_store(sum, sums, stride, add, rows, vecs);
}

VEC_INLINE void across_fixed(const float *a, size_t step, uint32_t length, const float *panel, float *sums,
                             uint32_t stride, bool add, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][4] = { 0 };
    const float *rows_of_a[TILE_ROWS];

    if (vecs > TILE_VECS) return;
    for (int r = 0; r < rows; r++) rows_of_a[r] = a + r;
    multiply(rows_of_a, step, length, panel, sum, rows, vecs);
    tile_store(sum, sums, stride, add, rows, vecs);
}

void CPU_NAME(tile)(const struct tile_run *run, uint32_t runs, const float *panel, float *sums, uint32_t stride,
                    bool add, uint32_t rows, uint32_t vecs)
{
    TILE_DISPATCH(tile_fixed, run, runs, panel, sums, stride, add)
}

void CPU_NAME(tile_of_halves)(const struct tile_run *run, uint32_t runs, const uint16_t *halves, float *panel, float *sums,
                              uint32_t stride, bool add, uint32_t rows, uint32_t vecs)
{
    TILE_DISPATCH(halves_fixed, run, runs, halves, panel, sums, stride, add)
}

void CPU_NAME(tile_across)(const float *a, size_t step, uint32_t length, const float *panel, float *sums,
                           uint32_t stride, bool add, uint32_t rows, uint32_t vecs)
{
    TILE_DISPATCH(across_fixed, a, step, length, panel, sums, stride, add)
}
