/* group_norm's three dispatches on the processor (shaders/group_norm.h). */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/math.h"
#include "device/cpu/kernels/stored.h"

#include <math.h>

#include "gemm.h"
#include "group_norm.h"

struct source {             /* one of the two tensors that stand side by side */
    const void *x;
    bool f16;
    uint32_t channels, stride, first;      /* first: its first channel among all */
};

static uint32_t channels_of(const struct cpu_args *a)
{
    const struct group_norm_params *p = a->params;
    return p->c1 + p->c2;
}

static int sources_of(const struct cpu_args *a)
{
    const struct group_norm_params *p = a->params;
    return p->c2 ? 2 : 1;
}

static struct source source_of(const struct cpu_args *a, int i)
{
    const struct group_norm_params *p = a->params;
    return i == 0 ? (struct source) { a->reads[0], a->f16, p->c1, p->x1_stride, 0 }
                  : (struct source) { a->reads[1], a->f16, p->c2, p->x2_stride, p->c1 };
}

/* A thread's memory: two vectors of all channels, and room for a source's row. */
static size_t memory_of(const struct cpu_args *a)
{
    return (2 * channels_of(a) + row_room(channels_of(a))) * sizeof(float);
}

static const float *pixel_of(const struct source *s, size_t pixel, float *room)
{
    return row_read(stored_at(s->x, pixel * s->stride, s->f16), s->f16, s->channels, room);
}

/* ---- stats: an item is one chunk of one image ---------------------------- */

enum { STATS_VECS = 4 };

static struct cpu_plan stats_plan(const struct cpu_args *a)
{
    return (struct cpu_plan) { .items = a->rows * a->batch, .rows = GROUP_NORM_CHUNK, .memory = memory_of(a) };
}

/* Sums over pixels, of `count` vectors of channels from c on, which stay in registers: of x, or of (x - mean)^2. */
VEC_INLINE void add_up_vecs(const struct source *s, size_t first, uint32_t pixels, uint32_t c, const float *mean, float *sums,
                            const int count, const bool squares, const bool f16)
{
    vec sum[STATS_VECS] = { 0 };

    for (size_t pixel = first; pixel < first + pixels; pixel++) {
        const void *x = stored_at(s->x, pixel * s->stride + c, f16);
        for (int v = 0; v < count; v++) {
            vec value = stored_vec(x, (size_t)v * VEC_WIDTH, f16);
            if (squares) value -= vec_load(mean + c + v * VEC_WIDTH);
            sum[v] += squares ? value * value : value;
        }
    }
    for (int v = 0; v < count; v++) vec_store(sums + c + v * VEC_WIDTH, sum[v]);
}

/* The same of the channels that fill no vector. */
static void add_up_rest(const struct source *s, size_t first, uint32_t pixels, uint32_t c, const float *mean, float *sums, bool squares)
{
    uint32_t count = s->channels - c;
    float room[VEC_WIDTH + HALVES], sum[VEC_WIDTH] = { 0 };

    for (size_t pixel = first; pixel < first + pixels; pixel++) {
        const float *x = row_read(stored_at(s->x, pixel * s->stride + c, s->f16), s->f16, count, room);
        for (uint32_t i = 0; i < count; i++) sum[i] += squares ? (x[i] - mean[c + i]) * (x[i] - mean[c + i]) : x[i];
    }
    memcpy(sums + c, sum, count * sizeof *sums);
}

VEC_INLINE void add_up_all(const struct source *s, size_t first, uint32_t pixels, const float *mean, float *sums, const bool squares,
                           const bool f16)
{
    uint32_t c = 0;

    for (; c + STATS_VECS * VEC_WIDTH <= s->channels; c += STATS_VECS * VEC_WIDTH)
        add_up_vecs(s, first, pixels, c, mean, sums, STATS_VECS, squares, f16);
    for (; c + VEC_WIDTH <= s->channels; c += VEC_WIDTH) add_up_vecs(s, first, pixels, c, mean, sums, 1, squares, f16);
    if (c < s->channels) add_up_rest(s, first, pixels, c, mean, sums, squares);
}

/* sums[c] = sum over pixels of x, or of (x - mean[c])^2. */
static void add_up(const struct source *s, size_t first, uint32_t pixels, const float *mean, float *sums, bool squares)
{
    if (s->f16 && squares) add_up_all(s, first, pixels, mean + s->first, sums + s->first, true, true);
    else if (s->f16) add_up_all(s, first, pixels, mean + s->first, sums + s->first, false, true);
    else if (squares) add_up_all(s, first, pixels, mean + s->first, sums + s->first, true, false);
    else add_up_all(s, first, pixels, mean + s->first, sums + s->first, false, false);
}

static double total(const float *v, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += v[i];
    return sum;
}

static void stats_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct group_norm_params *p = a->params;
    uint32_t channels = channels_of(a), width = channels / p->groups, image = item / p->chunks;
    uint32_t chunk = item % p->chunks, pixels = least(plan->rows, p->pixels - chunk * plan->rows);
    size_t first = (size_t)image * p->pixels + chunk * plan->rows;
    float *sums = memory, *mean = sums + channels, *partial = (float *)a->writes[0] + (size_t)item * p->groups * 2;

    for (int i = 0; i < sources_of(a); i++) {
        struct source s = source_of(a, i);
        add_up(&s, first, pixels, mean, sums, false);
    }
    for (uint32_t g = 0; g < p->groups; g++) {
        partial[2 * g] = (float)(total(sums + g * width, width) / ((double)pixels * width));
        for (uint32_t c = 0; c < width; c++) mean[g * width + c] = partial[2 * g];
    }
    for (int i = 0; i < sources_of(a); i++) {
        struct source s = source_of(a, i);
        add_up(&s, first, pixels, mean, sums, true);
    }
    for (uint32_t g = 0; g < p->groups; g++) partial[2 * g + 1] = (float)total(sums + g * width, width);
}

const struct cpu_kernel CPU_NAME(group_norm_stats) = { "group_norm_stats", "f32", false, stats_plan, stats_item };
#if VEC_AMX
const struct cpu_kernel CPU_NAME(group_norm_stats_f16) = { "group_norm_stats", "f16", true, stats_plan, stats_item };
#endif

/* ---- finish: an item is one image ----------------------------------------- */

static struct cpu_plan finish_plan(const struct cpu_args *a)
{
    const struct group_norm_params *p = a->params;
    return (struct cpu_plan) { .items = p->images, .rows = p->groups };
}

/* Chan's combination: chunks in order, in double. */
static void finish_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct group_norm_params *p = a->params;
    uint32_t width = channels_of(a) / p->groups;

    (void)memory, (void)plan;
    for (uint32_t g = 0; g < p->groups; g++) {
        double mean = 0, squares = 0, count = 0;
        for (uint32_t c = 0; c < p->chunks; c++) {
            const float *part = (const float *)a->reads[0] + (((size_t)item * p->chunks + c) * p->groups + g) * 2;
            double n = (double)least(GROUP_NORM_CHUNK, p->pixels - c * GROUP_NORM_CHUNK) * width;
            double delta = part[0] - mean;
            squares += part[1] + delta * delta * count * n / (count + n);
            mean += delta * n / (count + n);
            count += n;
        }
        float *stats = (float *)a->writes[0] + ((size_t)item * p->groups + g) * 2;
        stats[0] = (float)mean;
        stats[1] = (float)(1.0 / sqrt(squares / count + p->eps));
    }
}

const struct cpu_kernel CPU_NAME(group_norm_finish) = { "group_norm_finish", "f32", false, finish_plan, finish_item };

/* ---- apply: an item is a block of one image's pixels ---------------------- */

enum { APPLY_PIXELS = 64 };

static struct cpu_plan apply_plan(const struct cpu_args *a)
{
    const struct group_norm_params *p = a->params;
    uint32_t blocks = parts(p->pixels, APPLY_PIXELS);
    return (struct cpu_plan) { .items = p->images * blocks, .rows = APPLY_PIXELS, .memory = memory_of(a) };
}

/* y = (x - mean) * factor + beta: subtracting first keeps the digits of a large mean. */
static void apply_row(const float *x, const float *mean, const float *factor, const float *beta, float *y,
                      uint32_t channels, uint32_t act)
{
    if (act == ACT_SILU)
        for (uint32_t c = 0; c < channels; c++) y[c] = silu((x[c] - mean[c]) * factor[c] + beta[c]);
    else
        for (uint32_t c = 0; c < channels; c++) y[c] = (x[c] - mean[c]) * factor[c] + beta[c];
}

static void apply_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct group_norm_params *p = a->params;
    uint32_t channels = channels_of(a), width = channels / p->groups;
    uint32_t blocks = parts(p->pixels, plan->rows), image = item / blocks;
    uint32_t first = item % blocks * plan->rows, end = least(first + plan->rows, p->pixels);
    const float *stats = (const float *)a->reads[2] + (size_t)image * p->groups * 2;
    const float *gamma = a->reads[3], *beta = a->reads[4];
    float *mean = memory, *factor = mean + channels, *room = factor + channels;

    for (uint32_t c = 0; c < channels; c++) {
        mean[c] = stats[c / width * 2];
        factor[c] = stats[c / width * 2 + 1] * gamma[c];
    }
    for (int i = 0; i < sources_of(a); i++) {
        struct source s = source_of(a, i);
        for (size_t pixel = (size_t)image * p->pixels + first; pixel < (size_t)image * p->pixels + end; pixel++) {
            void *y = stored_place(a->writes[0], pixel * p->y_stride + s.first, a->f16);
            apply_row(pixel_of(&s, pixel, room), mean + s.first, factor + s.first, beta + s.first, row_to_write(y, a->f16, room),
                      s.channels, p->act);
            row_written(y, a->f16, s.channels, room);
        }
    }
}

const struct cpu_kernel CPU_NAME(group_norm_apply) = { "group_norm_apply", "f32", false, apply_plan, apply_item };
#if VEC_AMX
const struct cpu_kernel CPU_NAME(group_norm_apply_f16) = { "group_norm_apply", "f16", true, apply_plan, apply_item };
#endif
