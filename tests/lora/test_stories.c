/* What made LoRAs do nothing, or too much, or fail in other programs, each from the thread that tells of it. Here every
 * key finds its layer, with its scale; every name its file; and what cannot be used is told. */
#include <sys/stat.h>

#include "check.h"
#include "lora/file.h"
#include "lora/folder.h"
#include "lora/keys.h"
#include "models.h"
#include "temporary.h"
#include "tensor_file.h"

static const struct story {
    const char *thread;
    enum lora_base base;
    const char *key, *weight;
} stories[] = {
    { "ComfyUI 6397: IA3 under kohya's names", LORA_SD1,
      "lora_unet_up_blocks_2_attentions_2_transformer_blocks_0_attn1_to_v.on_input",
      "model.diffusion_model.output_blocks.8.1.transformer_blocks.0.attn1.to_v.weight" },
    { "ComfyUI 6397: IA3 under kohya's names", LORA_SD1,
      "lora_unet_up_blocks_2_attentions_2_transformer_blocks_0_ff_net_2.weight",
      "model.diffusion_model.output_blocks.8.1.transformer_blocks.0.ff.net.2.weight" },
    { "ComfyUI 1144: the only encoder called the first", LORA_SD1,
      "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha",
      "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight" },
    { "ComfyUI 1144: LoKr of SDXL's second encoder", LORA_SDXL,
      "lora_te2_text_model_encoder_layers_9_self_attn_k_proj.lokr_w1",
      "conditioner.embedders.1.model.transformer.resblocks.9.attn.in_proj_weight" },
    { "OneTrainer 314: text_projection, which diffusers refused", LORA_SDXL,
      "lora_te2_text_projection.lora_down.weight", "conditioner.embedders.1.model.text_projection" },
    { "efficiency-nodes 104: processors in an SDXL file of diffusers' script", LORA_SDXL,
      "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.down.weight",
      "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_out.0.weight" },
    { "ComfyUI 5655: SDXL's own paths", LORA_SDXL,
      "lora_unet_output_blocks_4_1_transformer_blocks_1_attn1_to_k.alpha",
      "model.diffusion_model.output_blocks.4.1.transformer_blocks.1.attn1.to_k.weight" },
    { "SimpleTuner 779: PEFT's prefix behind the model's", LORA_SDXL,
      "unet.base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora.up.weight",
      "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight" },
    { "ComfyUI 9753: PEFT's LoKr, an adapter of the UNet alone", LORA_SD1,
      "base_model.model.mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.lokr_w1",
      "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_out.0.weight" },
    { "ComfyUI 9753: PEFT's LoKr, an adapter of the UNet alone", LORA_SD1, "base_model.model.mid_block.resnets.0.conv1.lokr_w2",
      "model.diffusion_model.middle_block.0.in_layers.2.weight" },
    { "ComfyUI 1347: norms", LORA_SD1, "lora_unet_down_blocks_0_attentions_0_norm.b_norm",
      "model.diffusion_model.input_blocks.1.1.norm.weight" },
    { "ComfyUI 1347: norms", LORA_SD1, "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_norm3.w_norm",
      "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.norm3.weight" },
    { "ComfyUI 3060: DoRA's scales", LORA_SDXL, "lora_unet_output_blocks_2_2_conv.dora_scale",
      "model.diffusion_model.output_blocks.2.2.conv.weight" },
    { "ComfyUI 3060: DoRA's scales", LORA_SDXL, "lora_unet_output_blocks_3_0_emb_layers_1.dora_scale",
      "model.diffusion_model.output_blocks.3.0.emb_layers.1.weight" },
    { "diffusers 7592: DoRA in a text encoder", LORA_SDXL, "lora_te1_text_model_encoder_layers_0_mlp_fc1.dora_scale",
      "conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight" },
    { "A1111 8360: LoCon outside attention", LORA_SD1, "lora_unet_down_blocks_3_resnets_1_time_emb_proj.lora_up.weight",
      "model.diffusion_model.input_blocks.11.0.emb_layers.1.weight" },
    { "A1111 8360: LoCon outside attention", LORA_SD1, "lora_unet_up_blocks_0_resnets_0_conv1.alpha",
      "model.diffusion_model.output_blocks.0.0.in_layers.2.weight" },
    { "kohya_ss 310: LoCon on downsamplers", LORA_SD1, "lora_unet_down_blocks_0_downsamplers_0_conv.lora_down.weight",
      "model.diffusion_model.input_blocks.3.0.op.weight" },
    { "A1111 11963: the text encoder of an SD1 LoRA", LORA_SD1, "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
      "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight" },
    { "sd.cpp 213: SDXL's second encoder by diffusers", LORA_SDXL,
      "text_encoder_2.text_model.encoder.layers.8.self_attn.q_proj.lora_linear_layer.down.weight",
      "conditioner.embedders.1.model.transformer.resblocks.8.attn.in_proj_weight" },
    { "ComfyUI 1144: no prefix at all", LORA_SDXL,
      "up_blocks.0.attentions.2.transformer_blocks.5.attn1.processor.to_q_lora.down.weight",
      "model.diffusion_model.output_blocks.2.1.transformer_blocks.5.attn1.to_q.weight" },
    { "diffusers 13984: text encoder without text_model", LORA_SD1, "text_encoder.encoder.layers.0.self_attn.k_proj.lora_B.weight",
      "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.k_proj.weight" },
    { "diffusers 3437: four processors in each projection, one of which is used", LORA_SD1,
      "text_encoder.text_model.encoder.layers.0.self_attn.k_proj.to_k_lora.down.weight",
      "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.k_proj.weight" },
    { "diffusers 3437: four processors in each projection, one of which is used", LORA_SD1,
      "text_encoder.text_model.encoder.layers.0.self_attn.out_proj.to_out_lora.up.weight",
      "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.out_proj.weight" },
    { "diffusers 14005: layers outside the blocks", LORA_SD1, "lora_unet_conv_in.lora_A.weight",
      "model.diffusion_model.input_blocks.0.0.weight" },
    { "diffusers 14005: layers outside the blocks", LORA_SD1, "lora_unet_conv_out.lora_down.weight",
      "model.diffusion_model.out.2.weight" },
    { "diffusers 14005: layers outside the blocks", LORA_SD1, "lora_unet_time_embedding_linear_1.alpha",
      "model.diffusion_model.time_embed.0.weight" },
    { "diffusers 14005: layers outside the blocks", LORA_SDXL, "lora_unet_input_blocks_0_0.lora_up.weight",
      "model.diffusion_model.input_blocks.0.0.weight" },
    { "diffusers 14005: layers outside the blocks", LORA_SDXL, "lora_unet_label_emb_0_2.lora_up.weight",
      "model.diffusion_model.label_emb.0.2.weight" },
    { "ComfyUI 4476: SimpleTuner's LyCORIS", LORA_SD1,
      "lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lokr_w1",
      "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.weight" },
    { "diffusers 9622: an adapter's name inside the key", LORA_SD1,
      "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.default_0.weight",
      "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight" },
    { "A1111's converter loses SDXL's first upsampler", LORA_SDXL, "lora_unet_up_blocks_0_upsamplers_0_conv.lora_up.weight",
      "model.diffusion_model.output_blocks.2.2.conv.weight" },
};

static void every_layer_is_found(void **state)
{
    (void)state;
    for (int base = LORA_SD1; base <= LORA_SDXL; base += 2) {
        struct model model = model_make((enum lora_base)base);
        struct tinct_err err;
        struct lora_targets *targets = lora_targets_create((enum lora_base)base, model_find, &model, &err);
        if (!targets) fail_msg("%s", err.text);
        for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
            const struct story *s = &stories[i];
            struct lora_key key;
            if (s->base != (enum lora_base)base) continue;
            const struct lora_target *t = lora_key_split(&key, s->key) ? lora_targets_find(targets, key.module) : NULL;
            if (!t || strcmp(t->weight, s->weight)) fail_msg("%s: %s: %s", s->thread, s->key, t ? t->weight : "not found");
        }
        lora_targets_free(targets);
        free(model.tensors);
    }
}

/* ---- scales ------------------------------------------------------------- */

static void add_pair(struct tensor_file *f, const char *module, const char *up, const char *down, uint32_t rank)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", module, up);
    tensor_file_add(f, name, DTYPE_F16, 2, (uint32_t[]) { 320, rank });
    snprintf(name, sizeof name, "%s%s", module, down);
    tensor_file_add(f, name, DTYPE_F16, 2, (uint32_t[]) { rank, 320 });
}

static struct lora_file *save_and_open(struct tensor_file *f, const char *name)
{
    struct tinct_err err;
    assert_true(tensor_file_save(f, temporary_path(name)));
    tensor_file_free(f);
    struct lora_file *file = lora_open(temporary_path(name), &err);
    if (!file) fail_msg("%s", err.text);
    return file;
}

static void check_scale(const char *thread, const struct lora_file *file, uint32_t module, double scale)
{
    double got = lora_module_at(file, module)->scale;
    if (fabs(got - scale) > 1e-9) fail_msg("%s: scale %g, not %g", thread, got, scale);
}

#define BLOCK "down_blocks.0.attentions.0.transformer_blocks.0."

/* The trainer's alpha is in the header alone: at scale 1 people turned such LoRAs up to 3. */
static void alpha_in_the_metadata_counts(void **state)
{
    struct tensor_file f;
    (void)state;
    tensor_file_begin_with(&f, "{\"lora_adapter_metadata\":\"{\\\"unet.lora_alpha\\\":64,\\\"unet.r\\\":16}\"}");
    add_pair(&f, "unet." BLOCK "attn1.to_q", ".lora_B.weight", ".lora_A.weight", 16);
    struct lora_file *file = save_and_open(&f, "alpha.safetensors");
    check_scale("ComfyUI 12191", file, 0, 4);
    lora_close(file);
}

/* No alpha anywhere: each module's scale is 1, whatever the rank of the first; never 1 / rank or 0. */
static void no_alpha_is_scale_one(void **state)
{
    static const char config[] = "{\"r\":16,\"peft_type\":\"LORA\"}";
    struct tensor_file f;
    (void)state;
    tensor_file_begin(&f);
    add_pair(&f, "unet." BLOCK "attn1.to_k", ".lora_B.weight", ".lora_A.weight", 16);
    add_pair(&f, "unet." BLOCK "attn1.to_q", ".lora_B.weight", ".lora_A.weight", 64);
    struct lora_file *file = save_and_open(&f, "mixed.safetensors");
    check_scale("diffusers 14409", file, 0, 1);
    check_scale("diffusers 14409", file, 1, 1);
    assert_int_equal(lora_module_at(file, 1)->rank, 64);
    lora_close(file);

    tensor_file_begin_with(&f, "{\"ss_network_dim\":\"16\",\"ss_network_alpha\":\"1\"}");
    add_pair(&f, "lora_te_text_model_encoder_layers_0_self_attn_k_proj", ".lora_up.weight", ".lora_down.weight", 16);
    file = save_and_open(&f, "old.safetensors");
    check_scale("sd-webui-additional-networks 133", file, 0, 1);
    lora_close(file);

    temporary_write("adapter_config.json", config, sizeof config - 1);
    tensor_file_begin(&f);
    add_pair(&f, "base_model.model." BLOCK "attn1.to_q", ".lora_B.weight", ".lora_A.weight", 16);
    file = save_and_open(&f, "adapter_model.safetensors");
    check_scale("surogate 173", file, 0, 1);
    lora_close(file);
}

/* The metadata's one rank is not that of each layer: with it, a layer of rank 1 came out 32 times too strong. */
static void ranks_are_those_of_the_tensors(void **state)
{
    struct tensor_file f;
    float alpha = 1;
    (void)state;
    tensor_file_begin_with(&f, "{\"ss_network_dim\":\"32\",\"ss_network_alpha\":\"32\"}");
    tensor_file_add(&f, "lora_unet_mid_block_attentions_0_proj_in.lokr_w1", DTYPE_F32, 2, (uint32_t[]) { 8, 8 });
    tensor_file_add(&f, "lora_unet_mid_block_attentions_0_proj_in.lokr_w2_a", DTYPE_F32, 2, (uint32_t[]) { 160, 1 });
    tensor_file_add(&f, "lora_unet_mid_block_attentions_0_proj_in.lokr_w2_b", DTYPE_F32, 2, (uint32_t[]) { 1, 160 });
    memcpy(tensor_file_add(&f, "lora_unet_mid_block_attentions_0_proj_in.alpha", DTYPE_F32, 0, NULL), &alpha, 4);
    struct lora_file *file = save_and_open(&f, "ranks.safetensors");
    check_scale("AnimaLoraStudio 241", file, 0, 1);
    lora_close(file);
}

/* ---- what it was made for ----------------------------------------------- */

static enum lora_base base_of(const char *module, uint32_t in, const char *metadata)
{
    struct tensor_file f;
    char name[256];
    tensor_file_begin_with(&f, metadata);
    snprintf(name, sizeof name, "%s.lora_up.weight", module);
    tensor_file_add(&f, name, DTYPE_F16, 2, (uint32_t[]) { 640, 4 });
    snprintf(name, sizeof name, "%s.lora_down.weight", module);
    tensor_file_add(&f, name, DTYPE_F16, 2, (uint32_t[]) { 4, in });
    struct lora_file *file = save_and_open(&f, "base.safetensors");
    enum lora_base base = lora_about(file).origin.base;
    lora_close(file);
    return base;
}

static void the_base_is_told_by_shapes_and_names(void **state)
{
    (void)state;
    assert_int_equal(base_of("lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q", 640, "{}"),
                     LORA_SDXL); /* easydiffusion 2003: without metadata taken for SD1 */
    assert_int_equal(base_of("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 2048, "{\"format\":\"pt\"}"),
                     LORA_SDXL); /* A1111: any metadata that is not kohya's made it SD1 */
    assert_int_equal(base_of("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_v", 768,
                             "{\"ss_base_model_version\":\"sdxl_base_v1-0\"}"),
                     LORA_SD1); /* ComfyUI-Lora-Manager 49: labels that are wrong */
    assert_int_equal(base_of("lora_unet_mid_block_attentions_0_proj_in", 640,
                             "{\"modelspec.architecture\":\"stable-diffusion-v1/lora\"}"),
                     LORA_SD1); /* A1111 13319: ModelSpec's word */
}

/* ---- what cannot be read ------------------------------------------------ */

/* Each is refused by a sentence, where others went on as if nothing were. */
static void what_is_no_lora_is_told(void **state)
{
    static const struct {
        const char *thread, *key, *words;
    } files[] = {
        { "diffusers 6370: a converter lost the dots", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_k_lora_A_weight",
          "is no LoRA: none of its 1 tensors is named as a part of one" },
        { "cloneofsimo/lora 212: that program's own", "unet:0:up", "is no LoRA: none of its 1 tensors" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct tensor_file f;
        struct tinct_err err = { 0 };
        const char *path = temporary_path("none.safetensors");
        tensor_file_begin(&f);
        tensor_file_add(&f, files[i].key, DTYPE_F16, 2, (uint32_t[]) { 4, 320 });
        assert_true(tensor_file_save(&f, path));
        tensor_file_free(&f);
        check_refused(lora_open(path, &err) != NULL, &err, TINCT_ERR_FORMAT, files[i].words);
    }
}

/* ---- names -------------------------------------------------------------- */

static void save_named(const char *folder, const char *name, const char *metadata)
{
    struct tensor_file f;
    char path[700];
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    tensor_file_begin_with(&f, metadata);
    add_pair(&f, "lora_unet_mid_block_attentions_0_proj_in", ".lora_up.weight", ".lora_down.weight", 4);
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
}

static void names_are_found(void **state)
{
    static const struct {
        const char *thread, *written, *file;
    } names[] = {
        { "comfyui-prompt-control 31: a dot in the name", "PAseerGoldenWindSD1.5-V1", "PAseerGoldenWindSD1.5-V1" },
        { "ComfyUI-Lora-Manager 798: underscores", "Char_Game_Name", "Char_Game_Name" },
        { "TensorRT 297: blanks", "girl in a hat", "girl in a hat" },
        { "Fooocus 2968: a subfolder left out", "add_detail", "Style/add_detail" },
        { "Fooocus 2968: a subfolder", "Style/add_detail", "Style/add_detail" },
        { "comfy_sd_krita_plugin 20: a subfolder as Windows has it", "Style\\add_detail", "Style/add_detail" },
        { "ComfyUI-Lora-Manager 303: with its ending", "Style\\add_detail.safetensors", "Style/add_detail" },
        { "A1111 14655: another file's alias", "A", "A" },
        { "A1111 14655: a file that was renamed", "B", "B" },
    };
    struct tinct_err err;
    char folder[600], inner[640];
    (void)state;
    snprintf(folder, sizeof folder, "%s", temporary_path("loras"));
    snprintf(inner, sizeof inner, "%s/Style", folder);
    assert_int_equal(mkdir(folder, 0700) | mkdir(inner, 0700), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        save_named(folder, names[i].file, strlen(names[i].file) == 1 ? "{\"ss_output_name\":\"A\"}" : "{}");
    struct lora_folder *listed = lora_folder_create(NULL, &err);
    assert_true(lora_folder_add(listed, folder, &err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct lora_entry *entry = lora_folder_find(listed, names[i].written, &err);
        if (!entry || strcmp(entry->name, names[i].file)) fail_msg("%s: %s", names[i].thread, entry ? entry->name : err.text);
    }
    lora_folder_free(listed);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s.safetensors", folder, names[i].file);
        unlink(path);
    }
    assert_int_equal(rmdir(inner) | rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_is_found),
        cmocka_unit_test(alpha_in_the_metadata_counts),
        cmocka_unit_test(no_alpha_is_scale_one),
        cmocka_unit_test(ranks_are_those_of_the_tensors),
        cmocka_unit_test(the_base_is_told_by_shapes_and_names),
        cmocka_unit_test(what_is_no_lora_is_told),
        cmocka_unit_test(names_are_found),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
