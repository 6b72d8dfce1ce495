/* The cpu device itself: how it is opened and described, its memory, passes that are replayed, times. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "check.h"

#include "device/cpu/kernels.h"
#include "device/device.h"

#include "layer_norm.h"

static struct device *open_cpu(const char *isa, int threads, struct tinct_err *err)
{
    if (isa) setenv("TINCT_CPU", isa, 1);
    struct device *d = device_open(&(struct device_options) { .name = "cpu", .threads = threads }, err);
    unsetenv("TINCT_CPU");
    return d;
}

static void it_says_what_it_is(void **state)
{
    struct device *d = open_cpu("generic", 3, NULL);
    const struct device_info *info = device_about(d);

    (void)state;
    assert_string_equal(info->backend, "cpu");
    assert_string_equal(info->detail, "generic, 3 threads");
    assert_true(info->name[0] && info->kind == DEVICE_CPU && !info->fast_f16);
    assert_true(info->memory_bytes > 1u << 20);
    assert_true(device_memory_free(d) > 1u << 20 && device_memory_free(d) <= info->memory_bytes);
    assert_false(device_stores_f16(d));
    assert_false(device_is_fast(d));
    device_close(d);
}

static void unknown_sets_and_threads_are_refused(void **state)
{
    struct tinct_err err = { 0 };

    (void)state;
    check_refused(open_cpu("avx9", 0, &err), &err, TINCT_ERR_ARG, "there are generic, avx2, avx512, bf16 and amx");
    check_refused(open_cpu(NULL, -1, &err), &err, TINCT_ERR_ARG, "-1 threads wanted");
    check_refused(open_cpu(NULL, 5000, &err), &err, TINCT_ERR_ARG, "1 to 1024 work");
    for (int isa = 0; isa < CPU_ISAS; isa++) {
        const char *name = cpu_isa_name((enum cpu_isa)isa);
        struct device *d = open_cpu(name, 1, &err);
        if (cpu_isa_offered((enum cpu_isa)isa))
            assert_non_null(d);
        else
            check_refused(d, &err, TINCT_ERR_DEVICE, "does not offer it");
        device_close(d);
    }
}

static void memory_is_zeroed_and_kept(void **state)
{
    const uint64_t sizes[] = { 1, 5000, (4u << 20) - 1, (9u << 20) + 3 };     /* small; of huge pages */
    struct device *d = open_cpu(NULL, 1, NULL);
    char back[3] = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buffer *b = buffer_create(d, sizes[i], NULL);
        const unsigned char *map = buffer_map(b);
        assert_true((uintptr_t)map % SPAN_ALIGN == 0);
        for (uint64_t at = 0; at < sizes[i]; at += 997) assert_int_equal(map[at], 0);
        assert_int_equal(map[sizes[i] - 1], 0);
        if (sizes[i] > 3) {
            assert_true(buffer_write(b, sizes[i] - 3, "abc", 3, NULL) && buffer_read(b, sizes[i] - 3, back, 3, NULL));
            assert_memory_equal(back, "abc", 3);
        }
        buffer_free(b);
    }
    struct tinct_err err = { 0 };
    struct buffer *none = buffer_create(d, UINT64_MAX / 4, &err);
    check_refused(none, &err, TINCT_ERR_MEMORY, "no memory for a buffer");
    device_close(d);
}

static struct dispatch norm_of(const struct layer_norm_params *p, struct span x, struct span vector, struct span y)
{
    return (struct dispatch) { .kernel = "layer_norm", .variant = "f32", .reads = { x, vector, vector }, .writes = { y },
                               .params = p, .params_size = sizeof *p, .rows = p->rows };
}

/* Calls follow one another, scratch holds what the one before wrote, a replay sees new input, times are told. */
static void passes_are_replayed(void **state)
{
    const struct layer_norm_params p = { .rows = 100, .channels = 4, .eps = 0 };
    struct device *d = open_cpu(NULL, 2, NULL);
    struct span x = { buffer_create(d, 1600, NULL), 0, 1600, 16 }, y = { buffer_create(d, 1600, NULL), 0, 1600, 16 };
    struct span ones = { buffer_create(d, 16, NULL), 0, 16, 0 };
    struct tinct_err err = { 0 };
    struct dispatch_time time;

    (void)state;
    for (int i = 0; i < 4; i++) ((float *)buffer_map(ones.buffer))[i] = 1;
    device_keep_times(d, true);
    struct pass *pass = pass_begin(d);
    struct span between = scratch_take(pass, 1600);
    struct dispatch first = norm_of(&p, x, ones, between), second = norm_of(&p, between, ones, y);
    pass_label(pass, "both");
    pass_dispatch(pass, &first);
    pass_dispatch(pass, &second);
    assert_true(pass_end(pass, &err));
    for (int run = 1; run <= 2; run++) {
        float *in = buffer_map(x.buffer), *out = buffer_map(y.buffer);
        for (int i = 0; i < 400; i++) in[i] = (i & 1 ? 5.0f : 3.0f) * (float)run;
        assert_true(pass_run(pass, &err));
        /* -1, 1 and beta 1; the second sees mean 1 and deviation 1 and gives the same again */
        for (int i = 0; i < 400; i++) assert_true(fabsf(out[i] - (i & 1 ? 2.0f : 0.0f)) < 1e-6f);
    }
    assert_true(pass_time(pass, 1, &time));
    assert_string_equal(time.label, "both");
    assert_true(time.ms >= 0 && time.ms < 1e4);
    pass_free(pass);
    buffer_free(x.buffer), buffer_free(y.buffer), buffer_free(ones.buffer);
    device_close(d);
}

static void a_missing_kernel_is_told(void **state)
{
    struct device *d = open_cpu(NULL, 1, NULL);
    struct pass *pass = pass_begin(d);
    struct tinct_err err = { 0 };

    (void)state;
    pass_dispatch(pass, &(struct dispatch) { .kernel = "layer_norm", .variant = "f16" });
    check_refused(pass_end(pass, &err), &err, TINCT_ERR_ARG, "cpu has no kernel layer_norm for f16");
    pass_free(pass);
    device_close(d);
}

static void denormals_are_flushed_only_meanwhile(void **state)
{
    volatile float tiny = 1e-39f;

    (void)state;
    uint64_t before = cpu_denormals_off();
#if defined(__SSE2__) || defined(__aarch64__)
    assert_true(tiny * 1.0f == 0.0f);
#endif
    cpu_denormals_restore(before);
    assert_true(tiny * 1.0f != 0.0f);
}

static void the_peak_is_a_number(void **state)
{
    struct device *d = open_cpu(NULL, 1, NULL);

    (void)state;
    assert_true(device_measure_peak(d, false) > 0.1);
    assert_true(device_measure_peak(d, true) >= 0);
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_it_is),
        cmocka_unit_test(unknown_sets_and_threads_are_refused),
        cmocka_unit_test(memory_is_zeroed_and_kept),
        cmocka_unit_test(passes_are_replayed),
        cmocka_unit_test(a_missing_kernel_is_told),
        cmocka_unit_test(denormals_are_flushed_only_meanwhile),
        cmocka_unit_test(the_peak_is_a_number),
    };
    return cmocka_run_group_tests_name("device/cpu", tests, NULL, NULL);
}
