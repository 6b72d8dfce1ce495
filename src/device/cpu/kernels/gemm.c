/* gemm on the processor (shaders/gemm.h): linear layers and convolutions.
 *
 * An item is a block of rows by a few panels of 64 columns. It takes k in blocks: for each panel the block's weights are
 * widened to fp32 into the thread's memory and multiplied, a strip of rows at a time, in tiles (tile.h) whose sums stay
 * in the cache until the last block, when the epilogue stores them. So the inputs of a block come from far memory once for all its
 * panels. For every tap of a convolution a row's pointer moves to the pixel that the tap sees, or to zeros outside the
 * image. Where k is cut depends on k alone: an element's bits depend on its own operands, not on rows, items or
 * threads. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/math.h"
#include "device/cpu/kernels/tile.h"

#include "gemm.h"

enum {
    PANEL = 64,
    K_BLOCK = 640,
    MOST_ROWS = 240, MOST_PANELS = 5,      /* of an item: inputs, sums and weights share 1 MB of cache */
    LEAST_ROWS = 96,                       /* below it widening the weights would show */
    ITEMS_PER_THREAD = 8,                  /* so that threads finish together */
    MOST_RUNS = K_BLOCK / 4,
};

struct place {                 /* what row's first tap sees */
    int32_t y, x;              /* of the upsampled input */
    uint32_t first;            /* pixel of its image */
    uint32_t image;
};

struct run {                   /* part of k inside one tap and one source */
    int32_t ky, kx;
    const float *x;            /* that source from the first channel on */
    uint32_t stride, length;
};

struct memory {
    float panel[K_BLOCK * PANEL];
    float sums[MOST_PANELS * MOST_ROWS * PANEL];       /* [panel][row][column] */
    struct place places[MOST_ROWS];
    struct run runs[MOST_RUNS];
    struct tile_run aimed[MOST_RUNS];
};

struct item {
    uint32_t first, rows;              /* rows of y */
    uint32_t panel, panels;
};

static const float zeros[K_BLOCK];

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t parts(uint32_t whole, uint32_t part)
{
    return (whole + part - 1) / part;
}

/* n cut into as few parts of at most `most` as there must be, as even as multiples of `unit` allow. */
static uint32_t even_part(uint32_t n, uint32_t most, uint32_t unit)
{
    uint32_t part = parts(n, parts(n, most));
    return parts(part, unit) * unit;
}

/* Large items use the cache best; they shrink while there are too few for the threads. */
static struct cpu_plan plan(const struct cpu_args *a)
{
    uint32_t panels = parts(a->columns, PANEL), wanted = a->threads > 1 ? a->threads * ITEMS_PER_THREAD : 1;
    uint32_t rows = even_part(a->rows, MOST_ROWS, TILE_ROWS), group = even_part(panels, MOST_PANELS, 1);

    while (parts(a->rows, rows) * parts(panels, group) < wanted && group > 1) group = even_part(panels, group - 1, 1);
    while (parts(a->rows, rows) * panels < wanted && rows > LEAST_ROWS)
        rows = even_part(a->rows, rows - TILE_ROWS, TILE_ROWS);
    return (struct cpu_plan) { parts(a->rows, rows) * parts(panels, group), rows, group, sizeof(struct memory) };
}

static void find_places(const struct gemm_params *p, struct place *places, uint32_t first, uint32_t rows)
{
    uint32_t out_pixels = p->out_h * p->out_w;

    for (uint32_t i = 0; i < rows; i++) {
        uint32_t image = (first + i) / out_pixels, pixel = (first + i) % out_pixels;
        places[i] = (struct place) {
            .y = (int32_t)(pixel / p->out_w * p->stride) - (int32_t)p->pad_top,
            .x = (int32_t)(pixel % p->out_w * p->stride) - (int32_t)p->pad_left,
            .first = image * p->in_h * p->in_w, .image = image,
        };
    }
}

/* The runs of k in [first, end), within the taps: what the panel holds beyond them is zero. */
static uint32_t cut_runs(const struct cpu_args *a, uint32_t first, uint32_t end, struct run *runs)
{
    const struct gemm_params *p = a->params;
    uint32_t channels = p->c1 + p->c2, count = 0;

    for (uint32_t k = first; k < end; k += runs[count++].length) {
        uint32_t tap = k / channels, c = k % channels;
        bool second = c >= p->c1;
        runs[count] = (struct run) {
            .ky = (int32_t)(tap / p->kernel_w), .kx = (int32_t)(tap % p->kernel_w),
            .x = second ? (const float *)a->reads[1] + (c - p->c1) : (const float *)a->reads[0] + c,
            .stride = second ? p->x2_stride : p->x1_stride,
            .length = least(end - k, (second ? channels : p->c1) - c),
        };
    }
    return count;
}

static const float *pixel_of(const struct gemm_params *p, const struct run *run, const struct place *place)
{
    uint32_t y = (uint32_t)(place->y + run->ky), x = (uint32_t)(place->x + run->kx), shift = p->upsample - 1;

    uint32_t seen_h = shift ? p->out_h : p->in_h, seen_w = shift ? p->out_w : p->in_w;

    if (y >= seen_h || x >= seen_w) return zeros;
    return run->x + (size_t)(place->first + (y >> shift) * p->in_w + (x >> shift)) * run->stride;
}

/* Where a strip's rows stand in each run. */
static void aim(const struct gemm_params *p, const struct run *runs, uint32_t count, const struct place *places,
                uint32_t rows, struct tile_run *out)
{
    for (uint32_t i = 0; i < count; i++) {
        out[i].length = runs[i].length;
        for (uint32_t r = 0; r < rows; r++) out[i].a[r] = pixel_of(p, &runs[i], &places[r]);
    }
}

/* [k][64] halves to TILE_COLUMNS wide panels of floats, one after the other. */
static void widen(float *to, const uint16_t *from, uint32_t length)
{
    for (uint32_t k = 0; k < length; k++)
        for (uint32_t c = 0; c < PANEL; c += TILE_COLUMNS)
            widen_f16(to + (size_t)c * length + (size_t)k * TILE_COLUMNS, from + (size_t)k * PANEL + c,
                      TILE_COLUMNS);
}

static void geglu(float *v)
{
    float value[PANEL / 2], gate[PANEL / 2];

    for (int i = 0; i < PANEL / 2; i++) {
        value[i] = v[i / 4 * 8 + i % 4];
        gate[i] = v[i / 4 * 8 + 4 + i % 4];
    }
    for (int i = 0; i < PANEL / 2; i++) v[i] = value[i] * gelu(gate[i]);
}

static void activate(float *v, uint32_t act)
{
    switch (act) {
    case ACT_SILU:
        for (int i = 0; i < PANEL; i++) v[i] = silu(v[i]);
        break;
    case ACT_GELU:
        for (int i = 0; i < PANEL; i++) v[i] = gelu(v[i]);
        break;
    case ACT_QUICK_GELU:
        for (int i = 0; i < PANEL; i++) v[i] = quick_gelu(v[i]);
        break;
    case ACT_GEGLU:
        geglu(v);
        break;
    }
}

/* One row of a panel's sums to y: `count` columns from `column` on, then zeros up to a multiple of 4. */
VEC_INLINE void store_columns(const struct cpu_args *a, const float *sums, size_t row, uint32_t image, uint32_t column,
                              uint32_t count)
{
    const struct gemm_params *p = a->params;
    const float *bias = (const float *)a->reads[3] + column;
    const float *per_image = (const float *)a->reads[4] + (size_t)image * p->per_image_stride + column;
    float v[PANEL];

    for (int i = 0; i < PANEL; i++) v[i] = sums[i] * p->scale;
    if (p->flags & GEMM_BIAS)
        for (uint32_t i = 0; i < count; i++) v[i] += bias[i];
    if (p->flags & GEMM_PER_IMAGE)
        for (uint32_t i = 0; i < count; i++) v[i] += per_image[i];
    activate(v, p->act);
    if (p->act == ACT_GEGLU) {
        column /= 2;
        count /= 2;
    }
    if (p->flags & GEMM_RESIDUAL)
        for (uint32_t i = 0; i < count; i++)
            v[i] += ((const float *)a->reads[5])[row * p->residual_stride + column + i];
    float *y = (float *)a->writes[0] + row * p->y_stride + column;
    uint32_t i = 0;
    for (; i + VEC_WIDTH <= count; i += VEC_WIDTH) vec_store(y + i, vec_load(v + i));
    for (; i < count; i++) y[i] = v[i];
    for (; i % 4; i++) y[i] = 0;
}

static void store_row(const struct cpu_args *a, const float *sums, size_t row, uint32_t image, uint32_t column)
{
    const struct gemm_params *p = a->params;

    if (p->cols - column >= PANEL)
        store_columns(a, sums, row, image, column, PANEL);      /* a count that the compiler knows */
    else
        store_columns(a, sums, row, image, column, p->cols - column);
}

static void multiply(struct memory *m, uint32_t count, uint32_t length, float *sums, uint32_t rows, uint32_t columns,
                     bool add)
{
    for (uint32_t c = 0; c < columns; c += TILE_COLUMNS)
        CPU_NAME(tile)(m->aimed, count, m->panel + (size_t)c * length, sums + c, PANEL, add, rows,
                       parts(least(columns - c, TILE_COLUMNS), VEC_WIDTH));
}

/* One panel takes in k of [k, k + length), cut into `count` runs. */
static void multiply_panel(const struct cpu_args *a, struct memory *m, const struct item *it, uint32_t panel, uint32_t k,
                           uint32_t length, uint32_t count)
{
    const struct gemm_params *p = a->params;
    uint32_t column = (it->panel + panel) * PANEL, k_end = p->kernel_h * p->kernel_w * (p->c1 + p->c2);
    const uint16_t *w = (const uint16_t *)a->reads[2] + (size_t)(it->panel + panel) * p->k * PANEL;
    float *sums = m->sums + (size_t)panel * it->rows * PANEL;

    widen(m->panel, w + (size_t)k * PANEL, length);
    for (uint32_t r = 0; r < it->rows; r += TILE_ROWS) {
        uint32_t end = least(it->rows, r + TILE_ROWS);
        aim(p, m->runs, count, m->places + r, end - r, m->aimed);
        multiply(m, count, length, sums + r * PANEL, end - r, least(p->cols - column, PANEL), k > 0);
        if (k + length < k_end) continue;
        for (uint32_t i = r; i < end; i++)
            store_row(a, sums + i * PANEL, it->first + i, m->places[i].image, column);
    }
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, void *memory)
{
    const struct gemm_params *p = a->params;
    struct memory *m = memory;
    uint32_t panels = parts(p->cols, PANEL), groups = parts(panels, plan->panels);
    uint32_t first = index / groups * plan->rows, panel = index % groups * plan->panels;
    struct item it = { first, least(p->rows - first, plan->rows), panel, least(panels - panel, plan->panels) };
    uint32_t k_end = p->kernel_h * p->kernel_w * (p->c1 + p->c2), block = even_part(k_end, K_BLOCK, 16);

    find_places(p, m->places, it.first, it.rows);
    for (uint32_t k = 0; k < k_end; k += block) {
        uint32_t length = least(k_end - k, block), count = cut_runs(a, k, k + length, m->runs);
        for (uint32_t i = 0; i < it.panels; i++) multiply_panel(a, m, &it, i, k, length, count);
    }
}

const struct cpu_kernel CPU_NAME(gemm) = { "gemm", "f32", false, plan, run_item };
