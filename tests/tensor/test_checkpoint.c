#include "tensor/checkpoint.h"
#include "check.h"
#include "temporary.h"
#include "tensor/names.h"
#include "tensor_file.h"
#include "tiny_checkpoint.h"

#define SHAPE(...) (sizeof((uint32_t[]) { __VA_ARGS__ }) / sizeof(uint32_t)), (const uint32_t[]) { __VA_ARGS__ }

/* A file of zeros with these tensors; a NULL name ends the list. */
struct entry {
    const char *name;
    uint32_t dims, shape[4];
};

static const char *write_entries(const char *name, const struct entry *entries, enum dtype type)
{
    struct tensor_file f;
    const char *path = temporary_path(name);
    tensor_file_begin(&f);
    for (; entries->name; entries++) tensor_file_add(&f, entries->name, type, entries->dims, entries->shape);
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
    return path;
}

static struct checkpoint *open_entries(const char *name, const struct entry *entries)
{
    struct tinct_err err = { 0 };
    struct checkpoint *ck = checkpoint_open(write_entries(name, entries, DTYPE_F16), NULL, &err);
    if (!ck) fail_msg("%s", err.text);
    return ck;
}

static void the_tiny_checkpoint_is_whole(void **state)
{
    struct tinct_err err = { 0 };
    struct stored view;
    const char *path = temporary_path("tiny.safetensors");
    (void)state;
    assert_true(tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", path));
    struct checkpoint *ck = checkpoint_open(path, NULL, &err);
    if (!ck) fail_msg("%s", err.text);
    struct checkpoint_about about = checkpoint_about(ck);
    assert_int_equal(about.kind, CHECKPOINT_SD1);
    assert_string_equal(about.kind_name, "SD1.x");
    assert_true(about.has_unet && about.has_text && about.has_vae && !about.zero_snr);
    assert_int_equal(about.latent_channels, 4);
    assert_int_equal(about.context, 64);
    assert_int_equal(about.prediction, CHECKPOINT_PREDICTS_NOISE);
    if (!checkpoint_expect_sd1(ck, &err)) fail_msg("%s", err.text);

    assert_true(checkpoint_tensor(ck, NAMES_UNET "input_blocks.1.1.proj_in.weight", SHAPE(32, 0), &view, &err));
    assert_int_equal(view.dims, 2);
    assert_int_equal(view.shape[1], 32);
    assert_int_equal(view.dtype, DTYPE_F16);
    float values[32 * 32];
    assert_true(stored_read_f32(values, &view, &err));
    assert_true(fabsf(values[0]) > 0 && fabsf(values[0]) < 2);
    assert_true(checkpoint_tensor(ck, NAMES_UNET "input_blocks.1.1.proj_in.weight", SHAPE(32, 32, 1, 1), &view, &err));
    assert_true(checkpoint_find(ck, NAMES_VAE "decoder.conv_in.weight", &view));
    assert_int_equal(view.shape[2], 3);
    checkpoint_close(ck);
    checkpoint_close(NULL);
}

static void what_is_missing_or_misshapen_is_named(void **state)
{
    static const struct entry entries[] = {
        { NAMES_UNET "out.2.weight", 4, { 9, 320, 3, 3 } },
        { "unet.conv_in.weight", 4, { 320, 4, 3, 3 } },
        { NAMES_UNET "input_blocks.0.0.weight", 4, { 320, 4, 3, 3 } },
        { "scalar", 0, { 0 } },
        { NULL, 0, { 0 } },
    };
    struct tinct_err err;
    struct stored view;
    struct checkpoint *ck = open_entries("shapes.safetensors", entries);
    (void)state;
    check_refused(checkpoint_tensor(ck, NAMES_UNET "out.2.weight", SHAPE(4, 320, 3, 3), &view, &err), &err, TINCT_ERR_FORMAT,
                  "shapes.safetensors: model.diffusion_model.out.2.weight: wanted [4,320,3,3], file has [9,320,3,3]");
    check_refused(checkpoint_tensor(ck, NAMES_UNET "out.2.bias", SHAPE(4), &view, &err), &err, TINCT_ERR_FORMAT,
                  "model.diffusion_model.out.2.bias: missing; wanted [4]");
    check_refused(checkpoint_tensor(ck, NAMES_UNET "out.2.weight", SHAPE(0, 320), &view, &err), &err, TINCT_ERR_FORMAT,
                  "wanted [any,320], file has [9,320,3,3]");
    check_refused(checkpoint_tensor(ck, NAMES_UNET "input_blocks.0.0.weight", SHAPE(320, 4, 3, 3), &view, &err), &err,
                  TINCT_ERR_FORMAT, "is there twice, as model.diffusion_model.input_blocks.0.0.weight and unet.conv_in.weight");
    check_refused(checkpoint_tensor(ck, "scalar", SHAPE(1), &view, &err), &err, TINCT_ERR_FORMAT, "wanted [1], file has []");
    assert_true(checkpoint_tensor(ck, NAMES_UNET "out.2.weight", SHAPE(0, 0, 3, 3), &view, &err));
    assert_int_equal(view.shape[0], 9);
    checkpoint_close(ck);

    ck = checkpoint_open(write_entries("types.safetensors", entries, DTYPE_U32), NULL, &err);
    check_refused(checkpoint_tensor(ck, NAMES_UNET "out.2.weight", SHAPE(9, 320, 3, 3), &view, &err), &err, TINCT_ERR_FORMAT,
                  "is stored as U32, which tinct cannot read");
    checkpoint_close(ck);
}

static void flat_and_1x1_weights_are_taken_for_each_other(void **state)
{
    static const struct entry entries[] = {
        { "first_stage_model.decoder.mid.attn_1.to_q.weight", 2, { 8, 8 } },
        { "first_stage_model.decoder.mid.attn_1.k.weight", 4, { 8, 8, 1, 1 } },
        { "first_stage_model.decoder.mid.attn_1.v.weight", 4, { 8, 8, 1, 3 } },
        { NULL, 0, { 0 } },
    };
    struct tinct_err err = { 0 };
    struct stored view;
    struct checkpoint *ck = open_entries("flat.safetensors", entries);
    (void)state;
    assert_true(checkpoint_tensor(ck, NAMES_VAE "decoder.mid.attn_1.q.weight", SHAPE(8, 8, 1, 1), &view, &err));
    assert_int_equal(view.dims, 4);
    assert_true(checkpoint_tensor(ck, NAMES_VAE "decoder.mid.attn_1.k.weight", SHAPE(8, 0), &view, &err));
    assert_int_equal(view.dims, 2);
    assert_int_equal(view.shape[1], 8);
    assert_false(checkpoint_tensor(ck, NAMES_VAE "decoder.mid.attn_1.v.weight", SHAPE(8, 8), &view, &err));
    checkpoint_close(ck);
}

static void a_second_file_gives_the_vae(void **state)
{
    static const struct entry main_entries[] = {
        { NAMES_UNET "input_blocks.0.0.weight", 4, { 32, 4, 3, 3 } },
        { NAMES_UNET "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", 2, { 32, 64 } },
        { NAMES_TEXT "encoder.layers.0.self_attn.q_proj.weight", 2, { 64, 64 } },
        { NULL, 0, { 0 } },
    };
    static const struct entry vae_entries[] = {
        { "decoder.conv_in.weight", 4, { 16, 4, 3, 3 } },
        { "decoder.up_blocks.1.resnets.0.norm1.weight", 1, { 8 } },
        { "decoder.up_blocks.0.resnets.0.norm1.weight", 1, { 16 } },
        { NULL, 0, { 0 } },
    };
    struct tinct_err err = { 0 };
    struct stored view;
    struct checkpoint *ck = open_entries("main.safetensors", main_entries);
    (void)state;
    check_refused(checkpoint_expect_sd1(ck, &err), &err, TINCT_ERR_FORMAT, "main.safetensors: holds no VAE");
    assert_string_equal(err.advice, "name one with --vae FILE");
    checkpoint_close(ck);

    const char *main_path = temporary_path("main.safetensors");
    check_refused(checkpoint_open(main_path, main_path, &err) != NULL, &err, TINCT_ERR_FORMAT, "main.safetensors: holds no VAE decoder");

    ck = checkpoint_open(main_path, write_entries("vae.safetensors", vae_entries, DTYPE_F32), &err);
    if (!ck) fail_msg("%s", err.text);
    assert_true(checkpoint_about(ck).has_vae);
    assert_true(checkpoint_expect_sd1(ck, &err));
    assert_true(checkpoint_tensor(ck, NAMES_VAE "decoder.conv_in.weight", SHAPE(16, 4, 3, 3), &view, &err));
    assert_int_equal(view.dtype, DTYPE_F32);
    /* two levels: up block 0 of diffusers is the last one here */
    assert_true(checkpoint_tensor(ck, NAMES_VAE "decoder.up.1.block.0.norm1.weight", SHAPE(16), &view, &err));
    check_refused(checkpoint_tensor(ck, NAMES_VAE "decoder.conv_in.bias", SHAPE(16), &view, &err), &err, TINCT_ERR_FORMAT,
                  "vae.safetensors: first_stage_model.decoder.conv_in.bias: missing");
    checkpoint_close(ck);
}

#define UNET(channels, context)                                                          \
    { "model.diffusion_model.input_blocks.0.0.weight", 4, { 32, channels, 3, 3 } },      \
    { "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", 2, { 32, context } }

static void every_kind_is_told(void **state)
{
    static const struct {
        const char *name, *words;
        enum checkpoint_kind kind;
        struct entry entries[5];
    } kinds[] = {
        { "SD1.x", "holds no text encoder", CHECKPOINT_SD1, { UNET(4, 768) } },
        { "SD1.x inpainting", "inpainting model", CHECKPOINT_SD1, { UNET(9, 768) } },
        { "SD1.x", "its UNet takes 8 channels", CHECKPOINT_SD1, { UNET(8, 768) } },
        { "SD1.x", "predicts v", CHECKPOINT_SD1, { UNET(4, 768), { "v_pred", 0, { 0 } } } },
        { "SD2.x", "is an SD2.x model", CHECKPOINT_SD2, { UNET(4, 1024) } },
        { "SD2.x", "is an SD2.x model", CHECKPOINT_SD2,
          { UNET(4, 64), { "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight", 2, { 192, 64 } } } },
        { "SDXL", "is an SDXL model", CHECKPOINT_SDXL,
          { { "model.diffusion_model.input_blocks.0.0.weight", 4, { 32, 4, 3, 3 } },
            { "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", 2, { 32, 2048 } },
            { "model.diffusion_model.label_emb.0.0.weight", 2, { 32, 32 } } } },
        { "SDXL refiner", "is an SDXL refiner", CHECKPOINT_SDXL_REFINER,
          { { "model.diffusion_model.input_blocks.0.0.weight", 4, { 32, 4, 3, 3 } },
            { "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", 2, { 32, 1280 } },
            { "model.diffusion_model.label_emb.0.0.weight", 2, { 32, 32 } } } },
        { "diffusion transformer", "SD3 or Flux", CHECKPOINT_DIT,
          { { "model.diffusion_model.double_blocks.0.img_attn.qkv.weight", 2, { 6, 2 } } } },
        { "LoRA", "is a LoRA, not a checkpoint", CHECKPOINT_LORA,
          { { "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", 2, { 4, 8 } } } },
        { "LoRA", "is a LoRA, not a checkpoint", CHECKPOINT_LORA,
          { { "unet.mid_block.attentions.0.proj_in.lora_A.weight", 2, { 4, 8 } } } },
        { "VAE", "is a VAE, not a checkpoint", CHECKPOINT_VAE, { { "decoder.conv_in.weight", 4, { 16, 4, 3, 3 } } } },
        { "text encoder", "is a text encoder", CHECKPOINT_TEXT_ENCODER,
          { { "text_model.encoder.layers.0.self_attn.q_proj.weight", 2, { 64, 64 } } } },
        { "embedding", "is an embedding", CHECKPOINT_EMBEDDING, { { "emb_params", 2, { 4, 768 } } } },
        { "ControlNet", "is a ControlNet", CHECKPOINT_CONTROLNET,
          { { "control_model.input_blocks.0.0.weight", 4, { 32, 4, 3, 3 } } } },
        { "ControlNet", "is a ControlNet", CHECKPOINT_CONTROLNET,
          { { "controlnet_cond_embedding.conv_in.weight", 4, { 16, 3, 3, 3 } }, { "conv_in.weight", 4, { 32, 4, 3, 3 } } } },
        { "upscaler", "is an upscaler", CHECKPOINT_UPSCALER, { { "conv_first.weight", 4, { 64, 3, 3, 3 } } } },
        { "unknown", "is no model that tinct knows", CHECKPOINT_UNKNOWN, { { "a", 1, { 4 } } } },
        { "unknown", "is no model that tinct knows", CHECKPOINT_UNKNOWN,
          { { "model.diffusion_model.input_blocks.0.0.weight", 4, { 32, 4, 3, 3 } } } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct tinct_err err = { 0 };
        struct checkpoint *ck = open_entries("kind.safetensors", kinds[i].entries);
        struct checkpoint_about about = checkpoint_about(ck);
        assert_string_equal(about.kind_name, kinds[i].name);
        assert_int_equal(about.kind, kinds[i].kind);
        check_refused(checkpoint_expect_sd1(ck, &err), &err, TINCT_ERR_FORMAT, kinds[i].words);
        assert_non_null(strstr(err.text, "kind.safetensors: "));
        assert_true(err.advice[0]);
        checkpoint_close(ck);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tiny_checkpoint_is_whole),
        cmocka_unit_test(what_is_missing_or_misshapen_is_named),
        cmocka_unit_test(flat_and_1x1_weights_are_taken_for_each_other),
        cmocka_unit_test(a_second_file_gives_the_vae),
        cmocka_unit_test(every_kind_is_told),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
