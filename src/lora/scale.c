#include "lora/scale.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lora_adapter {
    struct json *root;
    bool sectioned; /* "unet.r" and "text_encoder.r" in one object; else one model's settings */
};

/* ---- the adapter's settings --------------------------------------------- */

/* JSON that is none counts as absent, but want of memory does not: the picture would be another. */
static bool parse(struct json **root, const char *text, size_t size, struct tinct_err *err)
{
    struct tinct_err why = { 0 };

    *root = json_parse(text, size, &why);
    if (*root || why.code != TINCT_ERR_MEMORY) return true;
    return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a LoRA's settings");
}

static bool read_neighbour(struct json **root, const struct safetensors *st, struct tinct_err *err)
{
    static const char name[] = "adapter_config.json";
    const char *path = file_path(safetensors_file(st)), *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0, size = 0;
    char *neighbour = malloc(folder + sizeof name), *text = NULL;
    struct tinct_err why = { 0 };
    bool ok = neighbour != NULL;

    if (ok) {
        memcpy(neighbour, path, folder);
        memcpy(neighbour + folder, name, sizeof name);
        struct file *file = file_open(neighbour, &why);
        if (file && file_size(file) <= JSON_MAX_BYTES) size = (size_t)file_size(file);
        ok = why.code != TINCT_ERR_MEMORY && (!size || (text = malloc(size)));
        if (ok && text && file_read(file, text, 0, size, NULL)) ok = parse(root, text, size, err);
        file_close(file);
    }
    free(text);
    free(neighbour);
    return ok || tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its settings", path);
}

/* An adapter_config.json belongs to the file that PEFT writes beside it, and to no other LoRA of the folder. */
static bool is_adapter_model(const struct safetensors *st)
{
    const char *path = file_path(safetensors_file(st)), *slash = strrchr(path, '/');
    return !strcmp(slash ? slash + 1 : path, "adapter_model.safetensors");
}

bool lora_adapter_find(struct lora_adapter **adapter, const struct safetensors *st, struct tinct_err *err)
{
    const char *metadata = safetensors_metadata(st, "lora_adapter_metadata");
    struct json *root = NULL;

    *adapter = NULL;
    if (metadata && !parse(&root, metadata, strlen(metadata), err)) return false;
    bool sectioned = root != NULL;
    if (!root && is_adapter_model(st) && !read_neighbour(&root, st, err)) return false;
    if (!root) return true;
    if ((*adapter = malloc(sizeof **adapter))) {
        **adapter = (struct lora_adapter) { root, sectioned };
        return true;
    }
    json_free(root);
    return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a LoRA's settings");
}

void lora_adapter_free(struct lora_adapter *adapter)
{
    if (!adapter) return;
    json_free(adapter->root);
    free(adapter);
}

/* The setting for the model that the module's name begins with. */
static const struct json *setting(const struct lora_adapter *a, const char *module, const char *name)
{
    static const char *const models[] = { "unet.", "text_encoder_2.", "text_encoder." };
    char key[64];

    if (!a->sectioned) return json_member(a->root, name);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (strncmp(module, models[i], strlen(models[i]))) continue;
        snprintf(key, sizeof key, "%s%s", models[i], name);
        return json_member(a->root, key);
    }
    return json_member(a->root, name);
}

/* The pattern names the module's end, from a dot on. */
static bool names_module(const char *pattern, const char *module)
{
    size_t length = strlen(module), wanted = strlen(pattern);
    return wanted && length >= wanted && !strcmp(module + length - wanted, pattern) &&
           (length == wanted || module[length - wanted - 1] == '.');
}

static bool adapter_alpha(const struct lora_adapter *a, const char *module, double *alpha)
{
    const struct json *v;

    for (v = json_first(setting(a, module, "alpha_pattern")); v; v = json_next(v))
        if (names_module(json_name(v), module)) return json_to_double(v, alpha);
    return json_to_double(setting(a, module, "lora_alpha"), alpha) ||
           json_to_double(setting(a, module, "alpha"), alpha);
}

/* The rank that the settings give; for PEFT's LoKr of two whole factors, whose tensors do not show it. */
static double adapter_rank(const struct lora_adapter *a, const char *module)
{
    double rank = 0;

    for (const struct json *v = json_first(setting(a, module, "rank_pattern")); v; v = json_next(v))
        if (names_module(json_name(v), module) && json_to_double(v, &rank)) return rank;
    json_to_double(setting(a, module, "r"), &rank);
    return rank;
}

static bool adapter_rs(const struct lora_adapter *a, const char *module)
{
    bool rs = false;
    json_to_bool(setting(a, module, "use_rslora"), &rs);
    return rs;
}

/* ---- rank --------------------------------------------------------------- */

static uint32_t size_of(const struct lora_module *m, enum lora_part part, int axis)
{
    struct stored view;
    return lora_module_view(m, part, &view) && (int)view.dims > axis ? view.shape[axis] : 0;
}

/* The size that all four factors share; old GLoRA files keep each the other way round. On a square layer both
 * ways share one, and the rank is the smaller. */
static uint32_t glora_rank(const struct lora_module *m)
{
    uint32_t r = size_of(m, LORA_GLORA_A2, 0), old = size_of(m, LORA_GLORA_A1, 0);
    bool current = size_of(m, LORA_GLORA_A1, 1) == r && size_of(m, LORA_GLORA_B1, 1) == r &&
                   size_of(m, LORA_GLORA_B2, 0) == r;
    bool reversed = size_of(m, LORA_GLORA_A2, 1) == old && size_of(m, LORA_GLORA_B2, 1) == old &&
                    size_of(m, LORA_GLORA_B1, 0) == old;
    return reversed && (!current || old < r) ? old : r;
}

static uint32_t rank_of(const struct lora_module *m)
{
    switch (m->type) {
    case LORA_LOW_RANK: return size_of(m, LORA_DOWN, 0);
    case LORA_LOHA: return size_of(m, LORA_HADA_1B, 0);
    case LORA_LOKR:
        return lora_module_has(m, LORA_LOKR_2B) ? size_of(m, LORA_LOKR_2B, 0) : size_of(m, LORA_LOKR_1B, 0);
    case LORA_GLORA: return glora_rank(m);
    default: return 0;
    }
}

/* ---- scale -------------------------------------------------------------- */

static bool read_one(const struct lora_module *m, enum lora_part part, float *value, struct tinct_err *err)
{
    struct stored view;

    if (!lora_module_view(m, part, &view) || stored_count(&view) != 1)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s.%s: wanted one value", lora_path(m->file), m->name,
                          lora_part_name(part));
    return stored_read_f32(value, &view, err);
}

static bool has_factors(const struct lora_module *m)
{
    return m->type == LORA_LOW_RANK || m->type == LORA_LOHA || m->type == LORA_LOKR || m->type == LORA_GLORA;
}

static bool is_whole_lokr(const struct lora_module *m)
{
    return m->type == LORA_LOKR && lora_module_has(m, LORA_LOKR_1) && lora_module_has(m, LORA_LOKR_2);
}

/* PEFT's rule for a module without an alpha tensor. */
static void scale_by_adapter(struct lora_module *m, const struct lora_adapter *adapter)
{
    double alpha, rank = is_whole_lokr(m) ? adapter_rank(adapter, m->name) : (double)m->rank;

    if (!(rank > 0) || !adapter_alpha(adapter, m->name, &alpha)) return;
    m->has_alpha = true;
    m->alpha = (float)alpha;
    m->scale = alpha / (adapter_rs(adapter, m->name) ? sqrt(rank) : rank);
}

bool lora_scale(struct lora_module *m, const struct lora_adapter *adapter, struct tinct_err *err)
{
    float value;

    m->rank = rank_of(m);
    m->scale = 1;
    /* LyCORIS' alpha of two whole factors counts for nothing, and is often beyond fp16: never read it */
    if (lora_module_has(m, LORA_ALPHA) && !is_whole_lokr(m)) {
        if (!read_one(m, LORA_ALPHA, &m->alpha, err)) return false;
        m->has_alpha = true;
        if (m->rank && has_factors(m)) m->scale = (double)m->alpha / (double)m->rank;
    } else if (adapter && has_factors(m) && !lora_module_has(m, LORA_ALPHA)) {
        scale_by_adapter(m, adapter);
    }
    if (!lora_module_has(m, LORA_SCALE) || is_whole_lokr(m)) return true;
    if (!read_one(m, LORA_SCALE, &value, err)) return false;
    m->scale = (double)value;
    return true;
}
