/* The Vulkan device's own promises: what is listed, memory, the pipeline cache, refusals.
 * What it computes is tested in tests/ops, on every device. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "attention.h"
#include "temporary.h"
#include "vulkan_work.h"

/* ---- listing and opening ------------------------------------------------------------ */

static void a_software_driver_is_listed_last_and_not_chosen(void **state)
{
    struct device_info infos[16];
    struct tinct_err err = { 0 };
    int count = device_list(infos, 16);

    (void)state;
    software();
    assert_string_equal(infos[0].backend, "cpu");
    assert_int_equal(infos[count - 1].kind, DEVICE_SOFTWARE);
    assert_string_equal(infos[count - 1].backend, "vulkan");
    assert_true(infos[count - 1].memory_bytes > 0);
    struct device *automatic = device_open(&(struct device_options) { 0 }, &err);
    if (!automatic) fail_msg("%s", err.text);
    assert_true(device_about(automatic)->kind != DEVICE_SOFTWARE);
    device_close(automatic);
}

static void without_a_driver_there_is_silence(void **state)
{
    struct device_info infos[16];
    struct tinct_err err = { 0 };
    char printed[200];
    int pipe_ends[2], terminal = dup(2);

    (void)state;
    assert_int_equal(pipe(pipe_ends), 0);
    fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
    setenv("VK_ICD_FILENAMES", "/nowhere/driver.json", 1);
    dup2(pipe_ends[1], 2);
    int count = device_list(infos, 16);
    struct device *device = device_open(&(struct device_options) { .name = "vulkan" }, &err);
    dup2(terminal, 2);
    unsetenv("VK_ICD_FILENAMES");

    assert_int_equal(count, 1);
    check_refused(device != NULL, &err, TINCT_ERR_DEVICE, "no Vulkan device found");
    assert_true(read(pipe_ends[0], printed, sizeof printed) <= 0);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    close(terminal);
}

static void check_forced(const char *variable, const char *value, enum tinct_code code, const char *words)
{
    struct tinct_err err = { 0 };

    setenv(variable, value, 1);
    struct device *device = open_with(NULL, &err);
    unsetenv(variable);
    check_refused(device != NULL, &err, code, words);
}

static void unknown_cores_and_types_are_refused(void **state)
{
    (void)state;
    check_forced("TINCT_VULKAN", "matrix", TINCT_ERR_DEVICE, "TINCT_VULKAN=matrix multiplies in fp16, and activations are f32");
    check_forced("TINCT_VULKAN", "fast", TINCT_ERR_ARG, "TINCT_VULKAN=fast is no core; there are soft, tile and matrix");
    check_forced("TINCT_ACT", "f64", TINCT_ERR_ARG, "TINCT_ACT=f64 is no storage type; there are f32 and f16");
}

/* Without matrix units the matrix core can be asked for, and does their work by hand. */
static void the_matrix_core_can_be_tested_here(void **state)
{
    struct tinct_err err = { 0 };

    (void)state;
    setenv("TINCT_VULKAN", "matrix", 1);
    setenv("TINCT_ACT", "f16", 1);
    struct device *device = open_with(NULL, &err);
    unsetenv("TINCT_VULKAN");
    unsetenv("TINCT_ACT");
    if (!device) fail_msg("%s", err.text);
    assert_non_null(strstr(device_about(device)->detail, "matrix core by hand, f16"));
    close_clean(device);
}

static void precision_decides_what_is_stored(void **state)
{
    struct tinct_err err = { 0 };
    struct device_options options = { .name = software(), .precision = TINCT_PRECISION_DEFAULT };

    (void)state;
    struct device *plain = device_open(&options, &err);
    assert_non_null(plain);
    assert_false(device_stores_f16(plain));      /* a software driver */
    device_close(plain);
    options.precision = TINCT_PRECISION_FAST;
    struct device *fast = device_open(&options, &err);
    assert_non_null(fast);
    assert_int_equal(device_stores_f16(fast), device_about(fast)->fast_f16);
    device_close(fast);
}

/* ---- memory ---------------------------------------------------------------------------- */

static void buffers_do_not_meet(void **state)
{
    enum { COUNT = 40 };
    struct device *device = open_one();
    struct buffer *buffers[COUNT] = { 0 };
    unsigned char bytes[5000];
    struct tinct_err err = { 0 };

    (void)state;
    for (int round = 0; round < 4; round++)      /* holes of all sizes are filled again */
        for (int i = round % 3; i < COUNT; i += 1 + round) {
            uint64_t size = 1 + (uint64_t)(i * 131 + round * 977) % sizeof bytes;
            buffer_free(buffers[i]);
            buffers[i] = buffer_create(device, size, &err);
            assert_non_null(buffers[i]);
            assert_true(buffer_read(buffers[i], 0, bytes, size, &err));
            for (uint64_t b = 0; b < size; b++) assert_int_equal(bytes[b], 0);
            memset(bytes, i, size);
            assert_true(buffer_write(buffers[i], 0, bytes, size, &err));
        }
    for (int i = 0; i < COUNT; i++) {
        uint64_t size = buffer_size(buffers[i]);
        assert_true(buffer_read(buffers[i], 0, bytes, size, &err));
        for (uint64_t b = 0; b < size; b++) assert_int_equal(bytes[b], i);
        buffer_free(buffers[i]);
    }
    close_clean(device);
}

static void a_buffer_beyond_the_driver_is_refused(void **state)
{
    struct device *device = open_one();
    struct tinct_err err = { 0 };

    (void)state;
    struct buffer *b = buffer_create(device, device_max_buffer(device) + 1, &err);
    check_refused(b != NULL, &err, TINCT_ERR_MEMORY, "is more than the 2048 MiB that its driver allows in one");
    close_clean(device);
}

/* Memory that the host cannot see, as on a discrete GPU: more than one piece of the staging buffer. */
static void memory_can_be_staged(void **state)
{
    enum { BYTES = (70 << 20) + 12 };
    struct tinct_err err = { 0 };
    unsigned char *there = malloc(BYTES), *back = malloc(BYTES);

    (void)state;
    setenv("TINCT_VULKAN_STAGING", "1", 1);
    struct device *device = open_one();
    unsetenv("TINCT_VULKAN_STAGING");
    struct buffer *b = buffer_create(device, BYTES, &err);
    assert_non_null(b);
    assert_null(buffer_map(b));
    assert_true(buffer_read(b, 0, back, BYTES, &err));
    for (int i = 0; i < BYTES; i += 997) assert_int_equal(back[i], 0);
    for (int i = 0; i < BYTES; i++) there[i] = (unsigned char)(i * 7 + i / 1000);
    assert_true(buffer_write(b, 4, there + 4, BYTES - 8, &err));
    assert_true(buffer_read(b, 4, back + 4, BYTES - 8, &err));
    assert_memory_equal(there + 4, back + 4, BYTES - 8);
    buffer_free(b);
    check_work(device, 0);
    close_clean(device);
    free(there);
    free(back);
}

/* ---- passes -------------------------------------------------------------------------------- */

static void work_is_cut_into_pieces(void **state)
{
    struct device *device = open_one();

    (void)state;
    check_work(device, 0);
    check_work(device, 15e9);                    /* one submit each */
    check_work(device, 50e9);                    /* three windows of 128 rows each, in as many submits */
    close_clean(device);
}

static void times_are_kept(void **state)
{
    struct device *device = open_one();
    struct tinct_err err = { 0 };
    struct dispatch_time time;
    float got[VALUES];
    struct work w = { .device = device };

    (void)state;
    device_keep_times(device, true);
    if (!work_begin(&w, &err) || !work_run(&w, got, &err)) fail_msg("%s", err.text);
    check_result(got);
    assert_true(pass_time(w.pass, 1, &time));
    assert_true(time.ms > 0 && time.ms < 10000);
    work_end(&w);
    close_clean(device);
}

/* Software drivers would cut its loops short and give a wrong sum. */
static void too_many_rounds_are_refused(void **state)
{
    const uint64_t row = 512 * sizeof(float), keys = 60000;
    struct tinct_err err = { 0 };
    struct device *device = open_one();
    struct buffer *k = buffer_create(device, keys * row, &err);
    struct pass *pass = pass_begin(device);

    (void)state;
    assert_non_null(k);
    pass_dispatch(pass, &(struct dispatch) {
        .kernel = "attention", .variant = "f32",
        .reads = { span(k, 0, 8 * row, 0), span(k, 0, keys * row, 0), span(k, 0, keys * row, 0) },
        .writes = { span(k, 0, 8 * row, row) }, .rows = 8,
        .params = &(struct attention_params) { .images = 1, .heads = 1, .head_dim = 512, .copies = 1, .q_rows = 8, .k_rows = keys,
                                               .q_stride = 512, .k_stride = 512, .v_stride = 512, .y_stride = 512 },
        .params_size = sizeof(struct attention_params) });
    check_refused(pass_end(pass, &err), &err, TINCT_ERR_DEVICE, "rounds of a loop, its driver does 65535");
    pass_free(pass);
    buffer_free(k);
    close_clean(device);
}

/* ---- the pipeline cache ----------------------------------------------------------------------- */

static void use_cache(const char *dir)
{
    struct tinct_err err = { 0 };
    struct device *device = open_with(dir, &err);

    if (!device) fail_msg("%s", err.text);
    check_work(device, 0);
    close_clean(device);
}

/* The path of the one file in the temporary folder. */
static const char *the_cache_file(void)
{
    DIR *folder = opendir(temporary_folder);
    const char *path = NULL;
    struct dirent *entry;

    assert_non_null(folder);
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            assert_null(path);
            assert_int_equal(strncmp(entry->d_name, "vulkan-", 7), 0);
            path = temporary_path(entry->d_name);
        }
    closedir(folder);
    assert_non_null(path);
    return path;
}

static void the_pipeline_cache_is_kept_and_checked(void **state)
{
    (void)state;
    use_cache(temporary_folder);
    const char *path = the_cache_file();
    use_cache(temporary_folder);                 /* read back */

    FILE *f = fopen(path, "r+b");                /* a flipped byte; then a file cut short */
    fseek(f, -1, SEEK_END);
    int last = fgetc(f);
    fseek(f, -1, SEEK_END);
    fputc(last ^ 1, f);
    fclose(f);
    use_cache(temporary_folder);
    assert_int_equal(truncate(path, 20), 0);
    use_cache(temporary_folder);
    the_cache_file();
    use_cache("/nowhere/at/all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_software_driver_is_listed_last_and_not_chosen),
        cmocka_unit_test(without_a_driver_there_is_silence),
        cmocka_unit_test(unknown_cores_and_types_are_refused),
        cmocka_unit_test(the_matrix_core_can_be_tested_here),
        cmocka_unit_test(precision_decides_what_is_stored),
        cmocka_unit_test(buffers_do_not_meet),
        cmocka_unit_test(a_buffer_beyond_the_driver_is_refused),
        cmocka_unit_test(memory_can_be_staged),
        cmocka_unit_test(work_is_cut_into_pieces),
        cmocka_unit_test(times_are_kept),
        cmocka_unit_test(too_many_rounds_are_refused),
        cmocka_unit_test(the_pipeline_cache_is_kept_and_checked),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
