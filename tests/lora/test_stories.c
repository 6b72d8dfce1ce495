/* Names that made LoRAs do nothing, or fail, in other programs, each from the thread that tells of it. Here every one
 * finds its layer. */
#include "check.h"
#include "lora/keys.h"
#include "models.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_layer_is_found) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
