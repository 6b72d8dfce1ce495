/* gemm's products of transformed tiles (GEMM_WINOGRAD, winograd.h), in fp32.
 *
 * An item is a block of rows by one panel of all parts, or of those with some i. For a block of k and an i the panel's 3x3 kernels
 * are transformed along y to what the parts of that i have in common, then along x to each of them: nine of the packed weights
 * make six transformed ones, which stay in the cache while all rows are multiplied. Sums are taken in y itself. Blocks of k are
 * cut by k alone and a row's sums depend on nothing but its own values: bits do not depend on rows, items or threads. */
#include "device/cpu/kernels/gemm_winograd.h"

#include "device/cpu/kernels/gemm_parts.h"

enum {
    SIDE = 6, KEPT = 5 /* of SIDE with GEMM_DOUBLED */,
    LINE = 32,                 /* halves of a cache line */
    GAP = 16,                  /* floats between parts' weights, or they would crowd into few sets of a cache */
    BLOCK = VEC_REGISTERS == 32 ? 128 : 320,       /* of k: weights of 200 KB or, as small tiles gain more by long ones, of 490 */
    AHEAD = 24,                /* rows of weights that are fetched before they are transformed, or each would wait for memory */
    FIRST = 128,               /* k of a row that are fetched before it is read */
    ROWS = 480,                /* of an item at most */
};

struct memory {
    _Alignas(64) float weights[SIDE * (BLOCK * PANEL + GAP)];      /* [j][strip of columns][k][TILE_COLUMNS] */
};

struct work {                  /* an item's */
    const struct gemm_params *p;
    const uint16_t *panel;     /* of w */
    const float *x;            /* the first part's first row */
    float *y;                  /* and its first column of the panel */
    size_t x_step, y_step;     /* from part to part */
    uint32_t side, rows, columns;
};

static uint32_t side_of(const struct gemm_params *p)
{
    return p->flags & GEMM_DOUBLED ? KEPT : SIDE;
}

struct cpu_plan CPU_NAME(gemm_winograd_plan)(const struct cpu_args *a)
{
    const struct gemm_params *p = a->params;

    return CPU_NAME(gemm_cut)(a, parts(p->cols, PANEL), p->rows / GEMM_PARTS(p->flags), side_of(p),
                              (struct gemm_limits) { ROWS, SIDE, TILE_ROWS, 8, sizeof(struct memory) });
}

/* Along y: the kernel's three columns, each times row i of G. kernel: of channel k, from its column of the panel on; its taps
 * are `step` halves apart. */
VEC_INLINE void transform_columns(vec *t, const uint16_t *kernel, size_t step, const int i)
{
    for (int x = 0; x < 3; x++) {
        vec first = { 0 }, second = { 0 }, third = { 0 };
        if (i < 5) first = stored_vec(kernel, x * step, true);
        if (i > 0 && i < 5) second = stored_vec(kernel, (3 + x) * step, true);
        if (i > 0) third = stored_vec(kernel, (6 + x) * step, true);
        switch (i) {
        case 0: t[x] = first; break;
        case 1: t[x] = first + third + second; break;
        case 2: t[x] = first + third - second; break;
        case 3: t[x] = first + third * 4.0f + second * 2.0f; break;
        case 4: t[x] = first + third * 4.0f - second * 2.0f; break;
        case 5: t[x] = third; break;
        }
    }
}

/* Along x: to the parts, `step` floats apart. */
VEC_INLINE void transform_row(float *to, size_t step, const vec *t, const bool doubled)
{
    vec ones = t[0] + t[2], twos = t[0] + t[2] * 4.0f, slope = t[1] * 2.0f;

    vec_store(to, t[0]);
    vec_store(to + step, ones + t[1]);
    if (!doubled) {
        vec_store(to + 2 * step, ones - t[1]);
        to += step;
    }
    vec_store(to + 2 * step, twos + slope);
    vec_store(to + 3 * step, twos - slope);
    vec_store(to + 4 * step, t[2]);
}

/* fetch: nobody has read these kernels yet. */
VEC_INLINE void make_weights(const struct work *w, float *to, uint32_t k, uint32_t length, const int i, const bool doubled,
                             const bool fetch)
{
    size_t tap = (size_t)w->p->c1 * PANEL;

    for (uint32_t line = 0; line < PANEL; line += LINE)
        for (uint32_t n = 0; n < length; n++) {
            if (fetch)
                for (uint32_t t = 0; t < 9; t++) __builtin_prefetch(w->panel + tap * t + (size_t)(k + n + AHEAD) * PANEL + line);
            for (uint32_t c = line; c < line + LINE; c += VEC_WIDTH) {
                vec t[3];
                float *column = to + (size_t)(c / TILE_COLUMNS * TILE_COLUMNS) * length + c % TILE_COLUMNS;
                transform_columns(t, w->panel + (size_t)(k + n) * PANEL + c, tap, i);
                transform_row(column + (size_t)n * TILE_COLUMNS, (size_t)length * PANEL + GAP, t, doubled);
            }
        }
}

VEC_INLINE void make_weights_of_row(const struct work *w, float *to, uint32_t k, uint32_t length, const int i, bool fetch)
{
    if (w->side == KEPT) make_weights(w, to, k, length, i, true, fetch);
    else make_weights(w, to, k, length, i, false, fetch);
}

/* Of the nth i that there are. */
static void make_weights_of(const struct work *w, float *to, uint32_t k, uint32_t length, uint32_t n, bool fetch)
{
    switch (w->side == KEPT && n >= 2 ? n + 1 : n) {
    case 0: make_weights_of_row(w, to, k, length, 0, fetch); break;
    case 1: make_weights_of_row(w, to, k, length, 1, fetch); break;
    case 2: make_weights_of_row(w, to, k, length, 2, fetch); break;
    case 3: make_weights_of_row(w, to, k, length, 3, fetch); break;
    case 4: make_weights_of_row(w, to, k, length, 4, fetch); break;
    case 5: make_weights_of_row(w, to, k, length, 5, fetch); break;
    }
}

/* What a strip writes and the first of what the next strip reads come nearer: a last cache that others use as well may hold
 * neither. A line that is skipped comes with its neighbour. */
static void fetch(const struct work *w, const float *x, const float *y, uint32_t rows, uint32_t length)
{
    enum {
        FLOATS = LINE / 2,     /* of a cache line */
        X_STEP = VEC_REGISTERS == 32 ? 2 * FLOATS : FLOATS,
        Y_STEP = VEC_REGISTERS == 32 ? FLOATS : 2 * FLOATS,
    };
    const float *next = x + (size_t)rows * w->p->x1_stride;

    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t c = 0; c < w->columns; c += Y_STEP) __builtin_prefetch(y + (size_t)r * w->p->y_stride + c, 1);
        for (uint32_t k = 0; k < least(length, FIRST); k += X_STEP) __builtin_prefetch(next + (size_t)r * w->p->x1_stride + k);
    }
}

/* A part's rows take in k of [k, k + length). */
static void multiply(const struct work *w, uint32_t part, const float *weights, uint32_t k, uint32_t length)
{
    const float *x = w->x + part * w->x_step;
    float *y = w->y + part * w->y_step;
    uint32_t strips = parts(w->rows, TILE_ROWS);

    for (uint32_t strip = 0; strip < strips; strip++) {
        uint32_t first = w->rows * strip / strips, rows = w->rows * (strip + 1) / strips - first;
        struct tile_run run = { .length = length };
        fetch(w, x + (size_t)first * w->p->x1_stride + k, y + (size_t)first * w->p->y_stride, rows, length);
        for (uint32_t r = 0; r < rows; r++) run.a[r] = x + (size_t)(first + r) * w->p->x1_stride + k;
        for (uint32_t c = 0; c < w->columns; c += TILE_COLUMNS)
            CPU_NAME(tile)(&run, 1, weights + (size_t)c * length, y + (size_t)first * w->p->y_stride + c, w->p->y_stride, k > 0,
                           rows, parts(least(w->columns - c, TILE_COLUMNS), VEC_WIDTH));
    }
}

void CPU_NAME(gemm_winograd_run)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct gemm_params *p = a->params;
    struct memory *m = memory;
    uint32_t side = side_of(p), part_rows = p->rows / GEMM_PARTS(p->flags), blocks = parts(part_rows, plan->rows);
    uint32_t sets = parts(side, plan->panels), i = item % sets * plan->panels, end = least(i + plan->panels, side);
    uint32_t row = item / sets % blocks * plan->rows, column = item / sets / blocks * PANEL;
    uint32_t block = even_part(p->c1, BLOCK, 16);
    const struct work w = {
        .p = p, .panel = (const uint16_t *)a->reads[2] + (size_t)column * p->k,
        .x = (const float *)a->reads[0] + (size_t)row * p->x1_stride,
        .y = (float *)a->writes[0] + (size_t)row * p->y_stride + column,
        .x_step = (size_t)part_rows * p->x1_stride, .y_step = (size_t)part_rows * p->y_stride,
        .side = side, .rows = least(part_rows - row, plan->rows), .columns = least(p->cols - column, PANEL),
    };

    for (uint32_t k = 0, length; k < p->c1; k += length) {
        length = least(p->c1 - k, block);
        for (uint32_t n = i; n < end; n++) {
            make_weights_of(&w, m->weights, k, length, n, n == i);
            for (uint32_t j = 0; j < side; j++)
                multiply(&w, n * side + j, m->weights + j * ((size_t)length * PANEL + GAP), k, length);
        }
    }
}
