/* Modules as terms of a weight that the model stores another way than the file: rows of a fused tensor, a transposed one
 * (OpenCLIP's in_proj and text_projection). Each against what lora/delta.h gives, placed by plain loops. */
#include "check.h"
#include "lora/one_module.h"
#include "pipeline/adapter_terms.h"
#include "tensor/convert.h"

enum { ROWS = 96, INPUTS = 32, FIRST = 32, PART = 32, IN = 24, OUT = 40, PANEL = 64 };

struct model {
    struct device *device;
    struct checkpoint *checkpoint;
    struct weights *ws;
    struct weight fused, turned;
    struct merge *merge;
    float *w0[2];                          /* [ROWS, INPUTS], [IN, OUT]: as stored */
};

static float *add_random(struct tensor_file *f, const char *name, uint32_t rows, uint32_t inputs, uint64_t *seed)
{
    float *values = tensor_file_add(f, name, DTYPE_F32, inputs ? 2 : 1, (uint32_t[]) { rows, inputs });
    size_t count = (size_t)rows * (inputs ? inputs : 1);
    float *copy = malloc(count * sizeof *copy);

    for (size_t i = 0; i < count; i++) copy[i] = values[i] = 0.3f * one_random(seed);
    return copy;
}

static void model_make(struct model *m)
{
    const char *path = temporary_path("model.safetensors");
    struct tinct_err err = { 0 };
    struct tensor_file f;
    uint64_t seed = 5;

    tensor_file_begin(&f);
    m->w0[0] = add_random(&f, "fused.weight", ROWS, INPUTS, &seed);
    free(add_random(&f, "fused.bias", ROWS, 0, &seed));
    m->w0[1] = add_random(&f, "turned.weight", IN, OUT, &seed);
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
    m->device = device_open(&(struct device_options) { .name = "cpu", .threads = 1 }, &err);
    m->checkpoint = checkpoint_open(path, NULL, &err);
    m->ws = weights_create(m->device, m->checkpoint);
    want_linear(m->ws, &m->fused, ROWS, INPUTS, 0, "fused");
    want_linear(m->ws, &m->turned, IN, OUT, WANT_NO_BIAS, "turned");
    if (!weights_load(m->ws, 1, &err)) fail_msg("%s", err.text);
    m->merge = merge_create(m->ws, &(struct merge_options) { .threads = 1 });
    assert_non_null(m->merge);
}

static void model_end(struct model *m)
{
    merge_free(m->merge);
    weights_free(m->ws);
    checkpoint_close(m->checkpoint);
    device_close(m->device);
    free(m->w0[0]);
    free(m->w0[1]);
}

/* The packed weight as [rows, inputs], or a bias as [rows]. */
static float *unpack(const struct model *m, const char *name, uint32_t rows, uint32_t inputs)
{
    for (uint32_t i = 0; i < weights_count(m->ws); i++) {
        struct weights_entry e = weights_entry(m->ws, i);
        size_t bytes, count = (size_t)rows * (inputs ? inputs : 1);
        if (strcmp(e.names[0], name)) continue;
        assert_true(pack_job_bytes(&bytes, e.job, NULL));
        uint16_t *raw = malloc(bytes);
        float *values = malloc(count * sizeof *values);
        assert_true(buffer_read(e.place.buffer, e.place.offset, raw, bytes, NULL));
        if (!inputs) memcpy(values, raw, count * sizeof *values);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < inputs; c++)
                convert_to_f32(&values[r * inputs + c], &raw[(r / PANEL * e.place.shape[1] + c) * PANEL + r % PANEL], DTYPE_F16, 1);
        free(raw);
        return values;
    }
    fail_msg("%s is not there", name);
    return NULL;
}

static void add_low_rank(struct one *one, uint32_t out, uint32_t in)
{
    one_add(one, "lora_up.weight", 0.5, 2, out, 3, 0, 0);
    one_add(one, "lora_down.weight", 0.5, 2, 3, in, 0, 0);
    one_add_value(one, "alpha", 2);
}

static void apply(const struct model *m, struct adapter_term *t)
{
    static uint64_t key;                   /* each call's values are others */
    struct tinct_err err;

    merge_begin(m->merge);
    if (!adapter_term_add(m->merge, t, ++key, &err) || !merge_apply(m->merge, NULL, &err)) fail_msg("%s", err.text);
}

/* One rounding to fp16 of values below 4: half a step there is 9.8e-4. */
static void check_weight(const struct model *m, const char *name, const float *want, uint32_t rows, uint32_t inputs)
{
    float *got = unpack(m, name, rows, inputs);

    check_close(got, want, (size_t)rows * inputs, 1e-3, 5e-4);
    free(got);
}

static void rows_of_a_fused_tensor(void **state)
{
    struct model m;
    (void)state;

    model_make(&m);
    for (int dora = 0; dora < 2; dora++) {
        struct one one;
        float delta[PART * INPUTS], *want = malloc(sizeof *want * ROWS * INPUTS), bias[PART];
        one_begin(&one);
        add_low_rank(&one, PART, INPUTS);
        one_add(&one, "diff_b", 1, 1, PART, 0, 0, 0);
        if (dora) one_add(&one, "dora_scale", 2, 2, PART, 1, 0, 0);
        struct adapter_term t = { one_open(&one, 2, PART, INPUTS, 1, 1), { .strength = 0.75f } };
        one.target.weight = "fused.weight";
        one.target.bias = "fused.bias";
        one.target.first_row = FIRST;
        one.target.fused = true;
        assert_true(lora_delta(delta, t.module, t.use, m.w0[0] + FIRST * INPUTS, NULL) && lora_bias_delta(bias, t.module, t.use, NULL));
        memcpy(want, m.w0[0], sizeof *want * ROWS * INPUTS);
        for (int i = 0; i < PART * INPUTS; i++) want[FIRST * INPUTS + i] += delta[i];

        float *before = unpack(&m, "fused.bias", ROWS, 0);
        apply(&m, &t);
        float *after = unpack(&m, "fused.bias", ROWS, 0);
        check_weight(&m, "fused.weight", want, ROWS, INPUTS);
        for (int i = 0; i < ROWS; i++) before[i] += i >= FIRST && i < FIRST + PART ? bias[i - FIRST] : 0;
        check_close(after, before, ROWS, 1e-6, 0);
        merge_begin(m.merge);                              /* the bias is compared with the pristine one */
        assert_true(merge_apply(m.merge, NULL, NULL));
        free(before);
        free(after);
        free(want);
        one_end(&one);
    }
    model_end(&m);
}

static void a_transposed_tensor(void **state)
{
    struct model m;
    (void)state;

    model_make(&m);
    for (int dora = 0; dora < 2; dora++) {
        struct one one;
        float w0[OUT * IN], delta[OUT * IN], want[IN * OUT];
        one_begin(&one);
        add_low_rank(&one, OUT, IN);
        if (dora) one_add(&one, "dora_scale", 2, 2, OUT, 1, 0, 0);
        struct adapter_term t = { one_open(&one, 2, OUT, IN, 1, 1), { .strength = -0.5f } };
        one.target.weight = "turned.weight";
        one.target.bias = NULL;
        one.target.transposed = true;
        for (int o = 0; o < OUT; o++)
            for (int i = 0; i < IN; i++) w0[o * IN + i] = m.w0[1][i * OUT + o];
        assert_true(lora_delta(delta, t.module, t.use, w0, NULL));
        for (int o = 0; o < OUT; o++)
            for (int i = 0; i < IN; i++) want[i * OUT + o] = w0[o * IN + i] + delta[o * IN + i];
        assert_int_equal(lora_factor_rank(t.module, t.use), dora ? 0 : 3);
        apply(&m, &t);
        check_weight(&m, "turned.weight", want, IN, OUT);
        one_end(&one);
    }
    model_end(&m);
}

/* A bias that the model has not is passed over, and not taken for a fit. */
static void what_the_model_has_not(void **state)
{
    struct model m;
    struct one one;
    (void)state;

    model_make(&m);
    one_begin(&one);
    one_add(&one, "diff", 0.5, 2, IN, OUT, 0, 0);
    one_add(&one, "diff_b", 1, 1, IN, 0, 0, 0);
    struct adapter_term t = { one_open(&one, 2, IN, OUT, 1, 1), { .strength = 1 } };
    one.target.weight = "turned.weight";
    one.target.bias = NULL;
    assert_false(adapter_term_fits(m.merge, t.module));
    apply(&m, &t);
    float *got = unpack(&m, "turned.weight", IN, OUT);
    for (int i = 0; i < IN * OUT; i++) m.w0[1][i] += (float)one.parts[0].values[i];
    check_close(got, m.w0[1], IN * OUT, 1e-3, 5e-4);
    free(got);
    one_end(&one);
    model_end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_fused_tensor), cmocka_unit_test(a_transposed_tensor),
        cmocka_unit_test(what_the_model_has_not),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
