#include "device/cpu/kernels/tile.h"

#include "device/cpu/kernels.h"
#include "device/cpu/kernels/stored.h"

enum { AHEAD = 64 };           /* of a row that is fetched */

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

/* The same of a panel's row at b. What there is less of waits in registers for the other. */
VEC_INLINE void take_row(const float *const *a, size_t k, const float *b, vec sum[TILE_ROWS][4], const int rows, const int vecs)
{
    vec waiting[TILE_ROWS];

    if (rows >= vecs) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) waiting[v] = vec_load(b + v * VEC_WIDTH);
        take(a, k, waiting, sum, rows, vecs);
        return;
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) waiting[r] = vec_all(a[r][k]);
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        vec next = vec_load(b + v * VEC_WIDTH);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) sum[r][v] += waiting[r] * next;
    }
}

/* sum += a panel of so many columns for one run: a[r][k] is a[r][k * step]. Gives the panel's next row. */
VEC_INLINE const float *multiply(const float *const *a, size_t step, uint32_t length, const float *panel, const int columns,
                                 vec sum[TILE_ROWS][4], const int rows, const int vecs)
{
#pragma GCC unroll 2
    for (size_t k = 0; length; length--, k += step, panel += columns) take_row(a, k, panel, sum, rows, vecs);
    return panel;
}

VEC_INLINE void tile_fixed(const struct tile_run *run, uint32_t runs, const float *panel, float *sums, uint32_t stride,
                           bool add, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][4] = { 0 };

    if (vecs > TILE_VECS) return;      /* a case of wider sets */
    for (uint32_t i = 0; i < runs; i++) panel = multiply(run[i].a, 1, run[i].length, panel, TILE_COLUMNS, sum, rows, vecs);
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

/* One tile of rows that begin at a: a[r][k] is a[r * row_step + k * k_step]. */
VEC_INLINE void rows_fixed(const float *a, size_t row_step, size_t k_step, uint32_t length, const float *panel, float *sums,
                           uint32_t stride, bool add, const int rows, const int vecs)
{
    vec sum[TILE_ROWS][4] = { 0 };
    const float *rows_of_a[TILE_ROWS];

    if (rows > TILES_ROWS) return;
    for (int r = 0; r < rows; r++) rows_of_a[r] = a + r * row_step;
    multiply(rows_of_a, k_step, length, panel, TILES_COLUMNS, sum, rows, vecs);
    tile_store(sum, sums, stride, add, rows, vecs);
}

/* A tile's rows may lie too far apart to be read ahead of by themselves: the first of them comes nearer meanwhile. */
VEC_INLINE void fetch_rows(const float *a, size_t stride, uint32_t length)
{
    for (uint32_t r = 0; r < TILES_ROWS; r++)
        for (uint32_t k = 0; k < least(length, AHEAD); k += CACHE_LINE / 4) __builtin_prefetch(a + r * stride + k);
}

/* The first `count` rows, whole tiles. */
VEC_INLINE void tiles_fixed(const struct tile_rows *t, uint32_t count, const float *panel, float *sums, uint32_t stride, bool add,
                            const bool across, const int vecs)
{
    size_t row_step = across ? 1 : t->stride, k_step = across ? t->stride : 1, step = TILES_ROWS * row_step;
    const float *a = t->a;

    for (; count; count -= TILES_ROWS, a += step, sums += TILES_ROWS * stride) {
        if (!across) fetch_rows(a + step, t->stride, t->length);
        rows_fixed(a, row_step, k_step, t->length, panel, sums, stride, add, TILES_ROWS, vecs);
    }
}

/* Those from row `first` on, fewer than a whole tile's. */
static void rest_of(const struct tile_rows *t, uint32_t first, uint32_t rows, const float *panel, float *sums, uint32_t stride,
                    bool add, bool across, uint32_t vecs)
{
    size_t row_step = across ? 1 : t->stride, k_step = across ? t->stride : 1;
    const float *a = t->a + first * row_step;

    sums += (size_t)first * stride;
    TILE_DISPATCH(rows_fixed, a, row_step, k_step, t->length, panel, sums, stride, add)
}

VEC_INLINE void tiles_of(const struct tile_rows *t, const float *panel, float *sums, uint32_t stride, bool add, uint32_t vecs,
                         const bool across)
{
    uint32_t rest = t->count % TILES_ROWS, whole = t->count - rest;

    if (rest == 1 && whole > 0) {      /* one row would wait for its own sums: two tiles share */
        whole -= TILES_ROWS;
        rest = TILES_ROWS - 1;
    }
    switch (vecs) {
    case 1: tiles_fixed(t, whole, panel, sums, stride, add, across, 1); break;
    case 2: tiles_fixed(t, whole, panel, sums, stride, add, across, 2); break;
    case 3: tiles_fixed(t, whole, panel, sums, stride, add, across, 3); break;
    case 4: tiles_fixed(t, whole, panel, sums, stride, add, across, 4); break;
    }
    rest_of(t, whole, rest, panel, sums, stride, add, across, vecs);
    rest_of(t, whole + rest, t->count - whole - rest, panel, sums, stride, add, across, vecs);
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
