#include "ops/optest.h"

#include <stdlib.h>

#include "tensor/convert.h"

enum { THREADS = 2, SEED = 0x74696e74 };

struct combination {
    const char *name, *device, *cpu, *vulkan, *act;
    enum tinct_precision precision;
};

static const struct combination combinations[] = {
    { "cpu/generic",       "cpu",    "generic", NULL,     NULL,  TINCT_PRECISION_FP32 },
    { "cpu/avx2",          "cpu",    "avx2",    NULL,     NULL,  TINCT_PRECISION_FP32 },
    { "cpu/avx512",        "cpu",    "avx512",  NULL,     NULL,  TINCT_PRECISION_FP32 },
    { "cpu/bf16",          "cpu",    "bf16",    NULL,     NULL,  TINCT_PRECISION_FAST },
    { "cpu/amx",           "cpu",    "amx",     NULL,     NULL,  TINCT_PRECISION_FP32 },
    { "cpu/amx/fast/f32",  "cpu",    "amx",     NULL,     "f32", TINCT_PRECISION_FAST },
    { "cpu/amx/fast/f16",  "cpu",    "amx",     NULL,     "f16", TINCT_PRECISION_FAST },
    { "vulkan/soft/f32",   "vulkan", NULL,      "soft",   "f32", TINCT_PRECISION_DEFAULT },
    { "vulkan/soft/f16",   "vulkan", NULL,      "soft",   "f16", TINCT_PRECISION_DEFAULT },
    { "vulkan/tile/f32",   "vulkan", NULL,      "tile",   "f32", TINCT_PRECISION_DEFAULT },
    { "vulkan/tile/f16",   "vulkan", NULL,      "tile",   "f16", TINCT_PRECISION_DEFAULT },
    { "vulkan/matrix/f16", "vulkan", NULL,      "matrix", "f16", TINCT_PRECISION_DEFAULT },
};
enum { COMBINATIONS = sizeof combinations / sizeof *combinations };

struct one_test {
    const struct combination *combination;
    const struct optest_case *test;
};

static struct optest now;                            /* the open device: one combination at a time */
static const struct combination *open_combination;
static struct tinct_err open_err;

/* ---- devices ------------------------------------------------------------ */

static void print_line(void *user, enum tinct_log_level level, const char *line)
{
    (void)user;
    if (level <= TINCT_LOG_WARN) print_message("# %s\n", line);
}

static void set_or_unset(const char *name, const char *value)
{
    if (value) setenv(name, value, 1);
    else unsetenv(name);
}

static void close_combination(void)
{
    device_close(now.device);
    now = (struct optest) { 0 };
    open_combination = NULL;
}

static void open_device(const struct combination *c, int threads)
{
    const char *vulkan = getenv("TINCT_TEST_VULKAN");
    struct device_options options = {
        .name = !strcmp(c->device, "vulkan") ? (vulkan ? vulkan : "llvmpipe") : c->device,
        .precision = c->precision, .threads = threads, .validation = true, .log = print_line,
    };

    close_combination();
    set_or_unset("TINCT_CPU", c->cpu);
    set_or_unset("TINCT_VULKAN", c->vulkan);
    set_or_unset("TINCT_ACT", c->act);
    open_err = (struct tinct_err) { 0 };
    now.device = device_open(&options, &open_err);
    now.combination = c->name;
    now.bf16 = c->cpu && c->precision == TINCT_PRECISION_FAST;
    now.split = c->cpu && !strcmp(c->cpu, "amx") && !now.bf16;
    now.random = SEED;
    if (now.device) now.dtype = device_dtype(now.device);
    open_combination = threads == THREADS ? c : NULL;
}

/* A missing device or instruction set is skipped; an open device that is not what was asked for is a failure. */
static void need_combination(const struct combination *c)
{
    if (open_combination != c) open_device(c, THREADS);
    if (!now.device) {
        print_message("# skip: %s: %s\n", c->name, open_err.text);
        if (open_err.code != TINCT_ERR_DEVICE || !strcmp(c->name, "cpu/generic")) fail();
        skip();
    }
    const char *core = c->cpu ? c->cpu : c->vulkan, *detail = device_about(now.device)->detail;
    if (!strstr(detail, core)) fail_msg("asked for %s, got %s", core, detail);
    if (c->act) assert_string_equal(dtype_name(now.dtype), c->act);
}

bool optest_groups_are_slow(const struct optest *t)
{
    return device_about(t->device)->kind == DEVICE_SOFTWARE && !strstr(t->combination, "soft");
}

void optest_reopen(struct optest *t, int threads)
{
    const struct combination *c = combinations;

    while (strcmp(c->name, t->combination)) c++;
    if (!optest_give_back(t)) fail_msg("bytes outside a tensor were written");
    if (device_validation_messages(t->device)) fail_msg("the validation layers spoke");
    open_device(c, threads);
    if (!now.device) fail_msg("%s", open_err.text);
}

/* ---- running and comparing ---------------------------------------------- */

struct pass *optest_pass(struct optest *t)
{
    pass_free(t->pass);
    t->pass = pass_begin(t->device);
    assert_non_null(t->pass);
    return t->pass;
}

void optest_run(struct optest *t)
{
    struct tinct_err err = { 0 };
    if (!pass_end(t->pass, &err) || !pass_run(t->pass, &err)) fail_msg("%s", err.text);
}

void optest_refused(struct optest *t, const char *words)
{
    struct tinct_err err = { 0 };
    bool ok = pass_end(t->pass, &err);
    check_refused(ok, &err, TINCT_ERR_ARG, words);
}

float *optest_read(struct optest *t, struct tensor x)
{
    uint32_t rows = tensor_rows(x), channels = tensor_channels(x);
    uint64_t bytes = tensor_bytes(x);
    float *values = optest_host(t, (size_t)rows * channels * sizeof *values);
    void *raw = malloc(bytes);
    struct tinct_err err = { 0 };

    assert_non_null(raw);
    bool ok = buffer_read(x.buffer, x.offset, raw, bytes, &err);
    for (size_t r = 0; ok && r < rows; r++)
        for (size_t c = 0; c < channels; c++) {
            size_t at = r * x.stride + c;
            values[r * channels + c] = x.dtype == DTYPE_F32 ? ((float *)raw)[at]
                                                            : convert_f16_to_f32(((uint16_t *)raw)[at]);
        }
    free(raw);
    if (!ok) fail_msg("%s", err.text);
    return values;
}

void optest_all_written(struct optest *t, const float *got, size_t count)
{
    (void)t;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(got[i])) fail_msg("element %zu of %zu is %g: never written, or made of what lies outside", i,
                                        count, (double)got[i]);
}

void optest_close(struct optest *t, const float *got, const double *want, const double *tolerance, uint32_t rows,
                  uint32_t columns)
{
    double worst = -1;
    size_t at = 0;

    for (size_t i = 0; i < (size_t)rows * columns; i++) {
        double share = fabs(got[i] - want[i]) / tolerance[i];
        if (share <= worst) continue;
        worst = share;
        at = i;
        if (isnan(share)) break;
    }
    print_message("# %s %ux%u: worst %.2f of its tolerance %.1e at row %zu, column %zu: got %.8g, want %.8g\n",
                  t->combination, rows, columns, worst, tolerance[at], at / columns, at % columns, (double)got[at],
                  want[at]);
    if (!(worst <= 1)) fail_msg("%.8g is not %.8g", (double)got[at], want[at]);
}

uint32_t optest_samples(uint32_t rows, double row_cost)
{
    double affordable = fmax(2e7 / row_cost, 4);
    return rows <= affordable ? rows : (uint32_t)affordable;
}

uint32_t optest_sample(struct optest *t, uint32_t index, uint32_t samples, uint32_t rows)
{
    if (samples == rows || index == 0) return index;
    return index + 1 == samples ? rows - 1 : optest_below(t, rows);
}

double optest_store(const struct optest *t, double value)
{
    return t->dtype == DTYPE_F16 ? fmax(fabs(value) * 0x1p-11, 0x1p-25) : fabs(value) * 0x1p-24;
}

double optest_dot(const struct optest *t, double k, double absolute, double squares)
{
    double rounding = t->bf16 ? 0x1p-6 : t->half_sums ? 0x1p-9 : t->split ? 0x1p-14 : 0;   /* half_sums: 2^-11 of up to four */
    return sqrt(k) * 0x1p-24 * absolute + rounding * sqrt(squares);
}

/* ---- cmocka ------------------------------------------------------------- */

static void run_one(void **state)
{
    const struct one_test *one = *state;

    need_combination(one->combination);
    now.random = SEED;
    one->test->run(&now);
    if (!optest_give_back(&now)) fail_msg("bytes outside a tensor were written");
    if (device_validation_messages(now.device)) fail_msg("the validation layers spoke");
}

/* A device on which something failed, or with other threads, is not used again. */
static int tidy_up(void **state)
{
    (void)state;
    optest_give_back(&now);
    if (!open_combination || (now.device && device_validation_messages(now.device))) close_combination();
    return 0;
}

static int close_last(void **state)
{
    (void)state;
    close_combination();
    return 0;
}

int optest_main(const struct optest_case *cases, size_t count)
{
    size_t total = count * COMBINATIONS, used = 0;
    struct CMUnitTest *tests = calloc(total, sizeof *tests);
    struct one_test *ones = calloc(total, sizeof *ones);
    char (*names)[128] = calloc(total, sizeof *names);
    const char *only = getenv("TINCT_TEST_ONLY");
    int failed = 1;

    for (size_t i = 0; tests && ones && names && i < total; i++) {
        ones[used] = (struct one_test) { &combinations[i / count], &cases[i % count] };
        snprintf(names[used], sizeof *names, "%s %s", combinations[i / count].name, cases[i % count].name);
        if (only && !strstr(names[used], only)) continue;
        tests[used] = (struct CMUnitTest) { names[used], run_one, NULL, tidy_up, &ones[used] };
        used++;
    }
    if (used) failed = _cmocka_run_group_tests("every combination", tests, used, NULL, close_last);
    free(tests);
    free(ones);
    free(names);
    return failed;
}
