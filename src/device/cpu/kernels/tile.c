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
#pragma GCC unroll 2
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
    for (uint32_t i = 0; i < runs; i++) {
        const float *a[TILE_ROWS];                 /* the panel's stores do not reach these */
        for (int r = 0; r < rows; r++) a[r] = run[i].a[r];
        for (size_t k = 0, length = run[i].length; k < length; k++, halves += TILE_HALVES, panel += TILE_COLUMNS) {
            vec b[4];
            for (int c = 0; c < vecs * VEC_WIDTH; c += CACHE_LINE / 2) __builtin_prefetch(halves + TILE_AHEAD * TILE_HALVES + c);
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) {
                b[v] = stored_vec(halves, (size_t)v * VEC_WIDTH, true);
                vec_store(panel + v * VEC_WIDTH, b[v]);
            }
            take(a, k, b, sum, rows, vecs);
        }
    }
    tile_store(sum, sums, stride, add, rows, vecs);
}

/* One tile of those rows that begin at a. across: they lie side by side. */
VEC_INLINE void rows_fixed(const float *a, size_t stride, uint32_t length, const float *panel, float *sums, uint32_t sums_stride,
                           bool add, const bool across, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][4] = { 0 };
    const float *rows_of_a[TILE_ROWS];

    if (vecs > TILE_VECS) return;
    for (int r = 0; r < rows; r++) rows_of_a[r] = a + r * (across ? 1 : stride);
    multiply(rows_of_a, across ? stride : 1, length, panel, sum, rows, vecs);
    tile_store(sum, sums, sums_stride, add, rows, vecs);
}

/* All whole tiles. */
VEC_INLINE void tiles_fixed(const struct tile_rows *t, const float *panel, float *sums, uint32_t stride, bool add,
                            const bool across, const int vecs)
{
    const float *a = t->a;

    for (uint32_t left = t->count; left >= TILE_ROWS; left -= TILE_ROWS, sums += TILE_ROWS * stride) {
        rows_fixed(a, t->stride, t->length, panel, sums, stride, add, across, TILE_ROWS, vecs);
        a += TILE_ROWS * (across ? 1 : t->stride);
    }
}

VEC_INLINE void tiles_of(const struct tile_rows *t, const float *panel, float *sums, uint32_t stride, bool add, uint32_t vecs,
                         const bool across)
{
    uint32_t rows = t->count % TILE_ROWS, whole = t->count - rows;
    const float *a = t->a + whole * (across ? 1 : t->stride);

    switch (vecs) {
    case 1: tiles_fixed(t, panel, sums, stride, add, across, 1); break;
    case 2: tiles_fixed(t, panel, sums, stride, add, across, 2); break;
    case 3: tiles_fixed(t, panel, sums, stride, add, across, 3); break;
    case 4: tiles_fixed(t, panel, sums, stride, add, across, 4); break;
    }
    sums += (size_t)whole * stride;
    TILE_DISPATCH(rows_fixed, a, t->stride, t->length, panel, sums, stride, add, across)
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

void CPU_NAME(tiles)(const struct tile_rows *t, const float *panel, float *sums, uint32_t stride, uint32_t vecs)
{
    tiles_of(t, panel, sums, stride, false, vecs, false);
}

void CPU_NAME(tiles_across)(const struct tile_rows *t, const float *panel, float *sums, uint32_t stride, bool add, uint32_t vecs)
{
    tiles_of(t, panel, sums, stride, add, vecs, true);
}
