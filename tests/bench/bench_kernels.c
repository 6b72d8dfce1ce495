/* Times the kernels that matter on shapes of Stable Diffusion 1.x, on any device:
 *
 *     bench_kernels [DEVICE [fp32|fast [WORDS]]]       e.g. bench_kernels cpu fast "conv 64"
 *     bench_kernels cpu fp32|fast WORDS BUILD.so BUILD.so...
 *
 * The second one compares builds of the cpu device's kernels, in turns (pair.h).
 *
 * For each shape the best of several runs, in ms and GFLOP/s, and its share of the multiply-add peak measured in the
 * same moment. Norms have no peak: their figure is GB/s of operands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "ops/ops.h"
#include "pair.h"

enum kind { LINEAR, CONV, ATTENTION, CROSS, GROUP_NORM, LAYER_NORM };

struct shape {
    const char *name;
    enum kind kind;
    uint32_t n, h, w;          /* images, their pixels; attention and cross: images, queries, keys */
    uint32_t inputs, outputs;  /* channels; attention and cross: heads and their channels */
    uint32_t detail;           /* conv: 2 upsamples; linear: 1 is a GEGLU, 3 adds a residual */
};

static const struct shape shapes[] = {
    { "linear 8192x320x2880", LINEAR, 2, 64, 64, 2880, 320, 0 },
    { "linear 8192x320x320", LINEAR, 2, 64, 64, 320, 320, 0 },
    { "linear 8192x320x320 residual", LINEAR, 2, 64, 64, 320, 320, 3 },
    { "linear 2048x640x640 residual", LINEAR, 2, 32, 32, 640, 640, 3 },
    { "linear 512x1280x1280 residual", LINEAR, 2, 16, 16, 1280, 1280, 3 },
    { "linear 8192x2560x320", LINEAR, 2, 64, 64, 320, 2560, 0 },
    { "linear geglu 8192x2560x320", LINEAR, 2, 64, 64, 320, 2560, 1 },
    { "linear 8192x320x1280", LINEAR, 2, 64, 64, 1280, 320, 0 },
    { "linear 2048x640x5760", LINEAR, 2, 32, 32, 5760, 640, 0 },
    { "linear 512x1280x11520", LINEAR, 2, 16, 16, 11520, 1280, 0 },
    { "linear 512x1280x1280", LINEAR, 2, 16, 16, 1280, 1280, 0 },
    { "linear 128x1280x11520", LINEAR, 2, 8, 8, 11520, 1280, 0 },
    { "linear 32x1280x11520", LINEAR, 2, 4, 4, 11520, 1280, 0 },
    { "linear 154x768x768", LINEAR, 2, 1, 77, 768, 768, 0 },
    { "linear 154x3072x768", LINEAR, 2, 1, 77, 768, 3072, 0 },
    { "linear 154x768x3072", LINEAR, 2, 1, 77, 3072, 768, 0 },
    { "linear 2x1280x1280", LINEAR, 2, 1, 1, 1280, 1280, 0 },
    { "conv 64x64 320->320", CONV, 2, 64, 64, 320, 320, 0 },
    { "conv 64x64 960->320", CONV, 2, 64, 64, 960, 320, 0 },
    { "conv 32x32 640->640", CONV, 2, 32, 32, 640, 640, 0 },
    { "conv 16x16 1280->1280", CONV, 2, 16, 16, 1280, 1280, 0 },
    { "conv 8x8 2560->1280", CONV, 2, 8, 8, 2560, 1280, 0 },
    { "conv 64x64 4->320", CONV, 2, 64, 64, 4, 320, 0 },
    { "conv 64x64 320->4", CONV, 2, 64, 64, 320, 4, 0 },
    { "conv up 8x8 1280->1280", CONV, 2, 8, 8, 1280, 1280, 2 },
    { "conv up 16x16 1280->1280", CONV, 2, 16, 16, 1280, 1280, 2 },
    { "conv up 32x32 640->640", CONV, 2, 32, 32, 640, 640, 2 },
    { "conv up 128x128 512->512", CONV, 1, 128, 128, 512, 512, 2 },
    { "conv 128x128 512->512", CONV, 1, 128, 128, 512, 512, 0 },
    { "conv 256x256 256->256", CONV, 1, 256, 256, 256, 256, 0 },
    { "conv 512x512 128->128", CONV, 1, 512, 512, 128, 128, 0 },
    { "conv 512x512 128->3", CONV, 1, 512, 512, 128, 3, 0 },
    { "attention 4096 d40 h8", ATTENTION, 2, 4096, 4096, 8, 40, 0 },
    { "attention 16384 d40 h8", ATTENTION, 1, 16384, 16384, 8, 40, 0 },
    { "attention 1024 d40 h8", ATTENTION, 2, 1024, 1024, 8, 40, 0 },
    { "attention 1024 d80 h8", ATTENTION, 2, 1024, 1024, 8, 80, 0 },
    { "attention 256 d80 h8", ATTENTION, 2, 256, 256, 8, 80, 0 },
    { "attention 256 d160 h8", ATTENTION, 2, 256, 256, 8, 160, 0 },
    { "attention 64 d160 h8", ATTENTION, 2, 64, 64, 8, 160, 0 },
    { "attention 64x77 d160 h8", ATTENTION, 2, 64, 77, 8, 160, 0 },
    { "attention 4096x77 d40 h8", ATTENTION, 2, 4096, 77, 8, 40, 0 },
    { "attention 1024x77 d40 h8", ATTENTION, 2, 1024, 77, 8, 40, 0 },
    { "attention 1024x77 d80 h8", ATTENTION, 2, 1024, 77, 8, 80, 0 },
    { "attention 256x77 d80 h8", ATTENTION, 2, 256, 77, 8, 80, 0 },
    { "cross 4096x77 d40 h8", CROSS, 2, 4096, 77, 8, 40, 0 },
    { "cross 1024x77 d80 h8", CROSS, 2, 1024, 77, 8, 80, 0 },
    { "cross 256x77 d160 h8", CROSS, 2, 256, 77, 8, 160, 0 },
    { "attention 4096 d512 h1", ATTENTION, 1, 4096, 4096, 1, 512, 0 },
    { "group_norm 64x64 320", GROUP_NORM, 2, 64, 64, 320, 320, 0 },
    { "group_norm 16x16 1280", GROUP_NORM, 2, 16, 16, 1280, 1280, 0 },
    { "group_norm 512x512 128", GROUP_NORM, 1, 512, 512, 128, 128, 0 },
    { "layer_norm 8192x320", LAYER_NORM, 2, 64, 64, 320, 320, 0 },
};

static struct buffer *buffers[16];
static int buffer_count;

static _Noreturn void stop(const struct tinct_err *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* A tensor of small random values. */
static struct tensor random_tensor(struct device *d, enum dtype dtype, uint32_t dims, const uint32_t *shape)
{
    static uint32_t seed = 1;
    struct tinct_err err;
    uint64_t count = 1;

    for (uint32_t i = 0; i < dims; i++) count *= shape[i];
    struct buffer *b = buffer_create(d, count * dtype_size(dtype), &err);
    unsigned char *data = malloc(count * dtype_size(dtype));
    if (!b || !data) stop(&err);
    for (uint64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        float value = (float)(int32_t)seed * 0x1p-31f;
        uint16_t half = (uint16_t)((seed >> 16 & 0x83ff) | 0x2c00);       /* magnitude 1/16 to 1/8 */
        if (dtype == DTYPE_F16)
            memcpy(data + 2 * i, &half, 2);
        else
            memcpy(data + 4 * i, &value, 4);
    }
    if (!buffer_write(b, 0, data, count * dtype_size(dtype), &err)) stop(&err);
    free(data);
    buffers[buffer_count++] = b;
    return tensor_view(b, 0, dtype, dims, shape);
}

static struct weight random_weight(struct device *d, const struct shape *s, uint32_t kernel)
{
    uint32_t k = (kernel * kernel * s->inputs + 31) / 32 * 32, panels = (s->outputs + 63) / 64;
    return (struct weight) {
        .packed = random_tensor(d, DTYPE_F16, 3, (uint32_t[]) { panels, k, 64 }),
        .bias = random_tensor(d, DTYPE_F32, 1, (uint32_t[]) { s->outputs }),
        .outputs = s->outputs, .inputs = s->inputs, .kernel_h = kernel, .kernel_w = kernel, .geglu = s->detail == 1,
    };
}

static enum dtype storage(const struct device *d)
{
    return device_stores_f16(d) ? DTYPE_F16 : DTYPE_F32;
}

static void record_product(struct pass *pass, struct device *d, const struct shape *s)
{
    bool conv = s->kind == CONV;
    uint32_t up = s->detail == 2 ? 2 : 1, outputs = (s->outputs + 3) / 4 * 4 / (s->detail == 1 ? 2 : 1);
    struct weight w = random_weight(d, s, conv ? 3 : 1);
    struct tensor x = random_tensor(d, storage(d), 4, (uint32_t[]) { s->n, s->h, s->w, s->inputs });
    struct tensor y = random_tensor(d, storage(d), 4, (uint32_t[]) { s->n, s->h * up, s->w * up, outputs });
    struct epilogue more = { 0 };

    if (s->detail == 3) more.residual = random_tensor(d, storage(d), 4, y.shape);
    if (conv)
        op_conv2d(pass, y, x, &w, &(struct conv) { .upsample = up == 2 }, NULL);
    else
        op_linear(pass, y, x, &w, &more);
}

static void record_attention(struct pass *pass, struct device *d, const struct shape *s)
{
    uint32_t c = s->inputs * s->outputs;
    struct tensor q = random_tensor(d, storage(d), 3, (uint32_t[]) { s->n, s->h, c });
    struct tensor y = random_tensor(d, storage(d), 3, (uint32_t[]) { s->n, s->h, c });
    struct tensor kv = random_tensor(d, storage(d), 3, (uint32_t[]) { s->n, s->w, 2 * c });

    op_attention(pass, y, q, tensor_columns(kv, 0, c), tensor_columns(kv, c, c), s->inputs, false);
}

/* With the layer norm and to_q before it. */
static void record_cross(struct pass *pass, struct device *d, const struct shape *s)
{
    const uint32_t c = s->inputs * s->outputs, rows[] = { s->n, s->h, c };
    const struct shape to_q = { .inputs = c, .outputs = c };
    struct weight w = random_weight(d, &to_q, 1);
    struct tensor kv = random_tensor(d, storage(d), 3, (uint32_t[]) { s->n, s->w, 2 * c });
    struct norm norm = { random_tensor(d, DTYPE_F32, 1, &c), random_tensor(d, DTYPE_F32, 1, &c) };

    w.bias = (struct tensor) { 0 };
    op_cross_attention(pass, random_tensor(d, storage(d), 3, rows), random_tensor(d, storage(d), 3, rows), &norm, 1e-5f, &w,
                       tensor_columns(kv, 0, c), tensor_columns(kv, c, c), s->inputs);
}

static void record_norm(struct pass *pass, struct device *d, const struct shape *s)
{
    const struct tensor none = { 0 };
    struct tensor x = random_tensor(d, storage(d), 4, (uint32_t[]) { s->n, s->h, s->w, s->inputs });
    struct tensor y = random_tensor(d, storage(d), 4, (uint32_t[]) { s->n, s->h, s->w, s->inputs });
    struct norm norm = { random_tensor(d, DTYPE_F32, 1, (uint32_t[]) { s->inputs }),
                         random_tensor(d, DTYPE_F32, 1, (uint32_t[]) { s->inputs }) };

    if (s->kind == GROUP_NORM)
        op_group_norm(pass, y, x, none, &norm, 32, 1e-5f, OP_ACT_SILU);
    else
        op_layer_norm(pass, y, x, &norm, 1e-5f);
}

static struct pass *record(struct device *d, const struct shape *s)
{
    struct pass *pass = pass_begin(d);
    struct tinct_err err;

    switch (s->kind) {
    case LINEAR:
    case CONV:       record_product(pass, d, s); break;
    case ATTENTION:  record_attention(pass, d, s); break;
    case CROSS:      record_cross(pass, d, s); break;
    default:         record_norm(pass, d, s); break;
    }
    if (!pass_end(pass, &err)) stop(&err);
    return pass;
}

static void free_shape(struct pass *pass)
{
    pass_free(pass);
    while (buffer_count) buffer_free(buffers[--buffer_count]);
}

/* Of the last run: ms, FLOP and bytes of all its dispatches. */
static struct dispatch_time sum_times(const struct pass *pass)
{
    struct dispatch_time sum = { 0 }, one;

    for (uint32_t i = 0; pass_time(pass, i, &one); i++) {
        sum.ms += one.ms;
        sum.flops += one.flops;
        sum.bytes += one.bytes;
    }
    return sum;
}

static void compare_shape(struct device *d, const struct shape *s, bool fast)
{
    const double seconds = 2;
    struct pass *pass = record(d, s);
    struct tinct_err err;

    for (int run = 0; run < 2; run++)
        if (!pass_run(pass, &err)) stop(&err);
    printf("%s\n", s->name);
    pair_time(pass, thread_default_count(), fast, seconds);
    free_shape(pass);
}

static void time_shape(struct device *d, const struct shape *s, bool bf16)
{
    struct pass *pass = record(d, s);
    struct dispatch_time best = { .ms = 1e30 };
    struct tinct_err err;
    double peak = 0, spent = 0;

    for (int run = 0; run < 50 && (run < 4 || spent < 400); run++) {
        if (run % 8 == 1) {
            double now = device_measure_peak(d, bf16);
            peak = now > peak ? now : peak;
        }
        if (!pass_run(pass, &err)) stop(&err);
        struct dispatch_time t = sum_times(pass);
        spent += t.ms;
        if (t.ms < best.ms) best = t;
    }
    printf("%-28s %9.3f ms", s->name, best.ms);
    if (best.flops > 0) printf(" %8.1f GFLOP/s", best.flops / best.ms * 1e-6);
    if (best.flops > 0 && peak > 0) printf(" %5.1f %% of %.0f", best.flops / best.ms * 1e-4 / peak, peak);
    if (best.flops <= 0) printf(" %8.1f GB/s", (double)best.bytes / best.ms * 1e-6);
    printf("\n");
    free_shape(pass);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "cpu", *words = argc > 3 ? argv[3] : "";
    bool fast = argc > 2 && !strcmp(argv[2], "fast");
    struct tinct_err err;
    struct device *d = device_open(&(struct device_options) { .name = name,
        .precision = fast ? TINCT_PRECISION_FAST : TINCT_PRECISION_FP32 }, &err);

    if (!d) stop(&err);
    if (argc > 4 && strcmp(name, "cpu")) {
        fprintf(stderr, "builds are compared on cpu alone\n");
        return 2;
    }
    for (int i = 4; i < argc; i++) pair_open(argv[i]);
    device_keep_times(d, true);
    printf("%s (%s)%s\n", device_about(d)->name, device_about(d)->detail, fast ? ", fast" : "");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (!strstr(shapes[i].name, words)) continue;
        if (argc > 4) compare_shape(d, &shapes[i], fast);
        else time_shape(d, &shapes[i], fast && device_measure_peak(d, true) > 0);
    }
    device_close(d);
    return 0;
}
