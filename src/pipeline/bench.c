/* tinct bench: the device's own peak, its GEMM and convolution beside it, and the stages of a model. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "ops/ops.h"
#include "pipeline/bench_lora.h"
#include "pipeline/context.h"

enum { REPEATS = 3, MAX_ROWS = 32, BENCH_TOKENS = 77 };

struct row {                                /* one line of the table */
    const char *kind, *what;
    double ms, gflops;                      /* gflops 0: not counted */
};

struct bench {
    struct device_info device;
    double peak, peak_bf16;                 /* GFLOP/s; 0: not known */
    struct row rows[MAX_ROWS];
    uint32_t count;
};

static void add_row(struct bench *b, const char *kind, const char *what, double ms, double flops)
{
    if (b->count < MAX_ROWS) b->rows[b->count++] = (struct row) { kind, what, ms, flops / (ms * 1e6) };
}

/* ---- kernels ---------------------------------------------------------------- */

struct shape {
    const char *what;
    uint32_t images, h, w, inputs, outputs, kernel;      /* linear: kernel 1, h 1 */
};

static const struct shape shapes[] = {
    { "linear 8192x320x320", 1, 1, 8192, 320, 320, 1 },
    { "linear 8192x320x2560", 1, 1, 8192, 320, 2560, 1 },
    { "linear 2048x2560x640", 1, 1, 2048, 2560, 640, 1 },
    { "linear 512x1280x1280", 1, 1, 512, 1280, 1280, 1 },
    { "conv 2x64x64 320->320", 2, 64, 64, 320, 320, 3 },
    { "conv 2x32x32 640->640", 2, 32, 32, 640, 640, 3 },
    { "conv 2x16x16 1280->1280", 2, 16, 16, 1280, 1280, 3 },
    { "conv 128x512 128->128", 1, 128, 512, 128, 128, 3 },
};

/* Small numbers everywhere: zeros would flatter a processor that slows down for heat. */
static bool fill(struct buffer *buffer, enum dtype dtype, uint64_t size, struct tinct_err *err)
{
    static const uint16_t half[4] = { 0x2000, 0x9c00, 0x1800, 0xa200 };      /* about +-0.01 */
    static const float single[4] = { 0.01f, -0.02f, 0.5f, -0.3f };
    size_t step = 4 * dtype_size(dtype);
    char *data = malloc(size);

    if (!data) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a benchmark");
    for (uint64_t i = 0; i < size; i++) data[i] = ((const char *)(dtype == DTYPE_F16 ? (const void *)half : single))[i % step];
    bool ok = buffer_write(buffer, 0, data, size, err);
    free(data);
    return ok;
}

static bool best_of(struct pass *pass, double *best_ms, struct tinct_err *err)
{
    *best_ms = 1e30;
    for (int i = 0; i <= REPEATS; i++) {                  /* the first one warms up */
        double begin = context_now_ms();
        if (!pass_run(pass, err)) return false;
        double ms = context_now_ms() - begin;
        if (i && ms < *best_ms) *best_ms = ms;
    }
    return true;
}

static bool time_shape(struct device *device, const struct shape *s, double *ms, struct tinct_err *err)
{
    enum dtype dtype = device_dtype(device);
    uint32_t k = (s->kernel * s->kernel * s->inputs + 31) / 32 * 32;
    struct tensor x = tensor_view(NULL, 0, dtype, 4, (uint32_t[]) { s->images, s->h, s->w, s->inputs });
    struct tensor y = tensor_view(NULL, 0, dtype, 4, (uint32_t[]) { s->images, s->h, s->w, s->outputs });
    struct weight w = { .outputs = s->outputs, .inputs = s->inputs, .kernel_h = s->kernel, .kernel_w = s->kernel };
    w.packed = tensor_view(NULL, 0, DTYPE_F16, 3, (uint32_t[]) { (s->outputs + 63) / 64, k, 64 });

    x.buffer = buffer_create(device, tensor_bytes(x), err);
    y.buffer = x.buffer ? buffer_create(device, tensor_bytes(y), err) : NULL;
    w.packed.buffer = y.buffer ? buffer_create(device, tensor_bytes(w.packed), err) : NULL;
    bool ok = w.packed.buffer && fill(x.buffer, dtype, tensor_bytes(x), err) &&
              fill(w.packed.buffer, DTYPE_F16, tensor_bytes(w.packed), err);
    if (ok) {
        struct pass *pass = pass_begin(device);
        if (s->kernel == 1) op_linear(pass, y, x, &w, NULL);
        else op_conv2d(pass, y, x, &w, NULL, NULL);
        ok = pass_end(pass, err) && best_of(pass, ms, err);
        pass_free(pass);
    }
    buffer_free(x.buffer);
    buffer_free(y.buffer);
    buffer_free(w.packed.buffer);
    return ok;
}

static bool time_kernels(struct bench *b, struct device *device, struct tinct_err *err)
{
    b->peak = device_measure_peak(device, false);
    b->peak_bf16 = device_is_fast(device) ? device_measure_peak(device, true) : 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *s = &shapes[i];
        double ms, flops = 2.0 * s->images * s->h * s->w * s->inputs * s->outputs * s->kernel * s->kernel;
        if (!time_shape(device, s, &ms, err)) return false;
        add_row(b, "kernel", s->what, ms, flops);
    }
    return true;
}

/* ---- stages ------------------------------------------------------------------ */

static double pass_flops(struct device *device, const struct pass *pass)
{
    struct dispatch_time time;
    double flops = 0;

    device_keep_times(device, true);
    for (uint32_t i = 0; pass_time(pass, i, &time); i++) flops += time.flops;
    device_keep_times(device, false);
    return flops;
}

static bool time_text(struct bench *b, struct tinct *t, struct tinct_err *err)
{
    uint32_t ids[2 * CLIP_TOKENS];
    float *z = malloc(sizeof *z * 2 * CLIP_TOKENS * t->model->clip.width);
    double best = 1e30;
    bool ok = z != NULL || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a benchmark");

    for (int i = 0; i < 2 * CLIP_TOKENS; i++) ids[i] = i % CLIP_TOKENS ? 49407 : 49406;
    for (int i = 0; ok && i <= REPEATS; i++) {
        double begin = context_now_ms();
        ok = text_encode(t->model, z, ids, NULL, 2, 1, err);
        if (i && context_now_ms() - begin < best) best = context_now_ms() - begin;
    }
    free(z);
    if (ok) add_row(b, "stage", "text, two prompts", best, 0);
    return ok;
}

static bool time_step(struct bench *b, struct tinct *t, uint32_t h, uint32_t w, struct tinct_err *err)
{
    struct unet_run *run = unet_run_create(t->model, &(struct unet_run_size) {
        .h = h, .w = w, .images = 2, .tokens = BENCH_TOKENS, .alike = 1 }, err);
    float *x = calloc((size_t)h * w * 8, sizeof *x), *eps = calloc((size_t)h * w * 8, sizeof *eps);
    float *context = calloc((size_t)2 * BENCH_TOKENS * t->model->unet.context, sizeof *context);
    double best = 1e30;
    bool ok = run && x && eps && context;

    if (run && !ok) tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a benchmark");
    for (size_t i = 0; ok && i < (size_t)h * w * 8; i++) x[i] = (float)((i * 2654435761u >> 8) % 2001) / 1000.0f - 1.0f;
    ok = ok && unet_run_context(run, context, err);
    for (int i = 0; ok && i <= REPEATS; i++) {
        double begin = context_now_ms();
        ok = unet_run_step(run, eps, x, 500.0, err);
        if (i && context_now_ms() - begin < best) best = context_now_ms() - begin;
    }
    if (ok) add_row(b, "stage", "UNet, one step with guidance", best, pass_flops(t->device, unet_run_pass(run)));
    free(x);
    free(eps);
    free(context);
    unet_run_free(run);
    return ok;
}

static bool time_vae(struct bench *b, struct tinct *t, uint32_t h, uint32_t w, struct tinct_err *err)
{
    uint32_t f = t->model->vae.factor;
    float *z = calloc((size_t)h * w * 4, sizeof *z), *rgb = malloc(sizeof *rgb * h * w * f * f * 3);
    double best = 1e30;
    bool ok = (z && rgb) || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a benchmark");

    for (int i = 0; ok && i < REPEATS; i++) {
        double begin = context_now_ms();
        ok = vae_decode(t->model, rgb, z, h, w, err);
        if (context_now_ms() - begin < best) best = context_now_ms() - begin;
    }
    free(z);
    free(rgb);
    if (ok) add_row(b, "stage", "VAE decode", best, 0);
    return ok;
}

static bool time_loras(struct bench *b, struct tinct *t, struct tinct_err *err)
{
    double merge_ms, restore_ms;

    if (!bench_lora(t->model, t->threads, &merge_ms, &restore_ms, err)) return false;
    add_row(b, "stage", "LoRA of rank 32 on, linear", merge_ms, 0);
    add_row(b, "stage", "LoRA off again", restore_ms, 0);
    return true;
}

static bool time_stages(struct bench *b, const struct tinct_options *o, const struct tinct_bench *how, struct tinct_err *err)
{
    struct tinct *t = tinct_open(o, err);
    if (!t) return false;
    uint32_t w = (uint32_t)(how->width ? how->width : t->about.width) / 8;
    uint32_t h = (uint32_t)(how->height ? how->height : t->about.height) / 8;
    add_row(b, "stage", "model ready", t->about.load_ms, 0);
    bool ok = time_text(b, t, err) && time_loras(b, t, err) && time_step(b, t, h, w, err) && time_vae(b, t, h, w, err);
    tinct_close(t);
    return ok;
}

/* ---- telling ------------------------------------------------------------------ */

static char *as_json(const struct bench *b, struct tinct_err *err)
{
    struct json_writer w = { 0 };

    json_begin(&w, NULL, JSON_OBJECT);
    json_put_string(&w, "device", b->device.name);
    json_put_string(&w, "detail", b->device.detail);
    json_put_double(&w, "peak_gflops", b->peak);
    json_put_double(&w, "peak_bf16_gflops", b->peak_bf16);
    json_begin(&w, "rows", JSON_ARRAY);
    for (uint32_t i = 0; i < b->count; i++) {
        json_begin(&w, NULL, JSON_OBJECT);
        json_put_string(&w, "kind", b->rows[i].kind);
        json_put_string(&w, "what", b->rows[i].what);
        json_put_double(&w, "ms", b->rows[i].ms);
        if (b->rows[i].gflops > 0) json_put_double(&w, "gflops", b->rows[i].gflops);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    return json_finish(&w, err);
}

static char *as_text(const struct bench *b, struct tinct_err *err)
{
    struct str s = { 0 };
    double peak = b->peak_bf16 > 0 ? b->peak_bf16 : b->peak;

    str_addf(&s, "%s (%s)\n", b->device.name, b->device.detail);
    if (b->peak > 0) str_addf(&s, "peak of fp32 multiply-adds, measured now: %.0f GFLOP/s\n", b->peak);
    if (b->peak_bf16 > 0) str_addf(&s, "peak of bf16 products, measured now: %.0f GFLOP/s\n", b->peak_bf16);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct row *r = &b->rows[i];
        str_addf(&s, "  %-30s %10.2f ms", r->what, r->ms);
        if (r->gflops > 0) str_addf(&s, " %8.1f GFLOP/s", r->gflops);
        if (r->gflops > 0 && peak > 0) str_addf(&s, " %5.1f %% of peak", 100 * r->gflops / peak);
        str_add(&s, "\n");
    }
    return str_take(&s, err);
}

char *tinct_benchmark(const struct tinct_options *o, const struct tinct_bench *how, bool json, struct tinct_err *err)
{
    struct bench b = { 0 };
    struct device *device = device_open(&(struct device_options) {
        .name = o->device, .precision = o->precision, .threads = o->threads, .cache_dir = o->cache_dir,
        .no_winograd = o->no_winograd, .log = o->log, .log_user = o->log_user }, err);

    if (!device) return NULL;
    b.device = *device_about(device);
    bool ok = time_kernels(&b, device, err);
    device_close(device);
    if (ok && !how->kernels_only) ok = time_stages(&b, o, how, err);
    if (!ok) return NULL;
    return json ? as_json(&b, err) : as_text(&b, err);
}
