#include "tensor/names.h"
#include "check.h"

#include <stdlib.h>

static bool is_spelling(const char *canonical, const char *spelling)
{
    struct names names;
    names_of(&names, canonical, 4);
    for (unsigned i = 0; i < names.count; i++)
        if (!strcmp(names.spelling[i], spelling)) return true;
    return false;
}

/* All 934 weights of SD1.5's UNet and VAE against diffusers' own conversion. */
static void every_weight_has_its_diffusers_name(void **state)
{
    char line[512];
    int lines = 0;
    FILE *f = fopen(TESTS_DIR "/golden/tensor/names.tsv", "r");
    (void)state;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        char out[NAMES_BYTES], *canonical = strtok(line, "\t\n"), *want = strtok(NULL, "\t\n");
        bool unet = !strncmp(canonical, NAMES_UNET, strlen(NAMES_UNET));
        bool known = unet ? names_unet_diffusers(out, canonical + strlen(NAMES_UNET))
                          : names_vae_diffusers(out, canonical + strlen(NAMES_VAE), 4);
        if (!known || strcmp(out, strchr(want, '.') + 1)) fail_msg("%s: %s, wanted %s", canonical, known ? out : "none", want);
        assert_true(is_spelling(canonical, canonical));
        assert_true(is_spelling(canonical, want));
        lines++;
    }
    fclose(f);
    assert_int_equal(lines, 934);
}

static void the_examples_of_the_spec_hold(void **state)
{
    static const char *const pairs[][2] = {
        { "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
          "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight" },
        { "output_blocks.7.1.transformer_blocks.0.attn1.to_out.0.weight",
          "up_blocks.2.attentions.1.transformer_blocks.0.attn1.to_out.0.weight" },
        { "output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight" },
        { "output_blocks.2.2.conv.weight", "up_blocks.0.upsamplers.0.conv.weight" }, /* SDXL */
        { "input_blocks.7.0.emb_layers.1.weight", "down_blocks.2.resnets.0.time_emb_proj.weight" },
        { "label_emb.0.2.weight", "add_embedding.linear_2.weight" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char out[NAMES_BYTES];
        assert_true(names_unet_diffusers(out, pairs[i][0]));
        assert_string_equal(out, pairs[i][1]);
    }
}

static void text_and_attention_have_their_variants(void **state)
{
    (void)state;
    assert_true(is_spelling(NAMES_TEXT "final_layer_norm.weight", "cond_stage_model.transformer.final_layer_norm.weight"));
    assert_true(is_spelling(NAMES_TEXT "final_layer_norm.weight", "text_encoder.text_model.final_layer_norm.weight"));
    assert_true(is_spelling(NAMES_VAE "decoder.mid.attn_1.q.weight", "first_stage_model.decoder.mid.attn_1.to_q.weight"));
    assert_true(is_spelling(NAMES_VAE "decoder.mid.attn_1.proj_out.bias", "decoder.mid_block.attentions.0.proj_attn.bias"));
    assert_true(is_spelling(NAMES_VAE "encoder.mid.attn_1.norm.bias", "vae.encoder.mid_block.attentions.0.group_norm.bias"));
    assert_true(is_spelling("betas", "betas"));
    assert_false(is_spelling(NAMES_UNET "out.2.weight", "out.0.weight"));
}

static void odd_names_are_safe(void **state)
{
    static const char *const odd[] = {
        "", "input_blocks.", "input_blocks.0.1.x", "input_blocks.99999.0.x", "input_blocks.3.0.in_layers.0.weight",
        "input_blocks.1.2.x", "output_blocks.1.2.x", "output_blocks.x.1.conv.weight", "middle_block.3.x", "middle_block.",
        "decoder.up.4.block.0.x", "decoder.up.", "decoder.up.1.attn.0.q.weight", "decoder.other.weight",
    };
    char out[NAMES_BYTES], longest[1000];
    struct names names;
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_false(names_unet_diffusers(out, odd[i]));
        if (!strncmp(odd[i], "decoder", 7)) assert_false(names_vae_diffusers(out, odd[i], 4));
    }
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, NAMES_VAE "decoder.mid.attn_1.", strlen(NAMES_VAE "decoder.mid.attn_1."));
    names_of(&names, longest, 4);
    assert_int_equal(names.count, 0);
    for (size_t length = 150; length < 200; length++) { /* around the longest that has room */
        longest[length] = '\0';
        names_of(&names, longest, 4);
        for (unsigned i = 0; i < names.count; i++) assert_true(strlen(names.spelling[i]) < NAMES_BYTES);
        longest[length] = 'x';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_weight_has_its_diffusers_name),
        cmocka_unit_test(the_examples_of_the_spec_hold),
        cmocka_unit_test(text_and_attention_have_their_variants),
        cmocka_unit_test(odd_names_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
