#include "tensor/pack.h"
#include "check.h"
#include "temporary.h"
#include "tensor/convert.h"
#include "tensor/safetensors.h"
#include "tensor_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Values that differ everywhere and are exact in every type here but the 8-bit ones. */
static float value_at(size_t i)
{
    return (float)((int)(i * 2654435761u >> 20 & 255) - 128) / 64.0f;
}

static void fill(void *out, enum dtype type, size_t count, size_t seed)
{
    for (size_t i = 0; i < count; i++) {
        float v = value_at(i + seed);
        uint32_t bits;
        memcpy(&bits, &v, 4);
        switch (type) {
        case DTYPE_F32: ((float *)out)[i] = v; break;
        case DTYPE_F16: ((uint16_t *)out)[i] = convert_f32_to_f16(v); break;
        case DTYPE_BF16: ((uint16_t *)out)[i] = (uint16_t)(bits >> 16); break;
        case DTYPE_F64: ((double *)out)[i] = (double)v; break;
        default: ((unsigned char *)out)[i] = (unsigned char)(convert_f32_to_f16(v) >> 8); break; /* F8_E5M2 */
        }
    }
}

struct open_file {
    struct safetensors *st;
    struct tensor_file file;
};

static struct stored add(struct open_file *f, const char *name, enum dtype type, uint32_t dims, const uint32_t *shape,
                         size_t seed)
{
    struct stored s = { .name = name, .dtype = type, .dims = dims, .shape = { 1, 1, 1, 1 } };
    memcpy(s.shape, shape, dims * sizeof *shape);
    fill(tensor_file_add(&f->file, name, type, dims, shape), type, (size_t)stored_count(&s), seed);
    return s;
}

static void save(struct open_file *f)
{
    struct tinct_err err = { 0 };
    const char *path = temporary_path("pack.safetensors");
    assert_true(tensor_file_save(&f->file, path));
    tensor_file_free(&f->file);
    f->st = safetensors_open(path, &err);
    if (!f->st) fail_msg("%s", err.text);
}

static void place(const struct open_file *f, struct stored *s)
{
    s->file = safetensors_file(f->st);
    s->offset = safetensors_find(f->st, s->name)->offset;
}

/* What row k of a source row's values is: the parts' one below the other where they are stacked. 0 beyond them. */
static float value_of(const struct pack_recipe *recipe, const float *straight, uint32_t row, uint32_t k)
{
    for (uint32_t i = 0; i < (recipe->stacked ? recipe->part_count : 1); i++) {
        const struct stored *part = &recipe->parts[i];
        uint32_t own = part->shape[1], channels = own < recipe->channels ? recipe->channels : own;
        uint32_t taps = part->shape[2] * part->shape[3];
        if (k < taps * channels)
            return k % channels < own ? straight[((size_t)row * own + k % channels) * taps + k / channels] : 0;
        k -= taps * channels;
        straight += stored_count(part);
    }
    return 0;
}

/* The layout as pack.h defines it, element by element. */
static void check_weight(const struct pack_recipe *recipe, const uint16_t *packed, const float *straight)
{
    struct pack_shape s;
    struct tinct_err err;

    assert_true(pack_shape(&s, recipe, &err));
    for (uint32_t n = 0; n < s.n_padded; n++)
        for (uint32_t k = 0; k < s.k_padded; k++) {
            uint32_t row = n;
            if (recipe->geglu) {
                uint32_t value = n / 8 * 4 + n % 4;
                row = n % 8 < 4 ? value : s.n / 2 + value;
            }
            float want = n < s.n ? value_of(recipe, straight, row, k) : 0;
            float got = convert_f16_to_f32(packed[((size_t)(n / 64) * s.k_padded + k) * 64 + n % 64]);
            if (got != want)
                fail_msg("column %u, row %u: got %g, want %g", (unsigned)n, (unsigned)k, (double)got, (double)want);
        }
}

/* As fp32, from the file and from memory, panel by panel: the values of the packed halves, which are exact. */
static void check_f32_forms(const struct pack_recipe *recipe, const struct pack_shape *s, const uint16_t *packed,
                            const float *straight, int threads)
{
    size_t panel_values = (size_t)s->k_padded * 64, bytes;
    float *out = aligned_alloc(64, (panel_values + 16) * sizeof *out);
    struct tinct_err err;

    for (uint32_t panel = 0; panel < s->n_padded / 64; panel++)
        for (int from_memory = 0; from_memory < 2; from_memory++) {
            struct pack_job job = { .form = PACK_WEIGHT_F32, .recipe = *recipe, .out = out, .first_panel = panel,
                                    .panels = 1, .values = from_memory ? straight : NULL };
            memset(out, 0xff, (panel_values + 16) * sizeof *out);
            assert_true(pack_job_bytes(&bytes, &job, &err));
            assert_int_equal(bytes, panel_values * sizeof *out);
            if (!pack_run(&job, 1, threads, &err)) fail_msg("%s", err.text);
            for (size_t i = 0; i < panel_values; i++)
                assert_true(out[i] == convert_f16_to_f32(packed[panel * panel_values + i]));
            assert_true(isnan(out[panel_values]));
        }
    free(out);
}

static void run_and_check(struct open_file *f, struct pack_recipe *recipe, int threads)
{
    struct pack_shape s;
    struct tinct_err err = { 0 };
    struct pack_job job = { .form = PACK_WEIGHT };
    size_t bytes, count = 0;

    for (uint32_t i = 0; i < recipe->part_count; i++) {
        place(f, &recipe->parts[i]);
        count += (size_t)stored_count(&recipe->parts[i]);
    }
    if (!pack_shape(&s, recipe, &err)) fail_msg("%s", err.text);
    job.recipe = *recipe;
    assert_true(pack_job_bytes(&bytes, &job, &err));
    assert_int_equal(bytes, s.bytes);

    float *straight = malloc(count * sizeof *straight), *at = straight, *back = malloc(count * sizeof *back);
    for (uint32_t i = 0; i < recipe->part_count; at += stored_count(&recipe->parts[i++]))
        assert_true(stored_read_f32(at, &recipe->parts[i], &err));
    uint16_t *packed = aligned_alloc(64, s.bytes + 64);
    memset(packed, 0xff, s.bytes + 64); /* NaN wherever nothing is written */
    job.out = packed;
    if (!pack_run(&job, 1, threads, &err)) fail_msg("%s", err.text);
    check_weight(recipe, packed, straight);
    assert_int_equal(packed[s.bytes / 2], 0xffff);
    pack_inverse(back, packed, recipe);
    assert_memory_equal(back, straight, count * sizeof *back);
    check_f32_forms(recipe, &s, packed, straight, threads);
    free(straight);
    free(back);
    free(packed);
}

static void weights_of_every_shape_and_type(void **state)
{
    static const struct {
        uint32_t dims, shape[4], channels;
        enum dtype type;
    } cases[] = {
        { 2, { 64, 32 }, 0, DTYPE_F16 },          { 2, { 1, 1 }, 0, DTYPE_F16 },
        { 2, { 65, 33 }, 0, DTYPE_F32 },          { 2, { 130, 1027 }, 0, DTYPE_BF16 },
        { 2, { 63, 259 }, 0, DTYPE_F8_E5M2 },     { 2, { 64, 100 }, 0, DTYPE_F64 },
        { 4, { 37, 13, 3, 3 }, 0, DTYPE_F16 },    { 4, { 128, 64, 3, 3 }, 0, DTYPE_F16 },
        { 4, { 70, 96, 1, 1 }, 0, DTYPE_F32 },    { 4, { 32, 3, 3, 3 }, 4, DTYPE_F16 },
        { 4, { 5, 7, 2, 3 }, 9, DTYPE_BF16 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int threads = 1; threads <= 2; threads++) {
            struct open_file f = { 0 };
            struct pack_recipe recipe = { .part_count = 1, .channels = cases[i].channels };
            tensor_file_begin(&f.file);
            recipe.parts[0] = add(&f, "w", cases[i].type, cases[i].dims, cases[i].shape, i);
            save(&f);
            run_and_check(&f, &recipe, threads);
            safetensors_close(f.st);
        }
}

static void parts_follow_each_other_without_a_gap(void **state)
{
    struct open_file f = { 0 };
    struct pack_recipe recipe = { .part_count = 3 };
    (void)state;
    tensor_file_begin(&f.file);
    recipe.parts[2] = add(&f, "v", DTYPE_F16, 2, (uint32_t[]) { 50, 70 }, 5);
    recipe.parts[0] = add(&f, "q", DTYPE_F32, 2, (uint32_t[]) { 40, 70 }, 77);
    recipe.parts[1] = add(&f, "k", DTYPE_BF16, 2, (uint32_t[]) { 7, 70 }, 400);
    save(&f);
    run_and_check(&f, &recipe, 2);
    safetensors_close(f.st);
}

static void stacked_parts_lie_below_each_other(void **state)
{
    static const uint32_t outputs[] = { 37, 128 };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct open_file f = { 0 };
        struct pack_recipe recipe = { .part_count = 2, .stacked = true };
        struct pack_shape shape;
        struct tinct_err err;
        uint32_t n = outputs[i];
        float out[128], two[256];
        tensor_file_begin(&f.file);
        recipe.parts[1] = add(&f, "skip", DTYPE_BF16, 2, (uint32_t[]) { n, 70 }, 5);
        recipe.parts[0] = add(&f, "conv", DTYPE_F16, 4, (uint32_t[]) { n, 13, 3, 3 }, 77);
        struct stored bias = add(&f, "b", DTYPE_F16, 1, &n, 9), other = add(&f, "c", DTYPE_F32, 1, &n, 300);
        save(&f);
        run_and_check(&f, &recipe, 2);
        assert_true(pack_shape(&shape, &recipe, &err));
        assert_true(shape.n == n && shape.k == 9 * 13 + 70 && shape.channels == 13 && shape.taps == 9);

        place(&f, &bias);
        place(&f, &other);
        for (uint32_t c = 0; c < 2 * n; c++) two[c] = (float)c;
        for (int from_memory = 0; from_memory < 2; from_memory++) {
            struct pack_job job = { .form = PACK_VECTOR_F32, .out = out, .values = from_memory ? two : NULL,
                                    .recipe = { .parts = { bias, other }, .part_count = 2, .stacked = true } };
            memset(out, 0xff, sizeof out);
            assert_true(pack_run(&job, 1, 1, &err));
            for (uint32_t c = 0; c < (n + 63) / 64 * 64; c++) {
                float want = from_memory ? (float)(2 * c + n) : value_at(c + 9) + value_at(c + 300);
                assert_true(out[c] == (c < n ? want : 0.0f));
            }
        }
        safetensors_close(f.st);
    }
}

static void geglu_interleaves_values_and_gates(void **state)
{
    static const uint32_t outputs[] = { 8, 128, 200, 256 };
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct open_file f = { 0 };
        struct pack_recipe recipe = { .part_count = 1, .geglu = true };
        struct tinct_err err;
        float out[256];
        tensor_file_begin(&f.file);
        recipe.parts[0] = add(&f, "w", DTYPE_F16, 2, (uint32_t[]) { outputs[i], 33 }, 1);
        struct stored bias = add(&f, "b", DTYPE_F16, 1, (uint32_t[]) { outputs[i] }, 9);
        save(&f);
        run_and_check(&f, &recipe, 2);

        struct pack_job job = { .form = PACK_VECTOR_F32, .recipe = recipe, .out = out };
        place(&f, &bias);
        job.recipe.parts[0] = bias;
        memset(out, 0xff, sizeof out);
        assert_true(pack_run(&job, 1, 1, &err));
        for (uint32_t n = 0; n < (outputs[i] + 63) / 64 * 64; n++) {
            uint32_t value = n / 8 * 4 + n % 4, row = n % 8 < 4 ? value : outputs[i] / 2 + value;
            assert_true(out[n] == (n < outputs[i] ? value_at(row + 9) : 0.0f));
        }
        safetensors_close(f.st);
    }
}

static void plain_forms_keep_the_order(void **state)
{
    enum { ROWS = 300, WIDTH = 1000 };
    struct open_file f = { 0 };
    struct tinct_err err;
    uint16_t *half = malloc(ROWS * WIDTH * sizeof *half);
    float *wide = malloc(ROWS * WIDTH * sizeof *wide);
    struct pack_job jobs[2] = { { .form = PACK_PLAIN_F16, .out = half }, { .form = PACK_PLAIN_F32, .out = wide } };
    (void)state;
    tensor_file_begin(&f.file);
    jobs[0].recipe.part_count = jobs[1].recipe.part_count = 1;
    jobs[0].recipe.parts[0] = add(&f, "table", DTYPE_BF16, 2, (uint32_t[]) { ROWS, WIDTH }, 3);
    save(&f);
    place(&f, &jobs[0].recipe.parts[0]);
    jobs[1].recipe.parts[0] = jobs[0].recipe.parts[0];
    if (!pack_run(jobs, 2, 2, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < ROWS * WIDTH; i++)
        assert_true(wide[i] == value_at(i + 3) && convert_f16_to_f32(half[i]) == value_at(i + 3));
    free(half);
    free(wide);
    safetensors_close(f.st);
}

static void what_cannot_be_packed_is_named(void **state)
{
    struct open_file f = { 0 };
    struct tinct_err err;
    uint16_t out[64 * 128];
    (void)state;
    tensor_file_begin(&f.file);
    struct stored good = add(&f, "good", DTYPE_F32, 2, (uint32_t[]) { 64, 64 }, 0);
    struct stored nan = add(&f, "bad.weight", DTYPE_F32, 2, (uint32_t[]) { 64, 64 }, 0);
    struct stored large = add(&f, "large.weight", DTYPE_BF16, 2, (uint32_t[]) { 64, 64 }, 0);
    struct stored row = add(&f, "row", DTYPE_F32, 1, (uint32_t[]) { 20 }, 0);
    struct stored whole = add(&f, "whole", DTYPE_U32, 2, (uint32_t[]) { 2, 2 }, 0);
    ((float *)(void *)f.file.data)[2 * 64 * 64 - 1] = NAN;
    ((uint16_t *)(void *)f.file.data)[4 * 64 * 64 + 17] = 0x4780; /* 65536 */
    save(&f);
    place(&f, &good);
    place(&f, &nan);
    place(&f, &large);
    place(&f, &row);
    place(&f, &whole);

    struct pack_job job = { .form = PACK_WEIGHT, .recipe = { .parts = { nan }, .part_count = 1 }, .out = out };
    check_refused(pack_run(&job, 1, 1, &err), &err, TINCT_ERR_FORMAT, "pack.safetensors: bad.weight: holds NaN or Inf");
    job.recipe.parts[0] = large;
    check_refused(pack_run(&job, 1, 1, &err), &err, TINCT_ERR_FORMAT, "large.weight: holds a value of 65520");
    job.form = PACK_PLAIN_F32; /* fp32 holds it; the other still is a NaN */
    float wide[64 * 64];
    job.out = wide;
    assert_true(pack_run(&job, 1, 1, &err));
    job.recipe.parts[0] = nan;
    check_refused(pack_run(&job, 1, 1, &err), &err, TINCT_ERR_FORMAT, "bad.weight: holds NaN or Inf");

    struct pack_shape shape;
    struct pack_recipe recipe = { .parts = { row }, .part_count = 1 };
    check_refused(pack_shape(&shape, &recipe, &err), &err, TINCT_ERR_FORMAT, "row: a weight has 2 or 4 dimensions");
    recipe.parts[0] = whole;
    check_refused(pack_shape(&shape, &recipe, &err), &err, TINCT_ERR_FORMAT, "whole: values of this type");
    recipe = (struct pack_recipe) { .parts = { good, good }, .part_count = 2 };
    recipe.parts[1].shape[1] = 32;
    check_refused(pack_shape(&shape, &recipe, &err), &err, TINCT_ERR_FORMAT, "good: its inputs or kernel differ");
    recipe = (struct pack_recipe) { .parts = { good, good }, .part_count = 2, .stacked = true };
    recipe.parts[1].shape[0] = 32;
    check_refused(pack_shape(&shape, &recipe, &err), &err, TINCT_ERR_FORMAT, "good: its outputs differ from those it is added to");
    recipe = (struct pack_recipe) { .parts = { good, good }, .part_count = 2, .stacked = true };
    recipe.parts[0].shape[1] = recipe.parts[1].shape[1] = (1 << 19) + 1;
    check_refused(pack_shape(&shape, &recipe, &err), &err, TINCT_ERR_FORMAT, "good: more than 2^20 inputs");
    recipe = (struct pack_recipe) { .parts = { good }, .part_count = 1, .geglu = true };
    recipe.parts[0].shape[0] = 60;
    check_refused(pack_shape(&shape, &recipe, &err), &err, TINCT_ERR_FORMAT, "good: a GEGLU's outputs");
    recipe.parts[0].shape[1] = (1 << 20) + 1;
    check_refused(pack_shape(&shape, &recipe, &err), &err, TINCT_ERR_FORMAT, "good: a dimension of 0 or above 2^20");
    size_t bytes;
    job = (struct pack_job) { .form = PACK_VECTOR_F32, .recipe = { .parts = { good }, .part_count = 1 } };
    check_refused(pack_job_bytes(&bytes, &job, &err), &err, TINCT_ERR_FORMAT, "good: a vector has 1 dimension");
    job.recipe = (struct pack_recipe) { .parts = { row, row }, .part_count = 2, .stacked = true };
    job.recipe.parts[1].shape[0] = 4;
    check_refused(pack_job_bytes(&bytes, &job, &err), &err, TINCT_ERR_FORMAT, "row: its length differs from that of what it is added to");
    safetensors_close(f.st);
}

static void a_file_cut_while_open_is_refused(void **state)
{
    struct open_file f = { 0 };
    struct tinct_err err;
    uint16_t out[64 * 64];
    (void)state;
    tensor_file_begin(&f.file);
    struct stored w = add(&f, "w", DTYPE_F16, 2, (uint32_t[]) { 64, 64 }, 0);
    save(&f);
    place(&f, &w);
    struct pack_job job = { .form = PACK_WEIGHT, .recipe = { .parts = { w }, .part_count = 1 }, .out = out };
    assert_int_equal(truncate(temporary_path("pack.safetensors"), (long)w.offset + 100), 0);
    check_refused(pack_run(&job, 1, 1, &err), &err, TINCT_ERR_IO, "pack.safetensors: ends at byte");
    assert_int_equal(truncate(temporary_path("pack.safetensors"), (long)w.offset + 64 * 64 * 2), 0);
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000 } };
    assert_int_equal(utimensat(AT_FDCWD, temporary_path("pack.safetensors"), times, 0), 0);
    check_refused(pack_run(&job, 1, 1, &err), &err, TINCT_ERR_IO, "changed on disk");
    safetensors_close(f.st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_every_shape_and_type),
        cmocka_unit_test(parts_follow_each_other_without_a_gap),
        cmocka_unit_test(stacked_parts_lie_below_each_other),
        cmocka_unit_test(geglu_interleaves_values_and_gates),
        cmocka_unit_test(plain_forms_keep_the_order),
        cmocka_unit_test(what_cannot_be_packed_is_named),
        cmocka_unit_test(a_file_cut_while_open_is_refused),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
