/* Files that lycoris_lora and peft wrote (tests/golden/lora/make_golden.py says how), against what those packages do
 * with them. 1e-3 of the delta's norm: the files hold fp16, and the alpha in it is rounded too. */
#include "check.h"
#include "lora/delta.h"
#include "lora/fit.h"

#include <stdlib.h>

static const char folder[] = TESTS_DIR "/golden/lora";
static struct safetensors *expected;

static int open_expected(void **state)
{
    char path[512];
    struct tinct_err err;
    (void)state;
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    if (!(expected = safetensors_open(path, &err))) print_error("%s\n", err.text);
    return expected ? 0 : -1;
}

static int close_expected(void **state)
{
    (void)state;
    safetensors_close(expected);
    return 0;
}

static float *read_expected(const char *name, struct stored *view)
{
    const struct safetensors_tensor *t = safetensors_find(expected, name);
    struct tinct_err err;
    if (!t) fail_msg("%s is not in expected.safetensors", name);
    *view = (struct stored) { .file = safetensors_file(expected), .name = t->name, .dtype = t->dtype, .dims = t->dims,
                              .shape = { 1, 1, 1, 1 }, .offset = t->offset };
    for (uint32_t i = 0; i < t->dims; i++) view->shape[i] = (uint32_t)t->shape[i];
    float *values = malloc((size_t)stored_count(view) * sizeof *values);
    if (!stored_read_f32(values, view, &err)) fail_msg("%s", err.text);
    return values;
}

/* One layer of one case; returns the relative error. */
static double compare(const struct lora_module *m, const char *name, const char *layer)
{
    char key[128], why[LORA_WHY_BYTES];
    struct stored view;
    struct tinct_err err;
    snprintf(key, sizeof key, "%s.w0", layer);
    float *w0 = read_expected(key, &view);
    struct lora_target target = { .weight = key, .dims = view.dims };
    memcpy(target.shape, view.shape, sizeof target.shape);
    snprintf(key, sizeof key, "%s/%s", name, layer);
    float *want = read_expected(key, &view);
    size_t count = (size_t)stored_count(&view);
    float *delta = malloc(count * sizeof *delta);
    struct lora_module module = *m;
    module.target = &target;
    if (lora_fit(&module, &target, why)) fail_msg("%s: %s", key, why);
    if (!lora_delta(delta, &module, (struct lora_use) { .strength = 1 }, w0, &err)) fail_msg("%s", err.text);
    double error = relative_l2(delta, want, count);
    free(w0);
    free(want);
    free(delta);
    return error;
}

static void check_case(const char *name, const char *path, const char *type)
{
    char full[512];
    struct tinct_err err;
    snprintf(full, sizeof full, "%s/%s", folder, path);
    struct lora_file *file = lora_open(full, &err);
    if (!file) fail_msg("%s", err.text);
    assert_int_equal(lora_module_count(file), 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct lora_module *m = lora_module_at(file, i);
        const char *layer = strstr(m->name, "conv") ? "conv" : "lin";
        double error = compare(m, name, layer);
        if (!(error <= 1e-3)) fail_msg("%s/%s is off by %.3g of its norm", name, layer, error);
        if (i) assert_string_equal(lora_module_type(m), type); /* "lin" comes second */
    }
    lora_close(file);
}

static void files_of_lycoris(void **state)
{
    static const char *const cases[][2] = {
        { "lycoris_locon", "LoRA" },      { "lycoris_locon_tucker", "LoRA" }, { "lycoris_dora_out", "DoRA" },
        { "lycoris_dora_in", "DoRA" },    { "lycoris_loha", "LoHa" },         { "lycoris_loha_tucker", "LoHa" },
        { "lycoris_lokr", "LoKr" },       { "lycoris_lokr_both", "LoKr" },    { "lycoris_lokr_full", "LoKr" },
        { "lycoris_lokr_tucker", "LoKr" }, { "lycoris_loha_dora", "DoRA" },   { "lycoris_glora", "GLoRA" },
        { "lycoris_ia3_out", "IA3" },     { "lycoris_oft", "OFT" },           { "lycoris_oft_limited", "OFT" },
        { "lycoris_boft", "BOFT" },       { "lycoris_full", "full" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s.safetensors", cases[i][0]);
        check_case(cases[i][0], path, cases[i][1]);
    }
}

/* Their alpha and rs-LoRA lie in adapter_config.json beside the file. */
static void files_of_peft(void **state)
{
    static const char *const cases[][2] = {
        { "peft_lora", "LoRA" }, { "peft_rslora", "LoRA" }, { "peft_patterns", "LoRA" },
        { "peft_dora", "DoRA" }, { "peft_loha", "LoHa" },   { "peft_lokr", "LoKr" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/adapter_model.safetensors", cases[i][0]);
        check_case(cases[i][0], path, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_lycoris),
        cmocka_unit_test(files_of_peft),
    };
    return cmocka_run_group_tests(tests, open_expected, close_expected);
}
