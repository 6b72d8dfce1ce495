#include "lora/targets.h"

#include "lora/aliases.h"
#include "tensor/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64, TEXT_LAYERS = 64, UNET_BLOCKS = 13 };

struct alias {
    uint64_t hash;
    char *name;      /* NULL: a free slot */
    uint32_t target;
};

struct lora_targets {
    enum lora_base base;
    uint32_t context;
    struct lora_target *items;
    uint32_t count, room;
    struct alias *slots; /* open addressing, at most half full */
    uint32_t slot_count, used;

    lora_find_shape *find; /* while it is built */
    void *user;
    bool failed;           /* err is set */
    struct tinct_err *err;
};

/* ---- the table ---------------------------------------------------------- */

/* FNV-1a. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

/* The slot that holds name, or the free one where it belongs. */
static struct alias *find_slot(struct alias *slots, uint32_t count, uint64_t hash, const char *name)
{
    uint32_t at = (uint32_t)hash & (count - 1);
    while (slots[at].name && (slots[at].hash != hash || strcmp(slots[at].name, name))) at = (at + 1) & (count - 1);
    return &slots[at];
}

static bool no_memory(struct lora_targets *t)
{
    t->failed = true;
    return tinct_fail(t->err, TINCT_ERR_MEMORY, "no memory for the names of the model's layers");
}

static bool grow_slots(struct lora_targets *t)
{
    uint32_t count = t->slot_count ? t->slot_count * 2 : 16384;
    struct alias *slots = calloc(count, sizeof *slots);

    if (!slots) return no_memory(t);
    for (uint32_t i = 0; i < t->slot_count; i++)
        if (t->slots[i].name) *find_slot(slots, count, t->slots[i].hash, t->slots[i].name) = t->slots[i];
    free(t->slots);
    t->slots = slots;
    t->slot_count = count;
    return true;
}

static char *copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *to = malloc(size);
    return to ? memcpy(to, text, size) : NULL;
}

/* A lora_tell_alias: the name stands for the newest target. */
static bool add_alias(void *user, const char *name)
{
    struct lora_targets *t = user;
    uint64_t hash = hash_name(name);

    if (t->used >= t->slot_count / 2 && !grow_slots(t)) return false;
    struct alias *slot = find_slot(t->slots, t->slot_count, hash, name);
    if (slot->name && slot->target != t->count - 1) {
        t->failed = true;
        return tinct_fail(t->err, TINCT_ERR_INTERNAL, "%s stands for two layers: %s and %s", name,
                          t->items[slot->target].weight, t->items[t->count - 1].weight);
    }
    if (slot->name) return true;
    *slot = (struct alias) { hash, copy(name), t->count - 1 };
    if (!slot->name) return no_memory(t);
    t->used++;
    return true;
}

/* ---- targets ------------------------------------------------------------ */

static bool add_target(struct lora_targets *t, struct lora_target target, const char *weight, const char *bias)
{
    uint32_t dims, shape[4];

    if (t->count == t->room) {
        uint32_t room = t->room ? t->room * 2 : 512;
        struct lora_target *items = realloc(t->items, room * sizeof *items);
        if (!items) return no_memory(t);
        t->items = items;
        t->room = room;
    }
    bool has_bias = bias && t->find(t->user, bias, &dims, shape);
    target.weight = copy(weight);
    target.bias = has_bias ? copy(bias) : NULL;
    t->items[t->count++] = target;
    return target.weight && (!has_bias || target.bias) ? true : no_memory(t);
}

/* False also where the model has no such tensor, or one of more than 4 dimensions. */
static bool find_target(struct lora_targets *t, const char *weight, struct lora_target *target)
{
    *target = (struct lora_target) { .shape = { 1, 1, 1, 1 } };
    if (t->failed || !t->find(t->user, weight, &target->dims, target->shape) || target->dims > 4) return false;
    for (uint32_t i = target->dims; i < 4; i++) target->shape[i] = 1;
    return target->dims > 0;
}

static void add_unet_layer(struct lora_targets *t, const char *head, const char *tail)
{
    char path[NAMES_BYTES - 32], weight[NAMES_BYTES], bias[NAMES_BYTES];
    struct lora_target target;

    snprintf(path, sizeof path, "%s%s", head, tail);
    snprintf(weight, sizeof weight, NAMES_UNET "%s.weight", path);
    snprintf(bias, sizeof bias, NAMES_UNET "%s.bias", path);
    if (!find_target(t, weight, &target)) return;
    target.model = LORA_UNET;
    target.attention = strstr(path, ".attn1.") || strstr(path, ".attn2.");
    if (!t->context && strstr(path, ".attn2.to_k")) t->context = target.shape[1];
    if (add_target(t, target, weight, bias)) lora_unet_aliases(path, add_alias, t);
}

/* ---- UNet --------------------------------------------------------------- */

static void add_each(struct lora_targets *t, const char *head, const char *const *tails)
{
    for (; *tails; tails++) add_unet_layer(t, head, *tails);
}

/* Whatever lies at e.g. "input_blocks.4.1.": a resnet, a transformer, a sampler; which one the model's tensors say. */
static void add_unet_element(struct lora_targets *t, const char *head)
{
    static const char *const layers[] = {
        "in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3", "skip_connection",
        "op", "conv", "norm", "proj_in", "proj_out", NULL,
    };
    static const char *const block_layers[] = {
        "norm1", "norm2", "norm3", "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0",
        "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2", NULL,
    };

    uint32_t before = t->count;

    add_each(t, head, layers);
    for (int k = 0; k < DEEPEST && t->count > before; k++) {
        char block[96];
        before = t->count;
        snprintf(block, sizeof block, "%stransformer_blocks.%d.", head, k);
        add_each(t, block, block_layers);
    }
}

static void add_unet(struct lora_targets *t)
{
    static const char *const ends[] = { "input_blocks.0.0", "time_embed.0", "time_embed.2", "label_emb.0.0",
                                        "label_emb.0.2",    "out.0",        "out.2",        NULL };
    static const char *const sides[] = { "input_blocks", "output_blocks" };
    char head[48];

    add_each(t, "", ends);
    for (int side = 0; side < 2; side++)
        for (int block = side == 0; block < UNET_BLOCKS; block++)
            for (int element = 0; element < 3; element++) {
                snprintf(head, sizeof head, "%s.%d.%d.", sides[side], block, element);
                add_unet_element(t, head);
            }
    for (int element = 0; element < 3; element++) {
        snprintf(head, sizeof head, "middle_block.%d.", element);
        add_unet_element(t, head);
    }
}

/* ---- text encoders ------------------------------------------------------ */

/* transformers' layer and OpenCLIP's; slice counts q, k, v of a fused tensor, -1: none. */
static const struct text_layer {
    const char *path, *open_clip;
    int slice;
} text_layers[] = {
    { "self_attn.q_proj", "attn.in_proj_", 0 }, { "self_attn.k_proj", "attn.in_proj_", 1 },
    { "self_attn.v_proj", "attn.in_proj_", 2 }, { "self_attn.out_proj", "attn.out_proj.", -1 },
    { "mlp.fc1", "mlp.c_fc.", -1 },             { "mlp.fc2", "mlp.c_proj.", -1 },
    { "layer_norm1", "ln_1.", -1 },             { "layer_norm2", "ln_2.", -1 },
};

/* tensor: its name up to "weight" and "bias", e.g. "...attn.in_proj_". path: transformers'. */
static void add_text_layer(struct lora_targets *t, enum lora_model model, const char *tensor, int slice,
                           const char *path)
{
    char weight[NAMES_BYTES], bias[NAMES_BYTES];
    struct lora_target target;

    snprintf(weight, sizeof weight, "%sweight", tensor);
    snprintf(bias, sizeof bias, "%sbias", tensor);
    if (!find_target(t, weight, &target)) return;
    target.model = model;
    target.attention = strstr(path, "self_attn.") != NULL;
    if (slice >= 0) {
        if (target.shape[0] % 3) return;
        target.shape[0] /= 3;
        target.first_row = (uint32_t)slice * target.shape[0];
        target.fused = true;
    }
    if (add_target(t, target, weight, bias)) lora_text_aliases(t->base, model, path, add_alias, t);
}

/* As transformers has it: SD1's only encoder and SDXL's first. */
static void add_text_model(struct lora_targets *t, enum lora_model model, const char *prefix)
{
    char tensor[NAMES_BYTES], path[96];

    for (int layer = 0; layer < TEXT_LAYERS; layer++) {
        uint32_t before = t->count;
        for (size_t i = 0; i < sizeof text_layers / sizeof *text_layers; i++) {
            snprintf(path, sizeof path, "encoder.layers.%d.%s", layer, text_layers[i].path);
            snprintf(tensor, sizeof tensor, "%s%s.", prefix, path);
            add_text_layer(t, model, tensor, -1, path);
        }
        if (t->count == before) break;
    }
    snprintf(tensor, sizeof tensor, "%sfinal_layer_norm.", prefix);
    add_text_layer(t, model, tensor, -1, "final_layer_norm");
}

/* OpenCLIP's text_projection is a bare matrix [hidden, projected], the other way round than a LoRA's. */
static void add_projection(struct lora_targets *t, enum lora_model model, const char *prefix)
{
    char weight[NAMES_BYTES];
    struct lora_target target;

    snprintf(weight, sizeof weight, "%stext_projection", prefix);
    if (!find_target(t, weight, &target) || target.dims != 2) return;
    target.model = model;
    target.transposed = true;
    uint32_t hidden = target.shape[0];
    target.shape[0] = target.shape[1];
    target.shape[1] = hidden;
    if (add_target(t, target, weight, NULL)) lora_text_aliases(t->base, model, "text_projection", add_alias, t);
}

/* As OpenCLIP has it: SD2's encoder and SDXL's second. */
static void add_open_clip(struct lora_targets *t, enum lora_model model, const char *prefix)
{
    char tensor[NAMES_BYTES], path[96];

    for (int layer = 0; layer < TEXT_LAYERS; layer++) {
        uint32_t before = t->count;
        for (size_t i = 0; i < sizeof text_layers / sizeof *text_layers; i++) {
            snprintf(path, sizeof path, "encoder.layers.%d.%s", layer, text_layers[i].path);
            snprintf(tensor, sizeof tensor, "%stransformer.resblocks.%d.%s", prefix, layer, text_layers[i].open_clip);
            add_text_layer(t, model, tensor, text_layers[i].slice, path);
        }
        if (t->count == before) break;
    }
    snprintf(tensor, sizeof tensor, "%sln_final.", prefix);
    add_text_layer(t, model, tensor, -1, "final_layer_norm");
    add_projection(t, model, prefix);
}

/* ---- create, look up ---------------------------------------------------- */

struct lora_targets *lora_targets_create(enum lora_base base, lora_find_shape *find, void *user,
                                         struct tinct_err *err)
{
    struct lora_targets *t = calloc(1, sizeof *t);

    if (!t) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the names of the model's layers");
        return NULL;
    }
    *t = (struct lora_targets) { .base = base, .find = find, .user = user, .err = err };
    if (!grow_slots(t)) goto fail;
    add_unet(t);
    switch (base) {
    case LORA_SDXL:
        add_text_model(t, LORA_TEXT, "conditioner.embedders.0.transformer.text_model.");
        add_open_clip(t, LORA_TEXT_2, "conditioner.embedders.1.model.");
        break;
    case LORA_SD2:
        add_open_clip(t, LORA_TEXT, "cond_stage_model.model.");
        break;
    default:
        add_text_model(t, LORA_TEXT, NAMES_TEXT);
    }
    if (t->failed) goto fail;
    return t;
fail:
    lora_targets_free(t);
    return NULL;
}

static bool find_in_checkpoint(void *user, const char *name, uint32_t *dims, uint32_t shape[4])
{
    struct stored view;

    if (!checkpoint_find(user, name, &view)) return false;
    *dims = view.dims;
    memcpy(shape, view.shape, sizeof view.shape);
    return true;
}

struct lora_targets *lora_targets_of(const struct checkpoint *ck, struct tinct_err *err)
{
    enum checkpoint_kind kind = checkpoint_about(ck).kind;
    enum lora_base base = kind == CHECKPOINT_SDXL ? LORA_SDXL : kind == CHECKPOINT_SD2 ? LORA_SD2 : LORA_SD1;
    return lora_targets_create(base, find_in_checkpoint, (void *)ck, err);
}

void lora_targets_free(struct lora_targets *t)
{
    if (!t) return;
    for (uint32_t i = 0; i < t->slot_count; i++) free(t->slots[i].name);
    for (uint32_t i = 0; i < t->count; i++) {
        free((char *)t->items[i].weight);
        free((char *)t->items[i].bias);
    }
    free(t->slots);
    free(t->items);
    free(t);
}

enum lora_base lora_targets_base(const struct lora_targets *t)
{
    return t->base;
}

uint32_t lora_targets_context(const struct lora_targets *t)
{
    return t->context;
}

uint32_t lora_targets_count(const struct lora_targets *t)
{
    return t->count;
}

const struct lora_target *lora_targets_at(const struct lora_targets *t, uint32_t index)
{
    return &t->items[index];
}

const struct lora_target *lora_targets_find(const struct lora_targets *t, const char *module)
{
    const struct alias *slot = find_slot(t->slots, t->slot_count, hash_name(module), module);
    return slot->name ? &t->items[slot->target] : NULL;
}

const char *lora_base_name(enum lora_base base)
{
    static const char *const names[] = { "an unknown base model", "SD1.x", "SD2.x", "SDXL" };
    return names[base];
}
