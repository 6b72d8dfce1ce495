#include "lora/targets.h"

#include "check.h"
#include "lora/keys.h"
#include "models.h"

static struct model models[4];
static struct lora_targets *targets[4];

static int make_all(void **state)
{
    (void)state;
    for (int base = LORA_SD1; base <= LORA_SDXL; base++) {
        struct tinct_err err;
        models[base] = model_make((enum lora_base)base);
        targets[base] = lora_targets_create((enum lora_base)base, model_find, &models[base], &err);
        if (!targets[base]) {
            print_error("%s\n", err.text);
            return -1;
        }
    }
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    for (int base = LORA_SD1; base <= LORA_SDXL; base++) {
        lora_targets_free(targets[base]);
        free(models[base].tensors);
    }
    return 0;
}

static const struct lora_target *find(enum lora_base base, const char *key)
{
    struct lora_key k;
    assert_true(lora_key_split(&k, key));
    return lora_targets_find(targets[base], k.module);
}

static void underscore(char *text)
{
    for (; *text; text++)
        if (*text == '.') *text = '_';
}

/* Every UNet tensor by both paths, dotted and underscored. Returns how many names of diffusers there are,
 * counting class_embedding's beside add_embedding's. */
static int check_unet_names(enum lora_base base)
{
    static const char *const dotted[] = { "unet.", "diffusion_model.", "" };
    static const char *const underscored[] = { "lora_unet_", "lycoris_", "oft_unet_" };
    int names = 0;

    for (size_t i = 0; i < models[base].count; i++) {
        const struct model_tensor *t = &models[base].tensors[i];
        if (!t->diffusers[0]) continue;
        names += 1 + !strncmp(t->diffusers, "add_embedding", 13);
        bool bias = t->name[strlen(t->name) - 1] == 's';
        for (int path = 0; path < 2; path++)
            for (int p = 0; p < 6; p++) {
                char alias[256], module[200];
                snprintf(module, sizeof module, "%s", path ? t->diffusers : t->name + strlen("model.diffusion_model."));
                *strrchr(module, '.') = '\0';
                if (p >= 3) underscore(module);
                snprintf(alias, sizeof alias, "%s%s", p < 3 ? dotted[p] : underscored[p - 3], module);
                const struct lora_target *got = lora_targets_find(targets[base], alias);
                if (!got || strcmp(bias ? got->bias : got->weight, t->name))
                    fail_msg("%s: found %s, wanted %s", alias, got ? got->weight : "nothing", t->name);
            }
    }
    return names;
}

static void no_name_is_missed(void **state)
{
    (void)state;
    assert_int_equal(check_unet_names(LORA_SD1), 714);
    assert_int_equal(check_unet_names(LORA_SDXL), 1700);
    check_unet_names(LORA_SD2);
}

/* lora_targets_create refuses two layers of one name; here each layer is there once, and each tensor in full. */
static void no_layer_is_doubled(void **state)
{
    (void)state;
    for (int base = LORA_SD1; base <= LORA_SDXL; base++) {
        uint32_t count = lora_targets_count(targets[base]), rows = 0, tensors = 0, wanted = 0;
        for (uint32_t i = 0; i < count; i++) {
            const struct lora_target *a = lora_targets_at(targets[base], i);
            tensors += 1 + (a->bias != NULL) - (a->fused && a->first_row ? 1 + (a->bias != NULL) : 0);
            if (a->fused) rows += a->shape[0];
            for (uint32_t j = 0; j < i; j++) {
                const struct lora_target *b = lora_targets_at(targets[base], j);
                assert_false(!strcmp(a->weight, b->weight) && a->first_row == b->first_row);
            }
        }
        for (size_t i = 0; i < models[base].count; i++)
            if (strstr(models[base].tensors[i].name, "in_proj_weight")) wanted += models[base].tensors[i].shape[0];
        assert_int_equal(rows, wanted);
        assert_int_equal(tensors, models[base].count);
    }
}

/* spec/lora.md 1.4 */
static void the_worked_examples_hold(void **state)
{
    static const struct {
        enum lora_base base;
        const char *key, *weight;
        uint32_t out, in;
    } examples[] = {
        { LORA_SD1, "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
          "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", 640, 768 },
        { LORA_SD1, "unet.up_blocks.2.attentions.1.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
          "model.diffusion_model.output_blocks.7.1.transformer_blocks.0.attn1.to_out.0.weight", 640, 640 },
        { LORA_SD1, "lora_unet_up_blocks_0_upsamplers_0_conv.lora_up.weight",
          "model.diffusion_model.output_blocks.2.1.conv.weight", 1280, 1280 },
        { LORA_SDXL, "lora_unet_up_blocks_0_upsamplers_0_conv.lora_up.weight",
          "model.diffusion_model.output_blocks.2.2.conv.weight", 1280, 1280 },
        { LORA_SD1, "lora_unet_down_blocks_2_resnets_0_time_emb_proj.alpha",
          "model.diffusion_model.input_blocks.7.0.emb_layers.1.weight", 1280, 1280 },
        { LORA_SDXL, "lora_unet_output_blocks_1_1_transformer_blocks_9_ff_net_0_proj.lora_up.weight",
          "model.diffusion_model.output_blocks.1.1.transformer_blocks.9.ff.net.0.proj.weight", 10240, 1280 },
        { LORA_SDXL, "lora_te2_text_model_encoder_layers_31_self_attn_v_proj.lora_up.weight",
          "conditioner.embedders.1.model.transformer.resblocks.31.attn.in_proj_weight", 1280, 1280 },
        { LORA_SD1, "text_encoder.text_model.encoder.layers.3.mlp.fc1.lora_linear_layer.down.weight",
          "cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.weight", 3072, 768 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const struct lora_target *t = find(examples[i].base, examples[i].key);
        if (!t) fail_msg("%s: not found", examples[i].key);
        assert_string_equal(t->weight, examples[i].weight);
        assert_int_equal(t->shape[0], examples[i].out);
        assert_int_equal(t->shape[1], examples[i].in);
    }
    assert_int_equal(find(LORA_SDXL, examples[6].key)->first_row, 2560);
    assert_true(find(LORA_SDXL, examples[6].key)->fused);
    assert_string_equal(find(LORA_SDXL, examples[6].key)->bias,
                        "conditioner.embedders.1.model.transformer.resblocks.31.attn.in_proj_bias");
    assert_int_equal(find(LORA_SDXL, examples[6].key)->model, LORA_TEXT_2);
}

/* The same layer in the words of every trainer. */
static void every_family_finds_the_layer(void **state)
{
    static const char *const to_out[] = {
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_up.weight",
        "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_out_0.lora_down.weight",
        "lycoris_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0.lokr_w1",
        "oft_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0.oft_blocks",
        "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
        "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.lora.up.weight",
        "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_A.weight",
        "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_B.default.weight",
        "base_model.model.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_A.weight",
        "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_out.0.lora_A",
        "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_out.0.diff",
    };
    static const char *const q_proj[] = {
        "lora_te_text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight",
        "lora_te1_text_model_encoder_layers_3_self_attn_q_proj.hada_w1_a",
        "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.up.weight",
        "text_encoder.text_model.encoder.layers.3.self_attn.to_q_lora.down.weight",
        "base_model.model.text_model.encoder.layers.3.self_attn.q_proj.lora_magnitude_vector",
        "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_magnitude_vector.weight",
    };
    (void)state;
    for (size_t i = 0; i < sizeof to_out / sizeof *to_out; i++) {
        const struct lora_target *t = find(LORA_SD1, to_out[i]);
        if (!t || strcmp(t->weight, "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_out.0.weight"))
            fail_msg("%s: %s", to_out[i], t ? t->weight : "not found");
        assert_true(t->attention);
    }
    for (size_t i = 0; i < sizeof q_proj / sizeof *q_proj; i++) {
        const struct lora_target *t = find(LORA_SD1, q_proj[i]), *sd2 = find(LORA_SD2, q_proj[i]);
        if (!t || strcmp(t->weight, "cond_stage_model.transformer.text_model.encoder.layers.3.self_attn.q_proj.weight"))
            fail_msg("%s: %s", q_proj[i], t ? t->weight : "not found");
        assert_int_equal(t->model, LORA_TEXT);
        assert_string_equal(sd2->weight, "cond_stage_model.model.transformer.resblocks.3.attn.in_proj_weight");
        assert_int_equal(sd2->shape[0], 1024);
    }
    assert_true(find(LORA_SDXL, "lora_te2_text_projection.lora_up.weight")->transposed);
    assert_null(find(LORA_SDXL, "lora_te_text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight"));
    assert_null(find(LORA_SD1, "lora_te2_text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight"));
    assert_int_equal(lora_targets_context(targets[LORA_SD1]), 768);
    assert_int_equal(lora_targets_context(targets[LORA_SDXL]), 2048);
}

static void the_longest_suffix_counts(void **state)
{
    static const struct {
        const char *key, *module;
        enum lora_part part;
    } keys[] = {
        { "a.lora_linear_layer.up.weight", "a", LORA_UP },
        { "a.to_q_lora.up.weight", "a.to_q", LORA_UP },
        { "a.lora.down.weight", "a", LORA_DOWN },
        { "a.b1.weight", "a", LORA_GLORA_B1 },
        { "a.b.weight", "a.b", LORA_IA3 },
        { "a.lora_B.bias", "a", LORA_UP_BIAS },
        { "a.hada_w1_b", "a", LORA_HADA_1B },
        { "base_model.model.processor.a.processor.lora_A", "processor.a", LORA_DOWN },
        { "a.processors.x.alpha", "a.processors.x", LORA_ALPHA },
    };
    char longest[LORA_KEY_BYTES + 10];
    struct lora_key k;
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_true(lora_key_split(&k, keys[i].key));
        assert_string_equal(k.module, keys[i].module);
        assert_int_equal(k.part, keys[i].part);
    }
    assert_false(lora_key_split(&k, ""));
    assert_false(lora_key_split(&k, ".alpha"));
    assert_false(lora_key_split(&k, "a.lora_up"));
    memset(longest, 'x', sizeof longest);
    strcpy(longest + sizeof longest - 7, ".alpha");
    assert_false(lora_key_split(&k, longest));
    assert_string_equal(lora_part_name(LORA_LOKR_T2), "lokr_t2");
}

/* The widest name kohya's rule gives is not a layer of its own; odd names find nothing. */
static void odd_names_find_nothing(void **state)
{
    static const char *const odd[] = { "", ".", "lora_unet_", "unet", "lora_unet_out", "lora_unet_down_blocks_9_x" };
    (void)state;
    for (int base = LORA_SD1; base <= LORA_SDXL; base++)
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) assert_null(lora_targets_find(targets[base], odd[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_name_is_missed),
        cmocka_unit_test(no_layer_is_doubled),
        cmocka_unit_test(the_worked_examples_hold),
        cmocka_unit_test(every_family_finds_the_layer),
        cmocka_unit_test(the_longest_suffix_counts),
        cmocka_unit_test(odd_names_find_nothing),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
