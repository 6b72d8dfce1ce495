#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/packed.h"
#include "tensor/pack.h"

enum {
    NAME_BYTES = 256,
    MAX_ARENAS = 64,
};
static const uint64_t arena_bytes = 512ull << 20;      /* a new buffer is begun beyond this: drivers limit one */
static const uint64_t staging_bytes = 64ull << 20;     /* packed on the host at a time where memory is not shared */

struct wish {
    struct pack_job job;
    char *names[PACK_PARTS];                           /* canonical, of the parts */
    uint64_t bytes;
    struct tensor *out;                                /* filled in: buffer and offset */
    struct tensor place;                               /* *out, once loaded: its owner may move */
    uint32_t arena;
};

struct weights {
    struct device *device;
    const struct checkpoint *checkpoint;
    struct wish *wishes;
    uint32_t count, room;
    struct buffer *arenas[MAX_ARENAS];
    uint64_t sizes[MAX_ARENAS];
    uint32_t arena_count;
    uint64_t bytes;
    const char *cache_dir;                             /* NULL: packed weights are not kept */
    uint64_t least_kept;
    struct packed *packed;
    struct tinct_err note;
    struct tinct_err err;
};

struct weights *weights_create(struct device *device, const struct checkpoint *checkpoint)
{
    struct weights *ws = calloc(1, sizeof *ws);

    if (!ws) return NULL;
    ws->device = device;
    ws->checkpoint = checkpoint;
    return ws;
}

void weights_free(struct weights *ws)
{
    if (!ws) return;
    packed_free(ws->packed);
    for (uint32_t i = 0; i < ws->arena_count; i++) buffer_free(ws->arenas[i]);
    for (uint32_t i = 0; i < ws->count; i++)
        for (uint32_t p = 0; p < PACK_PARTS; p++) free(ws->wishes[i].names[p]);
    free(ws->wishes);
    free(ws);
}

const struct checkpoint *weights_checkpoint(const struct weights *ws)
{
    return ws->checkpoint;
}

uint64_t weights_bytes(const struct weights *ws)
{
    return ws->bytes;
}

static bool failed(const struct weights *ws)
{
    return ws->err.code != TINCT_OK;
}

bool weights_expect(struct weights *ws, bool condition, const char *fmt, ...)
{
    if (!condition && !failed(ws)) {
        va_list args;
        va_start(args, fmt);
        tinct_failv(&ws->err, TINCT_ERR_FORMAT, fmt, args);
        va_end(args);
        tinct_within(&ws->err, "%s", checkpoint_path(ws->checkpoint));
    }
    return condition;
}

void weights_refuse(struct weights *ws, const struct tinct_err *err)
{
    if (!failed(ws)) ws->err = *err;
}

bool weights_have(const struct weights *ws, uint32_t shape[4], const char *name, ...)
{
    char full[NAME_BYTES];
    struct stored view;
    va_list args;

    va_start(args, name);
    vsnprintf(full, sizeof full, name, args);
    va_end(args);
    if (!checkpoint_find(ws->checkpoint, full, &view)) return false;
    for (uint32_t i = 0; i < 4; i++) shape[i] = i < view.dims ? view.shape[i] : 1;
    return true;
}

/* Record a draft's wish for its tensor in device form `view` (shape only). The list takes the draft's names. */
static void wish_for(struct weights *ws, struct wish *draft, struct tensor view, struct tensor *out)
{
    size_t bytes;

    if (failed(ws) || !pack_job_bytes(&bytes, &draft->job, &ws->err)) goto drop;
    if (ws->count == ws->room) {
        uint32_t room = ws->room ? ws->room * 2 : 1024;
        struct wish *more = realloc(ws->wishes, room * sizeof *more);
        if (!more) {
            tinct_fail(&ws->err, TINCT_ERR_MEMORY, "no memory for a list of %u weights", room);
            goto drop;
        }
        ws->wishes = more;
        ws->room = room;
    }
    *out = view;
    draft->bytes = bytes;
    draft->out = out;
    ws->wishes[ws->count++] = *draft;
    return;
drop:
    for (uint32_t p = 0; p < PACK_PARTS; p++) free(draft->names[p]);
}

static void wish_for_vector(struct weights *ws, struct wish *draft, uint32_t count, struct tensor *out)
{
    draft->job.form = PACK_VECTOR_F32;
    wish_for(ws, draft, tensor_view(NULL, 0, DTYPE_F32, 1, &count), out);
}

static void wish_for_weight(struct weights *ws, struct wish *draft, struct weight *w)
{
    struct pack_shape s = { 0 };

    if (!failed(ws)) pack_shape(&s, &draft->job.recipe, &ws->err);
    draft->job.form = PACK_WEIGHT;
    w->outputs = s.n;
    w->inputs = s.channels;
    w->shortcut = s.k - s.taps * s.channels;
    w->geglu = draft->job.recipe.geglu;
    wish_for(ws, draft, tensor_view(NULL, 0, DTYPE_F16, 3, (uint32_t[]) { s.n_padded / 64, s.k_padded, 64 }),
             &w->packed);
}

static bool keep_name(struct weights *ws, char **kept, const char *name)
{
    size_t size = strlen(name) + 1;

    *kept = malloc(size);
    if (!*kept) return tinct_fail(&ws->err, TINCT_ERR_MEMORY, "no memory for the names of weights");
    memcpy(*kept, name, size);
    return true;
}

/* One more part of a draft's recipe, and its name. On failure, remembered, the draft holds nothing. */
static bool find_part(struct weights *ws, struct wish *draft, const char *full, uint32_t dims, const uint32_t *shape)
{
    struct pack_recipe *recipe = &draft->job.recipe;
    uint32_t i = recipe->part_count++;

    if (!failed(ws) && checkpoint_tensor(ws->checkpoint, full, dims, shape, &recipe->parts[i], &ws->err) &&
        keep_name(ws, &draft->names[i], full))
        return true;
    for (uint32_t p = 0; p < i; p++) free(draft->names[p]);
    return false;
}

/* Find "<base>.<part>.<what>" for each part of a comma-separated list ("" is "<base>.<what>"): a draft's recipe and
 * names. On failure, remembered, the draft holds nothing. */
static bool find_parts(struct weights *ws, struct wish *draft, const char *base, const char *list, const char *what,
                       uint32_t dims, const uint32_t *shape)
{
    char full[NAME_BYTES * 2];

    draft->job.recipe.part_count = 0;
    memset(draft->names, 0, sizeof draft->names);
    for (const char *part = list;; part += strcspn(part, ",") + 1) {
        int length = (int)strcspn(part, ",");
        snprintf(full, sizeof full, "%s%s%.*s.%s", base, length ? "." : "", length, part, what);
        if (!find_part(ws, draft, full, dims, shape)) return false;
        if (!part[length] || draft->job.recipe.part_count == PACK_PARTS) return true;
    }
}

static void want_parts(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, uint32_t kernel,
                       unsigned flags, const char *list, const char *base)
{
    struct wish draft = { .job.recipe.geglu = flags & WANT_GEGLU };

    *w = (struct weight) { .kernel_h = kernel, .kernel_w = kernel };
    if (inputs % 4 && kernel > 1) draft.job.recipe.channels = (inputs + 3) / 4 * 4;
    if (!find_parts(ws, &draft, base, list, "weight", kernel > 1 ? 4 : 2,
                    (uint32_t[]) { outputs, inputs, kernel, kernel }))
        return;
    wish_for_weight(ws, &draft, w);
    if (flags & WANT_NO_BIAS) return;
    if (find_parts(ws, &draft, base, list, "bias", 1, (uint32_t[]) { outputs }))
        wish_for_vector(ws, &draft, w->outputs, &w->bias);
}

#define NAME_FROM_ARGS(full)                    \
    char full[NAME_BYTES];                      \
    va_list args;                               \
    va_start(args, name);                       \
    vsnprintf(full, sizeof full, name, args);   \
    va_end(args)

void want_linear(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, unsigned flags,
                 const char *name, ...)
{
    NAME_FROM_ARGS(full);
    want_parts(ws, w, outputs, inputs, 1, flags, "", full);
}

void want_linears(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, unsigned flags,
                  const char *list, const char *name, ...)
{
    NAME_FROM_ARGS(full);
    want_parts(ws, w, outputs, inputs, 1, flags, list, full);
}

void want_conv(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, uint32_t kernel,
               const char *name, ...)
{
    NAME_FROM_ARGS(full);
    want_parts(ws, w, outputs, inputs, kernel, 0, "", full);
}

/* "<base>.weight", and below it or added to it that of the shortcut; "bias" likewise. */
static bool find_two(struct weights *ws, struct wish *draft, const char *base, const char *shortcut, const char *what,
                     const uint32_t *shape, uint32_t dims, const uint32_t *shortcut_shape, uint32_t shortcut_dims)
{
    char full[NAME_BYTES * 2];

    if (!find_parts(ws, draft, base, "", what, dims, shape)) return false;
    snprintf(full, sizeof full, "%s.%s", shortcut, what);
    return find_part(ws, draft, full, shortcut_dims, shortcut_shape);
}

void want_conv_and_shortcut(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, uint32_t kernel,
                            uint32_t shortcut_inputs, const char *shortcut, const char *name)
{
    struct wish draft = { .job.recipe.stacked = true };
    const uint32_t shape[] = { outputs, inputs, kernel, kernel }, shortcut_shape[] = { outputs, shortcut_inputs };

    *w = (struct weight) { .kernel_h = kernel, .kernel_w = kernel };
    if (find_two(ws, &draft, name, shortcut, "weight", shape, 4, shortcut_shape, 2)) wish_for_weight(ws, &draft, w);
    if (find_two(ws, &draft, name, shortcut, "bias", shape, 1, shape, 1)) wish_for_vector(ws, &draft, outputs, &w->bias);
}

void want_norm(struct weights *ws, struct norm *norm, uint32_t channels, const char *name, ...)
{
    struct wish draft = { 0 };

    NAME_FROM_ARGS(full);
    *norm = (struct norm) { 0 };
    if (find_parts(ws, &draft, full, "", "weight", 1, &channels))
        wish_for_vector(ws, &draft, channels, &norm->gamma);
    if (find_parts(ws, &draft, full, "", "bias", 1, &channels))
        wish_for_vector(ws, &draft, channels, &norm->beta);
}

/* Give every wish its arena and offset; sizes of the arenas follow. */
static bool lay_out(struct weights *ws, struct tinct_err *err)
{
    for (uint32_t i = 0; i < ws->count; i++) {
        struct wish *wish = &ws->wishes[i];
        if (!ws->arena_count || ws->sizes[ws->arena_count - 1] + wish->bytes > arena_bytes) {
            if (ws->arena_count == MAX_ARENAS) return tinct_fail(err, TINCT_ERR_MEMORY, "more than 32 GiB of weights");
            ws->arena_count++;
        }
        wish->arena = ws->arena_count - 1;
        wish->out->offset = ws->sizes[wish->arena];
        ws->sizes[wish->arena] += (wish->bytes + SPAN_ALIGN - 1) / SPAN_ALIGN * SPAN_ALIGN;
    }
    for (uint32_t i = 0; i < ws->arena_count; i++) ws->bytes += ws->sizes[i];
    return true;
}

static bool memory_suffices(const struct weights *ws, struct tinct_err *err)
{
    uint64_t have = device_memory_free(ws->device);
    const double mib = 1024.0 * 1024.0;

    if (ws->bytes <= have) return true;
    return tinct_fail(err, TINCT_ERR_MEMORY, "%s: the weights want %.0f MiB, %.0f MiB are free: %.0f MiB missing",
                      device_about(ws->device)->name, (double)ws->bytes / mib, (double)have / mib,
                      (double)(ws->bytes - have) / mib);
}

static bool allocate(struct weights *ws, struct tinct_err *err)
{
    for (uint32_t i = 0; i < ws->arena_count; i++)
        if (!(ws->arenas[i] = buffer_create(ws->device, ws->sizes[i], err))) return false;
    return true;
}

static void hand_out(struct weights *ws)
{
    for (uint32_t i = 0; i < ws->count; i++) {
        ws->wishes[i].out->buffer = ws->arenas[ws->wishes[i].arena];
        ws->wishes[i].place = *ws->wishes[i].out;
    }
}

static bool pack_in_place(struct weights *ws, struct pack_job *jobs, int threads, struct tinct_err *err)
{
    for (uint32_t i = 0; i < ws->count; i++) {
        jobs[i] = ws->wishes[i].job;
        jobs[i].out = (char *)buffer_map(ws->arenas[ws->wishes[i].arena]) + ws->wishes[i].out->offset;
    }
    return pack_run(jobs, ws->count, threads, err);
}

/* Wishes [first, end) fit the staging memory (or are one large wish): pack there, then upload. */
static bool pack_and_upload(struct weights *ws, struct pack_job *jobs, uint32_t first, uint32_t end, char *staging,
                            int threads, struct tinct_err *err)
{
    uint64_t at = 0;

    for (uint32_t i = first; i < end; i++) {
        jobs[i - first] = ws->wishes[i].job;
        jobs[i - first].out = staging + at;
        at += (ws->wishes[i].bytes + SPAN_ALIGN - 1) / SPAN_ALIGN * SPAN_ALIGN;
    }
    if (!pack_run(jobs, end - first, threads, err)) return false;
    for (uint32_t i = first; i < end; i++) {
        const struct wish *wish = &ws->wishes[i];
        if (!buffer_write(ws->arenas[wish->arena], wish->out->offset, jobs[i - first].out, wish->bytes, err))
            return false;
    }
    return true;
}

static bool pack_through_staging(struct weights *ws, struct pack_job *jobs, int threads, struct tinct_err *err)
{
    uint64_t room = staging_bytes;
    bool ok = true;

    for (uint32_t i = 0; i < ws->count; i++)
        if (ws->wishes[i].bytes > room) room = ws->wishes[i].bytes;
    char *staging = aligned_alloc(SPAN_ALIGN, (room / SPAN_ALIGN + 1) * SPAN_ALIGN);
    if (!staging) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to pack weights in");
    for (uint32_t first = 0, end; ok && first < ws->count; first = end) {
        uint64_t used = 0;
        for (end = first; end < ws->count; end++) {
            uint64_t bytes = (ws->wishes[end].bytes + SPAN_ALIGN - 1) / SPAN_ALIGN * SPAN_ALIGN;
            if (end > first && used + bytes > room) break;
            used += bytes;
        }
        ok = pack_and_upload(ws, jobs, first, end, staging, threads, err);
    }
    free(staging);
    return ok;
}

static bool pack(struct weights *ws, int threads, struct tinct_err *err)
{
    struct pack_job *jobs = malloc((ws->count + 1) * sizeof *jobs);

    if (!jobs) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a list of %u weights", ws->count);
    bool shared = ws->count && buffer_map(ws->arenas[0]);
    bool ok = shared ? pack_in_place(ws, jobs, threads, err) : pack_through_staging(ws, jobs, threads, err);
    free(jobs);
    return ok;
}

/* ---- kept for the next start ---------------------------------------------- */

void weights_keep_in(struct weights *ws, const char *cache_dir, uint64_t least_bytes)
{
    ws->cache_dir = cache_dir;
    ws->least_kept = least_bytes;
}

const char *weights_note(const struct weights *ws)
{
    return ws->note.text;
}

static void find_packed(struct weights *ws)
{
    struct packed_place *places;

    if (!ws->cache_dir || ws->bytes < ws->least_kept || !device_takes_files(ws->device)) return;
    places = malloc((ws->count + 1) * sizeof *places);
    for (uint32_t i = 0; places && i < ws->count; i++) {
        const struct wish *wish = &ws->wishes[i];
        places[i] = (struct packed_place) { &wish->job, wish->out->offset, wish->bytes, wish->arena };
    }
    if (places) ws->packed = packed_create(ws->cache_dir, places, ws->count, ws->sizes, ws->arena_count);
    free(places);
}

static void expect_kept(struct weights *ws, bool kept)
{
    if (!kept) tinct_within(&ws->note, "the packed weights are not kept for the next start");
}

void weights_settle(struct weights *ws)
{
    if (ws->packed) expect_kept(ws, packed_settle(ws->packed, &ws->note));
}

bool weights_load(struct weights *ws, int threads, struct tinct_err *err)
{
    if (failed(ws)) {
        if (err) *err = ws->err;
        return false;
    }
    if (!lay_out(ws, err) || !memory_suffices(ws, err)) return false;
    find_packed(ws);
    bool mapped = ws->packed && packed_map(ws->packed, ws->device, threads, ws->arenas);
    if (!mapped && !allocate(ws, err)) return false;
    hand_out(ws);
    if (mapped) return true;
    if (!pack(ws, threads, err)) return false;
    if (ws->packed) expect_kept(ws, packed_keep(ws->packed, ws->arenas, &ws->note));
    return true;
}

uint32_t weights_count(const struct weights *ws)
{
    return ws->count;
}

struct weights_entry weights_entry(const struct weights *ws, uint32_t index)
{
    const struct wish *wish = &ws->wishes[index];
    return (struct weights_entry) { &wish->job, wish->place, (const char *const *)wish->names };
}

struct device *weights_device(const struct weights *ws)
{
    return ws->device;
}

bool weights_kept(const struct weights *ws)
{
    return ws->packed && packed_there(ws->packed);
}

struct buffer *weights_pristine(const struct weights *ws, uint32_t index)
{
    return packed_arena(ws->packed, ws->device, ws->wishes[index].arena);
}

bool weights_read(const struct weights *ws, void *out, uint32_t index, uint64_t offset, size_t size, struct tinct_err *err)
{
    const struct wish *wish = &ws->wishes[index];
    return packed_read(ws->packed, out, wish->arena, wish->place.offset + offset, size, err);
}
