/* What a case of an op's test takes: host memory, buffers between guards, random numbers, packed weights. */
#include "ops/optest.h"

#include <stdlib.h>
#include <unistd.h>

#include "tensor/convert.h"
#include "tensor/pack.h"

enum { PACK_THREADS = 2 };
enum { GUARD = SPAN_ALIGN, GUARD_BYTE = 0xff, RANDOM_PERIOD = 1 << 20 };   /* all ones: NaN in f32 and in f16 */

struct optest_memory {              /* what a case took: a guarded buffer or host memory */
    struct optest_memory *next;
    struct buffer *buffer;
    void *host;
    uint64_t bytes;                 /* of the buffer between its guards */
    uint32_t row_bytes, first_bytes, used_bytes;    /* a column range; else 0 */
};

/* ---- memory ------------------------------------------------------------- */

static struct optest_memory *remember(struct optest *t)
{
    struct optest_memory *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->next = t->memory;
    t->memory = m;
    return m;
}

void *optest_host(struct optest *t, size_t bytes)
{
    struct optest_memory *m = remember(t);
    m->host = calloc(1, bytes ? bytes : 1);
    assert_non_null(m->host);
    return m->host;
}

/* Aligned to 64 bytes, as pack_run wants it. */
static void *optest_aligned(struct optest *t, size_t bytes)
{
    unsigned char *p = optest_host(t, bytes + 64);
    return p + (64 - (uintptr_t)p % 64);
}

static bool all_guard(const unsigned char *p, size_t count)
{
    return !count || (p[0] == GUARD_BYTE && !memcmp(p, p + 1, count - 1));
}

static bool guards_are_whole(const struct optest_memory *m)
{
    uint64_t size = m->bytes + 2 * GUARD;
    unsigned char *all = malloc(size);
    bool ok = all && buffer_read(m->buffer, 0, all, size, NULL);

    ok = ok && all_guard(all, GUARD) && all_guard(all + GUARD + m->bytes, GUARD);
    for (uint64_t row = 0; ok && m->row_bytes && row < m->bytes; row += m->row_bytes) {
        const unsigned char *p = all + GUARD + row;
        ok = all_guard(p, m->first_bytes) &&
             all_guard(p + m->first_bytes + m->used_bytes, m->row_bytes - m->first_bytes - m->used_bytes);
    }
    free(all);
    return ok;
}

bool optest_give_back(struct optest *t)
{
    bool ok = true;

    pass_free(t->pass);
    t->pass = NULL;
    while (t->memory) {
        struct optest_memory *m = t->memory;
        if (m->buffer && !guards_are_whole(m)) ok = false;
        t->memory = m->next;
        buffer_free(m->buffer);
        free(m->host);
        free(m);
    }
    return ok;
}

/* ---- operands ----------------------------------------------------------- */

static uint64_t next_random(struct optest *t)    /* splitmix64 */
{
    uint64_t z = t->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t optest_below(struct optest *t, uint32_t end)
{
    return (uint32_t)((next_random(t) >> 32) * end >> 32);
}

static float rounded(enum dtype dtype, float value)
{
    return dtype == DTYPE_F16 ? convert_f16_to_f32(convert_f32_to_f16(value)) : value;
}

static float *random_values(struct optest *t, enum dtype dtype, size_t count, float mean, float spread)
{
    float *values = optest_host(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++) {
        double unit = (double)(next_random(t) >> 11) * 0x1p-52 - 1.0;
        values[i] = i < RANDOM_PERIOD ? rounded(dtype, (float)(mean + spread * unit)) : values[i - RANDOM_PERIOD];
    }
    return values;
}

float *optest_random(struct optest *t, size_t count, float mean, float spread)
{
    return random_values(t, t->dtype, count, mean, spread);
}

float *optest_random_f32(struct optest *t, size_t count, float mean, float spread)
{
    return random_values(t, DTYPE_F32, count, mean, spread);
}

static void store(void *out, enum dtype dtype, size_t at, float value)
{
    if (dtype == DTYPE_F32) ((float *)out)[at] = value;
    else ((uint16_t *)out)[at] = convert_f32_to_f16(value);
}

/* A buffer of a tensor between its guards, and the guards of its columns remembered. */
static struct optest_memory *guarded_buffer(struct optest *t, uint64_t bytes)
{
    struct tinct_err err = { 0 };
    struct optest_memory *m = remember(t);

    m->bytes = bytes;
    m->buffer = buffer_create(t->device, bytes + 2 * GUARD, &err);
    if (!m->buffer) fail_msg("%s", err.text);
    return m;
}

/* all: the buffer's bytes, guards included; freed here. */
static void fill_and_free(struct optest_memory *m, unsigned char *all)
{
    struct tinct_err err = { 0 };
    bool ok = buffer_write(m->buffer, 0, all, m->bytes + 2 * GUARD, &err);

    free(all);
    if (!ok) fail_msg("%s", err.text);
}

static unsigned char *all_guards(uint64_t bytes)
{
    unsigned char *all = malloc(bytes + 2 * GUARD);
    assert_non_null(all);
    return memset(all, GUARD_BYTE, bytes + 2 * GUARD);
}

/* A dense tensor of these bytes. */
static struct tensor guarded(struct optest *t, enum dtype dtype, uint32_t dims, const uint32_t *shape, const void *raw)
{
    struct tensor whole = tensor_view(NULL, GUARD, dtype, dims, shape);
    uint64_t bytes = tensor_bytes(whole);
    struct optest_memory *m = guarded_buffer(t, bytes);
    unsigned char *all = all_guards(bytes);

    memcpy(all + GUARD, raw, bytes);
    fill_and_free(m, all);
    whole.buffer = m->buffer;
    return whole;
}

struct tensor optest_columns(struct optest *t, enum dtype dtype, uint32_t dims, const uint32_t *shape,
                             uint32_t first, uint32_t stride, const float *values)
{
    struct tensor whole = tensor_view(NULL, GUARD, dtype, dims, shape);
    uint32_t channels = tensor_channels(whole), size = (uint32_t)dtype_size(dtype);
    uint64_t rows = tensor_rows(whole), bytes = rows * stride * size;

    assert_true(first + channels <= stride);
    struct optest_memory *m = guarded_buffer(t, bytes);
    unsigned char *all = all_guards(bytes);
    m->row_bytes = stride * size;
    m->first_bytes = first * size;
    m->used_bytes = channels * size;
    for (uint64_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < channels; c++)
            store(all + GUARD, dtype, r * stride + first + c, values ? values[r * channels + c] : NAN);
    fill_and_free(m, all);

    whole.buffer = m->buffer;
    whole.stride = stride;
    whole.offset += first * size;
    return whole;
}

struct tensor optest_tensor(struct optest *t, enum dtype dtype, uint32_t dims, const uint32_t *shape,
                            const float *values)
{
    return optest_columns(t, dtype, dims, shape, 0, shape[dims - 1], values);
}

struct tensor optest_vector(struct optest *t, uint32_t count, const float *values)
{
    return optest_tensor(t, DTYPE_F32, 1, &count, values);
}

/* A file of weights (f16) and after them biases (f32), as a checkpoint's, for pack_run; gone when closed. */
static struct file *layer_file(struct optest *t, const float *weights, size_t weight_count, const float *biases,
                               size_t bias_count)
{
    char path[] = "/tmp/tinct-optest-XXXXXX";
    uint16_t *half = optest_host(t, weight_count * sizeof *half);
    struct tinct_err err = { 0 };
    int descriptor = mkstemp(path);
    FILE *f = descriptor < 0 ? NULL : fdopen(descriptor, "wb");

    for (size_t i = 0; i < weight_count; i++) half[i] = convert_f32_to_f16(weights[i]);
    assert_non_null(f);
    bool ok = fwrite(half, sizeof *half, weight_count, f) == weight_count &&
              (!biases || fwrite(biases, sizeof *biases, bias_count, f) == bias_count);
    ok = fclose(f) == 0 && ok;
    struct file *file = ok ? file_open(path, &err) : NULL;
    unlink(path);
    if (!file) fail_msg("%s: %s", path, err.text);
    return file;
}

/* Packs the parts of a weight's file and of its biases' into both sides of it. */
static void pack_layer(struct optest *t, struct optest_weight *w, const struct pack_recipe *weight,
                       const struct pack_recipe *bias)
{
    struct pack_job jobs[] = { { .form = PACK_WEIGHT, .recipe = *weight }, { .form = PACK_VECTOR_F32, .recipe = *bias } };
    struct tinct_err err = { 0 };
    struct pack_shape shape;
    uint32_t n = w->bias ? 2 : 1;

    bool ok = pack_shape(&shape, &jobs[0].recipe, &err);
    for (uint32_t i = 0; ok && i < n; i++) {
        size_t bytes;
        ok = pack_job_bytes(&bytes, &jobs[i], &err);
        if (ok) jobs[i].out = optest_aligned(t, bytes);
    }
    ok = ok && pack_run(jobs, n, PACK_THREADS, &err);
    if (!ok) fail_msg("%s", err.text);
    w->device.packed = guarded(t, DTYPE_F16, 3, (uint32_t[]) { shape.n_padded / 64, shape.k_padded, 64 }, jobs[0].out);
    if (w->bias) w->device.bias = guarded(t, DTYPE_F32, 1, &w->device.outputs, jobs[1].out);
}

struct optest_weight optest_weight(struct optest *t, uint32_t outputs, uint32_t inputs, uint32_t kernel, int flags)
{
    return optest_weight_and_shortcut(t, outputs, inputs, kernel, 0, flags);
}

struct optest_weight optest_weight_and_shortcut(struct optest *t, uint32_t outputs, uint32_t inputs, uint32_t kernel,
                                                uint32_t shortcut, int flags)
{
    size_t own = (size_t)outputs * inputs * kernel * kernel, count = own + (size_t)outputs * shortcut;
    float spread = sqrtf(3.0f / (float)(inputs * kernel * kernel + shortcut));  /* outputs of the size of the inputs */
    uint32_t parts = shortcut ? 2 : 1;
    bool geglu = flags & OPTEST_GEGLU;
    struct optest_weight w = {
        .values = random_values(t, DTYPE_F16, count, 0, spread),
        .bias = flags & OPTEST_BIAS ? optest_random_f32(t, (size_t)outputs * parts, 0, 1) : NULL,
        .device = { .outputs = outputs, .inputs = inputs, .kernel_h = kernel, .kernel_w = kernel, .shortcut = shortcut,
                    .geglu = geglu },
    };
    w.shortcut = w.values + own;
    w.shortcut_bias = w.bias ? w.bias + outputs : NULL;
    struct file *file = layer_file(t, w.values, count, w.bias, (size_t)outputs * parts);
    struct pack_recipe weight = {
        .parts = { { file, "weight", DTYPE_F16, 4, { outputs, inputs, kernel, kernel }, 0 },
                   { file, "shortcut", DTYPE_F16, 2, { outputs, shortcut, 1, 1 }, own * 2 } },
        .part_count = parts, .stacked = shortcut, .geglu = geglu,
    }, bias = {
        .parts = { { file, "bias", DTYPE_F32, 1, { outputs, 1, 1, 1 }, count * 2 },
                   { file, "shortcut's bias", DTYPE_F32, 1, { outputs, 1, 1, 1 }, count * 2 + outputs * 4 } },
        .part_count = parts, .stacked = shortcut, .geglu = geglu,
    };
    pack_layer(t, &w, &weight, &bias);
    file_close(file);
    return w;
}
