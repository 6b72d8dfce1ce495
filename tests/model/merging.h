/* Adapters on a model's weights, and what the merged bytes must be, in double. */
#ifndef TINCT_TESTS_MODEL_MERGING_H
#define TINCT_TESTS_MODEL_MERGING_H

#include "check.h"
#include "model/merge.h"
#include "model/model.h"
#include "temporary.h"
#include "tensor/convert.h"
#include "tensor_file.h"
#include "tiny_checkpoint.h"
#include <stdlib.h>
#include <unistd.h>

#define UNET "model.diffusion_model."
#define BLOCK "input_blocks.4.1.transformer_blocks.0."
#define TEXT "cond_stage_model.transformer.text_model.encoder.layers.1."
enum { PANEL = 64, MOST_ADAPTERS = 64 };

/* ---- adapters: what a LoRA adds to one tensor, by its values -------------------- */

struct adapter {
    const char *name;
    uint32_t first, rows;              /* rows 0: all */
    uint32_t rank;                     /* 0: a delta */
    float strength;
    bool fails;
    float *up, *down, *delta;          /* [rows, rank], [rank, inputs], [rows, inputs] */
    size_t inputs;
};

static uint64_t random_state;

static inline float next_random(void)         /* -1 .. 1 */
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)((double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1);
}

static inline float *random_values(size_t count, float size)
{
    float *values = malloc((count + 1) * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++) values[i] = size * next_random();
    return values;
}

/* A tensor's adapter; rank 0: a dense one. */
static inline void adapter_make(struct adapter *a, const struct merge *m, const char *name, uint32_t rank, float strength)
{
    struct stored view;

    *a = (struct adapter) { .name = name, .rank = rank, .strength = strength };
    if (!merge_find(m, name, &view)) fail_msg("%s: not found", name);
    a->rows = view.shape[0];
    a->inputs = (size_t)stored_count(&view) / a->rows;
    float size = 1 / sqrtf((float)a->inputs);
    if (rank) {
        a->up = random_values((size_t)a->rows * rank, size);
        a->down = random_values(rank * a->inputs, 0.5f);
    } else {
        a->delta = random_values(a->rows * a->inputs, size * 0.1f);
    }
}

static inline void adapter_free(struct adapter *a)
{
    free(a->up);
    free(a->down);
    free(a->delta);
}

static inline bool give_factors(void *user, float *up, float *down, struct tinct_err *err)
{
    const struct adapter *a = user;

    if (a->fails) return tinct_fail(err, TINCT_ERR_IO, "this adapter is gone");
    memcpy(up, a->up, (size_t)a->rows * a->rank * sizeof *up);
    memcpy(down, a->down, a->rank * a->inputs * sizeof *down);
    return true;
}

static inline bool give_delta(void *user, float *out, const float *w0, struct tinct_err *err)
{
    const struct adapter *a = user;

    assert_null(w0);
    if (a->fails) return tinct_fail(err, TINCT_ERR_IO, "this adapter is gone");
    for (size_t i = 0; i < a->rows * a->inputs; i++) out[i] = a->strength * a->delta[i];
    return true;
}

/* The adapter's index stands for its values. */
static inline struct merge_term term_of(struct adapter *a, uint64_t index)
{
    uint32_t bits;
    memcpy(&bits, &a->strength, 4);
    return (struct merge_term) { .key = index << 32 | bits, .rank = a->rank, .scale = a->strength, .user = a,
                                 .factors = give_factors, .delta = give_delta };
}

static inline bool add(struct merge *m, struct adapter *a, uint64_t index, struct tinct_err *err)
{
    struct merge_term term = term_of(a, index);
    return merge_add(m, a->name, a->first, a->rows, &term, err);
}

static inline void apply(struct merge *m, struct merge_report *report)
{
    struct tinct_err err = { 0 };
    if (!merge_apply(m, report, &err)) fail_msg("%s", err.text);
    assert_true(merge_usable(m, &err));
}

static inline struct merge_report apply_all(struct merge *m, struct adapter *adapters, uint32_t count)
{
    struct merge_report report;
    struct tinct_err err = { 0 };

    merge_begin(m);
    for (uint32_t i = 0; i < count; i++)
        if (!add(m, &adapters[i], i, &err)) fail_msg("%s", err.text);
    apply(m, &report);
    return report;
}

static inline struct merge_report remove_all(struct merge *m)
{
    return apply_all(m, NULL, 0);
}

/* ---- the model, and its weights' bytes ------------------------------------------ */

struct fixture {
    struct device *device;
    struct model *model;
    struct merge *merge;
};

static inline struct fixture fixture_open(const char *device, uint64_t piece_bytes)
{
    struct fixture f = { 0 };
    struct tinct_err err = { 0 };
    struct device_options options = { .name = device, .threads = 2, .validation = true };

    f.device = device_open(&options, &err);
    if (!f.device) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    f.model = model_open(f.device, &(struct model_options) { .path = temporary_path("tiny.safetensors"), .encoder = true, .threads = 2 }, &err);
    if (!f.model) fail_msg("%s", err.text);
    f.merge = merge_create(f.model->weights, &(struct merge_options) { 2, piece_bytes });
    assert_non_null(f.merge);
    random_state = 4711;
    return f;
}

static inline void fixture_close(struct fixture *f)
{
    merge_free(f->merge);
    model_close(f->model);
    assert_int_equal(device_validation_messages(f->device), 0);
    device_close(f->device);
}

static inline size_t entry_bytes(const struct weights_entry *e)
{
    size_t bytes;
    assert_true(pack_job_bytes(&bytes, e->job, NULL));
    return bytes;
}

static inline void *read_entry(const struct weights_entry *e)
{
    struct tinct_err err = { 0 };
    size_t bytes = entry_bytes(e);
    void *raw = malloc(bytes);
    assert_non_null(raw);
    if (!buffer_read(e->place.buffer, e->place.offset, raw, bytes, &err)) fail_msg("%s", err.text);
    return raw;
}

struct snapshot {
    uint32_t count;
    void **bytes;
};

static inline struct snapshot snapshot_take(const struct weights *ws)
{
    struct snapshot s = { weights_count(ws), malloc(weights_count(ws) * sizeof *s.bytes) };
    assert_non_null(s.bytes);
    for (uint32_t i = 0; i < s.count; i++) {
        struct weights_entry e = weights_entry(ws, i);
        s.bytes[i] = read_entry(&e);
    }
    return s;
}

static inline void snapshot_free(struct snapshot *s)
{
    for (uint32_t i = 0; i < s->count; i++) free(s->bytes[i]);
    free(s->bytes);
}

/* Gives the number of weights that differ. */
static inline uint32_t differences(const struct weights *ws, const struct snapshot *s)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct weights_entry e = weights_entry(ws, i);
        void *bytes = read_entry(&e);
        found += memcmp(bytes, s->bytes[i], entry_bytes(&e)) != 0;
        free(bytes);
    }
    return found;
}

/* ---- the definition, in double ---------------------------------------------------- */

/* Values of all parts, one after the other, in the file's order, with what the adapters add. */
static inline double *merged_values(const struct weights_entry *e, const struct adapter *adapters, uint32_t count)
{
    const struct pack_recipe *r = &e->job->recipe;
    struct tinct_err err = { 0 };
    size_t all = 0, at = 0;

    for (uint32_t p = 0; p < r->part_count; p++) all += (size_t)stored_count(&r->parts[p]);
    double *values = malloc(all * sizeof *values);
    float *w0 = malloc(all * sizeof *w0);
    for (uint32_t p = 0; p < r->part_count; at += stored_count(&r->parts[p++])) {
        if (!stored_read_f32(w0 + at, &r->parts[p], &err)) fail_msg("%s", err.text);
        for (size_t i = 0; i < stored_count(&r->parts[p]); i++) values[at + i] = w0[at + i];
        for (const struct adapter *a = adapters; a < adapters + count; a++) {
            if (strcmp(a->name, e->names[p])) continue;
            for (size_t row = 0; row < a->rows; row++)
                for (size_t i = 0; i < a->inputs; i++) {
                    double sum = a->rank ? 0 : (double)a->delta[row * a->inputs + i];
                    for (size_t k = 0; k < a->rank; k++)
                        sum += (double)a->up[row * a->rank + k] * a->down[k * a->inputs + i];
                    values[at + (a->first + row) * a->inputs + i] += a->strength * sum;
                }
        }
    }
    free(w0);
    return values;
}

/* Half a step of fp16 at v. */
static inline double half_step(double v)
{
    int exponent;
    frexp(v, &exponent);
    return ldexp(0.5, (exponent < -13 ? -13 : exponent) - 11);
}

/* The value in row k of a column's source row; NULL where there is none. Stacked parts follow each other in k. */
static inline const double *value_of(const struct pack_recipe *r, const double *values, uint32_t row, uint32_t k)
{
    for (uint32_t p = 0; p < (r->stacked ? r->part_count : 1); p++) {
        uint32_t own = r->parts[p].shape[1], channels = own < r->channels ? r->channels : own;
        uint32_t taps = r->parts[p].shape[2] * r->parts[p].shape[3];
        if (k < taps * channels)
            return k % channels < own ? &values[((size_t)row * own + k % channels) * taps + k / channels] : NULL;
        k -= taps * channels;
        values += stored_count(&r->parts[p]);
    }
    return NULL;
}

/* Every element of the packed weight, padding included. One rounding to fp16: half a step, and 1e-6 for fp32 sums. */
static inline void check_packed(const struct weights_entry *e, const double *values)
{
    const struct pack_recipe *r = &e->job->recipe;
    struct pack_shape s;
    uint16_t *packed = read_entry(e);

    assert_true(pack_shape(&s, r, NULL));
    for (uint32_t n = 0; n < s.n_padded; n++)
        for (uint32_t k = 0; k < s.k_padded; k++) {
            uint32_t row = n;
            if (r->geglu) row = n % 8 < 4 ? n / 8 * 4 + n % 4 : s.n / 2 + n / 8 * 4 + n % 4;
            uint16_t half = packed[((size_t)(n / PANEL) * s.k_padded + k) * PANEL + n % PANEL];
            const double *want = n < s.n ? value_of(r, values, row, k) : NULL;
            if (!want) {
                assert_int_equal(half, 0);
                continue;
            }
            double got = (double)convert_f16_to_f32(half);
            if (!(fabs(got - *want) <= half_step(*want) + 1e-6 * (1 + fabs(*want))))
                fail_msg("%s: column %u, row %u: got %.8g, want %.8g", e->names[0], n, k, got, *want);
        }
    free(packed);
}

static inline void check_vector(const struct weights_entry *e, const double *values)
{
    const struct pack_recipe *r = &e->job->recipe;
    float *got = read_entry(e);
    uint32_t n = e->place.shape[0];

    for (uint32_t c = 0; c < n; c++) {
        uint32_t row = !r->geglu ? c : c % 8 < 4 ? c / 8 * 4 + c % 4 : n / 2 + c / 8 * 4 + c % 4;
        double want = values[row] + (r->stacked ? values[n + row] : 0);
        if (fabs((double)got[c] - want) > 1e-6 * (1 + fabs(want)))
            fail_msg("%s: %u: got %.8g, want %.8g", e->names[0], c, (double)got[c], want);
    }
    free(got);
}

static inline void check_all(const struct weights *ws, const struct adapter *adapters, uint32_t count)
{
    for (uint32_t i = 0; i < weights_count(ws); i++) {
        struct weights_entry e = weights_entry(ws, i);
        double *values = merged_values(&e, adapters, count);
        if (e.job->form == PACK_WEIGHT) check_packed(&e, values);
        else check_vector(&e, values);
        free(values);
    }
}

#endif
