/* Times what LoRAs on a whole model cost:
 *
 *     bench_merge MODEL.safetensors [DEVICE [RANK]]
 *
 * A LoRA of RANK (32) on every linear and attention layer of the UNet and the text encoder, on top of it one on every
 * convolution, with random factors: first application, another strength, three at once, none. For each the wall time, the
 * processor time of all threads (which a busy machine changes little), the bytes of the weights that hold terms, and by
 * how much the process was larger at its peak than with the open model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "model/merge.h"
#include "model/model.h"

enum { LORAS = 3 };

struct layer {
    const char *name;
    uint32_t outputs, inputs, rank;
    bool conv;
    uint64_t bytes;
};

static struct layer layers[2048];
static uint32_t layer_count;
static float *numbers;                         /* factors of every layer begin with the same ones */
static size_t number_count;

static double wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static double peak_mib(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)used.ru_maxrss / 1024;
}

static bool give_factors(void *user, float *up, float *down, struct tinct_err *err)
{
    const struct layer *l = user;

    (void)err;
    memcpy(up, numbers, (size_t)l->outputs * l->rank * sizeof *up);
    memcpy(down, numbers, (size_t)l->inputs * l->rank * sizeof *down);
    return true;
}

static void list_layers(const struct weights *ws, uint32_t rank)
{
    for (uint32_t i = 0; i < weights_count(ws); i++) {
        struct weights_entry e = weights_entry(ws, i);
        if (e.job->form != PACK_WEIGHT || strstr(e.names[0], "first_stage")) continue;
        for (uint32_t p = 0; p < e.job->recipe.part_count && layer_count < 2048; p++) {
            const struct stored *s = &e.job->recipe.parts[p];
            uint64_t count = stored_count(s);
            struct layer l = { e.names[p], s->shape[0], (uint32_t)(count / s->shape[0]), rank, s->dims == 4, count * 2 };
            layers[layer_count++] = l;
            if (number_count < (size_t)l.outputs * rank) number_count = (size_t)l.outputs * rank;
            if (number_count < (size_t)l.inputs * rank) number_count = (size_t)l.inputs * rank;
        }
    }
}

static double open_mib;

static bool measure(struct merge *m, const char *what, int loras, float strength, bool convs, struct tinct_err *err)
{
    struct merge_report report;
    uint64_t bytes = 0;

    merge_begin(m);
    for (uint32_t i = 0; i < layer_count; i++)
        for (int l = 0; l < loras; l++) {
            uint32_t bits;
            memcpy(&bits, &strength, 4);
            struct merge_term term = { .key = (uint64_t)l << 32 | bits, .rank = layers[i].rank, .scale = strength,
                                       .user = &layers[i], .factors = give_factors };
            if (layers[i].conv && !convs) continue;
            if (!merge_add(m, layers[i].name, 0, 0, &term, err)) return false;
            bytes += l == 0 ? layers[i].bytes : 0;
        }
    double begun = wall_ms();
    clock_t used = clock();
    if (!merge_apply(m, &report, err)) return false;
    printf("%-40s %8.0f ms %8.0f ms of processors  %4u rebuilt %4u restored %6.0f MB, peak + %.0f MiB\n", what, wall_ms() - begun,
           (double)(clock() - used) * 1e3 / CLOCKS_PER_SEC, (unsigned)report.rebuilt, (unsigned)report.restored,
           (double)bytes * 1e-6, peak_mib() - open_mib);
    return true;
}

static bool measure_all(struct merge *m, struct tinct_err *err)
{
    return measure(m, "linear layers, first application", 1, 1.0f, false, err) &&
           measure(m, "linear layers, another strength", 1, 0.5f, false, err) &&
           measure(m, "linear layers, three LoRAs", LORAS, 0.25f, false, err) &&
           measure(m, "none", 0, 0, false, err) && measure(m, "all layers", 1, 1.0f, true, err) &&
           measure(m, "all layers, three LoRAs", LORAS, 0.25f, true, err) && measure(m, "none", 0, 0, true, err);
}

int main(int argc, char **argv)
{
    struct tinct_err err = { 0 };
    struct device_options options = { .name = argc > 2 ? argv[2] : "cpu" };

    if (argc < 2) {
        fprintf(stderr, "bench_merge MODEL.safetensors [DEVICE [RANK]]\n");
        return 2;
    }
    struct device *device = device_open(&options, &err);
    struct model *model = device ? model_open(device, &(struct model_options) { .path = argv[1] }, &err) : NULL;
    struct merge *m = model ? merge_create(model->weights, &(struct merge_options) { 0 }) : NULL;
    bool ok = m != NULL;
    if (ok) {
        printf("%s, %s\n", device_about(device)->name, device_about(device)->detail);
        list_layers(model->weights, argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 32);
        numbers = malloc((number_count + 1) * sizeof *numbers);
        for (size_t i = 0; numbers && i < number_count; i++) numbers[i] = 1e-3f * (float)((int)((uint32_t)i * 2654435761u >> 24) - 128);
        open_mib = peak_mib();
        ok = numbers && measure_all(m, &err);
    }
    if (!ok) fprintf(stderr, "bench_merge: %s\n", err.text);
    free(numbers);
    merge_free(m);
    model_close(model);
    device_close(device);
    return ok ? 0 : 1;
}
