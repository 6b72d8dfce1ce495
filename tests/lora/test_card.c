#include "lora/card.h"

#include "base/str.h"
#include "check.h"
#include "temporary.h"
#include "tensor_file.h"

static const char kohya[] =
    "{\"ss_output_name\":\"arcane\",\"ss_base_model_version\":\"sd_v1\","
    "\"ss_dataset_dirs\":\"{\\\"10_arcane woman\\\": {\\\"n_repeats\\\": 10, \\\"img_count\\\": 20}}\","
    "\"ss_tag_frequency\":\"{\\\"10_arcane woman\\\": {\\\"1girl\\\": 19, \\\"solo\\\": 20, \\\"hat\\\": 3}}\"}";

static const char *write_lora(const char *name, const char *metadata)
{
    const uint32_t up[] = { 320, 16 }, down[] = { 16, 768 };
    struct tensor_file f;
    float alpha = 8;
    tensor_file_begin_with(&f, metadata);
    tensor_file_add(&f, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight", DTYPE_F16, 2, up);
    tensor_file_add(&f, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", DTYPE_F16, 2, down);
    memcpy(tensor_file_add(&f, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.alpha", DTYPE_F32, 0, NULL), &alpha, 4);
    assert_true(tensor_file_save(&f, temporary_path(name)));
    tensor_file_free(&f);
    return temporary_path(name);
}

static void write_text(const char *name, const char *text)
{
    temporary_write(name, text, strlen(text));
}

static struct lora_card *read_card(const char *metadata)
{
    struct tinct_err err;
    struct lora_card *card = lora_card_read("arcane", write_lora("arcane.safetensors", metadata), true, NULL, &err);
    if (!card) fail_msg("%s", err.text);
    return card;
}

static void join_triggers(char out[512], const struct lora_card *card)
{
    out[0] = '\0';
    for (size_t i = 0; i < card->triggers.count; i++) {
        if (i) strcat(out, "|");
        strcat(out, card->triggers.words[i]);
    }
}

static void remove_sidecars(void)
{
    static const char *const names[] = { "arcane.json", "arcane.civitai.info", "arcane.txt", "arcane.preview.png", "arcane.png" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(temporary_path(names[i]));
}

static void facts_come_from_shapes(void **state)
{
    struct lora_card *card = read_card(kohya);
    (void)state;
    assert_string_equal(card->base, "SD1.x");
    assert_int_equal(card->about.origin.evidence, LORA_BY_SHAPE);
    assert_string_equal(card->about.type, "LoRA");
    assert_int_equal(card->about.rank_max, 16);
    assert_true(card->about.alpha_min > 7.9f && card->about.alpha_max < 8.1f);
    assert_true(card->about.unet && !card->about.text);
    assert_int_equal(strlen(card->autov2), 10);
    assert_int_equal(strlen(card->autov3), 12);
    assert_string_equal(card->alias, "arcane");
    assert_false(card->weight_told);
    assert_string_equal(card->warnings, "");
    lora_card_free(card);
}

/* spec 4.5's order: each source hides those behind it. */
static void triggers_come_in_order(void **state)
{
    char words[512], all[2048];
    struct lora_card *card;
    (void)state;

    card = read_card("{\"ss_tag_frequency\":\"{\\\"1_\\\": {\\\"1girl\\\": 19, \\\"solo\\\": 20, \\\"hat\\\": 3}}\","
                     "\"ss_dataset_dirs\":\"{\\\"x\\\": {\\\"img_count\\\": 20}}\"}");
    join_triggers(words, card);
    assert_string_equal(words, "solo|1girl"); /* in nine of ten pictures */
    assert_int_equal(card->triggers.source, LORA_TRIGGERS_TAGS);
    lora_card_free(card);

    card = read_card(kohya);
    join_triggers(words, card);
    assert_string_equal(words, "arcane woman");
    assert_int_equal(card->triggers.source, LORA_TRIGGERS_CLASS);
    lora_card_free(card);

    snprintf(all, sizeof all, "%.*s,\"ss_datasets\":\"[{\\\"subsets\\\":[{\\\"class_tokens\\\":\\\"reg\\\",\\\"is_reg\\\":true},"
             "{\\\"class_tokens\\\":\\\"jinx\\\",\\\"is_reg\\\":false}]}]\"}", (int)strlen(kohya) - 1, kohya);
    card = read_card(all);
    join_triggers(words, card);
    assert_string_equal(words, "jinx");
    lora_card_free(card);

    write_text("arcane.civitai.info", "{\"baseModel\":\"SD 1.5\",\"trainedWords\":[\"a b, c <lora:arcane:1>\", \"c\", 7, \" \", \"d\"]}");
    card = read_card(kohya);
    join_triggers(words, card);
    assert_string_equal(words, "a b|c|d");
    assert_int_equal(card->triggers.source, LORA_TRIGGERS_CIVITAI);
    lora_card_free(card);

    snprintf(all, sizeof all, "%.*s,\"modelspec.trigger_phrase\":\"arcane style\"}", (int)strlen(kohya) - 1, kohya);
    card = read_card(all);
    join_triggers(words, card);
    assert_string_equal(words, "arcane style");
    lora_card_free(card);

    write_text("arcane.json", "{\"activation text\":\"mine\", \"preferred weight\": 0.7, \"negative text\": \"blurry\"}");
    card = read_card(all);
    join_triggers(words, card);
    assert_string_equal(words, "mine");
    assert_true(card->weight_told && card->weight > 0.69 && card->weight < 0.71);
    assert_string_equal(card->negative, "blurry");
    lora_card_free(card);
    remove_sidecars();
}

/* Captions say nothing: each is another one. */
static void captions_are_no_triggers(void **state)
{
    struct lora_card *card = read_card(
        "{\"ss_tag_frequency\":\"{\\\"1_\\\": {\\\"a woman with blue hair standing on a bridge\\\": 2}}\","
        "\"ss_dataset_dirs\":\"{\\\"x\\\": {\\\"img_count\\\": 2}}\"}");
    (void)state;
    assert_int_equal(card->triggers.count, 0);
    lora_card_free(card);
}

static void weights_that_say_nothing(void **state)
{
    static const struct {
        const char *json;
        bool civitai, told;
    } cases[] = {
        { "{\"preferred weight\": 0}", false, false },    { "{\"preferred weight\": -1}", false, false },
        { "{\"preferred weight\": \"1\"}", false, false }, { "{\"preferred weight\": 1e9}", false, false },
        { "{\"preferred weight\": 0.8}", false, true },   { "{\"preferred weight\": 0.8}", true, false },
        { "{\"preferred weight\": 0.75}", true, true },   { "{}", true, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text("arcane.json", cases[i].json);
        if (cases[i].civitai) write_text("arcane.civitai.info", "{}");
        struct lora_card *card = read_card(kohya);
        assert_int_equal(card->weight_told, cases[i].told);
        if (!cases[i].told) assert_true(card->weight > 0.99 && card->weight < 1.01);
        lora_card_free(card);
        remove_sidecars();
    }
}

/* Each is one warning that names the file, and the card is there. */
static void broken_sidecars_are_warnings(void **state)
{
    static const char *const broken[] = { "not json", "[1,2]", "{\"a\":", "\xff\xfe{", "{\"a\":1,\"a\":2}", "<html>", "null" };
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_text("arcane.json", broken[i]);
        struct lora_card *card = read_card(kohya);
        if (!strstr(card->warnings, "arcane.json: ")) fail_msg("%s: \"%s\"", broken[i], card->warnings);
        assert_int_equal(card->triggers.source, LORA_TRIGGERS_CLASS);
        lora_card_free(card);
    }
    write_text("arcane.json", "\xef\xbb\xbf{\"activation text\":\"bom\"}"); /* as Windows writes it */
    struct lora_card *card = read_card(kohya);
    assert_string_equal(card->triggers.words[0], "bom");
    assert_string_equal(card->warnings, "");
    lora_card_free(card);
    remove_sidecars();
    assert_int_equal(symlink("/etc/hostname", temporary_path("arcane.json")), 0);
    card = read_card(kohya);
    assert_string_equal(card->warnings, "");
    lora_card_free(card);
    remove_sidecars();
}

static void previews_and_descriptions(void **state)
{
    struct lora_card *card;
    (void)state;
    write_text("arcane.txt", "what it does");
    write_text("arcane.preview.png", "x");
    card = read_card(kohya);
    assert_string_equal(card->description, "what it does");
    assert_non_null(strstr(card->preview, "arcane.preview.png"));
    lora_card_free(card);
    write_text("arcane.png", "x");
    card = read_card(kohya);
    assert_non_null(strstr(card->preview, "/arcane.png"));
    lora_card_free(card);
    remove_sidecars();
    card = read_card("{\"modelspec.thumbnail\":\"data:image/jpeg;base64,x\",\"modelspec.description\":\"d\"}");
    assert_string_equal(card->preview, "embedded");
    assert_string_equal(card->description, "d");
    lora_card_free(card);
}

/* Names and texts of strangers reach a terminal without control characters, and JSON whole. */
static void texts_are_clean(void **state)
{
    struct tinct_err err;
    struct lora_card *card;
    char *text;
    (void)state;
    write_text("arcane.json", "{\"description\":\"red \\u001b[31m \\u009b text\",\"activation text\":\"a\\u0007b\"}");
    card = read_card(kohya);
    assert_non_null(text = lora_card_text(card, false, &err));
    for (char *c = text; *c; c++) assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
    assert_non_null(strstr(text, "red ?[31m ? text"));
    assert_non_null(strstr(text, "rank       16, alpha 8"));
    assert_non_null(strstr(text, "trained on solo (20), 1girl (19), hat (3)\n"));
    free(text);
    assert_non_null(text = lora_card_text(card, true, &err));
    struct json *root = json_parse(text, strlen(text), &err);
    if (!root) fail_msg("%s", err.text);
    assert_string_equal(json_to_string(json_member(root, "base")), "SD1.x");
    assert_int_equal(json_count(json_member(root, "triggers")), 1);
    json_free(root);
    free(text);
    lora_card_free(card);
    remove_sidecars();
}

static void the_list_holds_all_files(void **state)
{
    struct tinct_err err;
    struct lora_folder *folder = lora_folder_create(NULL, &err);
    char *text;
    (void)state;
    write_lora("arcane.safetensors", kohya);
    write_text("damaged.safetensors", "x");
    assert_true(lora_folder_add(folder, temporary_folder, &err));
    assert_non_null(text = lora_list_text(folder, NULL, false, &err));
    assert_non_null(strstr(text, "arcane    SD1.x      LoRA   rank 16"));
    assert_non_null(strstr(text, "damaged"));
    free(text);
    assert_non_null(text = lora_list_text(folder, NULL, true, &err));
    struct json *root = json_parse(text, strlen(text), &err);
    assert_int_equal(json_count(root), 2);
    assert_non_null(json_to_string(json_member(json_next(json_first(root)), "error")));
    json_free(root);
    free(text);
    lora_folder_free(folder);
    unlink(temporary_path("damaged.safetensors"));
}

static void a_prompt_holds_words_whole(void **state)
{
    (void)state;
    assert_true(lora_trigger_in("a castle, Arcane Style, dusk", "arcane style"));
    assert_true(lora_trigger_in("arcane", "arcane"));
    assert_true(lora_trigger_in("(arcane:1.2)", "arcane"));
    assert_false(lora_trigger_in("arcanes", "arcane"));
    assert_false(lora_trigger_in("an arc", "arcane"));
    assert_false(lora_trigger_in("", "arcane"));
    assert_true(lora_trigger_in("x hat", "hat"));
    assert_false(lora_trigger_in("what", "hat"));
    assert_true(lora_trigger_in("what hat", "hat"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_come_from_shapes),
        cmocka_unit_test(triggers_come_in_order),
        cmocka_unit_test(captions_are_no_triggers),
        cmocka_unit_test(weights_that_say_nothing),
        cmocka_unit_test(broken_sidecars_are_warnings),
        cmocka_unit_test(previews_and_descriptions),
        cmocka_unit_test(texts_are_clean),
        cmocka_unit_test(the_list_holds_all_files),
        cmocka_unit_test(a_prompt_holds_words_whole),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
