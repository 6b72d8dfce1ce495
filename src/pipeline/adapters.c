#include "pipeline/adapters.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "pipeline/adapter_terms.h"
#include "pipeline/context.h"

enum { KEPT_OPEN = 64 };               /* files; each holds a descriptor and its header's names */

struct opened {
    struct adapter adapter;
    struct stat identity;              /* when it was opened */
    uint64_t last_used;
    bool stale;                        /* the file changed: another one took its place */
};

struct adapters {
    struct model *model;
    struct merge *merge;
    struct lora_targets *targets;
    char *cache_dir;                   /* NULL: none */
    struct opened **opened;            /* [count] */
    size_t count;
    uint64_t clock;                    /* counts uses and openings */
};

struct adapters *adapters_create(struct model *m, const struct adapters_options *options, struct tinct_err *err)
{
    struct adapters *all = calloc(1, sizeof *all);

    if (!all) goto no_memory;
    all->model = m;
    if (options->cache_dir && !(all->cache_dir = malloc(strlen(options->cache_dir) + 1))) goto no_memory;
    if (options->cache_dir) strcpy(all->cache_dir, options->cache_dir);
    all->merge = merge_create(m->weights, &(struct merge_options) { .threads = options->threads });
    if (!all->merge) goto no_memory;
    all->targets = lora_targets_of(m->checkpoint, err);
    if (all->targets) return all;
    adapters_free(all);
    return NULL;
no_memory:
    adapters_free(all);
    tinct_fail(err, TINCT_ERR_MEMORY, "no memory for LoRAs");
    return NULL;
}

/* ---- files ---------------------------------------------------------------- */

static void close_opened(struct opened *o)
{
    if (!o) return;
    lora_match_free(o->adapter.match);
    lora_close(o->adapter.file);
    free(o->adapter.path);
    free(o);
}

void adapters_free(struct adapters *all)
{
    if (!all) return;
    for (size_t i = 0; i < all->count; i++) close_opened(all->opened[i]);
    free(all->opened);
    lora_targets_free(all->targets);
    merge_free(all->merge);
    free(all->cache_dir);
    free(all);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* AutoV3: the one that the trainer stored, as A1111 takes it, or computed once and remembered. */
static bool find_hash(const struct adapters *all, struct adapter *a, struct tinct_err *err)
{
    const struct safetensors *st = lora_tensors(a->file);
    const char *stored = safetensors_metadata(st, "sshs_model_hash");
    unsigned char digest[HASH_BYTES];
    uint64_t offset;

    if (stored && strspn(stored, "0123456789abcdef") >= LORA_HASH_DIGITS) {
        memcpy(a->hash, stored, LORA_HASH_DIGITS);
        return true;
    }
    if (!hash_safetensors_data(safetensors_file(st), &offset, err) ||
        !hash_cached(all->cache_dir, a->path, offset, NULL, digest, err))
        return false;
    hash_hex(digest, LORA_HASH_DIGITS, a->hash);
    return true;
}

static struct opened *open_file(struct adapters *all, const char *path, const struct stat *identity, struct tinct_err *err)
{
    struct opened *o = calloc(1, sizeof *o);
    struct adapter *a = o ? &o->adapter : NULL;
    double begin = context_now_ms();

    if (!o || !(a->path = malloc(strlen(path) + 1))) {
        tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for a LoRA", path);
        goto fail;
    }
    strcpy(a->path, path);
    o->identity = *identity;
    if (!(a->file = lora_open(path, err)) || !(a->match = lora_match(a->file, all->targets, err))) goto fail;
    if (!find_hash(all, a, err)) goto fail;
    for (uint32_t i = 0; i < a->match->count; i++) a->unused += !adapter_term_fits(all->merge, &a->match->modules[i]);
    a->serial = ++all->clock;
    a->load_ms = context_now_ms() - begin;
    return o;
fail:
    close_opened(o);
    return NULL;
}

static struct opened *find(struct adapters *all, const char *path)
{
    for (size_t i = 0; i < all->count; i++)
        if (!all->opened[i]->stale && !strcmp(all->opened[i]->adapter.path, path)) return all->opened[i];
    return NULL;
}

static bool append(struct adapters *all, struct opened *o, struct tinct_err *err)
{
    struct opened **list = realloc(all->opened, (all->count + 1) * sizeof *list);

    if (!list) return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for a LoRA", o->adapter.path);
    all->opened = list;
    list[all->count++] = o;
    return true;
}

const struct adapter *adapters_open(struct adapters *all, const char *path, struct tinct_err *err)
{
    struct opened *old = find(all, path), *o = old;
    struct stat now = { 0 };
    bool there = stat(path, &now) == 0;            /* if not, lora_open says what is wrong */

    if (!old || !there || !same_file(&old->identity, &now)) {
        o = open_file(all, path, &now, err);
        if (!o || !append(all, o, err)) {
            close_opened(o);
            return NULL;
        }
        if (old) old->stale = true;                /* a use of the set that is being made may point to it */
    }
    o->last_used = ++all->clock;
    return &o->adapter;
}

static void drop(struct adapters *all, size_t at)
{
    close_opened(all->opened[at]);
    all->opened[at] = all->opened[--all->count];
}

void adapters_trim(struct adapters *all)
{
    for (size_t i = all->count; i-- > 0;)
        if (all->opened[i]->stale) drop(all, i);
    while (all->count > KEPT_OPEN) {
        size_t oldest = 0;
        for (size_t i = 1; i < all->count; i++)
            if (all->opened[i]->last_used < all->opened[oldest]->last_used) oldest = i;
        drop(all, oldest);
    }
}

/* ---- the set ---------------------------------------------------------------- */

static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;       /* one to one: different strengths stay different */
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

/* Terms are summed in the order of their keys: 28 bits of the file's hash, then 12 that stand for strength and ranks, so that
 * the sum does not depend on names, order or history, two copies of one file included; last, what tells openings of a file
 * apart whose stored hash may be wrong. */
static uint64_t key_of(const struct adapter *a, struct lora_use use)
{
    char head[8] = { 0 };
    uint32_t bits;

    memcpy(head, a->hash, 7);
    memcpy(&bits, &use.strength, sizeof bits);
    uint64_t how = mix(bits ^ mix(use.keep)) >> 20, which = mix((uint32_t)a->serial ^ bits) >> 8;
    return (uint64_t)strtoul(head, NULL, 16) << 36 | how << 24 | which;
}

static float strength_in(const struct adapter_use *use, const struct lora_target *target)
{
    float strength = target->model == LORA_UNET ? use->unet : use->te;

    return use->blocks ? strength * lora_blocks_at(use->blocks, target) : strength;
}

static bool same_terms(const struct adapter_use *a, const struct adapter_use *b)
{
    return a->adapter == b->adapter && a->keep == b->keep;
}

/* The terms of all uses of uses[first]'s file from first on; terms has room for each of its modules. */
static bool add_file(struct adapters *all, const struct adapter_use *uses, size_t count, size_t first,
                     struct adapter_term *terms, struct tinct_err *err)
{
    const struct lora_match *match = uses[first].adapter->match;

    for (uint32_t i = 0; i < match->count; i++) {
        double strength = 0;
        for (size_t k = first; k < count; k++)
            if (same_terms(&uses[k], &uses[first])) strength += (double)strength_in(&uses[k], match->modules[i].target);
        terms[i] = (struct adapter_term) { &match->modules[i], { (float)strength, uses[first].keep } };
        if (!(strength < 0 || strength > 0)) continue;
        if (!adapter_term_add(all->merge, &terms[i], key_of(uses[first].adapter, terms[i].use), err)) return false;
    }
    return true;
}

static bool is_first(const struct adapter_use *uses, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (same_terms(&uses[i], &uses[at])) return false;
    return true;
}

static bool files_unchanged(const struct adapter_use *uses, size_t count, struct tinct_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!file_unchanged(safetensors_file(lora_tensors(uses[i].adapter->file)), err)) return false;
    return true;
}

bool adapters_apply(struct adapters *all, const struct adapter_use *uses, size_t count, bool *changed,
                    struct tinct_err *err)
{
    struct merge_report report = { 0 };
    size_t room = 1, used = 0;
    bool ok = true;

    for (size_t i = 0; i < count; i++) room += uses[i].adapter->match->count;
    struct adapter_term *terms = malloc(room * sizeof *terms);
    if (!terms) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for %zu LoRAs", count);
    merge_begin(all->merge);
    for (size_t i = 0; ok && i < count; i++) {
        if (!is_first(uses, i)) continue;
        ok = add_file(all, uses, count, i, terms + used, err);
        used += uses[i].adapter->match->count;
    }
    ok = ok && merge_apply(all->merge, &report, err) && files_unchanged(uses, count, err);
    free(terms);
    *changed = report.rebuilt + report.restored > 0;
    return ok;
}
