#include "tensor/kind.h"

#include "tensor/names.h"

#include <string.h>

/* ---- marks in names ----------------------------------------------------- */

enum mark {
    MARK_LORA = 1,
    MARK_CONTROLNET = 2,
    MARK_DIT = 4,
    MARK_EMBEDDING = 8,
    MARK_UPSCALER = 16,
    MARK_OPEN_CLIP = 32,
    MARK_V = 64,
    MARK_ZERO_SNR = 128,
};

enum place { BEGINS, ENDS, WITHIN, WHOLE };

static const struct {
    const char *text;
    enum place place;
    enum mark mark;
} marks[] = {
    { "lora_controlnet", WHOLE, MARK_CONTROLNET },
    { "control_model.", BEGINS, MARK_CONTROLNET },
    { "input_hint_block.", BEGINS, MARK_CONTROLNET },
    { "controlnet_cond_embedding.", WITHIN, MARK_CONTROLNET },
    { "lora_unet_", BEGINS, MARK_LORA },
    { "lora_te", BEGINS, MARK_LORA },
    { ".lora_down.weight", ENDS, MARK_LORA },
    { ".lora_A", WITHIN, MARK_LORA },
    { ".lora.down.weight", ENDS, MARK_LORA },
    { "_lora.down.weight", ENDS, MARK_LORA },
    { ".lora_linear_layer.down.weight", ENDS, MARK_LORA },
    { ".hada_w1_a", ENDS, MARK_LORA },
    { ".lokr_w1", WITHIN, MARK_LORA },
    { ".lokr_w2", WITHIN, MARK_LORA },
    { ".oft_blocks", ENDS, MARK_LORA },
    { ".oft_diag", ENDS, MARK_LORA },
    { "joint_blocks.0.", WITHIN, MARK_DIT },
    { "double_blocks.0.", WITHIN, MARK_DIT },
    { "single_blocks.0.", WITHIN, MARK_DIT },
    { "single_transformer_blocks.0.", WITHIN, MARK_DIT },
    { "emb_params", WHOLE, MARK_EMBEDDING },
    { "string_to_param.", BEGINS, MARK_EMBEDDING },
    { "clip_l", WHOLE, MARK_EMBEDDING },
    { "clip_g", WHOLE, MARK_EMBEDDING },
    { "body.0.rdb1.conv1.weight", ENDS, MARK_UPSCALER },
    { ".RDB1.conv1.0.weight", ENDS, MARK_UPSCALER },
    { "conv_first.weight", ENDS, MARK_UPSCALER },
    { "cond_stage_model.model.", BEGINS, MARK_OPEN_CLIP },
    { "v_pred", WHOLE, MARK_V },
    { "ztsnr", WHOLE, MARK_ZERO_SNR },
};

static bool lies_at(const char *name, const char *text, enum place place)
{
    size_t length = strlen(name), wanted = strlen(text);

    switch (place) {
    case BEGINS:
        return !strncmp(name, text, wanted);
    case ENDS:
        return length >= wanted && !strcmp(name + length - wanted, text);
    case WITHIN:
        return strstr(name, text) != NULL;
    default:
        return !strcmp(name, text);
    }
}

static unsigned read_marks(const struct safetensors *st)
{
    unsigned found = 0;

    for (uint32_t i = 0; i < safetensors_count(st); i++)
        for (size_t m = 0; m < sizeof marks / sizeof *marks; m++)
            if (!(found & marks[m].mark) && lies_at(safetensors_at(st, i)->name, marks[m].text, marks[m].place))
                found |= marks[m].mark;
    return found;
}

const char *checkpoint_base_of_width(uint32_t width)
{
    switch (width) {
    case 768: return "SD1.x";
    case 1024: return "SD2.x";
    case 1280:
    case 768 + 1280: return "SDXL";
    default: return NULL;
    }
}

/* ---- shapes ------------------------------------------------------------- */

static bool has(const struct checkpoint *ck, const char *name)
{
    struct stored view;
    return checkpoint_find(ck, name, &view);
}

/* Width of the text that the UNet attends to. The first block with attention is 1 in SD, 4 in SDXL. */
static uint32_t read_context(const struct checkpoint *ck)
{
    struct stored view;
    if ((checkpoint_find(ck, NAMES_UNET "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", &view) ||
         checkpoint_find(ck, NAMES_UNET "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", &view)) &&
        view.dims == 2)
        return view.shape[1];
    return 0;
}

/* SD2's attention has linear projections where SD1's has 1x1 convolutions; 1024 is the width of its text encoder. */
static enum checkpoint_kind unet_kind(const struct checkpoint *ck, const struct checkpoint_about *about, unsigned found)
{
    struct stored view;

    if (has(ck, NAMES_UNET "label_emb.0.0.weight"))
        return about->context == 1280 ? CHECKPOINT_SDXL_REFINER : CHECKPOINT_SDXL;
    if (found & MARK_OPEN_CLIP || about->context == 1024) return CHECKPOINT_SD2;
    if (checkpoint_find(ck, NAMES_UNET "input_blocks.1.1.proj_in.weight", &view) && view.dims == 2 && !about->has_text)
        return CHECKPOINT_SD2;
    return about->context ? CHECKPOINT_SD1 : CHECKPOINT_UNKNOWN;
}

/* One tensor of vectors, under the name of the word that calls it, as diffusers saves an embedding. */
static bool is_lone_embedding(const struct safetensors *st)
{
    const struct safetensors_tensor *t = safetensors_count(st) == 1 ? safetensors_at(st, 0) : NULL;

    return t && (t->dims == 1 || (t->dims == 2 && t->shape[0] <= 75)) && t->shape[t->dims - 1] <= UINT32_MAX &&
           checkpoint_base_of_width((uint32_t)t->shape[t->dims - 1]);
}

static enum checkpoint_kind find_kind(const struct checkpoint *ck, const struct checkpoint_about *about, unsigned found)
{
    if (found & MARK_CONTROLNET) return CHECKPOINT_CONTROLNET;
    if (found & MARK_LORA) return CHECKPOINT_LORA;
    if (found & MARK_DIT) return CHECKPOINT_DIT;
    if (about->has_unet) return unet_kind(ck, about, found);
    if (about->has_vae && !about->has_text) return CHECKPOINT_VAE;
    if (about->has_text && !about->has_vae) return CHECKPOINT_TEXT_ENCODER;
    if (found & MARK_EMBEDDING || is_lone_embedding(checkpoint_file(ck))) return CHECKPOINT_EMBEDDING;
    if (found & MARK_UPSCALER) return CHECKPOINT_UPSCALER;
    return CHECKPOINT_UNKNOWN;
}

static const char *name_kind(const struct checkpoint_about *about)
{
    static const char *const names[] = {
        [CHECKPOINT_UNKNOWN] = "unknown",
        [CHECKPOINT_SD1] = "SD1.x",
        [CHECKPOINT_SD2] = "SD2.x",
        [CHECKPOINT_SDXL] = "SDXL",
        [CHECKPOINT_SDXL_REFINER] = "SDXL refiner",
        [CHECKPOINT_DIT] = "diffusion transformer",
        [CHECKPOINT_LORA] = "LoRA",
        [CHECKPOINT_VAE] = "VAE",
        [CHECKPOINT_TEXT_ENCODER] = "text encoder",
        [CHECKPOINT_EMBEDDING] = "embedding",
        [CHECKPOINT_CONTROLNET] = "ControlNet",
        [CHECKPOINT_UPSCALER] = "upscaler",
    };
    if (about->kind == CHECKPOINT_SD1 && about->latent_channels == 9) return "SD1.x inpainting";
    if (about->kind == CHECKPOINT_SD2 && about->latent_channels == 9) return "SD2.x inpainting";
    if (about->kind == CHECKPOINT_SDXL && about->latent_channels == 9) return "SDXL inpainting";
    return names[about->kind];
}

static bool metadata_says_v(const struct safetensors *st)
{
    const char *type = safetensors_metadata(st, "modelspec.prediction_type");
    return type && (!strcmp(type, "v") || !strcmp(type, "v_prediction"));
}

struct checkpoint_about kind_of(const struct checkpoint *ck)
{
    const struct safetensors *st = checkpoint_file(ck);
    unsigned found = read_marks(st);
    struct checkpoint_about about = { 0 };
    struct stored view;

    if (checkpoint_find(ck, NAMES_UNET "input_blocks.0.0.weight", &view) && view.dims == 4) {
        about.has_unet = true;
        about.latent_channels = view.shape[1];
        about.context = read_context(ck);
    }
    about.has_text = has(ck, NAMES_TEXT "encoder.layers.0.self_attn.q_proj.weight") || found & MARK_OPEN_CLIP ||
                     safetensors_find(st, "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight");
    about.has_vae = has(ck, NAMES_VAE "decoder.conv_in.weight");
    about.kind = find_kind(ck, &about, found);
    about.kind_name = name_kind(&about);
    if (found & MARK_V || metadata_says_v(st)) about.prediction = CHECKPOINT_PREDICTS_V;
    about.zero_snr = found & MARK_ZERO_SNR;
    return about;
}

/* ---- refusals ----------------------------------------------------------- */

static const char needs[] =
    "tinct paints with an SD1.x checkpoint: UNet, text encoder and VAE in one .safetensors file";

static bool refuse(struct tinct_err *err, const char *sentence, const char *advice)
{
    tinct_fail(err, TINCT_ERR_FORMAT, "%s", sentence);
    return tinct_advise(err, "%s", advice);
}

static bool refuse_kind(enum checkpoint_kind kind, struct tinct_err *err)
{
    static const struct {
        const char *sentence, *advice;
    } words[] = {
        [CHECKPOINT_UNKNOWN] = { "is no model that tinct knows: no UNet, VAE or text encoder is found in it", needs },
        [CHECKPOINT_SD2] = { "is an SD2.x model, which tinct does not paint with", needs },
        [CHECKPOINT_SDXL] = { "is an SDXL model, which tinct does not paint with", needs },
        [CHECKPOINT_SDXL_REFINER] = { "is an SDXL refiner, which tinct does not paint with", needs },
        [CHECKPOINT_DIT] = { "is a diffusion transformer (such as SD3 or Flux), which tinct does not paint with",
                             needs },
        [CHECKPOINT_LORA] = { "is a LoRA, not a checkpoint",
                              "name a checkpoint with -m and the LoRA in the prompt: <lora:NAME:0.8>" },
        [CHECKPOINT_VAE] = { "is a VAE, not a checkpoint", "name a checkpoint with -m and this file with --vae" },
        [CHECKPOINT_TEXT_ENCODER] = { "is a text encoder, not a checkpoint", needs },
        [CHECKPOINT_EMBEDDING] = { "is an embedding (textual inversion), not a checkpoint", needs },
        [CHECKPOINT_CONTROLNET] = { "is a ControlNet, not a checkpoint", needs },
        [CHECKPOINT_UPSCALER] = { "is an upscaler, not a checkpoint", needs },
    };
    return refuse(err, words[kind].sentence, words[kind].advice);
}

bool kind_expect_sd1(const struct checkpoint_about *about, struct tinct_err *err)
{
    if (about->kind != CHECKPOINT_SD1) return refuse_kind(about->kind, err);
    if (about->latent_channels == 9)
        return refuse(err, "is an SD1.x inpainting model (its UNet takes 9 channels), which tinct does not paint with",
                      "use the SD1.x model it was made from");
    if (about->latent_channels != 4) {
        tinct_fail(err, TINCT_ERR_FORMAT, "its UNet takes %u channels; tinct paints with SD1.x models of 4",
                   (unsigned)about->latent_channels);
        return tinct_advise(err, "use the SD1.x model it was made from");
    }
    if (about->prediction == CHECKPOINT_PREDICTS_V)
        return refuse(err, "is an SD1.x model that predicts v, not noise, which tinct does not paint with", needs);
    if (!about->has_text) return refuse(err, "holds no text encoder", needs);
    if (!about->has_vae) return refuse(err, "holds no VAE", "name one with --vae FILE");
    return true;
}
