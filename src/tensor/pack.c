#include "tensor/pack.h"

#include "base/thread.h"
#include "tensor/convert.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PANEL = PACK_COLUMNS,
    TILE = 256,                /* values of each row that are turned at a time: 64 rows of them stay in L1 and L2 */
    TILE_STRIDE = TILE + 32,   /* no power of two: 64 rows would share few places of the cache */
    TILE_F32 = 64,             /* the same for floats */
    TILE_F32_STRIDE = TILE_F32 + 20,
    PLAIN_PIECE = 1 << 18,     /* values of a plain copy per piece of work */
};

static bool is_weight(const struct pack_job *job)
{
    return job->form == PACK_WEIGHT || job->form == PACK_WEIGHT_F32;
}

static uint32_t panels_of(const struct pack_job *job, const struct pack_shape *shape)
{
    return job->panels ? job->panels : shape->n_padded / PANEL;
}

/* ---- one panel of 64 columns -------------------------------------------- */

/* Four by four: out[k][0..3] = the k-th values of four rows that lie stride apart. */
static inline void turn_4x4(uint16_t *const out[4], const uint16_t *in, size_t stride)
{
    static const uint64_t even = UINT64_C(0x0000ffff0000ffff), low = UINT64_C(0x00000000ffffffff);
    uint64_t a, b, c, d, r[4];

    memcpy(&a, in, 8);
    memcpy(&b, in + stride, 8);
    memcpy(&c, in + 2 * stride, 8);
    memcpy(&d, in + 3 * stride, 8);
    uint64_t ab02 = (a & even) | (b & even) << 16, ab13 = (a >> 16 & even) | (b & ~even);
    uint64_t cd02 = (c & even) | (d & even) << 16, cd13 = (c >> 16 & even) | (d & ~even);
    r[0] = (ab02 & low) | cd02 << 32;
    r[1] = (ab13 & low) | cd13 << 32;
    r[2] = ab02 >> 32 | (cd02 & ~low);
    r[3] = ab13 >> 32 | (cd13 & ~low);
    for (int k = 0; k < 4; k++) memcpy(out[k], &r[k], 8);
}

/* Values [first, first + count) of every row of a part, now columns of tile, to their rows of the panel. */
static void turn_tile(uint16_t *panel, const uint16_t *tile, uint32_t first, uint32_t count,
                      const struct pack_rows *s)
{
    uint32_t channel = first / s->taps, tap = first % s->taps;
    uint16_t beyond[PANEL]; /* takes what the last group of four has too much */

    for (uint32_t k = 0; k < count; k += 4) {
        uint16_t *rows[4];
        for (uint32_t i = 0; i < 4; i++) {
            rows[i] = k + i < count ? panel + (size_t)(s->first + tap * s->pitch + channel) * PANEL : beyond;
            if (++tap == s->taps) {
                tap = 0;
                channel++;
            }
        }
        for (uint32_t n = 0; n < PANEL; n += 4) {
            uint16_t *at[4] = { rows[0] + n, rows[1] + n, rows[2] + n, rows[3] + n };
            turn_4x4(at, tile + (size_t)n * TILE_STRIDE + k, TILE_STRIDE);
        }
    }
}

/* The same for floats. */
static void turn_tile_f32(float *panel, const float *tile, uint32_t first, uint32_t count, const struct pack_rows *s)
{
    uint32_t channel = first / s->taps, tap = first % s->taps;

    for (uint32_t k = 0; k < count; k++) {
        float *row = panel + (size_t)(s->first + tap * s->pitch + channel) * PANEL;
        for (uint32_t n = 0; n < PANEL; n++) row[n] = tile[(size_t)n * TILE_F32_STRIDE + k];
        if (++tap == s->taps) {
            tap = 0;
            channel++;
        }
    }
}

/* Rows of a panel, `row` bytes each, of channels beyond the file's. */
static void clear_missing(unsigned char *panel, size_t row, const struct pack_rows *s)
{
    size_t missing = (s->pitch - s->channels) * row;

    for (uint32_t tap = 0; missing && tap < s->taps; tap++)
        memset(panel + (size_t)(s->first + tap * s->pitch + s->channels) * row, 0, missing);
}

/* Where the rows of one panel lie, once read: in order, column c at raw + slot[c] rows; beyond n: nothing. */
struct panel_rows {
    const unsigned char *row[PANEL]; /* NULL: a column of zeros */
    const struct stored *part[PANEL];
};

/* Read the source rows of columns [column, column + 64): runs that follow each other in a part in one go. */
static bool read_panel(struct panel_rows *rows, unsigned char *raw, const struct pack_recipe *recipe,
                       uint32_t column, uint32_t n, struct tinct_err *err)
{
    memset(rows, 0, sizeof *rows);
    for (uint32_t half = 0; half < (recipe->geglu ? 2u : 1u); half++) {
        uint32_t in_run = recipe->geglu ? PANEL / 2 : PANEL, all = recipe->geglu ? n / 2 : n;
        uint32_t first = recipe->geglu ? column / 2 : column;
        uint32_t last = first + in_run < all ? first + in_run : all;
        uint32_t part = 0, part_first = 0;

        for (uint32_t row = first; row < last;) {
            while (row - part_first >= recipe->parts[part].shape[0]) part_first += recipe->parts[part++].shape[0];
            const struct stored *s = &recipe->parts[part];
            size_t row_bytes = (size_t)(stored_count(s) / s->shape[0]) * dtype_size(s->dtype);
            uint32_t from = row - part_first + (half ? n / 2 : 0), part_end = part_first + s->shape[0];
            uint32_t count = (last < part_end ? last : part_end) - row;

            if (!file_read(s->file, raw, s->offset + from * (uint64_t)row_bytes, count * row_bytes, err)) return false;
            for (uint32_t i = 0; i < count; i++) {
                uint32_t at = row + i - first;
                uint32_t c = recipe->geglu ? at / 4 * 8 + at % 4 + 4 * half : at;
                rows->row[c] = raw + i * row_bytes;
                rows->part[c] = s;
            }
            raw += (count * row_bytes + 63) / 64 * 64;
            row += count;
        }
    }
    return true;
}

/* The same where the rows lie in host memory, from values on. */
static void find_panel(struct panel_rows *rows, const float *values, const struct pack_recipe *recipe, uint32_t column,
                       uint32_t n)
{
    size_t row_values = (size_t)(stored_count(&recipe->parts[0]) / recipe->parts[0].shape[0]);

    memset(rows, 0, sizeof *rows);
    for (uint32_t c = 0; c < PANEL && column + c < n; c++) {
        rows->row[c] = (const unsigned char *)(values + pack_source_row(recipe, n, column + c) * row_values);
        rows->part[c] = &recipe->parts[0];
    }
}

/* Values [first, first + count) of row c to a row of the tile, halves or floats; zeros where there is no row. */
static bool fill_tile_row(void *to, const struct pack_job *job, const struct panel_rows *rows, uint32_t c,
                          uint32_t first, uint32_t count, struct tinct_err *err)
{
    const struct stored *part = rows->part[c];
    bool half = job->form == PACK_WEIGHT;

    if (!part) {
        memset(to, 0, count * (half ? sizeof(uint16_t) : sizeof(float)));
        return true;
    }
    enum dtype type = job->values ? DTYPE_F32 : part->dtype;
    const unsigned char *from = rows->row[c] + first * dtype_size(type);
    unsigned flags = half ? convert_to_f16(to, from, type, count) : convert_to_f32(to, from, type, count);
    return !flags || stored_refuse_values(part, flags, err);
}

/* The rows of a panel that parts side by side fill. */
static bool fill_panel(const struct pack_job *job, const struct panel_rows *rows, const struct pack_rows *to,
                       unsigned char *panel, struct tinct_err *err)
{
    union {
        uint16_t half[PANEL * TILE_STRIDE];
        float full[PANEL * TILE_F32_STRIDE];
    } tile;
    bool half = job->form == PACK_WEIGHT;
    uint32_t values = to->channels * to->taps, step = half ? TILE : TILE_F32;

    for (uint32_t first = 0; first < values; first += step) {
        uint32_t count = values - first < step ? values - first : step;
        for (uint32_t c = 0; c < PANEL; c++) {
            void *at = half ? (void *)(tile.half + (size_t)c * TILE_STRIDE) : tile.full + (size_t)c * TILE_F32_STRIDE;
            if (!fill_tile_row(at, job, rows, c, first, count, err)) return false;
        }
        if (half) turn_tile((uint16_t *)(void *)panel, tile.half, first, count, to);
        else turn_tile_f32((float *)(void *)panel, tile.full, first, count, to);
    }
    clear_missing(panel, PANEL * (half ? sizeof(uint16_t) : sizeof(float)), to);
    return true;
}

/* Panel `index` of those that the job asks for. */
static bool pack_panel(const struct pack_job *job, unsigned char *raw, const struct pack_shape *s, uint32_t index,
                       struct tinct_err *err)
{
    const struct pack_recipe *all = &job->recipe;
    const float *values = job->values;
    size_t row = PANEL * (job->form == PACK_WEIGHT ? sizeof(uint16_t) : sizeof(float));
    unsigned char *panel = (unsigned char *)job->out + (size_t)index * s->k_padded * row;
    uint32_t column = (job->first_panel + index) * PANEL;

    for (uint32_t i = 0; i < (all->stacked ? all->part_count : 1); i++) {
        struct pack_recipe one = { .parts = { all->parts[i] }, .part_count = 1 };
        const struct pack_recipe *beside = all->stacked ? &one : all;
        struct pack_rows to = pack_rows(all, i);
        struct panel_rows rows;
        if (values) find_panel(&rows, values, beside, column, s->n);
        else if (!read_panel(&rows, raw, beside, column, s->n, err)) return false;
        if (!fill_panel(job, &rows, &to, panel, err)) return false;
        if (values) values += stored_count(&all->parts[i]);
    }
    memset(panel + (size_t)s->k * row, 0, (size_t)(s->k_padded - s->k) * row);
    return true;
}

/* ---- vectors and plain copies ------------------------------------------- */

static void place_vector(float *out, const float *straight, const struct pack_recipe *recipe, uint32_t n)
{
    uint32_t added = recipe->stacked ? recipe->part_count : 1;

    for (uint32_t c = 0; c < (n + PANEL - 1) / PANEL * PANEL; c++) {
        out[c] = 0;
        for (uint32_t i = 0; c < n && i < added; i++) out[c] += straight[i * n + pack_source_row(recipe, n, c)];
    }
}

static bool pack_vector(const struct pack_job *job, struct tinct_err *err)
{
    const struct pack_recipe *recipe = &job->recipe;
    uint32_t n = pack_vector_length(recipe), at = 0;

    if (job->values) {
        place_vector(job->out, job->values, recipe, n);
        return true;
    }
    float *straight = malloc((size_t)n * (recipe->stacked ? recipe->part_count : 1) * sizeof *straight);

    if (!straight) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to read a vector of %u values", n);
    for (uint32_t i = 0; i < recipe->part_count; at += recipe->parts[i++].shape[0])
        if (!stored_read_f32(straight + at, &recipe->parts[i], err)) {
            free(straight);
            return false;
        }
    place_vector(job->out, straight, recipe, n);
    free(straight);
    return true;
}

static bool pack_plain(const struct pack_job *job, unsigned char *raw, uint32_t piece, struct tinct_err *err)
{
    const struct stored *s = &job->recipe.parts[0];
    uint64_t first = (uint64_t)piece * PLAIN_PIECE, count = stored_count(s) - first;
    size_t n = count < PLAIN_PIECE ? (size_t)count : PLAIN_PIECE, element = dtype_size(s->dtype);

    if (!file_read(s->file, raw, s->offset + first * element, n * element, err)) return false;
    unsigned flags = job->form == PACK_PLAIN_F16 ? convert_to_f16((uint16_t *)job->out + first, raw, s->dtype, n)
                                                 : convert_to_f32((float *)job->out + first, raw, s->dtype, n);
    return !flags || stored_refuse_values(s, flags, err);
}

/* ---- all jobs ----------------------------------------------------------- */

struct piece_list {
    const struct pack_job *job;
    struct pack_shape shape; /* of a weight */
    uint32_t end;            /* pieces of this job and those before it */
};

/* Working memory of one thread. */
struct bench {
    atomic_flag taken;
    unsigned char *raw;
};

struct run {
    struct piece_list *lists;
    struct bench *benches;
    uint32_t count;
    size_t raw_bytes;
    atomic_bool failed;
    atomic_flag told; /* the first failure has the word */
    struct tinct_err err;
};

static size_t raw_bytes(const struct pack_job *job)
{
    size_t most = 0;
    if (job->form == PACK_VECTOR_F32 || job->values) return 0;
    if (!is_weight(job)) return (size_t)PLAIN_PIECE * dtype_size(job->recipe.parts[0].dtype);
    for (uint32_t i = 0; i < job->recipe.part_count; i++) {
        const struct stored *part = &job->recipe.parts[i];
        size_t row = (size_t)(stored_count(part) / part->shape[0]) * dtype_size(part->dtype);
        if (row > most) most = row;
    }
    return PANEL * most + (PACK_PARTS + 1) * 64; /* each run of rows begins at a multiple of 64 */
}

static int by_place(const void *a, const void *b)
{
    const struct stored *x = &((const struct piece_list *)a)->job->recipe.parts[0];
    const struct stored *y = &((const struct piece_list *)b)->job->recipe.parts[0];
    if (x->file != y->file) return (uintptr_t)x->file < (uintptr_t)y->file ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool plan(struct run *run, const struct pack_job *jobs, struct tinct_err *err)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < run->count; i++) {
        struct piece_list *list = &run->lists[i];
        size_t bytes;
        list->job = &jobs[i];
        if (!pack_job_bytes(&bytes, list->job, err)) return false;
        if (is_weight(&jobs[i]) && !pack_shape(&list->shape, &jobs[i].recipe, err)) return false;
        size_t raw = raw_bytes(list->job);
        if (raw > run->raw_bytes) run->raw_bytes = raw;
    }
    qsort(run->lists, run->count, sizeof *run->lists, by_place);
    for (uint32_t i = 0; i < run->count; i++) {
        struct piece_list *list = &run->lists[i];
        uint64_t pieces = 1;
        if (is_weight(list->job))
            pieces = panels_of(list->job, &list->shape);
        else if (list->job->form != PACK_VECTOR_F32)
            pieces = (stored_count(&list->job->recipe.parts[0]) + PLAIN_PIECE - 1) / PLAIN_PIECE;
        if (pieces > UINT32_MAX - end) return tinct_fail(err, TINCT_ERR_FORMAT, "more weights than any model has");
        list->end = end += (uint32_t)pieces;
    }
    return true;
}

/* A bench that no other thread has; there is one for each. */
static struct bench *take_bench(struct run *run)
{
    struct bench *bench = run->benches;
    while (atomic_flag_test_and_set(&bench->taken)) bench++;
    return bench;
}

static const struct piece_list *list_of(const struct run *run, uint32_t index)
{
    uint32_t low = 0, high = run->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index < run->lists[middle].end) high = middle;
        else low = middle + 1;
    }
    return &run->lists[low];
}

static void run_piece(void *ctx, uint32_t index)
{
    struct run *run = ctx;
    const struct piece_list *list = list_of(run, index);
    uint32_t piece = index - (list == run->lists ? 0 : list[-1].end);
    struct tinct_err err;
    bool ok;

    if (atomic_load(&run->failed)) return;
    struct bench *bench = take_bench(run);
    switch (list->job->form) {
    case PACK_WEIGHT:
    case PACK_WEIGHT_F32:
        ok = pack_panel(list->job, bench->raw, &list->shape, piece, &err);
        break;
    case PACK_VECTOR_F32:
        ok = pack_vector(list->job, &err);
        break;
    default:
        ok = pack_plain(list->job, bench->raw, piece, &err);
    }
    atomic_flag_clear(&bench->taken);
    if (!ok && !atomic_flag_test_and_set(&run->told)) {
        run->err = err;
        atomic_store(&run->failed, true);
    }
}

static bool check_files(const struct pack_job *jobs, uint32_t count, struct tinct_err *err)
{
    const struct file *last = NULL;

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t p = 0; p < jobs[i].recipe.part_count; p++) {
            const struct file *file = jobs[i].recipe.parts[p].file;
            if (file != last && !file_unchanged(file, err)) return false;
            last = file;
        }
    }
    return true;
}

bool pack_run(const struct pack_job *jobs, uint32_t count, int threads, struct tinct_err *err)
{
    struct run run = { .count = count, .told = ATOMIC_FLAG_INIT };
    unsigned char *raw = NULL;
    bool ok = false;

    if (count == 0) return true;
    if (threads <= 0) threads = thread_default_count();
    run.lists = calloc(count, sizeof *run.lists);
    run.benches = calloc((size_t)threads, sizeof *run.benches);
    if (!run.lists || !run.benches) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory to plan the packing of weights");
        goto done;
    }
    if (!plan(&run, jobs, err)) goto done;
    run.raw_bytes = (run.raw_bytes + 4095) / 4096 * 4096 + 64;
    raw = malloc((size_t)threads * run.raw_bytes);
    if (!raw) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory to read weights: %zu MiB wanted",
                   (size_t)threads * run.raw_bytes >> 20);
        goto done;
    }
    for (int i = 0; i < threads; i++) {
        atomic_flag_clear(&run.benches[i].taken);
        run.benches[i].raw = raw + (size_t)i * run.raw_bytes;
    }
    thread_for(run.lists[count - 1].end, threads, run_piece, &run);
    ok = !atomic_load(&run.failed);
    if (!ok && err) *err = run.err;
    ok = ok && check_files(jobs, count, err);
done:
    free(raw);
    free(run.benches);
    free(run.lists);
    return ok;
}

/* ---- back --------------------------------------------------------------- */

void pack_inverse(float *out, const uint16_t *packed, const struct pack_recipe *recipe)
{
    struct pack_shape s;

    if (!pack_shape(&s, recipe, NULL)) return;
    for (uint32_t part = 0; part < (recipe->stacked ? recipe->part_count : 1); part++) {
        struct pack_rows rows = pack_rows(recipe, part);
        size_t inputs = (size_t)rows.channels * rows.taps;
        for (uint32_t column = 0; column < s.n; column++) {
            const uint16_t *from = packed + (size_t)(column / PANEL) * s.k_padded * PANEL + column % PANEL;
            float *row = out + pack_source_row(recipe, s.n, column) * inputs;
            for (uint32_t i = 0; i < inputs; i++) {
                uint32_t k = rows.first + i % rows.taps * rows.pitch + i / rows.taps;
                row[i] = convert_f16_to_f32(from[(size_t)k * PANEL]);
            }
        }
        out += s.n * inputs;
    }
}
