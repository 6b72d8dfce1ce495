/* Files against models: what matches, what is told, what is refused. Files here are written as each trainer does. */
#include "lora/match.h"

#include "check.h"
#include "lora/delta.h"
#include "models.h"
#include "temporary.h"
#include "tensor_file.h"

static struct model model;
static struct lora_targets *sd1;

static int make(void **state)
{
    struct tinct_err err;
    model = model_make(LORA_SD1);
    sd1 = lora_targets_create(LORA_SD1, model_find, &model, &err);
    return sd1 ? temporary_make(state) : -1;
}

static int clean(void **state)
{
    lora_targets_free(sd1);
    free(model.tensors);
    return temporary_remove(state);
}

/* ---- files -------------------------------------------------------------- */

struct tensor {
    const char *name;
    uint32_t dims, shape[5];
    float value;
};

static const char *write_file(const struct tensor *tensors, size_t count, const char *metadata)
{
    struct tensor_file f;
    const char *path = temporary_path("lora.safetensors");
    tensor_file_begin_with(&f, metadata ? metadata : "{\"format\":\"pt\"}");
    for (size_t i = 0; i < count; i++) {
        size_t values = 1;
        for (uint32_t d = 0; d < tensors[i].dims; d++) values *= tensors[i].shape[d];
        float *to = tensor_file_add(&f, tensors[i].name, DTYPE_F32, tensors[i].dims, tensors[i].shape);
        for (size_t v = 0; v < values; v++) to[v] = tensors[i].value;
    }
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
    return path;
}

/* Opened and matched, or refused by either. */
static struct lora_match *match_file(const char *path, struct lora_file **file, struct tinct_err *err)
{
    memset(err, 0, sizeof *err);
    *file = lora_open(path, err);
    struct lora_match *match = *file ? lora_match(*file, sd1, err) : NULL;
    if (!match) {
        lora_close(*file);
        *file = NULL;
    }
    return match;
}

static void done(struct lora_match *match, struct lora_file *file)
{
    lora_match_free(match);
    lora_close(file);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void check_file_refused(const struct tensor *tensors, size_t count, const char *metadata, const char *words)
{
    struct tinct_err err;
    struct lora_file *file;
    struct lora_match *match = match_file(write_file(tensors, count, metadata), &file, &err);
    check_refused(match, &err, TINCT_ERR_FORMAT, words);
    if (!strstr(err.text, "lora.safetensors: ")) fail_msg("no path in: %s", err.text);
}

#define Q "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
#define K2 "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
#define UP(module, out, r) { module ".lora_up.weight", 2, { out, r }, 0.5f }
#define DOWN(module, r, in) { module ".lora_down.weight", 2, { r, in }, 0.5f }

/* ---- whole models ------------------------------------------------------- */

static void append(struct tensor_file *f, const char *module, const char *end, uint32_t dims, const uint32_t *shape)
{
    char name[300];
    snprintf(name, sizeof name, "%s%s", module, end);
    tensor_file_add(f, name, DTYPE_F16, dims, shape);
}

/* kohya's file for every linear layer and convolution of SD1, by diffusers' names. */
static void a_whole_kohya_file_matches(void **state)
{
    struct tensor_file f;
    struct lora_file *file;
    struct tinct_err err;
    uint32_t written = 0;
    (void)state;
    tensor_file_begin(&f);
    for (size_t i = 0; i < model.count; i++) {
        const struct model_tensor *t = &model.tensors[i];
        char module[200];
        bool text = !t->diffusers[0];
        if (t->dims == 1) continue;
        snprintf(module, sizeof module, "%s_%s", text ? "lora_te" : "lora_unet",
                 text ? t->name + strlen("cond_stage_model.transformer.") : t->diffusers);
        *strrchr(module, '.') = '\0';
        for (char *c = module; *c; c++)
            if (*c == '.') *c = '_';
        const uint32_t up[] = { t->shape[0], 2, 1, 1 }, down[] = { 2, t->shape[1], t->shape[2], t->shape[3] };
        append(&f, module, ".lora_up.weight", t->dims, up);
        append(&f, module, ".lora_down.weight", t->dims, down);
        append(&f, module, ".alpha", 0, NULL);
        written++;
    }
    assert_true(tensor_file_save(&f, temporary_path("lora.safetensors")));
    tensor_file_free(&f);
    struct lora_match *match = match_file(temporary_path("lora.safetensors"), &file, &err);
    if (!match) fail_msg("%s", err.text);
    assert_int_equal(match->count, written);
    assert_int_equal(match->total, written);
    assert_int_equal(match->unmatched_count, 0);
    assert_int_equal(match->rank_min, 2);
    assert_int_equal(match->silent, written); /* alpha 0: nothing happens, and it is told */
    struct lora_about about = lora_about(file);
    assert_true(about.unet && about.text);
    assert_int_equal(about.origin.context, 768);
    assert_string_equal(about.type, "LoCon");
    done(match, file);
}

/* ---- what is told ------------------------------------------------------- */

static void unmatched_keys_have_their_reasons(void **state)
{
    static const struct tensor tensors[] = {
        UP(Q, 320, 4), DOWN(Q, 4, 320),
        UP("lora_unet_down_blocks_7_attentions_0_proj_in", 320, 4), DOWN("lora_unet_down_blocks_7_attentions_0_proj_in", 4, 320),
        { "lora_unet_time_embedding_linear_1.lora_up.weight", 2, { 640, 4 }, 1 },
        { "lora_unet_time_embedding_linear_1.lora_down.weight", 2, { 4, 320 }, 1 },
        { "bundle_emb.mood.string_to_param.*", 2, { 1, 768 }, 1 },
        { "lora_unet_conv_in.unheard_of", 1, { 3 }, 1 },
        { "lora_unet_conv_out.weight", 4, { 4, 320, 3, 3 }, 1 },
    };
    static const char *const reasons[][2] = {
        { "lora_unet_conv_out", "no parts of a known LoRA type" },
        { "lora_unet_down_blocks_7_attentions_0_proj_in", "the model has no such layer" },
        { "lora_unet_time_embedding_linear_1", "lora_up.weight [640,4] does not fit the layer's [1280,320]" },
        { "bundle_emb.mood.string_to_param.*", "an embedding that came bundled with the LoRA" },
        { "lora_unet_conv_in.unheard_of", "its ending is unknown" },
    };
    struct lora_file *file;
    struct tinct_err err;
    struct lora_match *match = match_file(write_file(tensors, COUNT(tensors), NULL), &file, &err);
    (void)state;
    if (!match) fail_msg("%s", err.text);
    assert_int_equal(match->count, 1);
    assert_int_equal(match->total, 3);
    assert_int_equal(match->unmatched_count, COUNT(reasons));
    for (size_t i = 0; i < COUNT(reasons); i++) {
        bool found = false;
        for (uint32_t u = 0; u < match->unmatched_count; u++)
            found |= !strcmp(match->unmatched[u].name, reasons[i][0]) && !strcmp(match->unmatched[u].reason, reasons[i][1]);
        if (!found) fail_msg("not told: %s: %s", reasons[i][0], reasons[i][1]);
    }
    assert_int_equal(match->silent, 0);
    done(match, file);
}

/* Both spellings of a layer in one file: diffusers' counts, as diffusers itself has it. */
static void of_two_spellings_one_counts(void **state)
{
    static const struct tensor tensors[] = {
        UP("lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q", 320, 4),
        DOWN("lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q", 4, 320),
        UP(Q, 320, 2), DOWN(Q, 2, 320),
    };
    struct lora_file *file;
    struct tinct_err err;
    struct lora_match *match = match_file(write_file(tensors, 4, NULL), &file, &err);
    (void)state;
    if (!match) fail_msg("%s", err.text);
    assert_int_equal(match->count, 1);
    assert_string_equal(match->modules[0].name, Q);
    assert_int_equal(match->unmatched_count, 1);
    assert_string_equal(match->unmatched[0].reason, "the same layer is there under diffusers' name");
    done(match, file);
}

/* diffusers' scripts rename only some layers: mixed suffixes in one file are legal. */
static void mixed_suffixes_are_legal(void **state)
{
    static const struct tensor tensors[] = {
        { "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora.up.weight", 2, { 320, 4 }, 1 },
        { "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight", 2, { 4, 320 }, 1 },
        { "unet.down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2.lora_B.weight", 2, { 320, 4 }, 1 },
        { "unet.down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2.lora_A.weight", 2, { 4, 1280 }, 1 },
        { "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_v_lora.up.weight", 2, { 1280, 4 }, 1 },
        { "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_v_lora.down.weight", 2, { 4, 1280 }, 1 },
    };
    static const char metadata[] =
        "{\"lora_adapter_metadata\":\"{\\\"unet.r\\\": 4, \\\"unet.lora_alpha\\\": 6, \\\"unet.use_rslora\\\": true, "
        "\\\"unet.alpha_pattern\\\": {\\\"ff.net.2\\\": 2}}\"}";
    struct lora_file *file;
    struct tinct_err err;
    struct lora_match *match = match_file(write_file(tensors, COUNT(tensors), metadata), &file, &err);
    (void)state;
    if (!match) fail_msg("%s", err.text);
    assert_int_equal(match->count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        bool pattern = strstr(match->modules[i].name, "ff.net.2") != NULL;
        assert_true(fabs(match->modules[i].scale - (pattern ? 1.0 : 3.0)) < 1e-9); /* alpha / sqrt(4) */
    }
    done(match, file);
}

/* ---- what is refused ---------------------------------------------------- */

static void broken_modules_refuse_the_file(void **state)
{
    static const struct tensor no_down[] = { UP(Q, 320, 4) }, no_up[] = { DOWN(Q, 4, 320) },
        rank_mismatch[] = { UP(Q, 320, 4), DOWN(Q, 8, 320) },
        zero_rank[] = { UP(Q, 320, 0), DOWN(Q, 0, 320) },
        half_loha[] = { { Q ".hada_w1_a", 2, { 320, 4 }, 1 }, { Q ".hada_w1_b", 2, { 4, 320 }, 1 }, { Q ".hada_w2_a", 2, { 320, 4 }, 1 } },
        half_lokr[] = { { Q ".lokr_w1", 2, { 2, 2 }, 1 }, { Q ".lokr_w2_a", 2, { 160, 4 }, 1 } },
        half_glora[] = { { Q ".a1.weight", 2, { 320, 4 }, 1 } },
        other_width[] = { UP(Q, 640, 4), DOWN(Q, 4, 640) },
        two_ways[] = { UP(Q, 320, 4), DOWN(Q, 4, 320), { Q ".lora_B.weight", 2, { 320, 4 }, 1 } },
        two_alphas[] = { UP(Q, 320, 4), DOWN(Q, 4, 320), { Q ".alpha", 1, { 2 }, 1 } };
    (void)state;
    check_file_refused(no_down, 1, NULL, Q ": has lora_up.weight without lora_down.weight");
    check_file_refused(no_up, 1, NULL, Q ": has lora_down.weight without lora_up.weight");
    check_file_refused(rank_mismatch, 2, NULL, "lora_up.weight has rank 4, lora_down.weight has rank 8");
    check_file_refused(zero_rank, 2, NULL, "lora_up.weight holds no values (rank 0)");
    check_file_refused(half_loha, 3, NULL, "has hada_w2_a without hada_w2_b");
    check_file_refused(half_lokr, 2, NULL, "has lokr_w2_a without lokr_w2_b");
    check_file_refused(half_glora, 1, NULL, "has a1.weight without a2.weight");
    check_file_refused(other_width, 2, NULL, Q ": lora_up.weight [640,4] does not fit the layer's [320,320]");
    check_file_refused(two_ways, 3, NULL, "are the same part of one layer");
    check_file_refused(two_alphas, 3, NULL, "alpha: wanted one value");
}

static void values_that_are_none_refuse_the_file(void **state)
{
    const struct tensor nan_alpha[] = { UP(Q, 320, 4), DOWN(Q, 4, 320), { Q ".alpha", 0, { 0 }, NAN } },
        nan_weight[] = { UP(Q, 320, 4), { Q ".lora_down.weight", 2, { 4, 320 }, NAN } },
        inf_weight[] = { { Q ".lora_up.weight", 2, { 320, 4 }, INFINITY }, DOWN(Q, 4, 320) };
    (void)state;
    check_file_refused(nan_alpha, 3, NULL, Q ".alpha: holds NaN or Inf");
    check_file_refused(nan_weight, 2, NULL, Q ".lora_down.weight: holds NaN or Inf");
    check_file_refused(inf_weight, 2, NULL, Q ".lora_up.weight: holds NaN or Inf");
}

/* LyCORIS stores alpha = rank for two whole factors; 100000 is Inf in fp16, and counts for nothing. */
static void an_alpha_that_counts_for_nothing_may_be_inf(void **state)
{
    const struct tensor tensors[] = { { Q ".lokr_w1", 2, { 2, 2 }, 1 }, { Q ".lokr_w2", 2, { 160, 160 }, 1 },
                                      { Q ".alpha", 0, { 0 }, INFINITY } };
    float delta[320 * 320];
    struct lora_file *file;
    struct tinct_err err;
    struct lora_match *match = match_file(write_file(tensors, 3, NULL), &file, &err);
    (void)state;
    if (!match) fail_msg("%s", err.text);
    assert_true(lora_delta(delta, &match->modules[0], (struct lora_use) { .strength = 1 }, NULL, &err));
    assert_true(delta[0] > 0.99f && delta[0] < 1.01f);
    done(match, file);
}

/* SDXL and SD2 on SD1: by shape, by layers, by metadata; never by a model without such layers. */
static void other_base_models_are_refused(void **state)
{
    static const struct tensor sdxl[] = { UP(K2, 640, 4), DOWN(K2, 4, 2048) }, sd2[] = { UP(K2, 320, 4), DOWN(K2, 4, 1024) },
        te2[] = { UP("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 1280, 4),
                  DOWN("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 4, 1280) },
        deep[] = { UP("lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q", 640, 4),
                   DOWN("lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q", 4, 640) },
        same[] = { UP(Q, 320, 4), DOWN(Q, 4, 320) };
    struct lora_file *file;
    struct tinct_err err;
    (void)state;
    check_file_refused(sdxl, 2, NULL, "is a LoRA for SDXL: its cross-attention reads text of width 2048, the model is SD1.x with width 768");
    check_file_refused(sd2, 2, NULL, "is a LoRA for SD2.x: its cross-attention reads text of width 1024");
    check_file_refused(te2, 2, NULL, "is a LoRA for SDXL by its layers, the model is SD1.x");
    check_file_refused(deep, 2, NULL, "is a LoRA for SDXL by its layers");
    check_file_refused(same, 2, "{\"ss_base_model_version\":\"sdxl_base_v1-0\"}", "is a LoRA for SDXL by its metadata");
    check_file_refused(same, 2, "{\"ss_v2\":\"True\"}", "is a LoRA for SD2.x by its metadata");
    struct lora_match *match = match_file(write_file(same, 2, "{\"ss_v2\":\"None\"}"), &file, &err);
    if (!match) fail_msg("%s", err.text);
    done(match, file);
}

static void other_files_are_refused_by_what_they_are(void **state)
{
    static const struct tensor control[] = { { "lora_controlnet", 1, { 1 }, 1 }, { "input_blocks.0.0.weight", 1, { 1 }, 1 } },
        control_keys[] = { { "input_blocks.1.0.in_layers.2.up", 2, { 320, 8 }, 1 }, { "input_blocks.1.0.in_layers.2.down", 2, { 8, 320 }, 1 } },
        embedding[] = { { "emb_params", 2, { 4, 768 }, 1 } },
        checkpoint[] = { { "model.diffusion_model.input_blocks.0.0.weight", 4, { 8, 4, 3, 3 }, 1 },
                         { "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", 2, { 8, 768 }, 1 } },
        nothing[] = { { "a", 1, { 1 }, 1 } },
        video[] = { { "lora_unet_blocks_0_attn_q.lora_up.weight", 2, { 8, 4 }, 1 }, { "lora_unet_blocks_0_attn_q.lora_down.weight", 2, { 4, 8 }, 1 } };
    (void)state;
    check_file_refused(control, 2, NULL, "is a Control-LoRA");
    check_file_refused(control_keys, 2, NULL, "is a Control-LoRA");
    check_file_refused(embedding, 1, NULL, "is no LoRA but of kind \"embedding\"");
    check_file_refused(checkpoint, 2, NULL, "is no LoRA but of kind \"SD1.x\"");
    check_file_refused(nothing, 1, NULL, "is no LoRA: none of its 1 tensors is named as a part of one");
    check_file_refused(video, 2, NULL, "none of its 1 modules matches a layer of the model");
}

static void shapes_that_no_layer_has(void **state)
{
    static const struct tensor five[] = { { "lora_unet_conv_in.lora_up.weight", 5, { 320, 4, 1, 1, 1 }, 1 },
                                          { "lora_unet_conv_in.lora_down.weight", 5, { 4, 4, 1, 3, 3 }, 1 }, UP(Q, 320, 4), DOWN(Q, 4, 320) };
    struct lora_file *file;
    struct tinct_err err;
    struct lora_match *match = match_file(write_file(five, 4, NULL), &file, &err);
    (void)state;
    if (!match) fail_msg("%s", err.text);
    assert_int_equal(match->count, 1);
    assert_string_equal(match->unmatched[0].reason, "lora_up.weight has 5 dimensions");
    done(match, file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_kohya_file_matches),
        cmocka_unit_test(unmatched_keys_have_their_reasons),
        cmocka_unit_test(of_two_spellings_one_counts),
        cmocka_unit_test(mixed_suffixes_are_legal),
        cmocka_unit_test(broken_modules_refuse_the_file),
        cmocka_unit_test(values_that_are_none_refuse_the_file),
        cmocka_unit_test(an_alpha_that_counts_for_nothing_may_be_inf),
        cmocka_unit_test(other_base_models_are_refused),
        cmocka_unit_test(other_files_are_refused_by_what_they_are),
        cmocka_unit_test(shapes_that_no_layer_has),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
