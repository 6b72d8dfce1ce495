#include "pipeline/adapter_terms.h"

#include <stdlib.h>

static bool no_memory(const struct adapter_term *t, struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_MEMORY, "%s: %s: no memory to turn it", lora_path(t->module->file), t->module->name);
}

/* to [cols, rows] = from [rows, cols] */
static void transpose(float *to, const float *from, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) to[c * rows + r] = from[r * cols + c];
}

static bool factors(void *user, float *up, float *down, struct tinct_err *err)
{
    const struct adapter_term *t = user;

    return lora_factors(up, lora_factor_rank(t->module, t->use), down, t->module, t->use, err);
}

/* (up down)^T = down^T up^T: up gets [in, rank], down [rank, out]. */
static bool factors_turned(void *user, float *up, float *down, struct tinct_err *err)
{
    const struct adapter_term *t = user;
    size_t rank = lora_factor_rank(t->module, t->use), out = t->module->target->shape[0], in = t->module->target->shape[1];
    float *own_up = malloc((out + in) * rank * sizeof *own_up), *own_down = own_up + out * rank;
    bool ok = own_up ? lora_factors(own_up, rank, own_down, t->module, t->use, err) : no_memory(t, err);

    if (ok) {
        transpose(up, own_down, rank, in);
        transpose(down, own_up, out, rank);
    }
    free(own_up);
    return ok;
}

static bool delta(void *user, float *out, const float *w0, struct tinct_err *err)
{
    const struct adapter_term *t = user;

    return lora_delta(out, t->module, t->use, w0, err);
}

static bool delta_turned(void *user, float *out, const float *w0, struct tinct_err *err)
{
    const struct adapter_term *t = user;
    size_t rows = t->module->target->shape[0], cols = t->module->target->shape[1];
    float *own = malloc(rows * cols * sizeof *own), *own_w0 = w0 ? malloc(rows * cols * sizeof *own_w0) : NULL;
    bool ok = (own && (own_w0 || !w0)) || no_memory(t, err);

    if (ok && w0) transpose(own_w0, w0, cols, rows);
    ok = ok && lora_delta(own, t->module, t->use, own_w0, err);
    if (ok) transpose(out, own, rows, cols);
    free(own);
    free(own_w0);
    return ok;
}

static bool bias_delta(void *user, float *out, const float *w0, struct tinct_err *err)
{
    const struct adapter_term *t = user;

    (void)w0;
    return lora_bias_delta(out, t->module, t->use, err);
}

static bool holds(const struct merge *merge, const char *name)
{
    struct stored view;

    return name && merge_find(merge, name, &view);
}

bool adapter_term_fits(const struct merge *merge, const struct lora_module *m)
{
    return (!lora_changes_weight(m) || holds(merge, m->target->weight)) &&
           (!lora_changes_bias(m) || holds(merge, m->target->bias));
}

static bool add_weight(struct merge *merge, struct adapter_term *t, uint64_t key, struct tinct_err *err)
{
    const struct lora_target *target = t->module->target;
    struct merge_term term = { .key = key, .rank = lora_factor_rank(t->module, t->use), .user = t };

    if (term.rank) {
        term.scale = (float)((double)t->use.strength * t->module->scale);
        term.factors = target->transposed ? factors_turned : factors;
    } else {
        term.needs_w0 = lora_needs_weight(t->module);
        term.delta = target->transposed ? delta_turned : delta;
    }
    return merge_add(merge, target->weight, target->first_row, target->transposed ? 0 : target->shape[0], &term, err);
}

bool adapter_term_add(struct merge *merge, struct adapter_term *t, uint64_t key, struct tinct_err *err)
{
    const struct lora_target *target = t->module->target;
    struct merge_term bias = { .key = key, .user = t, .delta = bias_delta };

    if (lora_changes_weight(t->module) && holds(merge, target->weight) && !add_weight(merge, t, key, err)) return false;
    return !lora_changes_bias(t->module) || !holds(merge, target->bias) ||
           merge_add(merge, target->bias, target->first_row, target->shape[0], &bias, err);
}
