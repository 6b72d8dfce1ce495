#include "tensor/lora_facts.h"

#include "base/json.h"
#include "tensor/stored.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tensors there is one of in each changed layer; the axis that is the rank, -1: none. */
static const struct {
    const char *suffix, *type;
    int rank_axis;
} modules[] = {
    { ".lora_down.weight", "LoRA", 0 },      { ".lora_A.weight", "LoRA", 0 },
    { ".lora_A.default.weight", "LoRA", 0 }, { ".lora.down.weight", "LoRA", 0 },
    { "_lora.down.weight", "LoRA", 0 },      { ".lora_linear_layer.down.weight", "LoRA", 0 },
    { ".hada_w1_b", "LoHa", 0 },             { ".lokr_w2", "LoKr", -1 },
    { ".lokr_w2_b", "LoKr", 0 },             { ".oft_blocks", "OFT", -1 },
    { ".oft_diag", "OFT", -1 },
};

static bool ends(const char *name, const char *suffix)
{
    size_t length = strlen(name), wanted = strlen(suffix);
    return length >= wanted && !strcmp(name + length - wanted, suffix);
}

static void count_module(struct lora_facts *facts, const struct safetensors_tensor *t)
{
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (!ends(t->name, modules[i].suffix)) continue;
        facts->modules++;
        if (strcmp(facts->type, "DoRA")) facts->type = modules[i].type;
        if (modules[i].rank_axis != 0 || t->dims == 0 || t->shape[0] > UINT32_MAX) return;
        uint32_t rank = (uint32_t)t->shape[0];
        if (!facts->rank_min || rank < facts->rank_min) facts->rank_min = rank;
        if (rank > facts->rank_max) facts->rank_max = rank;
        return;
    }
}

static void read_alpha(struct lora_facts *facts, const struct safetensors *st, const struct safetensors_tensor *t)
{
    struct stored view = { .file = safetensors_file(st), .name = t->name, .dtype = t->dtype, .offset = t->offset };
    float alpha;

    if (!ends(t->name, ".alpha") || dtype_size(t->dtype) != t->bytes || !stored_read_f32(&alpha, &view, NULL)) return;
    if (facts->alpha_max == 0 || alpha < facts->alpha_min) facts->alpha_min = alpha;
    if (alpha > facts->alpha_max) facts->alpha_max = alpha;
}

/* The width of the text it was trained with, by a cross-attention's key projection. */
static const char *base_by_shape(const struct safetensors *st)
{
    for (uint32_t i = 0; i < safetensors_count(st); i++) {
        const struct safetensors_tensor *t = safetensors_at(st, i);
        bool down = strstr(t->name, "down") || strstr(t->name, "lora_A");
        if (!down || t->dims < 2 || !(strstr(t->name, "attn2_to_k") || strstr(t->name, "attn2.to_k") ||
                                      strstr(t->name, "attn2.processor.to_k")))
            continue;
        if (t->shape[1] == 768) return "SD1.x";
        if (t->shape[1] == 1024) return "SD2.x";
        if (t->shape[1] == 2048) return "SDXL";
    }
    return NULL;
}

static const char *find_base(const struct safetensors *st)
{
    static const char *const keys[] = { "ss_base_model_version", "modelspec.architecture" };
    const char *base = base_by_shape(st);

    for (size_t i = 0; !base && i < sizeof keys / sizeof *keys; i++) base = safetensors_metadata(st, keys[i]);
    return base ? base : "unknown";
}

/* ---- trigger words ------------------------------------------------------ */

struct tag {
    const char *name;
    double count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tag *)a)->name, ((const struct tag *)b)->name);
}

static int by_count(const void *a, const void *b)
{
    const struct tag *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : strcmp(x->name, y->name);
}

/* {"folder": {"tag": count}}: all tags of all folders, those of one name together. */
static size_t collect_tags(struct tag *tags, const struct json *folders)
{
    size_t count = 0, kept = 0;

    for (const struct json *folder = json_first(folders); folder; folder = json_next(folder))
        for (const struct json *tag = json_first(folder); tag; tag = json_next(tag)) {
            struct tag t = { .name = json_name(tag) };
            if (*t.name && json_to_double(tag, &t.count)) tags[count++] = t;
        }
    if (count) qsort(tags, count, sizeof *tags, by_name);
    for (size_t i = 0; i < count; i++) {
        if (kept && !strcmp(tags[kept - 1].name, tags[i].name)) tags[kept - 1].count += tags[i].count;
        else tags[kept++] = tags[i];
    }
    if (kept) qsort(tags, kept, sizeof *tags, by_count);
    return kept;
}

/* The five most frequent tags of the training pictures. */
static void frequent_tags(char *out, size_t size, const char *frequency)
{
    struct json *folders = json_parse(frequency, strlen(frequency), NULL);
    struct tag *tags;
    size_t all = 0, used = 0;

    for (const struct json *folder = json_first(folders); folder; folder = json_next(folder))
        all += json_count(folder);
    if (all && (tags = malloc(all * sizeof *tags))) {
        size_t count = collect_tags(tags, folders);
        for (size_t i = 0; i < count && i < 5 && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%.80s", i ? ", " : "", tags[i].name);
        free(tags);
    }
    json_free(folders);
}

static void find_triggers(struct lora_facts *facts, const struct safetensors *st)
{
    const char *phrase = safetensors_metadata(st, "modelspec.trigger_phrase");
    const char *frequency = safetensors_metadata(st, "ss_tag_frequency");
    const char *hint = safetensors_metadata(st, "modelspec.usage_hint");

    if (phrase && *phrase) snprintf(facts->triggers, sizeof facts->triggers, "%s", phrase);
    else if (frequency) frequent_tags(facts->triggers, sizeof facts->triggers, frequency);
    if (hint) snprintf(facts->suggested, sizeof facts->suggested, "%s", hint);
}

struct lora_facts lora_facts(const struct safetensors *st)
{
    struct lora_facts facts = { .type = "LoRA", .base = find_base(st) };

    for (uint32_t i = 0; i < safetensors_count(st); i++) {
        const struct safetensors_tensor *t = safetensors_at(st, i);
        if (ends(t->name, ".dora_scale") || strstr(t->name, ".lora_magnitude_vector")) facts.type = "DoRA";
        count_module(&facts, t);
        read_alpha(&facts, st, t);
    }
    for (uint32_t i = 0; i < safetensors_count(st) && !strcmp(facts.type, "LoRA"); i++) {
        const struct safetensors_tensor *t = safetensors_at(st, i);
        bool down = strstr(t->name, "lora_down") || strstr(t->name, "lora_A");
        if (down && t->dims == 4 && t->shape[2] > 1) facts.type = "LoCon";
    }
    find_triggers(&facts, st);
    return facts;
}
