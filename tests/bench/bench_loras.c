/* Applies LoRA files to an open model as a picture does, for peer_loras.py:
 *
 *     bench_loras MODEL.safetensors [DEVICE [CACHE_FOLDER]]
 *
 * Reads lines from standard input: "apply FILE WEIGHT FILE WEIGHT ..." makes the weights those of these files, "forget"
 * takes all away and closes them, "step" runs the UNet for a 512x512 picture with guidance. Answers "ok OPEN_MS MS PEAK_MIB", the
 * peak by how much the process grew beyond the open model's, or "failed ...". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "pipeline/adapters.h"
#include "pipeline/context.h"

enum { MOST = 32 };

static double peak_mib(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)used.ru_maxrss / 1024;
}

static bool apply(struct adapters *all, char *words, double *open_ms, double *apply_ms, struct tinct_err *err)
{
    struct adapter_use uses[MOST];
    size_t count = 0;
    double begin = context_now_ms();
    bool changed;

    for (char *file = strtok(words, " \n"), *weight; file && count < MOST; file = strtok(NULL, " \n"), count++) {
        if (!(weight = strtok(NULL, " \n"))) return tinct_fail(err, TINCT_ERR_ARG, "a file without a weight");
        const struct adapter *a = adapters_open(all, file, err);
        if (!a) return false;
        uses[count] = (struct adapter_use) { .adapter = a, .te = strtof(weight, NULL), .unet = strtof(weight, NULL) };
    }
    *open_ms = context_now_ms() - begin;
    begin = context_now_ms();
    if (!adapters_apply(all, uses, count, &changed, err)) return false;
    *apply_ms = context_now_ms() - begin;
    return true;
}

/* The best of three. */
static bool step(struct tinct *t, double *best_ms, struct tinct_err *err)
{
    enum { SIDE = 64, LATENT = 2 * SIDE * SIDE * UNET_LATENT };
    size_t context = (size_t)2 * CLIP_TOKENS * t->model->unet.context;
    float *x = calloc(LATENT, sizeof *x), *eps = malloc(LATENT * sizeof *eps), *z = calloc(context, sizeof *z);
    struct unet_run *run = unet_run_create(t->model, &(struct unet_run_size) {
        .h = SIDE, .w = SIDE, .images = 2, .tokens = CLIP_TOKENS }, err);
    bool ok = run && x && eps && z;

    for (size_t i = 0; ok && i < LATENT; i++) x[i] = (float)((int)(i * 2654435761u % 2000) - 1000) * 2e-3f;
    for (size_t i = 0; ok && i < context; i++) z[i] = (float)((int)(i * 2246822519u % 2000) - 1000) * 1e-3f;
    ok = ok && unet_run_context(run, z, err);
    *best_ms = 1e9;
    for (int i = 0; ok && i < 3; i++) {
        double begin = context_now_ms();
        ok = unet_run_step(run, eps, x, 500, err);
        if (context_now_ms() - begin < *best_ms) *best_ms = context_now_ms() - begin;
    }
    unet_run_free(run);
    free(x);
    free(eps);
    free(z);
    return ok;
}

static bool forget(struct tinct *t, struct tinct_err *err)
{
    bool changed;

    if (!adapters_apply(t->adapters, NULL, 0, &changed, err)) return false;
    adapters_free(t->adapters);
    t->adapters = NULL;
    return context_adapters(t, err);
}

int main(int argc, char **argv)
{
    struct tinct_err err = { 0 };
    struct tinct *t;
    char line[8192];

    if (argc < 2) {
        fprintf(stderr, "bench_loras MODEL.safetensors [DEVICE [CACHE_FOLDER]]\n");
        return 2;
    }
    t = tinct_open(&(struct tinct_options) { .model = argv[1], .device = argc > 2 ? argv[2] : "cpu",
                                             .cache_dir = argc > 3 ? argv[3] : NULL }, &err);
    if (!t || !context_adapters(t, &err)) {
        fprintf(stderr, "bench_loras: %s\n", err.text);
        return 1;
    }
    printf("ready %s\n", tinct_about(t).device);
    fflush(stdout);
    double open_mib = peak_mib();
    while (fgets(line, sizeof line, stdin)) {
        double open_ms = 0, apply_ms = 0;
        bool ok;
        if (!strncmp(line, "forget", 6)) ok = forget(t, &err);
        else if (!strncmp(line, "step", 4)) ok = step(t, &apply_ms, &err);
        else ok = apply(t->adapters, line + strlen("apply "), &open_ms, &apply_ms, &err);
        if (ok) printf("ok %.1f %.1f %.1f\n", open_ms, apply_ms, peak_mib() - open_mib);
        else printf("failed %s\n", err.text);
        fflush(stdout);
    }
    tinct_close(t);
    return 0;
}
