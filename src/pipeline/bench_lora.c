#include "pipeline/bench_lora.h"

#include <stdlib.h>
#include <string.h>

#include "model/merge.h"
#include "pipeline/context.h"

struct layer {
    uint32_t outputs, inputs;
};

static void fill(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) values[i] = 1e-3f * (float)((int)((uint32_t)i * 2654435761u >> 24) - 128);
}

static bool factors(void *user, float *up, float *down, struct tinct_err *err)
{
    const struct layer *l = user;

    (void)err;
    fill(up, (size_t)l->outputs * BENCH_LORA_RANK);
    fill(down, (size_t)l->inputs * BENCH_LORA_RANK);
    return true;
}

/* The terms of one weight's parts. layers [PACK_PARTS] live until they are applied. */
static bool add_weight(struct merge *merge, const struct weights_entry *e, struct layer *layers, struct tinct_err *err)
{
    for (uint32_t i = 0; i < e->job->recipe.part_count; i++) {
        const struct stored *part = &e->job->recipe.parts[i];
        layers[i] = (struct layer) { part->shape[0], (uint32_t)(stored_count(part) / part->shape[0]) };
        struct merge_term term = { .key = 1, .rank = BENCH_LORA_RANK, .scale = 0.1f, .user = &layers[i], .factors = factors };
        if (!merge_add(merge, e->names[i], 0, 0, &term, err)) return false;
    }
    return true;
}

static bool is_linear(const struct weights_entry *e)
{
    const struct stored *part = &e->job->recipe.parts[0];

    return e->job->form == PACK_WEIGHT && part->shape[2] * part->shape[3] == 1 && strncmp(e->names[0], "first_stage", 11);
}

static bool apply(struct merge *merge, double *ms, struct tinct_err *err)
{
    double begin = context_now_ms();

    if (!merge_apply(merge, NULL, err)) return false;
    *ms = context_now_ms() - begin;
    return true;
}

bool bench_lora(const struct model *m, int threads, double *merge_ms, double *restore_ms, struct tinct_err *err)
{
    uint32_t count = weights_count(m->weights);
    struct merge *merge = merge_create(m->weights, &(struct merge_options) { .threads = threads });
    struct layer *layers = calloc((size_t)count * PACK_PARTS + 1, sizeof *layers);
    bool ok = (merge && layers) || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a benchmark");

    if (ok) merge_begin(merge);
    for (uint32_t i = 0; ok && i < count; i++) {
        struct weights_entry e = weights_entry(m->weights, i);
        if (is_linear(&e)) ok = add_weight(merge, &e, layers + (size_t)i * PACK_PARTS, err);
    }
    ok = ok && apply(merge, merge_ms, err);
    if (ok) {
        merge_begin(merge);
        ok = apply(merge, restore_ms, err);
    }
    merge_free(merge);
    free(layers);
    return ok;
}
