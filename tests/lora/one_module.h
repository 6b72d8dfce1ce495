/* A LoRA file of one module with random values, which stay readable for the test's own formula. */
#ifndef TINCT_TESTS_LORA_ONE_MODULE_H
#define TINCT_TESTS_LORA_ONE_MODULE_H

#include "check.h"
#include "lora/delta.h"
#include "lora/fit.h"
#include "temporary.h"
#include "tensor_file.h"

enum { ONE_PARTS = 16 };

struct one {
    struct tensor_file out;
    struct {
        char name[64];
        double *values;
        size_t count;
    } parts[ONE_PARTS];
    int part_count;
    uint64_t seed;
    struct lora_file *file;
    struct lora_module module;
    struct lora_target target;
};

/* In [-1, 1), exact in fp32. */
static inline float one_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)((int32_t)(*seed >> 40) - (1 << 23)) / (float)(1 << 23);
}

static inline void one_begin(struct one *one)
{
    memset(one, 0, sizeof *one);
    one->seed = 1;
    tensor_file_begin(&one->out);
}

/* A part "layer.<name>" of this shape, fp32, random times size. Returns its values. */
static inline double *one_add(struct one *one, const char *name, double size, uint32_t dims, uint32_t a, uint32_t b,
                              uint32_t c, uint32_t d)
{
    uint32_t shape[4] = { a, b, c, d };
    char key[96];
    size_t count = 1;
    for (uint32_t i = 0; i < dims; i++) count *= shape[i];
    snprintf(key, sizeof key, "layer.%s", name);
    float *values = tensor_file_add(&one->out, key, DTYPE_F32, dims, shape);
    double *copy = malloc(count * sizeof *copy);
    for (size_t i = 0; i < count; i++) copy[i] = (double)(values[i] = (float)((double)one_random(&one->seed) * size));
    snprintf(one->parts[one->part_count].name, 64, "%s", name);
    one->parts[one->part_count].values = copy;
    one->parts[one->part_count++].count = count;
    return copy;
}

static inline void one_add_value(struct one *one, const char *name, float value)
{
    char key[96];
    snprintf(key, sizeof key, "layer.%s", name);
    memcpy(tensor_file_add(&one->out, key, DTYPE_F32, 0, NULL), &value, sizeof value);
}

/* Save, open, and give the module a layer of this shape. */
static inline struct lora_module *one_open(struct one *one, uint32_t dims, uint32_t a, uint32_t b, uint32_t c,
                                           uint32_t d)
{
    const char *path = temporary_path("one.safetensors");
    struct tinct_err err = { 0 };
    char why[LORA_WHY_BYTES] = "";
    assert_true(tensor_file_save(&one->out, path));
    one->file = lora_open(path, &err);
    if (!one->file) fail_msg("%s", err.text);
    assert_int_equal(lora_module_count(one->file), 1);
    one->target = (struct lora_target) { .weight = "w", .bias = "b", .dims = dims, .shape = { a, b, c, d } };
    one->module = *lora_module_at(one->file, 0);
    one->module.target = &one->target;
    if (lora_fit(&one->module, &one->target, why)) fail_msg("%s", why);
    return &one->module;
}

static inline void one_end(struct one *one)
{
    lora_close(one->file);
    tensor_file_free(&one->out);
    for (int i = 0; i < one->part_count; i++) free(one->parts[i].values);
}

/* A weight [total], and the same in double. */
static inline float *one_weight(double **as_double, size_t total)
{
    uint64_t seed = 77;
    float *w = malloc(total * sizeof *w);
    *as_double = malloc(total * sizeof **as_double);
    for (size_t i = 0; i < total; i++) (*as_double)[i] = (double)(w[i] = one_random(&seed));
    return w;
}

/* |got - want| <= tolerance |want|, and finite. */
static inline void one_compare(const float *got, const double *want, size_t count, double tolerance, const char *what)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        size += want[i] * want[i];
    }
    if (!(size > 0) || !(sqrt(error) <= tolerance * sqrt(size)))
        fail_msg("%s: off by %.3g of its norm %.3g", what, sqrt(error / size), sqrt(size));
}

static const double one_tolerance = 1e-6;    /* of the delta's norm: sums of fp32 products over ranks up to 7 keep 7 digits */
static const struct lora_use one_whole = { .strength = 1 }, one_half = { .strength = 0.5f };

/* The module's delta at strength 1 and 0.5 against want, which is at strength 1 and in proportion. */
static inline void one_check_delta(struct one *one, const double *want, const float *w0, const char *what)
{
    const struct lora_target *t = &one->target;
    size_t total = (size_t)t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
    float *delta = malloc(total * sizeof *delta);
    double *half = malloc(total * sizeof *half);
    struct tinct_err err;
    assert_true(lora_changes_weight(&one->module));
    assert_int_equal(lora_needs_weight(&one->module), w0 != NULL);
    if (!lora_delta(delta, &one->module, one_whole, w0, &err)) fail_msg("%s", err.text);
    one_compare(delta, want, total, one_tolerance, what);
    for (size_t i = 0; i < total; i++) half[i] = want[i] * 0.5;
    assert_true(lora_delta(delta, &one->module, one_half, w0, &err));
    one_compare(delta, half, total, one_tolerance, what);
    assert_true(lora_delta(delta, &one->module, (struct lora_use) { 0 }, w0, &err));
    for (size_t i = 0; i < total; i++) assert_true(delta[i] == 0);
    free(delta);
    free(half);
}

#endif
