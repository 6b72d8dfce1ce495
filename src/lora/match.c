#include "lora/match.h"

#include "lora/fit.h"
#include "lora/origin.h"
#include "tensor/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what does not match ------------------------------------------------ */

static bool note(struct lora_match *match, const char *name, const char *reason)
{
    char *copy = malloc(strlen(reason) + 1);

    if (!copy) return false;
    strcpy(copy, reason);
    match->unmatched[match->unmatched_count++] = (struct lora_unmatched) { name, copy };
    return true;
}

static const char *why_unknown(const struct lora_module *m)
{
    if (!strncmp(m->name, "bundle_emb", 10)) return "an embedding that came bundled with the LoRA";
    if (m->type == LORA_NONE) return "no parts of a known LoRA type";
    return "the model has no such layer";
}

static bool note_unknown_keys(struct lora_match *match, const struct safetensors *st)
{
    for (uint32_t i = 0; i < safetensors_count(st); i++) {
        struct lora_key key;
        const char *name = safetensors_at(st, i)->name;
        bool embedding = !strncmp(name, "bundle_emb", 10);
        if (lora_key_split(&key, name)) continue;
        if (!note(match, name, embedding ? "an embedding that came bundled with the LoRA" : "its ending is unknown"))
            return false;
    }
    return true;
}

/* ---- one module --------------------------------------------------------- */

/* Of two spellings of one layer the one with diffusers' path counts (spec/lora.md 1.1). */
static bool is_diffusers(const char *name)
{
    return strstr(name, "down_blocks") || strstr(name, "up_blocks") || strstr(name, "mid_block");
}

static bool refuse_module(const struct lora_module *m, const char *why, struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: %s", lora_path(m->file), m->name, why);
}

static bool add_module(struct lora_match *match, const struct lora_module *m, const struct lora_targets *targets,
                       struct tinct_err *err)
{
    const struct lora_target *target = m->type == LORA_NONE ? NULL : lora_targets_find(targets, m->name);
    char why[LORA_WHY_BYTES] = "";

    if (!target) return note(match, m->name, why_unknown(m)) || refuse_module(m, "no memory", err);
    enum lora_fit fit = lora_fit(m, target, why);
    if (fit == LORA_MISFIT && target->attention) {
        refuse_module(m, why, err);
        return tinct_advise(err, "attention layers of another width are the sign of a LoRA for another base model");
    }
    if (fit == LORA_BROKEN) return refuse_module(m, why, err);
    if (fit == LORA_MISFIT) return note(match, m->name, why) || refuse_module(m, "no memory", err);
    match->modules[match->count] = *m;
    match->modules[match->count++].target = target;
    return true;
}

static int by_target(const void *a, const void *b)
{
    const struct lora_module *x = a, *y = b;
    if (x->target != y->target) return x->target < y->target ? -1 : 1;
    if (is_diffusers(x->name) != is_diffusers(y->name)) return is_diffusers(x->name) ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* In the targets' order, each layer once. */
static bool drop_doubles(struct lora_match *match)
{
    uint32_t kept = 0;

    if (match->count) qsort(match->modules, match->count, sizeof *match->modules, by_target);
    for (uint32_t i = 0; i < match->count; i++) {
        if (kept && match->modules[kept - 1].target == match->modules[i].target) {
            if (!note(match, match->modules[i].name, "the same layer is there under diffusers' name")) return false;
        } else {
            match->modules[kept++] = match->modules[i];
        }
    }
    match->count = kept;
    return true;
}

/* ---- values ------------------------------------------------------------- */

static bool check_part(const struct stored *view, struct tinct_err *err)
{
    enum { RUN = 65536 };
    struct stored run = *view;
    uint64_t count = stored_count(view);
    float *values = malloc(RUN * sizeof *values);
    bool ok = values || tinct_fail(err, TINCT_ERR_MEMORY, "no memory to check %s", view->name);

    run.dims = 1;
    for (uint64_t i = 0; ok && i < count; i += RUN) {
        run.shape[0] = (uint32_t)(count - i < RUN ? count - i : RUN);
        run.offset = view->offset + i * dtype_size(view->dtype);
        ok = stored_read_f32(values, &run, err);
    }
    free(values);
    return ok;
}

/* All but alpha and scale, which are read where they count. */
static bool check_values(const struct lora_match *match, struct tinct_err *err)
{
    struct stored view;

    for (uint32_t i = 0; i < match->count; i++)
        for (int part = 0; part < LORA_PARTS; part++) {
            if (part == LORA_ALPHA || part == LORA_SCALE) continue;
            if (lora_module_view(&match->modules[i], (enum lora_part)part, &view) && !check_part(&view, err))
                return false;
        }
    return true;
}

/* ---- all ---------------------------------------------------------------- */

static void add_facts(struct lora_match *match)
{
    for (uint32_t i = 0; i < match->count; i++) {
        const struct lora_module *m = &match->modules[i];
        match->silent += m->rank && !(m->scale > 0 || m->scale < 0);
        if (m->rank && (!match->rank_min || m->rank < match->rank_min)) match->rank_min = m->rank;
        if (m->rank > match->rank_max) match->rank_max = m->rank;
    }
}

static bool match_all(struct lora_match *match, const struct lora_file *file, const struct lora_targets *targets,
                      bool values, struct tinct_err *err)
{
    if (!lora_origin_fits(file, targets, err)) return false;
    for (uint32_t i = 0; i < lora_module_count(file); i++) {
        const struct lora_module *m = lora_module_at(file, i);
        match->total += m->type != LORA_NONE;
        if (!add_module(match, m, targets, err)) return false;
    }
    if (!drop_doubles(match) || !note_unknown_keys(match, lora_tensors(file)))
        return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to match it", lora_path(file));
    if (match->count) return !values || check_values(match, err);
    tinct_fail(err, TINCT_ERR_FORMAT, "%s: none of its %u modules matches a layer of the model, the first is %s",
               lora_path(file), (unsigned)match->total, lora_module_at(file, 0)->name);
    return tinct_advise(err, "it was made for another kind of model than %s",
                        lora_base_name(lora_targets_base(targets)));
}

static struct lora_match *make_match(const struct lora_file *file, const struct lora_targets *targets, bool values,
                                     struct tinct_err *err)
{
    struct lora_match *match = calloc(1, sizeof *match);
    uint32_t modules = lora_module_count(file), keys = safetensors_count(lora_tensors(file));

    if (match) {
        match->modules = calloc((size_t)modules + 1, sizeof *match->modules);
        match->unmatched = calloc((size_t)modules + keys + 1, sizeof *match->unmatched);
    }
    if (!match || !match->modules || !match->unmatched) {
        tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to match it", lora_path(file));
        goto fail;
    }
    if (!match_all(match, file, targets, values, err)) goto fail;
    add_facts(match);
    return match;
fail:
    lora_match_free(match);
    return NULL;
}

struct lora_match *lora_match(const struct lora_file *file, const struct lora_targets *targets,
                              struct tinct_err *err)
{
    return make_match(file, targets, true, err);
}

struct lora_match *lora_match_layers(const struct lora_file *file, const struct lora_targets *targets,
                                     struct tinct_err *err)
{
    return make_match(file, targets, false, err);
}

void lora_match_free(struct lora_match *match)
{
    if (!match) return;
    for (uint32_t i = 0; i < match->unmatched_count; i++) free(match->unmatched[i].reason);
    free(match->unmatched);
    free(match->modules);
    free(match);
}
