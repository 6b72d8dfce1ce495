#include "lora/origin.h"

#include <stdlib.h>
#include <string.h>

/* ---- shapes ------------------------------------------------------------- */

/* Columns of the layer that the module changes; 0 where its parts do not say. */
static uint32_t input_width(const struct lora_module *m)
{
    static const enum lora_part parts[] = { LORA_DOWN, LORA_HADA_1B, LORA_GLORA_B2, LORA_DIFF, LORA_SET };
    struct stored view, second;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (lora_module_view(m, parts[i], &view) && view.dims >= 2) return view.shape[1];
    bool left = lora_module_view(m, LORA_LOKR_1, &view) || lora_module_view(m, LORA_LOKR_1B, &view);
    bool right = lora_module_view(m, LORA_LOKR_2, &second) || lora_module_view(m, LORA_LOKR_2B, &second);
    return left && right && view.dims == 2 && second.dims == 2 ? view.shape[1] * second.shape[1] : 0;
}

static bool is_cross_attention(const char *name)
{
    return strstr(name, "attn2_to_k") || strstr(name, "attn2.to_k") || strstr(name, "attn2_to_v") ||
           strstr(name, "attn2.to_v");
}

static enum lora_base base_of_context(uint32_t context)
{
    return context == 768 ? LORA_SD1 : context == 1024 ? LORA_SD2 : context == 2048 ? LORA_SDXL : LORA_BASE_UNKNOWN;
}

/* ---- names -------------------------------------------------------------- */

/* The number behind "transformer_blocks" and a dot or underscore; 0 without. */
static long block_number(const char *name)
{
    static const char blocks[] = "transformer_blocks";
    const char *at = strstr(name, blocks);

    if (!at || strstr(name, "single_transformer_blocks")) return 0;
    at += sizeof blocks - 1;
    return *at == '.' || *at == '_' ? strtol(at + 1, NULL, 10) : 0;
}

static bool is_text(const char *name)
{
    return !strncmp(name, "lora_te", 7) || !strncmp(name, "text_encoder", 12) || strstr(name, "text_model");
}

static bool is_sdxl_name(const struct lora_module *m)
{
    const char *name = m->name;

    if (!strncmp(name, "lora_te2_", 9) || !strncmp(name, "text_encoder_2.", 15) || strstr(name, "clip_g.")) return true;
    if (strstr(name, "label_emb") || strstr(name, "add_embedding")) return true;
    bool unet = strstr(name, "input_block") || strstr(name, "output_block") || strstr(name, "middle_block") ||
                strstr(name, "down_blocks") || strstr(name, "up_blocks") || strstr(name, "mid_block");
    if (unet && block_number(name) >= 1) return true;
    return is_text(name) && strstr(name, "q_proj") && input_width(m) == 1280;
}

/* ---- metadata ----------------------------------------------------------- */

static bool begins(const char *text, const char *prefix)
{
    return text && !strncmp(text, prefix, strlen(prefix));
}

static enum lora_base base_of_metadata(const struct safetensors *st)
{
    const char *version = safetensors_metadata(st, "ss_base_model_version");
    const char *architecture = safetensors_metadata(st, "modelspec.architecture");
    const char *v2 = safetensors_metadata(st, "ss_v2");

    if (begins(version, "sdxl_") || begins(architecture, "stable-diffusion-xl")) return LORA_SDXL;
    if (begins(version, "sd_v2") || begins(architecture, "stable-diffusion-v2") || (v2 && !strcmp(v2, "True")))
        return LORA_SD2;
    if (begins(version, "sd_v1") || begins(version, "sd_1.5") || begins(architecture, "stable-diffusion-v1"))
        return LORA_SD1;
    return LORA_BASE_UNKNOWN;
}

/* ---- together ----------------------------------------------------------- */

struct lora_origin lora_origin_of(const struct lora_file *file)
{
    struct lora_origin origin = { .evidence = LORA_BY_NOTHING };
    bool sdxl_names = false;

    for (uint32_t i = 0; i < lora_module_count(file); i++) {
        const struct lora_module *m = lora_module_at(file, i);
        if (m->type == LORA_NONE) continue;
        if (!origin.context && is_cross_attention(m->name)) origin.context = input_width(m);
        sdxl_names |= is_sdxl_name(m);
    }
    origin.base = base_of_context(origin.context);
    if (origin.base) origin.evidence = LORA_BY_SHAPE;
    else if (sdxl_names) {
        origin.base = LORA_SDXL;
        origin.evidence = LORA_BY_NAMES;
    } else if ((origin.base = base_of_metadata(lora_tensors(file)))) {
        origin.evidence = LORA_BY_METADATA;
    }
    return origin;
}

bool lora_origin_fits(const struct lora_file *file, const struct lora_targets *targets, struct tinct_err *err)
{
    struct lora_origin origin = lora_origin_of(file);
    uint32_t context = lora_targets_context(targets);
    const char *model = lora_base_name(lora_targets_base(targets));

    if (origin.context && context) {
        if (origin.context == context) return true;
        tinct_fail(err, TINCT_ERR_FORMAT,
                   "%s: is a LoRA for %s: its cross-attention reads text of width %u, the model is %s with width %u",
                   lora_path(file), lora_base_name(origin.base), (unsigned)origin.context, model, (unsigned)context);
    } else if (origin.base && origin.base != lora_targets_base(targets)) {
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is a LoRA for %s by its %s, the model is %s", lora_path(file),
                   lora_base_name(origin.base), origin.evidence == LORA_BY_NAMES ? "layers" : "metadata", model);
    } else {
        return true;
    }
    return tinct_advise(err, "use it with the base model it was trained on, or a LoRA made for %s", model);
}
