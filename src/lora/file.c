#include "lora/file.h"

#include "lora/origin.h"
#include "lora/scale.h"
#include "tensor/checkpoint.h"

#include <stdlib.h>
#include <string.h>

struct lora_file {
    struct safetensors *st;
    struct lora_module *modules;
    uint32_t count;
    uint32_t unknown_keys;
    char *names; /* of the modules, one behind the other */
};

/* ---- group keys --------------------------------------------------------- */

struct entry {
    const char *module;
    enum lora_part part;
    uint32_t tensor;
};

struct entries {
    struct entry *items;
    uint32_t count;
};

static int by_module(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->module, y->module);
    if (order) return order;
    if (x->part != y->part) return (int)x->part - (int)y->part;
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* Split every key; the module names go to file->names, which is made as large as all keys. */
static bool split_keys(struct lora_file *file, struct entries *entries, struct tinct_err *err)
{
    uint32_t count = safetensors_count(file->st);
    size_t bytes = 1;

    for (uint32_t i = 0; i < count; i++) bytes += strlen(safetensors_at(file->st, i)->name) + 1;
    file->names = malloc(bytes);
    entries->items = malloc((count + 1) * sizeof *entries->items);
    if (!file->names || !entries->items)
        return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its keys", lora_path(file));
    char *to = file->names;
    for (uint32_t i = 0; i < count; i++) {
        struct lora_key key;
        if (!lora_key_split(&key, safetensors_at(file->st, i)->name)) {
            file->unknown_keys++;
            continue;
        }
        strcpy(to, key.module);
        entries->items[entries->count++] = (struct entry) { to, key.part, i };
        to += strlen(to) + 1;
    }
    if (entries->count) qsort(entries->items, entries->count, sizeof *entries->items, by_module);
    return true;
}

static bool make_modules(struct lora_file *file, const struct entries *entries, struct tinct_err *err)
{
    uint32_t distinct = 0;

    for (uint32_t i = 0; i < entries->count; i++)
        distinct += i == 0 || strcmp(entries->items[i].module, entries->items[i - 1].module) != 0;
    file->modules = calloc(distinct + 1, sizeof *file->modules);
    if (!file->modules) return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its modules", lora_path(file));
    for (uint32_t i = 0; i < entries->count; i++) {
        const struct entry *e = &entries->items[i];
        if (i == 0 || strcmp(e->module, entries->items[i - 1].module)) {
            file->modules[file->count].file = file;
            file->modules[file->count++].name = e->module;
        }
        struct lora_module *m = &file->modules[file->count - 1];
        if (m->part[e->part])
            return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s and %s are the same part of one layer", lora_path(file),
                              safetensors_at(file->st, m->part[e->part] - 1)->name,
                              safetensors_at(file->st, e->tensor)->name);
        m->part[e->part] = e->tensor + 1;
    }
    return true;
}

/* ---- types -------------------------------------------------------------- */

static bool has_any(const struct lora_module *m, enum lora_part first, enum lora_part last)
{
    for (int part = (int)first; part <= (int)last; part++)
        if (m->part[part]) return true;
    return false;
}

static enum lora_type type_of(const struct lora_module *m)
{
    struct stored view;

    if (has_any(m, LORA_UP, LORA_MID)) return LORA_LOW_RANK;
    if (has_any(m, LORA_HADA_1A, LORA_HADA_T2)) return LORA_LOHA;
    if (has_any(m, LORA_LOKR_1, LORA_LOKR_T2)) return LORA_LOKR;
    if (has_any(m, LORA_GLORA_A1, LORA_GLORA_BM)) return LORA_GLORA;
    if (lora_module_view(m, LORA_OFT, &view) && view.dims == 4) return LORA_BOFT;
    if (has_any(m, LORA_OFT, LORA_OFT_R)) return LORA_DIAG_OFT;
    if (lora_module_has(m, LORA_SET)) return LORA_SET_TYPE;
    if (has_any(m, LORA_NORM_W, LORA_NORM_B)) return LORA_NORM;
    if (has_any(m, LORA_DIFF, LORA_DIFF_B)) return LORA_FULL;
    if (lora_module_has(m, LORA_IA3) && lora_module_has(m, LORA_ON_INPUT)) return LORA_IA3_TYPE;
    return LORA_NONE;
}

const char *lora_module_type(const struct lora_module *m)
{
    static const char *const names[] = {
        [LORA_NONE] = "nothing known", [LORA_LOW_RANK] = "LoRA", [LORA_LOHA] = "LoHa",     [LORA_LOKR] = "LoKr",
        [LORA_GLORA] = "GLoRA",        [LORA_IA3_TYPE] = "IA3",  [LORA_FULL] = "full",     [LORA_NORM] = "norm",
        [LORA_SET_TYPE] = "set",       [LORA_DIAG_OFT] = "OFT",  [LORA_BOFT] = "BOFT",
    };
    struct stored down;

    if (m->dora) return "DoRA";
    if (m->type == LORA_LOW_RANK && (lora_module_has(m, LORA_MID) ||
        (lora_module_view(m, LORA_DOWN, &down) && down.dims == 4 && down.shape[2] * down.shape[3] > 1)))
        return "LoCon";
    return names[m->type];
}

/* ---- open --------------------------------------------------------------- */

static bool key_ends(const char *key, const char *end)
{
    size_t length = strlen(key), wanted = strlen(end);
    return length >= wanted && !strcmp(key + length - wanted, end);
}

static bool is_control_lora(const struct safetensors *st)
{
    if (safetensors_find(st, "lora_controlnet")) return true;
    for (uint32_t i = 0; i < safetensors_count(st); i++)
        if (key_ends(safetensors_at(st, i)->name, ".down") || key_ends(safetensors_at(st, i)->name, ".up")) return true;
    return false;
}

/* Whatever it is, no module of it is a LoRA's. */
static bool refuse_other(const struct lora_file *file, struct tinct_err *err)
{
    const char *path = lora_path(file);
    struct checkpoint *ck = checkpoint_open(path, NULL, NULL);
    struct checkpoint_about about = { .kind = CHECKPOINT_UNKNOWN };

    if (ck) about = checkpoint_about(ck);
    checkpoint_close(ck);
    if (about.kind == CHECKPOINT_UNKNOWN || about.kind == CHECKPOINT_LORA)
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is no LoRA: none of its %u tensors is named as a part of one", path,
                   (unsigned)safetensors_count(file->st));
    else
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is no LoRA but of kind \"%s\"", path, about.kind_name);
    if (about.kind == CHECKPOINT_EMBEDDING)
        return tinct_advise(err, "put it into embeddings/ and write its name in the prompt");
    if (about.has_unet) return tinct_advise(err, "a checkpoint is given with -m");
    return false;
}

static bool classify(struct lora_file *file, struct tinct_err *err)
{
    struct lora_adapter *adapter;
    bool ok = lora_adapter_find(&adapter, file->st, err), any = false;

    for (uint32_t i = 0; ok && i < file->count; i++) {
        struct lora_module *m = &file->modules[i];
        m->type = type_of(m);
        m->dora = has_any(m, LORA_DORA, LORA_DORA_OUT) && m->type != LORA_NONE;
        any |= m->type != LORA_NONE;
        if (m->type != LORA_NONE) ok = lora_scale(m, adapter, err);
    }
    lora_adapter_free(adapter);
    return ok && (any || refuse_other(file, err));
}

struct lora_file *lora_open(const char *path, struct tinct_err *err)
{
    struct lora_file *file = calloc(1, sizeof *file);
    struct entries entries = { 0 };

    if (!file) {
        tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to open it", path);
        return NULL;
    }
    if (!(file->st = safetensors_open(path, err))) goto fail;
    if (is_control_lora(file->st)) {
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is a Control-LoRA, a ControlNet in small, and no style LoRA", path);
        goto fail;
    }
    if (!split_keys(file, &entries, err) || !make_modules(file, &entries, err) || !classify(file, err)) goto fail;
    free(entries.items);
    return file;
fail:
    free(entries.items);
    lora_close(file);
    return NULL;
}

void lora_close(struct lora_file *file)
{
    if (!file) return;
    safetensors_close(file->st);
    free(file->modules);
    free(file->names);
    free(file);
}

/* ---- telling ------------------------------------------------------------ */

const char *lora_path(const struct lora_file *file)
{
    return file_path(safetensors_file(file->st));
}

const struct safetensors *lora_tensors(const struct lora_file *file)
{
    return file->st;
}

uint32_t lora_module_count(const struct lora_file *file)
{
    return file->count;
}

const struct lora_module *lora_module_at(const struct lora_file *file, uint32_t index)
{
    return &file->modules[index];
}

bool lora_module_view(const struct lora_module *m, enum lora_part part, struct stored *view)
{
    const struct safetensors_tensor *t = m->part[part] ? safetensors_at(m->file->st, m->part[part] - 1) : NULL;

    if (!t || t->dims > STORED_DIMS || t->bytes == 0) return false;
    *view = (struct stored) { .file = safetensors_file(m->file->st), .name = t->name, .dtype = t->dtype,
                              .dims = t->dims, .shape = { 1, 1, 1, 1 }, .offset = t->offset };
    for (uint32_t i = 0; i < t->dims; i++) {
        if (t->shape[i] > UINT32_MAX) return false;
        view->shape[i] = (uint32_t)t->shape[i];
    }
    return true;
}

static void add_ranges(struct lora_about *about, const struct lora_module *m)
{
    if (m->rank && (!about->rank_min || m->rank < about->rank_min)) about->rank_min = m->rank;
    if (m->rank > about->rank_max) about->rank_max = m->rank;
    if (!m->has_alpha || !m->rank) return;
    if (about->alpha_max == 0 || m->alpha < about->alpha_min) about->alpha_min = m->alpha;
    if (m->alpha > about->alpha_max) about->alpha_max = m->alpha;
}

/* The type of all, whatever norms and biases come along; LoCon covers LoRA. */
static const char *join_types(const char *all, const char *one)
{
    if (!all || !strcmp(all, one) || !strcmp(all, "norm")) return one;
    if (!strcmp(all, "LoRA") && !strcmp(one, "LoCon")) return one;
    if (!strcmp(one, "norm") || (!strcmp(one, "LoRA") && !strcmp(all, "LoCon"))) return all;
    return "mixed";
}

struct lora_about lora_about(const struct lora_file *file)
{
    struct lora_about about = { .origin = lora_origin_of(file), .keys = safetensors_count(file->st),
                                .unknown_keys = file->unknown_keys };

    for (uint32_t i = 0; i < file->count; i++) {
        const struct lora_module *m = &file->modules[i];
        if (m->type == LORA_NONE) continue;
        about.modules++;
        about.type = join_types(about.type, lora_module_type(m));
        bool text = strstr(m->name, "lora_te") == m->name || strstr(m->name, "text_model") ||
                    strstr(m->name, "text_encoder");
        about.text |= text;
        about.unet |= !text;
        add_ranges(&about, m);
    }
    return about;
}
