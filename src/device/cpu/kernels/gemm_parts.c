#include "device/cpu/kernels/gemm_parts.h"

#include "device/cpu/kernels/math.h"

enum {
    LEAST_ROWS = 96,                       /* below it unpacking the weights would show */
};

static const float zeros[K_BLOCK];

/* Equal parts of the rows, which have weights of their own. */
static uint32_t phases_of(const struct gemm_params *p)
{
    return p->flags & GEMM_PHASES ? 4 : 1;
}

struct cpu_plan CPU_NAME(gemm_cut)(const struct cpu_args *a, uint32_t sets, uint32_t all, uint32_t panels,
                                   struct gemm_limits most)
{
    uint32_t unit = most.unit, wanted = a->threads > 1 ? a->threads * most.items : 1;
    uint32_t rows = even_part(all, most.rows, unit), group = even_part(panels, most.panels, 1);

    while (sets * parts(all, rows) * parts(panels, group) < wanted && group > 1)
        group = even_part(panels, group - 1, 1);
    while (sets * parts(all, rows) * panels < wanted && rows > LEAST_ROWS) rows = even_part(all, rows - unit, unit);
    return (struct cpu_plan) { sets * parts(all, rows) * parts(panels, group), rows, group, most.memory };
}

struct cpu_plan CPU_NAME(gemm_plan)(const struct cpu_args *a, struct gemm_limits most)
{
    uint32_t phases = phases_of(a->params);

    return CPU_NAME(gemm_cut)(a, phases, a->rows / phases, parts(a->columns, PANEL), most);
}

static void find_places(const struct gemm_params *p, struct gemm_item *it)
{
    uint32_t out_pixels = p->out_h * p->out_w;

    for (uint32_t i = 0; i < it->rows; i++) {
        uint32_t row = it->first + i, image = row / out_pixels, pixel = row % out_pixels;
        it->places[i] = (struct gemm_place) {
            .y = (int32_t)(pixel / p->out_w * p->stride) - (int32_t)p->pad_top,
            .x = (int32_t)(pixel % p->out_w * p->stride) - (int32_t)p->pad_left,
            .first = image * p->in_h * p->in_w, .image = image, .out = row,
        };
    }
}

/* Rows of a phase are the input's pixels. */
static void find_phase_places(const struct gemm_params *p, struct gemm_item *it)
{
    uint32_t pixels = p->in_h * p->in_w, down = it->phase / 2, right = it->phase % 2;

    for (uint32_t i = 0; i < it->rows; i++) {
        uint32_t image = (it->first + i) / pixels, y = (it->first + i) % pixels / p->in_w, x = (it->first + i) % p->in_w;
        it->places[i] = (struct gemm_place) {
            .y = (int32_t)(y + down) - 1, .x = (int32_t)(x + right) - 1, .first = image * pixels, .image = image,
            .out = (image * p->out_h + 2 * y + down) * p->out_w + 2 * x + right,
        };
    }
}

void CPU_NAME(gemm_begin)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, uint32_t most,
                          struct gemm_item *it)
{
    const struct gemm_params *p = a->params;
    bool phases = p->flags & GEMM_PHASES;
    uint32_t panels = parts(p->cols, PANEL), groups = parts(panels, plan->panels), rows = p->rows / phases_of(p);
    uint32_t blocks = parts(rows, plan->rows), taps = phases ? 4 : p->kernel_h * p->kernel_w;

    it->f16 = a->f16;
    it->phase = index / groups / blocks;
    it->first = index / groups % blocks * plan->rows;
    it->rows = least(rows - it->first, plan->rows);
    it->room = parts(it->rows, SUM_ROWS) * SUM_ROWS;
    it->panel = index % groups * plan->panels;
    it->panels = least(panels - it->panel, plan->panels);
    it->kernel_w = phases ? 2 : p->kernel_w;
    it->shift = phases ? 0 : p->upsample - 1;
    it->seen_h = it->shift ? p->out_h : p->in_h;
    it->seen_w = it->shift ? p->out_w : p->in_w;
    it->taps_k = taps * p->c1;
    it->k = it->taps_k + p->c2 + p->c3;                      /* what a panel holds beyond is zero, or another's */
    it->block = even_part(it->taps_k, most, 32);
    it->own_block = p->c2 ? even_part(p->c2 + p->c3, most, 32) : 0;
    if (phases) find_phase_places(p, it);
    else find_places(p, it);
}

void CPU_NAME(gemm_run_weights)(const struct gemm_params *p, const struct gemm_item *it, struct gemm_run *run, uint32_t c)
{
    static const uint32_t first[2][2] = { { 0, 1 }, { 0, 2 } }, end[2][2] = { { 1, 3 }, { 2, 3 } };   /* [phase][tap] */
    uint32_t channels = p->c1, down = it->phase / 2, right = it->phase % 2;

    run->w_count = 0;
    if (run->own) {
        run->w[run->w_count++] = it->taps_k + c;
        return;
    }
    if (!(p->flags & GEMM_PHASES)) {
        run->w[run->w_count++] = ((uint32_t)run->ky * p->kernel_w + (uint32_t)run->kx) * channels + c;
        return;
    }
    for (uint32_t y = first[down][run->ky]; y < end[down][run->ky]; y++)
        for (uint32_t x = first[right][run->kx]; x < end[right][run->kx]; x++) run->w[run->w_count++] = (y * 3 + x) * channels + c;
}

void CPU_NAME(gemm_own_run)(const struct cpu_args *a, const struct gemm_item *it, struct gemm_run *run, uint32_t c,
                            uint32_t most)
{
    const struct gemm_params *p = a->params;
    bool third = c >= p->c2;

    *run = (struct gemm_run) {
        .own = true, .x = third ? stored_at(a->reads[6], c - p->c2, a->f16) : stored_at(a->reads[1], c, a->f16),
        .stride = third ? p->x3_stride : p->x2_stride, .length = least(most, (third ? p->c2 + p->c3 : p->c2) - c),
    };
    CPU_NAME(gemm_run_weights)(p, it, run, c);
}

void CPU_NAME(gemm_block)(const struct cpu_args *a, const struct gemm_item *it, uint32_t first, uint32_t length,
                          struct gemm_runs *runs)
{
    const struct gemm_params *p = a->params;
    uint32_t end = first + length;

    runs->count = 0;
    for (uint32_t k = first; k < end; k += runs->run[runs->count++].length) {
        struct gemm_run *run = &runs->run[runs->count];
        uint32_t tap = k / p->c1, c = k % p->c1;
        if (k >= it->taps_k) {
            CPU_NAME(gemm_own_run)(a, it, run, k - it->taps_k, end - k);
            continue;
        }
        *run = (struct gemm_run) {
            .ky = (int32_t)(tap / it->kernel_w), .kx = (int32_t)(tap % it->kernel_w), .x = stored_at(a->reads[0], c, a->f16),
            .stride = p->x1_stride, .length = least(end - k, p->c1 - c),
        };
        CPU_NAME(gemm_run_weights)(p, it, run, c);
    }
}

const void *CPU_NAME(gemm_pixel)(const struct gemm_params *p, const struct gemm_item *it, const struct gemm_run *run,
                                 const struct gemm_place *place)
{
    uint32_t y = (uint32_t)(place->y + run->ky), x = (uint32_t)(place->x + run->kx);

    if (run->own) return stored_at(run->x, (size_t)place->out * run->stride, it->f16);
    if (y >= it->seen_h || x >= it->seen_w) return zeros;
    return stored_at(run->x, (size_t)(place->first + (y >> it->shift) * p->in_w + (x >> it->shift)) * run->stride, it->f16);
}

static void geglu(float *v)
{
    float value[PANEL / 2], gate[PANEL / 2];

    for (int i = 0; i < PANEL; i += 2 * VEC_WIDTH) {
        vec first = vec_load(v + i), second = vec_load(v + i + VEC_WIDTH);
        vec_store(value + i / 2, vec_even_fours(first, second));
        vec_store(gate + i / 2, vec_odd_fours(first, second));
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

/* Past the caches, where y is as large that it would not wait there. */
static bool is_far(const struct cpu_args *a)
{
    const struct gemm_params *p = a->params;
    return (size_t)p->rows * p->y_stride * stored_size(a->f16) >= FAR_BYTES;
}

VEC_INLINE void fetch_bytes(const char *from, size_t bytes, const bool write)
{
    for (size_t b = 0; b < bytes; b += CACHE_LINE) {
        if (write) __builtin_prefetch(from + b, 1);
        else __builtin_prefetch(from + b);
    }
}

void CPU_NAME(gemm_fetch)(const struct cpu_args *a, const struct gemm_item *it, uint32_t panel, uint32_t first, uint32_t end)
{
    const struct gemm_params *p = a->params;
    uint32_t halves = p->act == ACT_GEGLU ? 2 : 1, column = panel * PANEL / halves;
    size_t bytes = PANEL / halves * stored_size(a->f16);
    bool far = is_far(a), residual = p->flags & GEMM_RESIDUAL;

    if (far && !residual) return;
    for (uint32_t i = first; i < end; i++) {
        size_t row = it->places[i].out;
        if (residual) fetch_bytes(stored_at(a->reads[5], row * p->residual_stride + column, a->f16), bytes, false);
        if (!far) fetch_bytes(stored_at(a->writes[0], row * p->y_stride + column, a->f16), bytes, true);
    }
}

/* v [count], with room for a multiple of HALVES, and the residual, to row `row` of y from `column` on. */
VEC_INLINE void finish_columns(const struct cpu_args *a, float *v, size_t row, uint32_t column, uint32_t count)
{
    const struct gemm_params *p = a->params;
    void *y = stored_place(a->writes[0], row * p->y_stride + column, a->f16);
    bool far = (uintptr_t)y % sizeof(vec) == 0 && is_far(a);
    float more[PANEL], *to = y;
    uint32_t i = 0;

    if (p->flags & GEMM_RESIDUAL) {
        const float *residual = row_read(stored_at(a->reads[5], row * p->residual_stride + column, a->f16), a->f16, count, more);
        for (uint32_t c = 0; c < count; c++) v[c] += residual[c];
    }
    if (a->f16 && (!far || count % 2)) {
        narrow_row(y, v, count);
        return;
    }
    if (a->f16) {                                /* pairs of halves go where floats would */
        narrow_row((uint16_t *)(void *)more, v, count);
        v = more;
        count /= 2;
    }
    if (far)
        for (; i + VEC_WIDTH <= count; i += VEC_WIDTH) vec_store_far(to + i, vec_load(v + i));
    for (; i + VEC_WIDTH <= count; i += VEC_WIDTH) vec_store(to + i, vec_load(v + i));
    for (; i < count; i++) to[i] = v[i];
}

/* One row of a panel's sums to y: `count` columns from `column` on, then zeros up to a multiple of 4. */
VEC_INLINE void store_columns(const struct cpu_args *a, const float *sums, size_t row, uint32_t image, uint32_t column,
                              const uint32_t count)
{
    const struct gemm_params *p = a->params;
    float v[PANEL] = { 0 };

    for (uint32_t i = 0; i < count; i++) v[i] = sums[i] * p->scale;
    if (p->flags & GEMM_BIAS) {
        const float *bias = (const float *)a->reads[3] + column;
        for (uint32_t i = 0; i < count; i++) v[i] += bias[i];
    }
    if (p->flags & GEMM_PER_IMAGE) {
        const float *per_image = (const float *)a->reads[4] + (size_t)image * p->per_image_stride + column;
        for (uint32_t i = 0; i < count; i++) v[i] += per_image[i];
    }
    activate(v, p->act);
    if (p->act == ACT_GEGLU) finish_columns(a, v, row, column / 2, count / 2);
    else finish_columns(a, v, row, column, count);
}

/* What of y is past its last column. */
static void store_zeros(const struct cpu_args *a, size_t row, uint32_t count)
{
    const struct gemm_params *p = a->params;
    memset(stored_place(a->writes[0], row * p->y_stride + count, a->f16), 0, (parts(count, 4) * 4 - count) * stored_size(a->f16));
}

static void store_row(const struct cpu_args *a, const float *sums, size_t row, uint32_t image, uint32_t column)
{
    const struct gemm_params *p = a->params;

    if (p->cols - column >= PANEL) {
        store_columns(a, sums, row, image, column, PANEL);      /* a count that the compiler knows */
        return;
    }
    store_columns(a, sums, row, image, column, p->cols - column);
    store_zeros(a, row, p->act == ACT_GEGLU ? p->cols / 2 : p->cols);
}

void CPU_NAME(gemm_store)(const struct cpu_args *a, const struct gemm_item *it, const float *sums, uint32_t panel, uint32_t first,
                          uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        if (it->places[i].out != GEMM_NO_ROW)
            store_row(a, sums + i * PANEL, it->places[i].out, it->places[i].image, panel * PANEL);
    vec_stored();
}
