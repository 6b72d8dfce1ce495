#include "device/cpu/kernels/gemm_amx.h"

#if VEC_AMX

enum { AHEAD = 24 };              /* pixels from one that is read to one that is asked for */

/* ---- blocks of pixels ----------------------------------------------------------- */

static bool has_phases(const struct gemm_params *p)
{
    return p->flags & GEMM_PHASES;
}

/* Narrow pictures are rather all border. */
bool CPU_NAME(amx_has_blocks)(const struct gemm_params *p)
{
    bool plain = p->stride == 1 && p->upsample == 1 && p->kernel_h * p->kernel_w > 1 && p->kernel_w <= 3;
    return (plain || has_phases(p)) && p->c1 % STEP == 0 && p->c2 % STEP == 0 && p->c3 % STEP == 0 &&
           p->in_w >= 12;
}

static uint32_t even(uint32_t n, uint32_t most)
{
    return parts(n, parts(n, most));
}

/* h and w of the picture that blocks are cut from, and of a block: as wide as it may be, then as high. */
struct cut {
    uint32_t h, w, block_h, block_w, pitch, phases;
};

static struct cut cut_of(const struct gemm_params *p)
{
    bool phases = has_phases(p);
    struct cut c = { .h = phases ? p->in_h : p->out_h, .w = phases ? p->in_w : p->out_w, .phases = phases ? 4 : 1 };

    c.block_w = even(c.w, WIDE);
    c.pitch = c.block_w + (phases ? 2 : p->kernel_w) - 1;
    c.block_h = even(c.h, MOST_ROWS / c.pitch);
    return c;
}

static uint32_t blocks_of(const struct gemm_params *p, const struct cut *c, uint32_t block_h)
{
    return p->rows / (p->out_h * p->out_w) * c->phases * parts(c->h, block_h) * parts(c->w, c->block_w);
}

struct cpu_plan CPU_NAME(amx_plan_blocks)(const struct cpu_args *a)
{
    const struct gemm_params *p = a->params;
    struct cut c = cut_of(p);
    uint32_t panels = parts(p->cols, PANEL), group = even(panels, PANELS), rows = c.block_h;
    uint32_t wanted = a->threads > 1 ? a->threads * ITEMS : 1;

    while (blocks_of(p, &c, rows) * parts(panels, group) < wanted && group > 1) group = even(panels, group - 1);
    while (blocks_of(p, &c, rows) * panels < wanted && rows * c.pitch > 4 * STRIP) rows = even(c.h, rows - 1);
    return (struct cpu_plan) { blocks_of(p, &c, rows) * parts(panels, group), rows, group, sizeof(struct amx_item) };
}

/* Where each row's sum goes; those of the border nowhere. */
static void find_places(const struct gemm_params *p, struct amx_item *m)
{
    const struct amx_block *b = &m->block;
    uint32_t phase = m->item.phase, step = has_phases(p) ? 2 : 1;

    for (uint32_t r = 0; r < m->item.rows; r++) {
        uint32_t y = (b->y + r / b->pitch) * step + phase / 2, x = (b->x + r % b->pitch) * step + phase % 2;
        m->item.places[r].image = b->image;
        m->item.places[r].out = r % b->pitch < b->w ? (b->image * p->out_h + y) * p->out_w + x : GEMM_NO_ROW;
    }
}

void CPU_NAME(amx_begin_block)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m)
{
    const struct gemm_params *p = a->params;
    struct cut c = cut_of(p);
    struct gemm_item *it = &m->item;
    uint32_t panels = parts(p->cols, PANEL), groups = parts(panels, plan->panels), block = index / groups;
    uint32_t across = parts(c.w, c.block_w), down = parts(c.h, plan->rows);

    it->f16 = a->f16;
    it->panel = index % groups * plan->panels;
    it->panels = least(panels - it->panel, plan->panels);
    m->block = (struct amx_block) { .image = block / (across * down * c.phases), .y = block / across % down * plan->rows,
                                    .x = block % across * c.block_w };
    it->phase = block / (across * down) % c.phases;
    it->kernel_w = c.phases == 4 ? 2 : p->kernel_w;
    m->block.h = least(c.h - m->block.y, plan->rows);
    m->block.w = least(c.w - m->block.x, c.block_w);
    m->block.pitch = m->block.w + it->kernel_w - 1;
    it->rows = (m->block.h - 1) * m->block.pitch + m->block.w;
    it->room = parts(it->rows, SUM_ROWS) * SUM_ROWS;
    it->taps_k = (c.phases == 4 ? 4 : p->kernel_h * p->kernel_w) * p->c1;
    find_places(p, m);
}

/* ---- inputs --------------------------------------------------------------------- */

VEC_INLINE void load_elements(const struct amx_item *m, uint16_t *to, const void *from, uint32_t length, size_t ahead,
                              const bool f16, const bool exact)
{
    const char *later = stored_at(from, ahead, f16);

    for (size_t i = 0; i < length * stored_size(f16); i += 64) _mm_prefetch(later + i, _MM_HINT_T0);
    for (uint32_t i = 0; i < length; i += STEP, to += m->next_slot)
        split_32(to, to + m->next_number, stored_at(from, i, f16), f16, exact);
}

/* `length` elements, a multiple of STEP, to one pixel of the slots from `slot` on. Those `ahead` elements on come soon. */
static void load_pixel(struct amx_item *m, uint32_t slot, uint32_t pixel, const void *from, uint32_t length, size_t ahead)
{
    uint16_t *to = m->at + (size_t)pixel / STRIP * m->next_strip + pixel % STRIP * STEP + (size_t)slot * m->next_slot;

    if (m->item.f16 && m->numbers == 2) load_elements(m, to, from, length, ahead, true, true);
    else if (m->item.f16) load_elements(m, to, from, length, ahead, true, false);
    else if (m->numbers == 2) load_elements(m, to, from, length, ahead, false, true);
    else load_elements(m, to, from, length, ahead, false, false);
}

static const float zeros[CHUNK / 4];

/* The block and its border, from the first tap of its first row on; zeros outside the picture. */
static void load_block(const struct gemm_params *p, struct amx_item *m, const void *x, uint32_t channels)
{
    const struct amx_block *b = &m->block;
    bool phases = has_phases(p);
    int32_t top = (int32_t)(b->y + m->item.phase / 2) - (int32_t)p->pad_top;
    int32_t left = (int32_t)(b->x + m->item.phase % 2) - (int32_t)p->pad_left;
    uint32_t lines = b->h + (phases ? 2 : p->kernel_h) - 1;

    for (uint32_t line = 0; line < lines; line++)
        for (uint32_t column = 0; column < b->pitch; column++) {
            uint32_t iy = (uint32_t)(top + (int32_t)line), ix = (uint32_t)(left + (int32_t)column);    /* negative: huge */
            bool inside = iy < p->in_h && ix < p->in_w;
            size_t pixel = ((size_t)b->image * p->in_h + iy) * p->in_w + ix;
            load_pixel(m, 0, line * b->pitch + column, inside ? stored_at(x, pixel * p->x1_stride, m->item.f16) : zeros, channels,
                       AHEAD * p->x1_stride);
        }
}

/* Slots for so many channels of so many pixels. */
static void lay_out(struct amx_item *m, uint32_t channels, uint32_t pixels)
{
    m->next_strip = STRIP * STEP;
    m->next_slot = pixels * STEP;
    m->next_number = channels / STEP * m->next_slot;
}

/* Steps of a tap that sees the slots `pixel` on. */
static uint32_t add_steps(struct amx_item *m, uint32_t step, uint32_t channels, uint32_t pixel)
{
    for (uint32_t slot = 0; slot < channels / STEP; slot++, step++) {
        m->slot[step] = slot;
        m->pixel[step] = pixel;
    }
    return step;
}

void CPU_NAME(amx_block_chunk)(const struct cpu_args *a, const struct amx_item *m, uint32_t first, struct amx_chunk *chunk)
{
    const struct gemm_params *p = a->params;
    const struct gemm_item *it = &m->item;
    uint32_t taps = it->taps_k / p->c1, most = chunk->products == 1 && taps > 4 ? STEP : CHUNK_CHANNELS;
    struct gemm_runs *runs = &chunk->runs;

    chunk->k = first;
    if (first >= p->c1) {                        /* of x2 and x3, of which a row sees its own */
        runs->count = 1;
        CPU_NAME(gemm_own_run)(a, it, runs->run, first - p->c1, CHUNK / 4);
        chunk->end = first + runs->run->length;
        chunk->steps = runs->run->length / STEP;
        return;
    }
    chunk->end = least(p->c1, first + most);     /* of x1, which all taps see */
    chunk->steps = taps * (chunk->end - first) / STEP;
    for (runs->count = 0; runs->count < taps; runs->count++) {
        struct gemm_run *run = &runs->run[runs->count];
        *run = (struct gemm_run) { .ky = (int32_t)(runs->count / it->kernel_w), .kx = (int32_t)(runs->count % it->kernel_w),
                                   .length = chunk->end - first };
        CPU_NAME(gemm_run_weights)(p, it, run, first);
    }
}

static void load_taps(const struct cpu_args *a, struct amx_item *m, const struct amx_chunk *chunk)
{
    const struct gemm_item *it = &m->item;
    uint32_t taps = chunk->runs.count, channels = chunk->end - chunk->k, step = 0;

    lay_out(m, channels, it->room + (taps / it->kernel_w - 1) * m->block.pitch + it->kernel_w - 1);
    load_block(a->params, m, stored_at(a->reads[0], chunk->k, a->f16), channels);
    for (uint32_t tap = 0; tap < taps; tap++)
        step = add_steps(m, step, channels, tap / it->kernel_w * m->block.pitch + tap % it->kernel_w);
}

static void load_own(const struct cpu_args *a, struct amx_item *m, const struct gemm_run *run)
{
    const struct gemm_item *it = &m->item;

    lay_out(m, run->length, it->room);
    for (uint32_t r = 0; r < it->rows; r++) {
        const void *from = it->places[r].out == GEMM_NO_ROW ? zeros : CPU_NAME(gemm_pixel)(a->params, it, run, &it->places[r]);
        load_pixel(m, 0, r, from, run->length, AHEAD * run->stride);
    }
    add_steps(m, 0, run->length, 0);
}

void CPU_NAME(amx_load_block)(const struct cpu_args *a, struct amx_item *m, const struct amx_chunk *chunk)
{
    if (chunk->runs.run->own) load_own(a, m, chunk->runs.run);
    else load_taps(a, m, chunk);
}

/* ---- rows ------------------------------------------------------------------------- */

void CPU_NAME(amx_lay_out_rows)(struct amx_item *m, const struct amx_chunk *chunk)
{
    m->next_number = STRIP * STEP;
    m->next_slot = m->numbers * m->next_number;
    m->next_strip = chunk->steps * m->next_slot;
    for (uint32_t s = 0; s < chunk->steps; s++) {
        m->slot[s] = s;
        m->pixel[s] = 0;
    }
}

/* Runs that are whole steps go straight to their places, others by way of a whole row. */
void CPU_NAME(amx_load_rows)(const struct gemm_params *p, struct amx_item *m, const struct amx_chunk *chunk)
{
    const struct gemm_item *it = &m->item;
    const struct gemm_runs *runs = &chunk->runs;
    float whole[SINGLE_CHUNK] = { 0 };
    uint32_t odd = 0;

    for (uint32_t i = 0; i < runs->count; i++) odd |= runs->run[i].length % STEP;
    for (uint32_t r = 0; r < it->rows; r++) {
        for (uint32_t i = 0, k = 0; i < runs->count; k += runs->run[i++].length) {
            const struct gemm_run *run = &runs->run[i];
            const void *from = CPU_NAME(gemm_pixel)(p, it, run, &it->places[r]);
            if (odd) memcpy(stored_place(whole, k, it->f16), from, run->length * stored_size(it->f16));
            else load_pixel(m, k / STEP, r, from, run->length, AHEAD * run->stride);
        }
        if (odd) load_pixel(m, 0, r, whole, chunk->steps * STEP, 0);
    }
}

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
