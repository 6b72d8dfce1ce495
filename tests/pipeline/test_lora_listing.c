/* The listing of LoRAs as an application sees it. */
#include "base/json.h"
#include "check.h"
#include "temporary.h"
#include "tensor_file.h"

static const char layer[] = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";

static void add(struct tensor_file *f, const char *part, uint32_t rows, uint32_t columns)
{
    char name[160];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    tensor_file_add(f, name, DTYPE_F16, 2, (uint32_t[]) { rows, columns });
}

/* A LoRA of rank 4 for a text width of context. */
static void write_lora(const char *name, uint32_t context, const char *metadata)
{
    struct tensor_file f;
    tensor_file_begin_with(&f, metadata);
    add(&f, "lora_down.weight", 4, context);
    add(&f, "lora_up.weight", 320, 4);
    tensor_file_add(&f, "lora_unet_nowhere.lora_up.weight", DTYPE_F16, 2, (uint32_t[]) { 8, 4 });
    tensor_file_add(&f, "lora_unet_nowhere.lora_down.weight", DTYPE_F16, 2, (uint32_t[]) { 4, 8 });
    assert_true(tensor_file_save(&f, temporary_path(name)));
    tensor_file_free(&f);
}

/* As little of an SD1 UNet as a LoRA can fit. */
static const char *write_model(void)
{
    static const char block[] = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight";
    const char *path = temporary_path("model.ckpt");
    struct tensor_file f;
    tensor_file_begin(&f);
    tensor_file_add(&f, "model.diffusion_model.input_blocks.0.0.weight", DTYPE_F16, 4, (uint32_t[]) { 320, 4, 3, 3 });
    tensor_file_add(&f, "model.diffusion_model.out.2.weight", DTYPE_F16, 4, (uint32_t[]) { 4, 320, 3, 3 });
    tensor_file_add(&f, "model.diffusion_model.input_blocks.1.1.norm.weight", DTYPE_F16, 1, (uint32_t[]) { 320 });
    tensor_file_add(&f, block, DTYPE_F16, 2, (uint32_t[]) { 320, 768 });
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
    return path;
}

static int make_files(void **state)
{
    if (temporary_make(state)) return -1;
    write_lora("arcane.safetensors", 768, "{\"ss_output_name\":\"Arcane V2\",\"modelspec.trigger_phrase\":\"arcane style\","
                                          "\"sshs_model_hash\":\"0123456789abcdef0123456789abcdef\"}");
    write_lora("big.safetensors", 2048, "{}");
    temporary_write("broken.safetensors", "x", 1);
    return 0;
}

static struct tinct_loras *open_list(const char *model)
{
    struct tinct_err err = { 0 };
    struct tinct_loras *l = tinct_loras_open(&(struct tinct_lora_list_options) { .lora_dir = temporary_folder, .model = model }, &err);
    if (!l) fail_msg("%s", err.text);
    return l;
}

static void files_are_listed_and_read_when_asked(void **state)
{
    struct tinct_loras *l = open_list(NULL);
    struct tinct_err err;
    (void)state;
    assert_int_equal(tinct_loras_count(l), 3);
    assert_string_equal(tinct_loras_name(l, 0), "arcane");
    const struct tinct_lora_card *card = tinct_loras_card(l, 0, &err);
    assert_non_null(card);
    assert_ptr_equal(card, tinct_loras_card(l, 0, &err));
    assert_true(card->readable && card->fits);
    assert_string_equal(card->why, "");
    assert_string_equal(card->alias, "Arcane V2");
    assert_string_equal(card->base, "SD1.x");
    assert_string_equal(card->type, "LoRA");
    assert_int_equal(card->rank_max, 4);
    assert_int_equal(card->trigger_count, 1);
    assert_string_equal(card->triggers[0], "arcane style");
    assert_string_equal(card->triggers_by, "modelspec");
    assert_string_equal(card->hash, "0123456789ab");
    tinct_loras_close(l);
}

static void a_broken_file_has_a_card_that_says_why(void **state)
{
    struct tinct_loras *l = open_list(NULL);
    struct tinct_err err;
    const struct tinct_lora_card *card = tinct_loras_card(l, 2, &err);
    (void)state;
    assert_string_equal(card->name, "broken");
    assert_false(card->readable || card->fits);
    assert_non_null(strstr(card->why, "broken.safetensors: "));
    assert_string_equal(card->base, "unknown");
    tinct_loras_close(l);
}

static void cards_say_what_fits_the_model(void **state)
{
    struct tinct_loras *l = open_list(write_model());
    struct tinct_err err;
    const struct tinct_lora_card *arcane = tinct_loras_card(l, 0, &err), *big = tinct_loras_card(l, 1, &err);
    (void)state;
    assert_true(arcane->fits);
    assert_int_equal(arcane->matched, 1);
    assert_int_equal(arcane->modules, 2);
    assert_true(big->readable && !big->fits);
    assert_null(strstr(big->why, temporary_folder));
    if (!strstr(big->why, "SDXL")) fail_msg("%s", big->why);
    tinct_loras_close(l);
}

static void names_are_found_as_in_prompts(void **state)
{
    struct tinct_loras *l = open_list(NULL);
    struct tinct_err err;
    size_t at;
    (void)state;
    assert_true(tinct_loras_find(l, "big", &at, &err) && at == 1);
    assert_true(tinct_loras_find(l, "Arcane V2", &at, &err) && at == 0);
    assert_true(tinct_loras_find(l, "01234567", &at, &err) && at == 0);
    check_refused(tinct_loras_find(l, "arcana", &at, &err), &err, TINCT_ERR_ARG, "nearest names are arcane");
    tinct_loras_close(l);
}

static char *describe(const char *folder, const char *model, const char *name, bool json)
{
    struct tinct_err err = { 0 };
    char *text = tinct_describe_loras(&(struct tinct_lora_list_options) { .lora_dir = folder, .model = model }, name, json, &err);
    if (!text) fail_msg("%s", err.text);
    return text;
}

static void check_has(char *text, const char *words)
{
    if (!strstr(text, words)) fail_msg("no '%s' in:\n%s", words, text);
}

static void texts_tell_the_same(void **state)
{
    const char *model = write_model();
    char *list = describe(temporary_folder, model, NULL, false), *card = describe(temporary_folder, model, "arcane", false);
    (void)state;
    check_has(list, "arcane    SD1.x      LoRA   rank 4 ");
    check_has(list, "does not fit");
    check_has(card, "fits       yes, 1 of its 2 layers\n");
    check_has(card, "unmatched  lora_unet_nowhere: the model has no such layer\n");
    free(list);
    free(card);
    char *json = describe(temporary_folder, model, "big", true);
    struct tinct_err err;
    struct json *root = json_parse(json, strlen(json), &err);
    bool fits = true;
    assert_true(json_to_bool(json_member(root, "fits"), &fits) && !fits);
    assert_non_null(json_to_string(json_member(root, "why_not")));
    json_free(root);
    free(json);
}

static void an_empty_folder_says_what_to_do(void **state)
{
    char *text = describe("/nowhere/loras/", NULL, NULL, false), *json = describe("/nowhere/loras", NULL, NULL, true);
    (void)state;
    assert_string_equal(text, "No LoRAs in /nowhere/loras/: put .safetensors files there.\n");
    assert_string_equal(json, "[]\n");
    free(text);
    free(json);
}

static void what_is_no_checkpoint_fits_nothing(void **state)
{
    struct tinct_lora_list_options o = { .lora_dir = temporary_folder, .model = temporary_path("arcane.safetensors") };
    struct tinct_err err;
    (void)state;
    check_refused(tinct_loras_open(&o, &err) != NULL, &err, TINCT_ERR_FORMAT, "is of kind \"LoRA\"");
    o.model = "/nowhere/model.safetensors";
    check_refused(tinct_loras_open(&o, &err) != NULL, &err, TINCT_ERR_IO, "model.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_listed_and_read_when_asked),
        cmocka_unit_test(a_broken_file_has_a_card_that_says_why),
        cmocka_unit_test(cards_say_what_fits_the_model),
        cmocka_unit_test(names_are_found_as_in_prompts),
        cmocka_unit_test(texts_tell_the_same),
        cmocka_unit_test(an_empty_folder_says_what_to_do),
        cmocka_unit_test(what_is_no_checkpoint_fits_nothing),
    };
    return cmocka_run_group_tests(tests, make_files, temporary_remove);
}
