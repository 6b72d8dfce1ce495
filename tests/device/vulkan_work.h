/* The software driver's device under the validation layers, and a little work for it. */
#ifndef TINCT_TESTS_VULKAN_WORK_H
#define TINCT_TESTS_VULKAN_WORK_H

#include "check.h"
#include "device/device.h"
#include "layer_norm.h"

enum { ROWS = 300, CHANNELS = 64, VALUES = ROWS * CHANNELS };

static int lines_logged;                     /* warnings and errors: the validation layers', at closing too */

static inline void count_line(void *user, enum tinct_log_level level, const char *line)
{
    (void)user;
    if (level > TINCT_LOG_WARN) return;
    lines_logged++;
    print_message("# %s\n", line);
}

static inline const char *software(void)
{
    struct device_info infos[16];
    static char name[sizeof infos[0].name];

    for (int i = device_list(infos, 16) - 1; i > 0; i--)
        if (infos[i].kind == DEVICE_SOFTWARE) {
            snprintf(name, sizeof name, "%s", infos[i].name);
            return name;
        }
    print_message("skipped: no software Vulkan driver (mesa-vulkan-drivers)\n");
    skip();
    return NULL;
}

static inline struct device *open_with(const char *cache_dir, struct tinct_err *err)
{
    return device_open(&(struct device_options) { .name = software(), .cache_dir = cache_dir, .validation = true,
                                                  .log = count_line }, err);
}

static inline struct device *open_one(void)
{
    struct tinct_err err = { 0 };
    struct device *device = open_with(NULL, &err);
    if (!device) fail_msg("%s", err.text);
    return device;
}

static inline void close_clean(struct device *device)
{
    assert_int_equal(device_validation_messages(device), 0);
    device_close(device);
    assert_int_equal(lines_logged, 0);
}

/* ---- a little work: two norms, one after the other --------------------------------- */

struct work {
    struct device *device;
    struct buffer *x, *vectors;
    struct pass *pass;
    double flops;                            /* told of each dispatch */
};

static inline struct span span(struct buffer *buffer, uint64_t offset, uint64_t size, uint64_t row_bytes)
{
    return (struct span) { buffer, offset, size, row_bytes };
}

static inline void norm_in_place(struct work *w)
{
    const uint64_t row = CHANNELS * sizeof(float);
    struct span x = span(w->x, 0, VALUES * sizeof(float), row);

    pass_dispatch(w->pass, &(struct dispatch) {
        .kernel = "layer_norm", .variant = "f32",
        .reads = { x, span(w->vectors, 0, row, 0), span(w->vectors, row, row, 0) }, .writes = { x },
        .params = &(struct layer_norm_params) { ROWS, CHANNELS, 1e-5f },
        .params_size = sizeof(struct layer_norm_params), .rows = ROWS, .flops = w->flops });
}

enum { FEW_NORMS = 2, MANY_NORMS = 500 /* not done before somebody waits for them, on a busy machine either */ };

/* x, then ones and a ramp as gamma and beta; norms in place, recorded but not run. */
static inline bool work_of(struct work *w, int norms, struct tinct_err *err)
{
    static float x[VALUES], vectors[2 * CHANNELS];

    for (int i = 0; i < VALUES; i++) x[i] = (float)(i * 37 % 101);
    for (int i = 0; i < CHANNELS; i++) vectors[i] = 1, vectors[CHANNELS + i] = (float)i;
    w->x = buffer_create(w->device, sizeof x, err);
    w->vectors = w->x ? buffer_create(w->device, sizeof vectors, err) : NULL;
    if (!w->vectors || !buffer_write(w->x, 0, x, sizeof x, err) ||
        !buffer_write(w->vectors, 0, vectors, sizeof vectors, err))
        return false;
    w->pass = pass_begin(w->device);
    for (int i = 0; i < norms; i++) norm_in_place(w);
    return pass_end(w->pass, err);
}

static inline bool work_begin(struct work *w, struct tinct_err *err)
{
    return work_of(w, FEW_NORMS, err);
}

static inline void work_end(struct work *w)
{
    pass_free(w->pass);
    buffer_free(w->x);
    buffer_free(w->vectors);
}

static inline void one_norm(float *x)
{
    for (int row = 0; row < ROWS; row++, x += CHANNELS) {
        double mean = 0, var = 0;
        for (int c = 0; c < CHANNELS; c++) mean += x[c] / CHANNELS;
        for (int c = 0; c < CHANNELS; c++) var += (x[c] - mean) * (x[c] - mean) / CHANNELS;
        for (int c = 0; c < CHANNELS; c++) x[c] = (float)((x[c] - mean) / sqrt(var + 1e-5) + c);
    }
}

/* Rows written out of turn or twice, or a dispatch that saw the first one's half, are far off. */
static inline void check_result(const float *got)
{
    static float want[VALUES];

    for (int i = 0; i < VALUES; i++) want[i] = (float)(i * 37 % 101);
    one_norm(want);
    one_norm(want);
    check_close(got, want, VALUES, 2e-4, 0);     /* values to 64; the steps of both norms add up to some 2^-24 * 64 */
}

static inline bool work_run(struct work *w, float *got, struct tinct_err *err)
{
    return pass_run(w->pass, err) && buffer_read(w->x, 0, got, VALUES * sizeof(float), err);
}

static inline void check_work(struct device *device, double flops)
{
    static float got[VALUES];
    struct tinct_err err = { 0 };
    struct work w = { .device = device, .flops = flops };

    if (!work_begin(&w, &err) || !work_run(&w, got, &err)) fail_msg("%s", err.text);
    check_result(got);
    work_end(&w);
}

#endif
