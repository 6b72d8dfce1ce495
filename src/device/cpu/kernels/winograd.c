/* winograd_in and winograd_out on the processor (shaders/winograd.h): vectors of channels, a few tiles an item. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/vec.h"

#include "gemm.h"
#include "winograd.h"

enum {
    SIDE = 6, OUT = 4, POINTS = SIDE * SIDE, KEPT = 5 /* of SIDE with GEMM_DOUBLED */,
    TILES = 8,                     /* of an item */
    WIDE = CACHE_LINE / 4,         /* channels that are written at a time: whole lines, or memory would take halves of them */
    AHEAD = 2 * WIDE,              /* channels from those that are read to those that memory is asked for */
};

struct spot {                      /* where a tile lies */
    uint32_t image, y, x;          /* of its first output */
};

static struct spot spot_of(const struct winograd_params *p, uint32_t tile)
{
    uint32_t across = parts(p->w, OUT), down = parts(p->h, OUT);

    tile += p->first;
    return (struct spot) { tile / (across * down), tile / across % down * OUT, tile % across * OUT };
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    return (struct cpu_plan) { .items = parts(a->rows, TILES), .rows = TILES };
}

/* B^T d of six values that lie `step` apart. */
VEC_INLINE void transform_in(vec *d, const int step)
{
    vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    vec even = d2 * (2 / 3.0f) - d4 * (1 / 6.0f), odd = d1 * (2 / 3.0f) - d3 * (1 / 6.0f);
    vec near = (d4 - d2) * (1 / 24.0f), far = (d3 - d1) * (1 / 12.0f);

    d[0] = d0 - 1.25f * d2 + 0.25f * d4;
    d[step] = even + odd;
    d[2 * step] = even - odd;
    d[3 * step] = near + far;
    d[4 * step] = near - far;
    d[5 * step] = 4.0f * d1 - 5.0f * d3 + d5;
}

/* A^T m likewise: six to four. */
VEC_INLINE void transform_out(vec *m, const int step)
{
    vec m0 = m[0], m5 = m[5 * step];
    vec sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
    vec far_sum = m[3 * step] + m[4 * step], far_difference = m[3 * step] - m[4 * step];

    m[0] = m0 + sum + far_sum;
    m[step] = difference + 2.0f * far_difference;
    m[2 * step] = sum + 4.0f * far_sum;
    m[3 * step] = difference + 8.0f * far_difference + m5;
}

/* B^T d of d0, d1 = d2, d3 = d4, d5 without its third value, 0: four to five. */
VEC_INLINE void transform_doubled(vec *d, const int step)
{
    vec d0 = d[0], d1 = d[step], d3 = d[2 * step], d5 = d[3 * step], slope = d3 - d1;

    d[0] = d0 - d1 + 0.25f * slope;
    d[step] = d1 * (4 / 3.0f) - d3 * (1 / 3.0f);
    d[2 * step] = slope * (1 / 8.0f);
    d[3 * step] = slope * (-1 / 24.0f);
    d[4 * step] = d5 - d1 - 5.0f * slope;
}

/* The pixels of x under a tile, in rows of SIDE: six by six, or four by four that are doubled. NULL outside x. */
static void find_pixels(const struct winograd_params *p, const float *x, uint32_t tile, uint32_t doubled, const float *pixel[POINTS])
{
    struct spot s = spot_of(p, tile);
    uint32_t side = doubled ? OUT : SIDE, width = p->w >> doubled;

    for (uint32_t i = 0; i < side; i++)
        for (uint32_t j = 0; j < side; j++) {
            uint32_t y = (s.y >> doubled) + i + p->above - 1, column = (s.x >> doubled) + j - 1;      /* -1: huge */
            bool inside = y < p->in_h && column < width;
            pixel[i * SIDE + j] = inside ? x + (((size_t)s.image * p->in_h + y) * width + column) * p->x_stride : NULL;
        }
}

VEC_INLINE void tile_in(const struct winograd_params *p, float *to, const float *x, uint32_t tile, const bool doubled)
{
    const int side = doubled ? OUT : SIDE, kept = doubled ? KEPT : SIDE;
    size_t step = (size_t)p->part_rows * p->v_stride;
    const float *pixel[POINTS];
    vec d[POINTS];

    find_pixels(p, x, tile, doubled, pixel);
    for (uint32_t c = 0; c < p->channels; c += VEC_WIDTH) {
        for (int i = 0; i < side; i++)
            for (int j = 0; j < side; j++) d[i * SIDE + j] = pixel[i * SIDE + j] ? vec_load(pixel[i * SIDE + j] + c) : (vec) { 0 };
#pragma GCC unroll 6
        for (int i = 0; i < side; i++) doubled ? transform_doubled(d + i, SIDE) : transform_in(d + i, SIDE);
#pragma GCC unroll 6
        for (int i = 0; i < kept; i++) doubled ? transform_doubled(d + i * SIDE, 1) : transform_in(d + i * SIDE, 1);
        for (int i = 0; i < kept; i++)
            for (int j = 0; j < kept; j++) vec_store(to + (size_t)(i * kept + j) * step + c, d[i * SIDE + j]);
    }
}

static void run_in(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct winograd_params *p = a->params;
    uint32_t end = (item + 1) * plan->rows < p->tiles ? (item + 1) * plan->rows : p->tiles;

    (void)memory;
    for (uint32_t tile = item * plan->rows; tile < end; tile++) {
        float *to = (float *)a->writes[0] + (size_t)tile * p->v_stride;
        if (p->flags & GEMM_DOUBLED) tile_in(p, to, a->reads[0], tile, true);
        else tile_in(p, to, a->reads[0], tile, false);
    }
}

/* Four by four values of channels [c, c + WIDE) to y; `count` of them are channels. */
VEC_INLINE void store_tile(const struct cpu_args *a, struct spot s, float values[OUT * OUT][WIDE], uint32_t c, uint32_t count,
                           bool far)
{
    const struct winograd_params *p = a->params;
    const float *bias = a->reads[1], *per_image = a->reads[2];      /* NULL without their flags */
    size_t image_at = (size_t)s.image * p->per_image_stride + c;

    for (uint32_t y = 0; y < OUT && s.y + y < p->h; y++)
        for (uint32_t x = 0; x < OUT && s.x + x < p->w; x++) {
            size_t row = ((size_t)s.image * p->h + s.y + y) * p->w + s.x + x;
            float *v = values[y * OUT + x], *to = (float *)a->writes[0] + row * p->y_stride + c;
            if (p->flags & GEMM_BIAS)
                for (uint32_t i = 0; i < count; i++) v[i] += bias[c + i];
            if (p->flags & GEMM_PER_IMAGE)
                for (uint32_t i = 0; i < count; i++) v[i] += per_image[image_at + i];
            if (p->flags & GEMM_RESIDUAL)
                for (uint32_t i = 0; i < count; i++) v[i] += ((const float *)a->reads[3])[row * p->residual_stride + c + i];
            if (far)
                for (uint32_t i = 0; i < WIDE; i += VEC_WIDTH) vec_store_far(to + i, vec_load(v + i));
            else
                for (uint32_t i = 0; i < count; i++) to[i] = v[i];
        }
}

/* Of 25 parts, those that are left out as zeros. */
VEC_INLINE void load_kept(vec *m, const float *from, size_t step)
{
    int part = 0;

#pragma GCC unroll 36
    for (int i = 0; i < POINTS; i++) {
        bool kept = i / SIDE != 2 && i % SIDE != 2;
        m[i] = kept ? vec_load(from + (size_t)part * step) : (vec) { 0 };
        part += kept;
    }
}

/* A^T m A of a vector of channels, to [OUT * OUT][WIDE]; parts are `step` floats apart. */
VEC_INLINE void tile_out(float *to, const float *from, size_t step, const bool doubled)
{
    vec m[POINTS];

    if (doubled) load_kept(m, from, step);
    else
        for (int i = 0; i < POINTS; i++) m[i] = vec_load(from + (size_t)i * step);
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; i++) transform_out(m + i, SIDE);
#pragma GCC unroll 4
    for (int i = 0; i < OUT; i++) transform_out(m + i * SIDE, 1);
    for (int i = 0; i < OUT * OUT; i++) vec_store(to + i * WIDE, m[i / OUT * SIDE + i % OUT]);
}

static void run_out(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct winograd_params *p = a->params;
    uint32_t end = (item + 1) * plan->rows < p->tiles ? (item + 1) * plan->rows : p->tiles;
    bool large = (size_t)p->h * p->w * p->y_stride * sizeof(float) >= FAR_BYTES;
    bool far = large && ((uintptr_t)a->writes[0] | p->y_stride * sizeof(float)) % sizeof(vec) == 0;
    size_t step = (size_t)p->part_rows * p->v_stride;
    _Alignas(64) float values[OUT * OUT][WIDE];

    (void)memory;
    for (uint32_t tile = item * plan->rows; tile < end; tile++) {
        const float *from = (const float *)a->reads[0] + (size_t)tile * p->v_stride;
        struct spot s = spot_of(p, tile);
        for (uint32_t c = 0; c < p->channels; c += WIDE, from += WIDE) {
            for (uint32_t part = 0; part < GEMM_PARTS(p->flags); part++) __builtin_prefetch(from + part * step + AHEAD);
            for (uint32_t i = 0; i < WIDE; i += VEC_WIDTH) {
                if (p->flags & GEMM_DOUBLED) tile_out(values[0] + i, from + i, step, true);
                else tile_out(values[0] + i, from + i, step, false);
            }
            if (p->channels - c >= WIDE) store_tile(a, s, values, c, WIDE, far);      /* a count that the compiler knows */
            else store_tile(a, s, values, c, p->channels - c, false);
        }
    }
    vec_stored();
}

const struct cpu_kernel CPU_NAME(winograd_in) = { "winograd_in", "f32", false, plan, run_in };
const struct cpu_kernel CPU_NAME(winograd_out) = { "winograd_out", "f32", false, plan, run_out };
