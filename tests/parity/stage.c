/* Runs single stages of a model on files of raw fp32, for comparison with the reference implementations.
 *
 *     stage MODEL DEVICE fp32|plain|fast < commands
 *
 * plain: fp32 without Winograd.
 * One command a line; every file is a dense little-endian array:
 *     text CHUNKS SKIP IDS Z            ids uint32 [chunks, 77] -> z [chunks, 77, width]
 *     timetext CHUNKS REPEATS           prints the best of REPEATS encodings, in seconds
 *     unet N H W T TOKENS X CONTEXT EPS x [N, H, W, 4], context [N, tokens, width] -> eps [N, H, W, 4]
 *     time N H W TOKENS REPEATS         prints the best of REPEATS evaluations on zeros, one latent with N texts, in seconds
 *     decode H W Z RGB                  z [H, W, 4] -> rgb [8 H, 8 W, 3]
 *     timedecode H W REPEATS            prints the best, in seconds
 *     profile N H W TOKENS              prints where one evaluation's time goes, by kernel and by its size
 *     kinds N H W TOKENS                prints "KIND MS GFLOP" for convolutions, linear layers, attention and the rest
 *     encode H W RGB MOMENTS            rgb [H, W, 3] -> moments [H / 8, W / 8, 8]
 * After each command a line "ok" or "ok SECONDS" on standard output; the first failure ends it with its sentence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/backend.h"      /* a dispatch's parameters */
#include "gemm.h"
#include "pipeline/unet_run.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* `best` seconds, or those since `begin` where they are fewer. */
static void keep_best(double *best, double begin)
{
    double seconds = now() - begin;
    if (seconds < *best) *best = seconds;
}

static void *read_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    void *data = calloc(1, size);
    if (!f || !data || fread(data, 1, size, f) != size) {
        fprintf(stderr, "stage: %s: wanted %zu bytes\n", path, size);
        exit(2);
    }
    fclose(f);
    return data;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f)) {
        fprintf(stderr, "stage: %s: cannot write\n", path);
        exit(2);
    }
}

static bool run_text(struct model *m, const char *line, double *best, struct tinct_err *err)
{
    char ids_path[512] = "", z_path[512] = "";
    unsigned chunks, skip = 1, repeats = 1;
    bool timed = !strncmp(line, "timetext", 8);
    if (timed ? sscanf(line, "timetext %u %u", &chunks, &repeats) != 2
              : sscanf(line, "text %u %u %511s %511s", &chunks, &skip, ids_path, z_path) != 4)
        exit(2);
    size_t ids_size = sizeof(uint32_t) * CLIP_TOKENS * chunks, size = sizeof(float) * CLIP_TOKENS * chunks * m->clip.width;
    uint32_t *ids = timed ? calloc(1, ids_size) : read_file(ids_path, ids_size);
    float *z = malloc(size);
    bool ok = true;
    *best = 1e30;
    for (unsigned i = 0; ok && i < repeats; i++) {
        double begin = now();
        ok = text_encode(m, z, ids, NULL, chunks, skip, err);
        keep_best(best, begin);
    }
    if (ok && !timed) write_file(z_path, z, size);
    free(ids);
    free(z);
    return ok;
}

static bool run_unet(struct model *m, const char *line, struct tinct_err *err)
{
    char x_path[512], context_path[512], eps_path[512];
    unsigned n, h, w, tokens;
    double t;
    if (sscanf(line, "unet %u %u %u %lf %u %511s %511s %511s", &n, &h, &w, &t, &tokens, x_path, context_path,
               eps_path) != 8)
        exit(2);
    size_t size = sizeof(float) * n * h * w * UNET_LATENT;
    float *x = read_file(x_path, size), *eps = malloc(size);
    float *context = read_file(context_path, sizeof(float) * n * tokens * m->unet.context);
    struct unet_run *run = unet_run_create(m, &(struct unet_run_size) { .h = h, .w = w, .images = n, .tokens = tokens }, err);
    bool ok = run && unet_run_context(run, context, err) && unet_run_step(run, eps, x, t, err);
    if (ok) write_file(eps_path, eps, size);
    unet_run_free(run);
    free(x);
    free(eps);
    free(context);
    return ok;
}

static bool time_unet(struct model *m, const char *line, double *best, struct tinct_err *err)
{
    unsigned n, h, w, tokens, repeats;
    if (sscanf(line, "time %u %u %u %u %u", &n, &h, &w, &tokens, &repeats) != 5) exit(2);
    float *x = calloc((size_t)n * h * w * UNET_LATENT, sizeof *x), *eps = calloc((size_t)n * h * w * UNET_LATENT, sizeof *x);
    float *context = calloc((size_t)n * tokens * m->unet.context, sizeof *context);
    struct unet_run *run = unet_run_create(m, &(struct unet_run_size) {
        .h = h, .w = w, .images = n, .tokens = tokens, .alike = 1 }, err);
    bool ok = run && unet_run_context(run, context, err);
    *best = 1e30;
    for (unsigned i = 0; ok && i < repeats; i++) {
        double begin = now();
        ok = unet_run_step(run, eps, x, 500.0, err);
        keep_best(best, begin);
    }
    unet_run_free(run);
    free(x);
    free(eps);
    free(context);
    return ok;
}

static bool run_decode(struct model *m, const char *line, double *best, struct tinct_err *err)
{
    char z_path[512] = "", rgb_path[512] = "";
    unsigned h, w, repeats = 1;
    bool timed = !strncmp(line, "timedecode", 10);
    if (timed ? sscanf(line, "timedecode %u %u %u", &h, &w, &repeats) != 3
              : sscanf(line, "decode %u %u %511s %511s", &h, &w, z_path, rgb_path) != 4)
        exit(2);
    size_t size = sizeof(float) * h * w * 3 * m->vae.factor * m->vae.factor, z_size = sizeof(float) * h * w * VAE_LATENT;
    float *z = timed ? calloc(1, z_size) : read_file(z_path, z_size), *rgb = malloc(size);
    bool ok = true;
    *best = 1e30;
    for (unsigned i = 0; ok && i < repeats; i++) {
        double begin = now();
        ok = vae_decode(m, rgb, z, h, w, err);
        keep_best(best, begin);
    }
    if (ok && !timed) write_file(rgb_path, rgb, size);
    free(z);
    free(rgb);
    return ok;
}

struct sum {                          /* of dispatches of a kind */
    const char *kernel;
    double ms, flops;
    uint64_t bytes;
    double one_flops;                 /* of one of them */
    int count;
};

static void print_sums(const struct sum *sums, int count, double total, double least_share)
{
    for (const struct sum *s = sums; s < sums + count; s++) {
        if (s->ms < least_share * total) continue;
        printf("  %-18s", s->kernel);
        if (s->one_flops > 0) printf(" %8.2f GFLOP", s->one_flops * 1e-9);
        else printf(" %8.2f MB   ", (double)s->bytes / s->count * 1e-6);
        printf(" %4d x %9.1f ms %5.1f %% %8.1f GFLOP/s %6.1f GB/s\n", s->count, s->ms, 100 * s->ms / total,
               s->flops / (s->ms * 1e6), (double)s->bytes / (s->ms * 1e6));
    }
}

/* Time, share and rate of every kernel of the pass, or of every kernel and size. */
static void print_profile(const struct pass *pass, bool sizes)
{
    enum { ROOM = 256 };
    struct sum sums[ROOM] = { { 0 } };
    struct dispatch_time time;
    double total = 0;
    int kinds = 0;

    for (uint32_t i = 0; pass_time(pass, i, &time); i++) {
        int k = 0;
        while (k < kinds && (strcmp(sums[k].kernel, time.kernel) ||
                             (sizes && (sums[k].one_flops != time.flops || sums[k].bytes != time.bytes * (unsigned)sums[k].count))))
            k++;
        if (k == kinds && kinds++ == ROOM) return;
        sums[k].kernel = time.kernel;
        sums[k].ms += time.ms;
        sums[k].flops += time.flops;
        sums[k].bytes += time.bytes;
        sums[k].one_flops = sizes ? time.flops : 0;
        sums[k].count++;
        total += time.ms;
    }
    print_sums(sums, kinds, total, sizes ? 0.005 : 0);
}

/* What a dispatch belongs to: its parameters say, which no time tells. */
static const char *kind_of(const struct call *call)
{
    const struct gemm_params *p = call->d.params;

    if (!strncmp(call->d.kernel, "winograd", 8)) return "convolution";
    if (!strncmp(call->d.kernel, "attention", 9)) return "attention";
    if (strcmp(call->d.kernel, "gemm")) return "rest";
    return p->kernel_h > 1 || p->flags & GEMM_WINOGRAD ? "convolution" : "linear";
}

static void print_kinds(const struct pass *pass)
{
    static const char *const kinds[] = { "convolution", "linear", "attention", "rest" };
    struct dispatch_time time;

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        double ms = 0, flops = 0;
        for (uint32_t i = 0; pass_time(pass, i, &time); i++) {
            if (strcmp(kind_of(&pass->calls[i]), kinds[k])) continue;
            ms += time.ms;
            flops += time.flops;
        }
        printf("%s %.3f %.3f\n", kinds[k], ms, flops * 1e-9);
    }
}

static bool run_profile(struct model *m, const char *line, struct tinct_err *err)
{
    bool kinds = line[0] == 'k';
    unsigned n, h, w, tokens;
    if (sscanf(line, "%*s %u %u %u %u", &n, &h, &w, &tokens) != 4) exit(2);
    float *x = calloc((size_t)n * h * w * UNET_LATENT, sizeof *x), *eps = calloc((size_t)n * h * w * UNET_LATENT, sizeof *x);
    float *context = calloc((size_t)n * tokens * m->unet.context, sizeof *context);
    device_keep_times(m->device, true);
    struct unet_run *run = unet_run_create(m, &(struct unet_run_size) {
        .h = h, .w = w, .images = n, .tokens = tokens, .alike = 1 }, err);
    bool ok = run && unet_run_context(run, context, err) && unet_run_step(run, eps, x, 500.0, err) &&
              unet_run_step(run, eps, x, 500.0, err);
    if (ok && kinds) print_kinds(unet_run_pass(run));
    for (int sizes = 0; ok && !kinds && sizes < 2; sizes++) print_profile(unet_run_pass(run), sizes);
    unet_run_free(run);
    device_keep_times(m->device, false);
    free(x);
    free(eps);
    free(context);
    return ok;
}

static bool run_encode(struct model *m, const char *line, struct tinct_err *err)
{
    char rgb_path[512], moments_path[512];
    unsigned h, w;
    if (sscanf(line, "encode %u %u %511s %511s", &h, &w, rgb_path, moments_path) != 4) exit(2);
    size_t size = sizeof(float) * (h / m->vae.factor) * (w / m->vae.factor) * 2 * VAE_LATENT;
    float *rgb = read_file(rgb_path, sizeof(float) * h * w * 3), *moments = malloc(size);
    bool ok = vae_encode(m, moments, rgb, h, w, err);
    if (ok) write_file(moments_path, moments, size);
    free(rgb);
    free(moments);
    return ok;
}

static bool run(struct model *m, const char *line, struct tinct_err *err)
{
    double best = 0;
    bool ok;

    if (!strncmp(line, "text ", 5) || !strncmp(line, "timetext ", 9)) ok = run_text(m, line, &best, err);
    else if (!strncmp(line, "unet ", 5)) ok = run_unet(m, line, err);
    else if (!strncmp(line, "time ", 5)) ok = time_unet(m, line, &best, err);
    else if (!strncmp(line, "profile ", 8) || !strncmp(line, "kinds ", 6)) ok = run_profile(m, line, err);
    else if (!strncmp(line, "encode ", 7)) ok = run_encode(m, line, err);
    else ok = run_decode(m, line, &best, err);
    if (ok) printf(best > 0 && best < 1e30 ? "ok %.4f\n" : "ok\n", best);
    fflush(stdout);
    return ok;
}

int main(int argc, char **argv)
{
    struct tinct_err err = { 0 };
    char line[2048];

    if (argc != 4) {
        fprintf(stderr, "usage: stage MODEL DEVICE fp32|plain|fast < commands\n");
        return 2;
    }
    struct device *device = device_open(&(struct device_options) {
        .name = argv[2], .validation = getenv("TINCT_VALIDATION") != NULL, .no_winograd = !strcmp(argv[3], "plain"),
        .precision = strcmp(argv[3], "fast") ? TINCT_PRECISION_FP32 : TINCT_PRECISION_FAST }, &err);
    double begin = now();
    struct model *m = device ? model_open(device, &(struct model_options) { .path = argv[1], .encoder = true }, &err) : NULL;
    bool ok = m != NULL;
    if (ok) printf("ready %.4f %s, %s\n", now() - begin, device_about(device)->name, device_about(device)->detail);
    fflush(stdout);
    while (ok && fgets(line, sizeof line, stdin)) ok = run(m, line, &err);
    if (!ok) fprintf(stderr, "stage: %s\n", err.text);
    model_close(m);
    device_close(device);
    return ok ? 0 : 1;
}
