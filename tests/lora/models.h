/* The tensors of SD1, SD2 and SDXL by name and shape, without a checkpoint: for tests of the alias tables.
 * UNet names come from diffusers' side and are turned with the spec's table written the other way round, so
 * that they check the library's closed form instead of repeating it. */
#ifndef TINCT_TESTS_LORA_MODELS_H
#define TINCT_TESTS_LORA_MODELS_H

#include "lora/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model_tensor {
    char name[160];      /* canonical, with ".weight" or ".bias" */
    char diffusers[160]; /* UNet: diffusers' path with its end; text encoder: "" */
    uint32_t dims, shape[4];
};

struct model {
    enum lora_base base;
    struct model_tensor *tensors;
    size_t count;
};

struct model_plan {
    int levels, width[4], down_depth[4], mid_depth, up_depth[4];
    uint32_t context;
    bool linear_proj, label, phantom; /* phantom: the last level's samplers, which no real model has */
};

static const struct model_plan plan_sd1 = { 4, { 320, 640, 1280, 1280 }, { 1, 1, 1, 0 }, 1, { 0, 1, 1, 1 }, 768,
                                            false, true, true };
static const struct model_plan plan_sd2 = { 4, { 320, 640, 1280, 1280 }, { 1, 1, 1, 0 }, 1, { 0, 1, 1, 1 }, 1024,
                                            true, false, false };
static const struct model_plan plan_sdxl = { 3, { 320, 640, 1280 }, { 0, 2, 10 }, 10, { 10, 2, 0 }, 2048,
                                             true, true, true };

static inline void model_add(struct model *m, const char *name, const char *diffusers, uint32_t dims, uint32_t a,
                             uint32_t b, uint32_t k)
{
    m->tensors = realloc(m->tensors, (m->count + 1) * sizeof *m->tensors);
    struct model_tensor *t = &m->tensors[m->count++];
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->diffusers, sizeof t->diffusers, "%s", diffusers);
    t->dims = dims;
    t->shape[0] = a;
    t->shape[1] = dims > 1 ? b : 1;
    t->shape[2] = t->shape[3] = dims > 2 ? k : 1;
}

/* weight, and bias unless bare, of the layer "<ldm head><ldm tail>" = "<diffusers head><diffusers tail>". */
static inline void model_layer(struct model *m, const char *head, const char *tail, const char *dhead,
                               const char *dtail, bool bare, uint32_t dims, uint32_t out, uint32_t in, uint32_t k)
{
    char name[160], diffusers[160];
    for (int bias = 0; bias < (bare ? 1 : 2); bias++) {
        const char *end = bias ? "bias" : "weight";
        snprintf(name, sizeof name, "model.diffusion_model.%s%s.%s", head, tail, end);
        snprintf(diffusers, sizeof diffusers, "%s%s.%s", dhead, dtail, end);
        model_add(m, name, diffusers, bias ? 1 : dims, out, in, k);
    }
}

static inline void model_resnet(struct model *m, const char *ldm, const char *d, uint32_t in, uint32_t out)
{
    char h[96], dh[96];
    snprintf(h, sizeof h, "%s.", ldm);
    snprintf(dh, sizeof dh, "%s.", d);
    model_layer(m, h, "in_layers.0", dh, "norm1", false, 1, in, 0, 0);
    model_layer(m, h, "in_layers.2", dh, "conv1", false, 4, out, in, 3);
    model_layer(m, h, "emb_layers.1", dh, "time_emb_proj", false, 2, out, 1280, 0);
    model_layer(m, h, "out_layers.0", dh, "norm2", false, 1, out, 0, 0);
    model_layer(m, h, "out_layers.3", dh, "conv2", false, 4, out, out, 3);
    model_layer(m, h, "skip_connection", dh, "conv_shortcut", false, 4, out, in, 1);
}

static inline void model_attention(struct model *m, const struct model_plan *p, const char *ldm, const char *d,
                                   uint32_t c, int depth)
{
    static const char *const q[] = { "to_q", "to_k", "to_v" };
    uint32_t dims = p->linear_proj ? 2 : 4;
    char h[96], dh[96], tail[32];

    snprintf(h, sizeof h, "%s.", ldm);
    snprintf(dh, sizeof dh, "%s.", d);
    model_layer(m, h, "norm", dh, "norm", false, 1, c, 0, 0);
    model_layer(m, h, "proj_in", dh, "proj_in", false, dims, c, c, 1);
    model_layer(m, h, "proj_out", dh, "proj_out", false, dims, c, c, 1);
    for (int k = 0; k < depth; k++) {
        snprintf(h, sizeof h, "%s.transformer_blocks.%d.", ldm, k);
        snprintf(dh, sizeof dh, "%s.transformer_blocks.%d.", d, k);
        for (int n = 1; n <= 3; n++) {
            snprintf(tail, sizeof tail, "norm%d", n);
            model_layer(m, h, tail, dh, tail, false, 1, c, 0, 0);
        }
        for (int a = 1; a <= 2; a++) {
            for (int i = 0; i < 3; i++) {
                snprintf(tail, sizeof tail, "attn%d.%s", a, q[i]);
                model_layer(m, h, tail, dh, tail, true, 2, c, a == 2 && i ? p->context : c, 0);
            }
            snprintf(tail, sizeof tail, "attn%d.to_out.0", a);
            model_layer(m, h, tail, dh, tail, false, 2, c, c, 0);
        }
        model_layer(m, h, "ff.net.0.proj", dh, "ff.net.0.proj", false, 2, 8 * c, c, 0);
        model_layer(m, h, "ff.net.2", dh, "ff.net.2", false, 2, c, 4 * c, 0);
    }
}

static inline void model_unet_side(struct model *m, const struct model_plan *p, bool up)
{
    char ldm[64], d[64];
    for (int i = 0; i < p->levels; i++) {
        int level = up ? p->levels - 1 - i : i, depth = up ? p->up_depth[i] : p->down_depth[i];
        uint32_t c = (uint32_t)p->width[level];
        for (int j = 0; j < (up ? 3 : 2); j++) {
            int block = up ? 3 * i + j : 1 + 3 * i + j;
            const char *side = up ? "output_blocks" : "input_blocks", *dside = up ? "up_blocks" : "down_blocks";
            snprintf(ldm, sizeof ldm, "%s.%d.0", side, block);
            snprintf(d, sizeof d, "%s.%d.resnets.%d", dside, i, j);
            model_resnet(m, ldm, d, up ? 2 * c : c, c);
            snprintf(ldm, sizeof ldm, "%s.%d.1", side, block);
            snprintf(d, sizeof d, "%s.%d.attentions.%d", dside, i, j);
            if (depth) model_attention(m, p, ldm, d, c, depth);
        }
        if (i == p->levels - 1 && !p->phantom) continue;
        if (up) snprintf(ldm, sizeof ldm, "output_blocks.%d.%d.conv", 3 * i + 2, depth ? 2 : 1);
        else snprintf(ldm, sizeof ldm, "input_blocks.%d.0.op", 3 * i + 3);
        snprintf(d, sizeof d, up ? "up_blocks.%d.upsamplers.0.conv" : "down_blocks.%d.downsamplers.0.conv", i);
        model_layer(m, ldm, "", d, "", false, 4, c, c, 3);
    }
}

static inline void model_unet(struct model *m, const struct model_plan *p)
{
    uint32_t last = (uint32_t)p->width[p->levels - 1];

    model_layer(m, "input_blocks.0.0", "", "conv_in", "", false, 4, 320, 4, 3);
    model_layer(m, "out.0", "", "conv_norm_out", "", false, 1, 320, 0, 0);
    model_layer(m, "out.2", "", "conv_out", "", false, 4, 4, 320, 3);
    model_layer(m, "time_embed.0", "", "time_embedding.linear_1", "", false, 2, 1280, 320, 0);
    model_layer(m, "time_embed.2", "", "time_embedding.linear_2", "", false, 2, 1280, 1280, 0);
    if (p->label) {
        model_layer(m, "label_emb.0.0", "", "add_embedding.linear_1", "", false, 2, 1280, 2816, 0);
        model_layer(m, "label_emb.0.2", "", "add_embedding.linear_2", "", false, 2, 1280, 1280, 0);
    }
    model_unet_side(m, p, false);
    model_resnet(m, "middle_block.0", "mid_block.resnets.0", last, last);
    model_attention(m, p, "middle_block.1", "mid_block.attentions.0", last, p->mid_depth);
    model_resnet(m, "middle_block.2", "mid_block.resnets.1", last, last);
    model_unet_side(m, p, true);
}

static inline void model_text(struct model *m, const char *prefix, int layers, uint32_t c, bool open_clip)
{
    static const char *const hf[][2] = {
        { "self_attn.q_proj", "1 1" }, { "self_attn.k_proj", "1 1" }, { "self_attn.v_proj", "1 1" },
        { "self_attn.out_proj", "1 1" }, { "mlp.fc1", "4 1" }, { "mlp.fc2", "1 4" }, { "layer_norm1", "" },
        { "layer_norm2", "" }, { NULL, NULL },
    };
    static const char *const clip[][2] = {
        { "attn.in_proj_", "3 1" }, { "attn.out_proj.", "1 1" }, { "mlp.c_fc.", "4 1" }, { "mlp.c_proj.", "1 4" },
        { "ln_1.", "" }, { "ln_2.", "" }, { NULL, NULL },
    };
    char name[160];
    for (int n = 0; n < layers; n++)
        for (int i = 0; open_clip ? clip[i][0] != NULL : hf[i][0] != NULL; i++)
            for (int bias = 0; bias < 2; bias++) {
                const char *const *row = open_clip ? clip[i] : hf[i];
                uint32_t out = row[1][0] ? (uint32_t)(row[1][0] - '0') * c : c;
                uint32_t in = row[1][0] ? (uint32_t)(row[1][2] - '0') * c : 0;
                snprintf(name, sizeof name, "%s%s%d.%s%s%s", prefix,
                         open_clip ? "transformer.resblocks." : "text_model.encoder.layers.", n, row[0],
                         open_clip ? "" : ".", bias ? "bias" : "weight");
                model_add(m, name, "", bias || !in ? 1 : 2, out, in, 0);
            }
}

static inline struct model model_make(enum lora_base base)
{
    struct model m = { .base = base };
    model_unet(&m, base == LORA_SDXL ? &plan_sdxl : base == LORA_SD2 ? &plan_sd2 : &plan_sd1);
    if (base == LORA_SD1) model_text(&m, "cond_stage_model.transformer.", 12, 768, false);
    if (base == LORA_SD2) model_text(&m, "cond_stage_model.model.", 24, 1024, true);
    if (base == LORA_SDXL) {
        model_text(&m, "conditioner.embedders.0.transformer.", 12, 768, false);
        model_text(&m, "conditioner.embedders.1.model.", 32, 1280, true);
        model_add(&m, "conditioner.embedders.1.model.text_projection", "", 2, 1280, 1280, 0);
    }
    return m;
}

/* A lora_find_shape. */
static inline bool model_find(void *user, const char *name, uint32_t *dims, uint32_t shape[4])
{
    const struct model *m = user;
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->tensors[i].name, name)) {
            *dims = m->tensors[i].dims;
            memcpy(shape, m->tensors[i].shape, sizeof m->tensors[i].shape);
            return true;
        }
    return false;
}

#endif
