/* The model's stages on a tiny checkpoint: every device, core and storage type gives what the plainest one gives, and
 * the same bytes whatever ran before, with any number of threads, alone or in a batch. */
#include <stdlib.h>

#include "check.h"
#include "pipeline/denoise.h"
#include "temporary.h"
#include "tiny_checkpoint.h"

enum { SIDE = 8, WIDTH = 64, LATENT = SIDE * SIDE * 4, RGB = SIDE * SIDE * 64 * 3, Z = 2 * CLIP_TOKENS * WIDTH };

struct outputs {
    float z[Z], eps[2 * LATENT], rgb[RGB];
};

struct core {                           /* environment that forces it; NULL: unset */
    const char *name, *device, *cpu, *vulkan, *act;
    enum tinct_precision precision;
    double tolerance;                   /* relative L2 error against the generic processor */
};

/* fp32 sums in another order: some 1e-6. Sums of two bf16 numbers are good to 2^-17, f16 storage rounds every activation
 * to 2^-11, bf16 products to 2^-8 each; tens of layers in a row let some ten times that through. */
static const struct core cores[] = {
    { "cpu/generic", "cpu", "generic", NULL, NULL, TINCT_PRECISION_FP32, 0 },
    { "cpu/avx2", "cpu", "avx2", NULL, NULL, TINCT_PRECISION_FP32, 2e-5 },
    { "cpu/avx512", "cpu", "avx512", NULL, NULL, TINCT_PRECISION_FP32, 2e-5 },
    { "cpu/bf16", "cpu", "bf16", NULL, NULL, TINCT_PRECISION_FAST, 4e-2 },
    { "cpu/amx", "cpu", "amx", NULL, NULL, TINCT_PRECISION_FP32, 1e-4 },
    { "cpu/amx/f32", "cpu", "amx", NULL, "f32", TINCT_PRECISION_FAST, 4e-2 },
    { "cpu/amx/f16", "cpu", "amx", NULL, "f16", TINCT_PRECISION_FAST, 4e-2 },
    { "vulkan/soft/f32", "llvmpipe", NULL, "soft", "f32", TINCT_PRECISION_FP32, 2e-5 },
    { "vulkan/soft/f16", "llvmpipe", NULL, "soft", "f16", TINCT_PRECISION_FAST, 1e-2 },
    { "vulkan/tile/f32", "llvmpipe", NULL, "tile", "f32", TINCT_PRECISION_FP32, 2e-5 },
    { "vulkan/tile/f16", "llvmpipe", NULL, "tile", "f16", TINCT_PRECISION_FAST, 1e-2 },
    { "vulkan/matrix/f16", "llvmpipe", NULL, "matrix", "f16", TINCT_PRECISION_FAST, 1e-2 },
};
enum { CORES = sizeof cores / sizeof *cores };

static char tiny_path[512];
static struct outputs reference;
static float x[2 * LATENT], context[Z];
static uint32_t ids[2 * CLIP_TOKENS];

static void force(const char *name, const char *value)
{
    if (value) setenv(name, value, 1);
    else unsetenv(name);
}

static void print_line(void *user, enum tinct_log_level level, const char *line)
{
    (void)user;
    if (level <= TINCT_LOG_WARN) print_message("# %s\n", line);
}

static struct device *core_open(const struct core *core, int threads)
{
    struct tinct_err err;

    force("TINCT_CPU", core->cpu);
    force("TINCT_VULKAN", core->vulkan);
    force("TINCT_ACT", core->act);
    struct device *device = device_open(&(struct device_options) {
        .name = core->device, .precision = core->precision, .threads = threads, .validation = true, .log = print_line }, &err);
    if (!device) {
        print_message("skipped: %s: %s\n", core->name, err.text);
        skip();
    }
    return device;
}

static struct model *tiny_open(struct device *device)
{
    struct tinct_err err;
    struct model *m = model_open(device, &(struct model_options) { .path = tiny_path, .encoder = true }, &err);

    if (!m) print_error("%s\n", err.text);
    assert_non_null(m);
    return m;
}

#define must(call)                                           \
    do {                                                     \
        bool ok_ = (call);                                   \
        if (!ok_) print_error("%s\n", err.text);             \
        assert_true(ok_);                                    \
    } while (0)

static void unet(const struct model *m, float *eps, uint32_t images, bool alike, const float *from, const float *text)
{
    struct tinct_err err;
    struct unet_run *run = unet_run_create(m, &(struct unet_run_size) {
        .h = SIDE, .w = SIDE, .images = images, .tokens = CLIP_TOKENS, .alike = alike }, &err);

    must(run && unet_run_context(run, text, &err) && unet_run_step(run, eps, from, 321.5, &err));
    unet_run_free(run);
}

static void run_all(const struct model *m, struct outputs *out)
{
    struct tinct_err err;

    must(text_encode(m, out->z, ids, NULL, 2, 1, &err));
    unet(m, out->eps, 2, false, x, context);
    must(vae_decode(m, out->rgb, x, SIDE, SIDE, &err));
}

static struct outputs *outputs_of(const struct core *core, int threads)
{
    struct device *device = core_open(core, threads);
    struct model *m = tiny_open(device);
    struct outputs *out = malloc(sizeof *out);

    assert_non_null(out);
    run_all(m, out);
    model_close(m);
    assert_int_equal(device_validation_messages(device), 0);
    device_close(device);
    return out;
}

static void agrees_with_the_plainest(void **state)
{
    const struct core *core = *state;
    struct outputs *out = outputs_of(core, 0);
    double errors[] = { relative_l2(out->z, reference.z, Z), relative_l2(out->eps, reference.eps, 2 * LATENT),
                        relative_l2(out->rgb, reference.rgb, RGB) };

    free(out);
    print_message("%s: text %.1e, UNet %.1e, VAE %.1e\n", core->name, errors[0], errors[1], errors[2]);
    for (int i = 0; i < 3; i++) assert_true(errors[i] <= core->tolerance);
}

static void gives_the_same_bytes_again(void **state)
{
    const struct core *core = *state;
    struct device *device = core_open(core, 0);
    struct model *m = tiny_open(device);
    struct outputs *first = malloc(sizeof *first), *again = malloc(sizeof *again);
    float alone[LATENT];

    assert_non_null(first);
    assert_non_null(again);
    run_all(m, first);
    unet(m, alone, 1, false, x + LATENT, context + CLIP_TOKENS * WIDTH);
    run_all(m, again);
    assert_memory_equal(first, again, sizeof *first);
    assert_memory_equal(alone, first->eps + LATENT, sizeof alone);
    model_close(m);
    device_close(device);

    struct outputs *single = outputs_of(core, 1);
    assert_memory_equal(first, single, sizeof *first);
    free(single);
    free(first);
    free(again);
}

/* One latent with two texts: what both have in common is done once. */
static void gives_the_same_bytes_for_one_latent(void **state)
{
    struct device *device = core_open(*state, 0);
    struct model *m = tiny_open(device);
    float twice[2 * LATENT], want[2 * LATENT], got[2 * LATENT];

    for (int i = 0; i < 2 * LATENT; i++) twice[i] = x[i % LATENT];
    unet(m, want, 2, false, twice, context);
    unet(m, got, 2, true, twice, context);
    assert_memory_equal(want, got, sizeof got);
    assert_true(memcmp(got, got + LATENT, LATENT * sizeof *got) != 0);
    model_close(m);
    device_close(device);
}

static void stages_tell_their_memory_beforehand(void **state)
{
    struct device *device = core_open(*state, 0);
    struct model *m = tiny_open(device);
    struct stage_needs small = vae_decode_needs(m, SIDE, SIDE), large = vae_decode_needs(m, 2 * SIDE, SIDE);
    float rgb[RGB];
    struct tinct_err err;

    assert_true(small.own > sizeof(float) * RGB);
    assert_true(large.own > small.own && large.scratch > small.scratch);
    assert_int_equal(device_scratch_bytes(device), 0);
    must(vae_decode(m, rgb, x, SIDE, SIDE, &err));
    assert_int_equal(device_scratch_bytes(device), small.scratch);

    struct unet_run_size size = { .h = SIDE, .w = SIDE, .images = 2, .tokens = CLIP_TOKENS };
    struct stage_needs needs = denoiser_needs(m, &size);
    struct denoiser *run = denoiser_create(m, &size, &err);
    must(run != NULL);
    assert_int_equal(device_scratch_bytes(device), needs.scratch > small.scratch ? needs.scratch : small.scratch);
    assert_true(needs.own > 0);
    denoiser_free(run);
    model_close(m);
    device_close(device);
}

/* A latent whose first products are beyond 65504: fp16 holds none of it, and norms make a picture of it in fp32. */
static void overflows_are_decoded_in_fp32(void **state)
{
    struct device *plain = core_open(&cores[0], 0), *device;
    struct model *m = tiny_open(plain);
    float large[LATENT], want[RGB], rgb[RGB];
    struct tinct_err err;

    for (int i = 0; i < LATENT; i++) large[i] = x[i] * 60000;
    must(vae_decode(m, want, large, SIDE, SIDE, &err));
    model_close(m);
    device_close(plain);
    device = core_open(*state, 0);
    assert_true(device_stores_f16(device));
    m = tiny_open(device);
    must(vae_decode_in_bands(m, rgb, large, SIDE, SIDE, 0, &err));
    assert_false(isfinite(rgb[0]));
    must(vae_decode(m, rgb, large, SIDE, SIDE, &err));
    assert_true(relative_l2(rgb, want, RGB) <= ((const struct core *)*state)->tolerance);
    model_close(m);
    device_close(device);
}

/* Pictures of several bands, with a short one at the end, and as wide as Winograd's tiles want. */
static void bands_have_no_seams(void **state)
{
    static const struct { uint32_t h, w, rows; } cases[] = { { 8, 16, 32 }, { 13, 17, 32 }, { 17, 9, 64 }, { 5, 16, 32 } };
    struct device *device = core_open(*state, 0);
    struct model *m = tiny_open(device);
    struct tinct_err err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t h = cases[i].h, w = cases[i].w;
        size_t values = (size_t)h * w * 64 * 3;
        float *z = malloc((size_t)h * w * 4 * sizeof *z), *whole = malloc(values * sizeof *whole), *banded = calloc(values, sizeof *banded);
        assert_true(z && whole && banded);
        for (size_t k = 0; k < (size_t)h * w * 4; k++) z[k] = x[k % (2 * LATENT)] + (float)k * 1e-3f;
        must(vae_decode_in_bands(m, whole, z, h, w, 0, &err));
        must(vae_decode_in_bands(m, banded, z, h, w, cases[i].rows, &err));
        if (memcmp(whole, banded, values * sizeof *whole)) {
            size_t at = 0;
            while (whole[at] == banded[at]) at++;
            fail_msg("%ux%u in bands of %u: first at row %zu, column %zu", 8 * w, 8 * h, cases[i].rows, at / (24 * w), at / 3 % (8 * w));
        }
        free(z);
        free(whole);
        free(banded);
    }
    assert_int_equal(device_validation_messages(device), 0);
    float rgb[RGB];
    check_refused(vae_decode_in_bands(m, rgb, x, SIDE, SIDE, 31, &err), &err, TINCT_ERR_ARG, "bands of 31 rows");
    model_close(m);
    device_close(device);
}

static int prepare(void **state)
{
    uint32_t random = 1;

    if (temporary_make(state)) return -1;
    snprintf(tiny_path, sizeof tiny_path, "%s", temporary_path("tiny.safetensors"));
    if (!tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", tiny_path)) return -1;
    for (int i = 0; i < 2 * LATENT; i++) x[i] = (float)(random = random * 1664525u + 1013904223u) / 2147483648.0f - 1.0f;
    for (int i = 0; i < Z; i++) context[i] = (float)(random = random * 1664525u + 1013904223u) / 2147483648.0f - 1.0f;
    for (int i = 0; i < 2 * CLIP_TOKENS; i++) ids[i] = i % CLIP_TOKENS ? (random = random * 1664525u + 1013904223u) % 49408 : 49406;
    force("TINCT_CPU", "generic");
    struct outputs *out = outputs_of(&cores[0], 0);
    reference = *out;
    free(out);
    return 0;
}

static struct { struct CMUnitTest test; char name[64]; } tests[5 * CORES + 1];
static size_t test_count;

static void add(const char *what, CMUnitTestFunction function, const struct core *core)
{
    snprintf(tests[test_count].name, sizeof tests[0].name, "%s: %s", what, core->name);
    tests[test_count].test = (struct CMUnitTest) { tests[test_count].name, function, NULL, NULL, (void *)core };
    test_count++;
}

int main(void)
{
    struct CMUnitTest list[sizeof tests / sizeof *tests];

    for (const struct core *core = cores; core < cores + CORES; core++) {
        add("agrees with the plainest", agrees_with_the_plainest, core);
        add("gives the same bytes again", gives_the_same_bytes_again, core);
        if (!strncmp(core->name, "cpu/", 4) || strstr(core->name, "soft"))      /* copies on others: tests/ops/test_attention.c */
            add("gives the same bytes for one latent", gives_the_same_bytes_for_one_latent, core);
        add("bands have no seams", bands_have_no_seams, core);
        if (core->act && !strcmp(core->act, "f16")) add("overflows are decoded in fp32", overflows_are_decoded_in_fp32, core);
    }
    add("stages tell their memory beforehand", stages_tell_their_memory_beforehand, &cores[0]);
    for (size_t i = 0; i < test_count; i++) list[i] = tests[i].test;
    if (getenv("TINCT_TEST_ONLY")) cmocka_set_test_filter(getenv("TINCT_TEST_ONLY"));      /* "*matrix*" */
    return _cmocka_run_group_tests("stages", list, test_count, prepare, temporary_remove);
}
