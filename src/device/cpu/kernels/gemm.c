/* gemm on the processor (shaders/gemm.h): linear layers and convolutions.
 *
 * An item is a block of rows by one panel of 64 columns. The panel's weights are widened to fp32, K_BLOCK of its rows
 * at a time, into the thread's memory, and multiplied in tiles (tile.h) whose sums stay in the cache until the last
 * block, when the epilogue stores them. For every tap of a convolution a row's pointer moves to the pixel that the tap
 * sees, or to zeros outside the image. Sums over k are cut at multiples of K_BLOCK whatever the rows, items or
 * threads: an element's bits depend on its own operands alone. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/math.h"
#include "device/cpu/kernels/tile.h"

#include "gemm.h"

enum {
    PANEL = 64,
    K_BLOCK = 320,
    MOST_ROWS = 480,           /* of an item: a multiple of TILE_ROWS */
    LEAST_ROWS = 96,           /* below it widening the panel would show */
    ITEMS_PER_THREAD = 8,      /* so that threads finish together */
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
    float sums[MOST_ROWS * PANEL];
    struct place places[MOST_ROWS];
};

static const float zeros[K_BLOCK];

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    uint32_t panels = (a->columns + PANEL - 1) / PANEL;
    uint32_t blocks = (a->rows + MOST_ROWS - 1) / MOST_ROWS;
    uint32_t wanted = (a->threads * ITEMS_PER_THREAD + panels - 1) / panels;
    uint32_t allowed = (a->rows + LEAST_ROWS - 1) / LEAST_ROWS;

    if (a->threads > 1 && blocks < wanted) blocks = blocks > least(wanted, allowed) ? blocks : least(wanted, allowed);
    uint32_t rows = (a->rows + blocks - 1) / blocks;
    rows = least((rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS, MOST_ROWS);
    blocks = (a->rows + rows - 1) / rows;
    return (struct cpu_plan) { panels * blocks, rows, sizeof(struct memory) };
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

/* The runs of k in [first, end); beyond the last tap there is nothing to add. */
static uint32_t cut_runs(const struct cpu_args *a, uint32_t first, uint32_t end, struct run *runs)
{
    const struct gemm_params *p = a->params;
    uint32_t channels = p->c1 + p->c2, count = 0;

    end = least(end, p->kernel_h * p->kernel_w * channels);
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

/* One row of a panel's sums to y: columns [column, column + count), of which those from `cols` on are zero. */
static void store_row(const struct cpu_args *a, const float *sums, uint32_t row, uint32_t image, uint32_t column)
{
    const struct gemm_params *p = a->params;
    uint32_t count = least(p->cols - column, PANEL);
    const float *bias = a->reads[3], *per_image = a->reads[4], *residual = a->reads[5];
    float v[PANEL];

    for (int i = 0; i < PANEL; i++) v[i] = sums[i] * p->scale;
    if (p->flags & GEMM_BIAS)
        for (uint32_t i = 0; i < count; i++) v[i] += bias[column + i];
    if (p->flags & GEMM_PER_IMAGE)
        for (uint32_t i = 0; i < count; i++) v[i] += per_image[(size_t)image * p->per_image_stride + column + i];
    activate(v, p->act);
    if (p->act == ACT_GEGLU) {
        column /= 2;
        count /= 2;
    }
    if (p->flags & GEMM_RESIDUAL)
        for (uint32_t i = 0; i < count; i++) v[i] += residual[(size_t)row * p->residual_stride + column + i];
    while (count % 4) v[count++] = 0;
    memcpy((float *)a->writes[0] + (size_t)row * p->y_stride + column, v, count * sizeof *v);
}

static void multiply(struct memory *m, const struct tile_run *runs, uint32_t count, uint32_t length, uint32_t first,
                     uint32_t rows, uint32_t columns, bool add)
{
    for (uint32_t c = 0; c < columns; c += TILE_COLUMNS)
        CPU_NAME(tile)(runs, count, m->panel + (size_t)c * length, m->sums + first * PANEL + c, PANEL, add, rows,
             (least(columns - c, TILE_COLUMNS) + VEC_WIDTH - 1) / VEC_WIDTH);
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct gemm_params *p = a->params;
    struct memory *m = memory;
    uint32_t panels = (p->cols + PANEL - 1) / PANEL, panel = item % panels;
    uint32_t first = item / panels * plan->rows, rows = least(p->rows - first, plan->rows);
    uint32_t columns = least(p->cols - panel * PANEL, PANEL), strips = strip_count(rows);
    const uint16_t *w = (const uint16_t *)a->reads[2] + (size_t)panel * p->k * PANEL;
    uint32_t k_end = least(p->k, p->kernel_h * p->kernel_w * (p->c1 + p->c2));

    find_places(p, m->places, first, rows);
    for (uint32_t k = 0; k < k_end; k += K_BLOCK) {
        struct run runs[MOST_RUNS];
        struct tile_run aimed[MOST_RUNS];
        uint32_t length = least(k_end - k, K_BLOCK), count = cut_runs(a, k, k + length, runs);

        widen(m->panel, w + (size_t)k * PANEL, length);
        for (uint32_t s = 0; s < strips; s++) {
            uint32_t r = strip_first(rows, s), end = strip_first(rows, s + 1);
            aim(p, runs, count, m->places + r, end - r, aimed);
            multiply(m, aimed, count, length, r, end - r, columns, k > 0);
            for (; r < end && k + length == k_end; r++)
                store_row(a, m->sums + r * PANEL, first + r, m->places[r].image, panel * PANEL);
        }
    }
}

const struct cpu_kernel CPU_NAME(gemm) = { "gemm", "f32", false, plan, run_item };
