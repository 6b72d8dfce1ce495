#include "model/merge_rebuild.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "model/merge_terms.h"
#include "ops/ops.h"

enum {
    PANEL = PACK_COLUMNS,
    GROUP_SLICES = 256,
    MOST_RANKS = 1 << 16,          /* of a weight; a software driver's loop ends soon after */
};
static const uint64_t default_piece_bytes = 16ull << 20;
static const uint64_t in_place_piece_bytes = 64ull << 20;       /* where they take no working memory */

struct group {                     /* slices worked on together */
    uint32_t first, count;
    uint64_t bytes;
};

struct run {
    struct weights *ws;
    const struct merge_options *options;
    struct slice *slices;
    struct group *groups;
    uint32_t slice_count, slice_room, group_count;
    struct buffer *scratch;
    unsigned char *host;           /* what is filled: scratch itself, or host memory that is sent there */
    bool shared;                   /* the device's memory is the host's */
    uint64_t bytes;                /* of scratch */
    struct buffer *pristine;       /* the group's weights as a file keeps them, at the same offsets; NULL: there is none */
    const struct rebuild *delta_of;
    float *delta;                  /* [n, C kh kw], the sum of delta_of's dense terms */
    bool touched;
    atomic_flag told;              /* the first of several threads that failed has the word */
    struct tinct_err err;
};

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + SPAN_ALIGN - 1) / SPAN_ALIGN * SPAN_ALIGN;
}

static void tell(struct run *run, const struct tinct_err *err)
{
    if (!atomic_flag_test_and_set(&run->told)) run->err = *err;
}

static bool was_told(const struct run *run, struct tinct_err *err)
{
    if (run->err.code != TINCT_OK && err) *err = run->err;
    return run->err.code != TINCT_OK;
}

/* ---- slices and groups ---------------------------------------------------- */

/* The panel before which a slice that begins at s->first ends at the latest: its part's end where that is a panel's, so
 * that q's ranks are not multiplied for k and v. */
static uint32_t end_of_part(const struct slice *s)
{
    const struct pack_recipe *recipe = merge_recipe(s);
    uint32_t row = 0;

    for (uint32_t i = 0; i < recipe->part_count; i++) {
        row += recipe->parts[i].shape[0];
        if (row % PANEL) break;
        if (row > s->first * PANEL) return row / PANEL;
    }
    return s->shape.n_padded / PANEL;
}

static bool count_terms(struct slice *s, struct tinct_err *err)
{
    uint64_t ranks = 0;

    s->dense = false;
    for (uint32_t i = 0; i < s->of->count; i++) {
        const struct placed_term *t = &s->of->terms[i];
        if (!merge_reaches(s, t)) continue;
        if (!t->term.rank) s->dense = true;
        ranks += t->term.rank;
    }
    if (ranks > MOST_RANKS)
        return tinct_fail(err, TINCT_ERR_ARG, "%s: LoRAs of %llu ranks together; %d can be added", s->entry.names[0],
                          (unsigned long long)ranks, MOST_RANKS);
    s->ranks = (uint32_t)(ranks + 3) / 4 * 4;
    return true;
}

static bool has_delta(const struct rebuild *of)
{
    for (uint32_t i = 0; i < of->count; i++)
        if (!of->terms[i].term.rank) return true;
    return false;
}

static bool is_changed(const struct slice *s)
{
    return s->ranks || s->dense;
}

/* All parts hold halves, so that packing them to halves loses nothing. */
static enum dtype w0_dtype(const struct pack_recipe *recipe)
{
    for (uint32_t i = 0; i < recipe->part_count; i++)
        if (recipe->parts[i].dtype != DTYPE_F16) return DTYPE_F32;
    return DTYPE_F16;
}

static uint64_t panel_bytes(const struct slice *s, enum dtype dtype)
{
    return (uint64_t)s->shape.k_padded * PANEL * dtype_size(dtype);
}

static uint64_t packed_bytes(const struct slice *s, enum dtype dtype)
{
    return s->panels * panel_bytes(s, dtype);
}

static bool append(struct run *run, const struct slice *s, struct tinct_err *err)
{
    if (run->slice_count == run->slice_room) {
        uint32_t room = run->slice_room ? run->slice_room * 2 : 1024;
        struct slice *more = realloc(run->slices, room * sizeof *more);
        if (!more) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to plan the change of weights");
        run->slices = more;
        run->slice_room = room;
    }
    run->slices[run->slice_count++] = *s;
    return true;
}

static bool cut(struct run *run, const struct rebuild *of, uint64_t piece, struct tinct_err *err)
{
    struct slice s = { .of = of, .entry = weights_entry(run->ws, of->weight) };

    if (!pack_shape(&s.shape, merge_recipe(&s), err)) return false;
    enum dtype dtype = of->count ? w0_dtype(merge_recipe(&s)) : DTYPE_F16;
    uint64_t column_bytes = (uint64_t)s.shape.k_padded * (dtype_size(dtype) + (has_delta(of) ? 4 : 0));
    uint64_t most = piece / (column_bytes * PANEL);
    for (; s.first < s.shape.n_padded / PANEL; s.first += s.panels) {
        s.panels = end_of_part(&s) - s.first;
        if (s.panels > most) s.panels = most ? (uint32_t)most : 1;
        if (!count_terms(&s, err)) return false;
        s.w0_dtype = is_changed(&s) ? dtype : DTYPE_F16;
        s.in_place = run->shared && s.w0_dtype == DTYPE_F16;
        if (!append(run, &s, err)) return false;
    }
    return true;
}

static uint64_t take(uint64_t *top, uint64_t bytes)
{
    uint64_t at = *top;
    *top += aligned(bytes);
    return at;
}

/* A slice's places from *top on. */
static void lay_out(struct slice *s, uint64_t *top)
{
    if (!s->in_place) s->w0_at = take(top, packed_bytes(s, s->w0_dtype));
    s->a_at = take(top, (uint64_t)s->shape.k_padded * s->ranks * sizeof(float));
    s->b_at = take(top, (uint64_t)s->panels * s->ranks * PANEL * sizeof(float));
    if (s->dense) s->delta_at = take(top, packed_bytes(s, DTYPE_F32));
}

/* Slices into groups of about a piece each, of one buffer's weights. A group's memory begins with a flag a slice. */
static bool form_groups(struct run *run, uint64_t piece, struct tinct_err *err)
{
    uint64_t load = 0;
    struct group *g = NULL;

    run->groups = malloc((run->slice_count + 1) * sizeof *run->groups);
    if (!run->groups) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to plan the change of weights");
    for (uint32_t i = 0; i < run->slice_count; i++) {
        struct slice *s = &run->slices[i], alone = *s;
        uint64_t own = s->in_place ? packed_bytes(s, DTYPE_F16) : 0;
        lay_out(&alone, &own);
        bool elsewhere = i && s[0].entry.place.buffer != s[-1].entry.place.buffer;
        if (!g || load + own > piece || g->count == GROUP_SLICES || elsewhere) {
            g = &run->groups[run->group_count++];
            *g = (struct group) { .first = i, .bytes = GROUP_SLICES * SPAN_ALIGN };
            load = 0;
        }
        lay_out(s, &g->bytes);
        g->count++;
        load += own;
        if (g->bytes > run->bytes) run->bytes = g->bytes;
    }
    return true;
}

static bool plan(struct run *run, const struct rebuild *list, uint32_t count, struct tinct_err *err)
{
    uint64_t piece = run->options->piece_bytes;

    run->shared = count && buffer_map(weights_entry(run->ws, list[0].weight).place.buffer);
    if (!piece) piece = run->shared ? in_place_piece_bytes : default_piece_bytes;
    for (uint32_t i = 0; i < count; i++)
        if (weights_entry(run->ws, list[i].weight).job->form == PACK_WEIGHT && !cut(run, &list[i], piece, err))
            return false;
    if (!form_groups(run, piece, err)) return false;
    if (!run->slice_count) return true;
    run->scratch = buffer_create(weights_device(run->ws), run->bytes, err);
    if (!run->scratch) return tinct_within(err, "changing weights");
    run->host = run->shared ? buffer_map(run->scratch) : malloc(run->bytes);
    return run->host || tinct_fail(err, TINCT_ERR_MEMORY, "no memory to change weights in: %llu MiB wanted",
                                   (unsigned long long)(run->bytes >> 20));
}

/* ---- what a group's dispatches read ----------------------------------------- */

static void *weight_pointer(const struct slice *s)
{
    const struct tensor *place = &s->entry.place;
    return (char *)buffer_map(place->buffer) + place->offset + s->first * panel_bytes(s, DTYPE_F16);
}

static void *w0_pointer(const struct run *run, const struct slice *s)
{
    return s->in_place ? weight_pointer(s) : run->host + s->w0_at;
}

/* The file of packed weights has its bytes as they are wanted. */
static bool is_kept(const struct run *run, const struct slice *s)
{
    return s->w0_dtype == DTYPE_F16 && weights_kept(run->ws);
}

/* They are read where the file is mapped. */
static bool is_mapped(const struct run *run, const struct slice *s)
{
    return run->pristine && is_kept(run, s) && is_changed(s);
}

struct reading {
    struct run *run;
    const struct slice *slices[GROUP_SLICES];
    uint32_t ends[GROUP_SLICES];   /* panels up to each one's last */
};

static void read_panel(void *ctx, uint32_t index)
{
    const struct reading *r = ctx;
    struct tinct_err err = { 0 };
    uint32_t i = 0;

    while (index >= r->ends[i]) i++;
    const struct slice *s = r->slices[i];
    uint32_t panel = index - (r->ends[i] - s->panels);
    uint64_t size = panel_bytes(s, DTYPE_F16);
    if (!weights_read(r->run->ws, (char *)w0_pointer(r->run, s) + panel * size, s->of->weight, (s->first + panel) * size,
                      (size_t)size, &err))
        tell(r->run, &err);
}

static bool read_w0(struct run *run, const struct group *g, struct tinct_err *err)
{
    struct pack_job jobs[GROUP_SLICES];
    struct reading reading = { .run = run };
    uint32_t packed = 0, kept = 0, panels = 0;

    for (uint32_t i = 0; i < g->count; i++) {
        const struct slice *s = &run->slices[g->first + i];
        if (is_mapped(run, s)) continue;
        run->touched |= s->in_place;
        if (is_kept(run, s)) {
            reading.slices[kept] = s;
            reading.ends[kept++] = panels += s->panels;
        } else
            jobs[packed++] = (struct pack_job) {
                .form = s->w0_dtype == DTYPE_F16 ? PACK_WEIGHT : PACK_WEIGHT_F32, .recipe = *merge_recipe(s),
                .out = w0_pointer(run, s), .first_panel = s->first, .panels = s->panels,
            };
    }
    thread_for(panels, run->options->threads, read_panel, &reading);
    return !was_told(run, err) && pack_run(jobs, packed, run->options->threads, err);
}

struct filling {
    struct run *run;
    const struct group *group;
};

static void fill_one(void *ctx, uint32_t index)
{
    const struct filling *f = ctx;
    const struct slice *s = &f->run->slices[f->group->first + index];
    struct tinct_err err = { 0 };

    if (s->ranks && !merge_factors(s, f->run->host, &err)) tell(f->run, &err);
}

/* Slices of one weight follow each other, so its sum is kept from one to the next. */
static bool fill_delta(struct run *run, const struct slice *s, struct tinct_err *err)
{
    if (run->delta_of != s->of) {
        free(run->delta);
        run->delta_of = s->of;
        run->delta = merge_deltas(s->of, merge_recipe(s), err);
        if (!run->delta) return false;
    }
    struct pack_job job = { .form = PACK_WEIGHT_F32, .recipe = *merge_recipe(s), .out = run->host + s->delta_at,
                            .values = run->delta, .first_panel = s->first, .panels = s->panels };
    return pack_run(&job, 1, run->options->threads, err);
}

/* ---- weights ---------------------------------------------------------------- */

static struct tensor weight_of(const struct slice *s)
{
    const struct tensor *place = &s->entry.place;
    return tensor_view(place->buffer, place->offset + s->first * panel_bytes(s, DTYPE_F16), DTYPE_F16, 3,
                       (uint32_t[]) { s->panels, s->shape.k_padded, PANEL });
}

static void record(struct pass *pass, const struct run *run, const struct slice *s, uint32_t flag)
{
    struct tensor y = weight_of(s), w0 = y, a = { 0 }, b = { 0 }, delta = { 0 };
    const uint32_t one = 1;

    if (is_mapped(run, s)) w0.buffer = run->pristine;
    else if (!s->in_place) w0 = tensor_view(run->scratch, s->w0_at, s->w0_dtype, 3, y.shape);
    if (s->ranks) {
        a = tensor_view(run->scratch, s->a_at, DTYPE_F32, 2, (uint32_t[]) { s->shape.k_padded, s->ranks });
        b = tensor_view(run->scratch, s->b_at, DTYPE_F32, 3, (uint32_t[]) { s->panels, s->ranks, PANEL });
    }
    if (s->dense) delta = tensor_view(run->scratch, s->delta_at, DTYPE_F32, 3, y.shape);
    op_lora_merge(pass, y, w0, a, b, delta, tensor_view(run->scratch, (uint64_t)flag * SPAN_ALIGN, DTYPE_F32, 1, &one));
}

/* Where host and device memory are two: working memory, and weights that are pristine again. */
static bool send(struct run *run, const struct group *g, struct tinct_err *err)
{
    if (run->shared) return true;
    run->touched = true;
    if (!buffer_write(run->scratch, 0, run->host, g->bytes, err)) return false;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct slice *s = &run->slices[g->first + i];
        struct tensor y = weight_of(s);
        if (!is_changed(s) && !buffer_write(y.buffer, y.offset, run->host + s->w0_at, packed_bytes(s, DTYPE_F16), err))
            return false;
    }
    return true;
}

static bool dispatch(struct run *run, const struct group *g, struct tinct_err *err)
{
    struct pass *pass = pass_begin(weights_device(run->ws));
    uint32_t recorded = 0;

    pass_label(pass, "lora");
    for (uint32_t i = 0; i < g->count; i++) {
        const struct slice *s = &run->slices[g->first + i];
        if (!is_changed(s)) continue;
        record(pass, run, s, i);
        recorded++;
    }
    run->touched |= recorded > 0;
    bool ok = !recorded || (pass_end(pass, err) && pass_run(pass, err));
    pass_free(pass);
    return ok;
}

/* A flag was raised: tell the first weight that went beyond fp16. */
static bool check_flags(struct run *run, const struct group *g, struct tinct_err *err)
{
    if (!run->shared && !buffer_read(run->scratch, 0, run->host, (uint64_t)g->count * SPAN_ALIGN, err)) return false;
    for (uint32_t i = 0; i < g->count; i++) {
        float beyond;
        memcpy(&beyond, run->host + (size_t)i * SPAN_ALIGN, sizeof beyond);
        if (beyond == 0) continue;
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: with these LoRAs it holds values above 65504, which fp16 cannot hold",
                   run->slices[g->first + i].entry.names[0]);
        return tinct_advise(err, "lower their strengths");
    }
    return true;
}

static bool rebuild_group(struct run *run, const struct group *g, struct tinct_err *err)
{
    struct filling filling = { run, g };

    memset(run->host, 0, (size_t)GROUP_SLICES * SPAN_ALIGN);
    thread_for(g->count, run->options->threads, fill_one, &filling);
    if (was_told(run, err)) return false;
    for (uint32_t i = 0; i < g->count; i++)
        if (run->slices[g->first + i].dense && !fill_delta(run, &run->slices[g->first + i], err)) return false;
    if (run->shared && weights_kept(run->ws)) run->pristine = weights_pristine(run->ws, run->slices[g->first].of->weight);
    bool ok = read_w0(run, g, err) && send(run, g, err) && dispatch(run, g, err) && check_flags(run, g, err);
    buffer_free(run->pristine);
    run->pristine = NULL;
    return ok;
}

/* ---- biases and norms --------------------------------------------------------- */

static bool rebuild_vector(struct run *run, const struct rebuild *of, struct tinct_err *err)
{
    struct weights_entry entry = weights_entry(run->ws, of->weight);
    struct pack_job jobs[2] = { *entry.job, *entry.job };
    float *sum = of->count ? merge_deltas(of, &entry.job->recipe, err) : NULL, *out = NULL;
    size_t bytes;
    bool ok = (sum || !of->count) && pack_job_bytes(&bytes, &jobs[0], err);

    if (ok && !(out = malloc(2 * bytes))) ok = tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a vector of weights");
    if (ok) {
        jobs[0].out = out;
        jobs[1].out = out + bytes / sizeof *out;
        jobs[1].values = sum;
        ok = pack_run(jobs, sum ? 2 : 1, 1, err);
    }
    for (size_t i = 0; ok && sum && i < bytes / sizeof *out; i++) out[i] += out[bytes / sizeof *out + i];
    if (ok) {
        run->touched = true;
        ok = buffer_write(entry.place.buffer, entry.place.offset, out, bytes, err);
    }
    free(out);
    free(sum);
    return ok;
}

struct list {
    struct weights *ws;
    const struct rebuild *rebuilds;
};

static void own_one(void *ctx, uint32_t index)
{
    const struct list *l = ctx;
    struct tensor place = weights_entry(l->ws, l->rebuilds[index].weight).place;

    buffer_own(place.buffer, place.offset, tensor_bytes(place));
}

bool merge_rebuild(struct weights *ws, const struct rebuild *list, uint32_t count, const struct merge_options *options,
                   bool *touched, struct tinct_err *err)
{
    struct run run = { .ws = ws, .options = options, .told = ATOMIC_FLAG_INIT };
    struct device *device = weights_device(ws);
    bool ok = device_wait(device, device_started(device), err) && plan(&run, list, count, err);   /* it may be at work with them */

    weights_settle(ws);
    if (ok) thread_for(count, options->threads, own_one, &(struct list) { ws, list });
    for (uint32_t i = 0; ok && i < count; i++)
        if (weights_entry(ws, list[i].weight).job->form != PACK_WEIGHT) ok = rebuild_vector(&run, &list[i], err);
    for (uint32_t i = 0; ok && i < run.group_count; i++) ok = rebuild_group(&run, &run.groups[i], err);
    *touched = run.touched;
    if (!run.shared) free(run.host);
    buffer_free(run.scratch);
    free(run.delta);
    free(run.groups);
    free(run.slices);
    return ok;
}
