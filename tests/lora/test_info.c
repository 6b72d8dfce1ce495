/* What tinct_describe_file tells of a LoRA: its card among the facts of every safetensors file. */
#include "check.h"
#include "temporary.h"
#include "base/json.h"
#include "tensor/convert.h"
#include "tensor_file.h"

static char *describe(const char *path, bool json)
{
    struct tinct_err err = { 0 };
    char *text = tinct_describe_file(path, json, &err);
    if (!text) fail_msg("%s", err.text);
    return text;
}

static void check_has(const char *text, const char *words)
{
    if (!strstr(text, words)) fail_msg("no '%s' in:\n%s", words, text);
}

static void add_half(struct tensor_file *f, const char *name, uint32_t dims, const uint32_t *shape, float value)
{
    uint16_t half = convert_f32_to_f16(value);
    memcpy(tensor_file_add(f, name, DTYPE_F16, dims, shape), &half, sizeof half);
}

static const char *write_lora(void)
{
    static const char metadata[] =
        "{\"ss_output_name\":\"inked\",\"ss_base_model_version\":\"sd_v1\",\"modelspec.usage_hint\":\"0.6 to 0.8\",\"bad\\u001b[2J\":\"\\u009bx\\n\","
        "\"ss_dataset_dirs\":\"{\\\"x\\\":{\\\"img_count\\\":20}}\","
        "\"ss_tag_frequency\":\"{\\\"10_a\\\":{\\\"hat\\\":3,\\\"arcane style\\\":19,\\\"red\\\":18},\\\"5_b\\\":{\\\"arcane style\\\":1}}\"}";
    struct tensor_file f;
    const char *path = temporary_path("lora.safetensors");
    tensor_file_begin_with(&f, metadata);
    add_half(&f, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", 2,
             (uint32_t[]) { 4, 768 }, 0);
    add_half(&f, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight", 2,
             (uint32_t[]) { 320, 4 }, 0);
    add_half(&f, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.alpha", 0, NULL, 2);
    add_half(&f, "lora_unet_conv_in.lora_down.weight", 4, (uint32_t[]) { 16, 4, 3, 3 }, 0);
    add_half(&f, "lora_unet_conv_in.lora_up.weight", 4, (uint32_t[]) { 320, 16, 1, 1 }, 0);
    add_half(&f, "lora_unet_conv_in.alpha", 0, NULL, 8);
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
    temporary_write("lora.json", "{\"preferred weight\": 0.7}", 25);
    return path;
}

static void a_lora_is_told(void **state)
{
    char *text = describe(write_lora(), false);
    (void)state;
    check_has(text, "lora.safetensors\n");
    check_has(text, "kind       LoRA\n");
    check_has(text, "paints     is a LoRA, not a checkpoint\n");
    check_has(text, "type       LoCon\n");
    check_has(text, "base       SD1.x\n");
    check_has(text, "modules    2\n");
    check_has(text, "rank       4 to 16\n");
    check_has(text, "alpha      2 to 8\n");
    check_has(text, "triggers   arcane style, red\n");
    check_has(text, "hint       0.6 to 0.8\n");
    check_has(text, "alias      inked\n");
    check_has(text, "weight     0.70\n");
    check_has(text, "AutoV3     ");
    assert_null(strstr(text, "preview")); /* nobody says */
    check_has(text, "types      F16 6\n");
    check_has(text, "bad?[2J: ?x?\n"); /* nothing that moves a terminal's cursor */
    free(text);
}

static void json_says_the_same(void **state)
{
    struct tinct_err err = { 0 };
    char *text = describe(write_lora(), true);
    struct json *root = json_parse(text, strlen(text), &err);
    int64_t number = 0;
    double alpha = 0;
    bool paints = true;
    (void)state;
    if (!root) fail_msg("%s in\n%s", err.text, text);
    const struct json *lora = json_member(root, "lora");
    assert_string_equal(json_to_string(json_member(root, "kind")), "LoRA");
    assert_true(json_to_bool(json_member(root, "paints"), &paints) && !paints);
    assert_string_equal(json_to_string(json_member(lora, "triggers")), "arcane style, red");
    assert_true(json_to_integer(json_member(lora, "rank_max"), &number) && number == 16);
    assert_true(json_to_double(json_member(lora, "alpha_min"), &alpha) && alpha == 2);
    assert_true(json_to_integer(json_member(json_member(root, "dtypes"), "F16"), &number) && number == 6);
    assert_string_equal(json_to_string(json_member(json_member(root, "metadata"), "ss_base_model_version")), "sd_v1");
    json_free(root);
    free(text);
}

/* What others write into metadata need not be JSON, nor what it should be. */
static void odd_metadata_is_no_reason_to_fail(void **state)
{
    static const char *const frequencies[] = { "", "[1,2]", "{\\\"a\\\":[1]}", "{\\\"a\\\":{\\\"b\\\":\\\"c\\\"}}", "{", "nonsense" };
    (void)state;
    for (size_t i = 0; i < sizeof frequencies / sizeof *frequencies; i++) {
        char metadata[200];
        struct tensor_file f;
        const char *path = temporary_path("odd.safetensors");
        snprintf(metadata, sizeof metadata, "{\"ss_tag_frequency\":\"%s\"}", frequencies[i]);
        tensor_file_begin_with(&f, metadata);
        add_half(&f, "a.hada_w1_a", 2, (uint32_t[]) { 9, 8 }, 0);
        add_half(&f, "a.hada_w1_b", 2, (uint32_t[]) { 8, 4 }, 0);
        add_half(&f, "a.dora_scale", 1, (uint32_t[]) { 3 }, 1);
        assert_true(tensor_file_save(&f, path));
        tensor_file_free(&f);
        char *text = describe(path, false);
        assert_null(strstr(text, "triggers"));
        assert_null(strstr(text, "alpha"));
        check_has(text, "type       DoRA\n");
        check_has(text, "rank       8\n");
        free(text);
    }
}

static void write_vectors(const char *path, const char *name, uint32_t count, uint32_t width, const char *second)
{
    struct tensor_file f;
    tensor_file_begin(&f);
    tensor_file_add(&f, name, DTYPE_F16, 2, (uint32_t[]) { count, width });
    if (second) tensor_file_add(&f, second, DTYPE_F16, 2, (uint32_t[]) { count, 1280 });
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
}

static void an_embedding_is_told(void **state)
{
    static const struct {
        const char *name, *second, *base, *width;
        uint32_t count, values;
    } forms[] = {
        { "emb_params", NULL, "base       SD1.x\n", "width      768\n", 8, 768 },
        { "<cat-toy>", NULL, "base       SD2.x\n", "width      1024\n", 1, 1024 },
        { "clip_l", "clip_g", "base       SDXL\n", "width      2048\n", 2, 768 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const char *path = temporary_path("embedding.safetensors");
        char vectors[32];
        write_vectors(path, forms[i].name, forms[i].count, forms[i].values, forms[i].second);
        char *text = describe(path, false);
        snprintf(vectors, sizeof vectors, "vectors    %u\n", (unsigned)forms[i].count);
        check_has(text, "kind       embedding\n");
        check_has(text, forms[i].base);
        check_has(text, forms[i].width);
        check_has(text, vectors);
        free(text);
    }
}

/* What a picture is, and nothing about safetensors. */
static void pictures_that_are_no_png_are_told(void **state)
{
    static const struct {
        const char *head, *format;
    } pictures[] = {
        { "\xff\xd8\xff\xe0JFIF etc.", "JPEG" }, { "RIFF\x10\1\1\1WEBPVP8 ", "WebP" }, { "GIF89a etc. etc. etc.", "GIF" },
        { "\1\1\1 ftypavif etc.", "AVIF" },      { "BM etc. etc. etc.", "BMP" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) {
        char *text = describe(temporary_write("picture", pictures[i].head, strlen(pictures[i].head)), false), words[64];
        snprintf(words, sizeof words, "picture: a %s picture; ", pictures[i].format);
        check_has(text, words);
        free(text);
        text = describe(temporary_path("picture"), true);
        check_has(text, pictures[i].format);
        free(text);
    }
    char *text = describe(temporary_write("small", "GIF8", 4), false); /* four bytes are enough to tell */
    check_has(text, "small: a GIF picture");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lora_is_told),
        cmocka_unit_test(json_says_the_same),
        cmocka_unit_test(an_embedding_is_told),
        cmocka_unit_test(pictures_that_are_no_png_are_told),
        cmocka_unit_test(odd_metadata_is_no_reason_to_fail),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
