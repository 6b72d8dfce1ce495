#include "device/cpu/kernels/tile.h"

VEC_INLINE void tile_fixed(const struct tile_run *run, uint32_t runs, const float *panel, float *sums,
                           uint32_t stride, bool add, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][4] = { 0 };

    if (vecs > TILE_VECS) return;      /* a case of wider sets */
    for (uint32_t i = 0; i < runs; i++) {
        const float *a[TILE_ROWS];
        for (int r = 0; r < rows; r++) a[r] = run[i].a[r];
        for (uint32_t k = 0; k < run[i].length; k++, panel += TILE_COLUMNS) {
            vec b[4];
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) b[v] = vec_load(panel + v * VEC_WIDTH);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                vec x = vec_all(a[r][k]);
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++) sum[r][v] += x * b[v];
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *at = sums + r * stride + v * VEC_WIDTH;
            vec_store(at, add ? vec_load(at) + sum[r][v] : sum[r][v]);
        }
}

#define TILE_CASE(rows, vecs)                                               \
    case (rows) * 8 + (vecs):                                               \
        tile_fixed(run, runs, panel, sums, stride, add, rows, vecs);        \
        break;
#define TILE_CASES(vecs)                                                    \
    TILE_CASE(1, vecs) TILE_CASE(2, vecs) TILE_CASE(3, vecs) TILE_CASE(4, vecs) TILE_CASE(5, vecs) TILE_CASE(6, vecs)

void CPU_NAME(tile)(const struct tile_run *run, uint32_t runs, const float *panel, float *sums, uint32_t stride,
                    bool add, uint32_t rows, uint32_t vecs)
{
    switch (rows * 8 + vecs) {
        TILE_CASES(1)
        TILE_CASES(2)
        TILE_CASES(3)
        TILE_CASES(4)
    }
}
