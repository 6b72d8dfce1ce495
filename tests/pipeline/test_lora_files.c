/* LoRA files on a tiny model: what is told of them, when they come, change and go, and what is refused. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "image/infotext.h"
#include "lora/delta.h"
#include "lora/match.h"
#include "pipeline/loras.h"

static void one_line_says_what_matched(void **state)
{
    struct tinct_image image = paint("a cat <lora:arcane:0.8>");
    (void)state;

    says("arcane: 172 of 172 tensors, rank 8, weight 0.80, ");
    says("arcane: the prompt lacks its trigger words: arcane style");
    assert_non_null(strstr(image.infotext, "Lora hashes: \"arcane: "));
    tinct_image_free(&image);
    image = paint("a cat <lora:arcane:0.8>");                                   /* the second of a batch */
    assert_null(strstr(said, "arcane: 172"));
    tinct_image_free(&image);
    image = paint("a cat, Arcane Style <lora:arcane:0.5:1>");
    says("weight 0.50 for the text encoder, 1.00 for the UNet");
    assert_null(strstr(said, "trigger"));
    tinct_image_free(&image);
    image = paint("a cat <lora:arcane:0.8:oops=3>");
    says("<lora:arcane>: oops= is unknown");
    tinct_image_free(&image);
    image = paint("a cat <hypernet:anime:0.5>");
    says("<hypernet:...> in the prompt does nothing");
    tinct_image_free(&image);
}

static void trigger_words_are_added(void **state)
{
    struct tinct_txt2img p = quick("a cat <lora:arcane>");
    struct tinct_image added, written = paint("a cat <lora:arcane>, arcane style");
    (void)state;

    p.triggers = true;
    added = paint_on(t, &p);
    says("trigger words added: arcane style");
    assert_true(are_same(&added, &written));
    assert_non_null(strstr(added.infotext, "a cat <lora:arcane>, arcane style\n"));
    tinct_image_free(&added);
    p.prompt = "a cat in arcane style <lora:arcane>";                           /* there already */
    added = paint_on(t, &p);
    assert_non_null(strstr(added.infotext, "a cat in arcane style <lora:arcane>\n"));
    tinct_image_free(&added);
    p.prompt = "a cat AND a dog :0.5<lora:arcane>";                             /* behind it the weight would be a word */
    added = paint_on(t, &p);
    assert_non_null(strstr(added.infotext, "arcane style, a cat AND a dog :0.5"));
    tinct_image_free(&added);
    tinct_image_free(&written);
}

static void the_negative_prompt_has_none(void **state)
{
    struct tinct_txt2img p = quick("a cat");
    struct tinct_image plain = paint("a cat"), image;
    (void)state;

    p.negative = "blurry<lora:arcane:1>";
    image = paint_on(t, &p);
    says("<lora:arcane> in the negative prompt does nothing");
    assert_true(are_same(&plain, &image));
    tinct_image_free(&image);
    tinct_image_free(&plain);
}

static void lenient_paints_without(void **state)
{
    struct tinct_txt2img p = quick("a cat <lora:arcade:0.8><lora:ink:0.5>");
    struct tinct_image want = paint("a cat <lora:ink:0.5>"), image;
    (void)state;

    p.lenient = true;
    image = paint_on(t, &p);
    says("\"arcade\" is not there");
    assert_true(are_same(&want, &image));
    assert_non_null(strstr(image.infotext, "Networks not found: arcade"));
    assert_non_null(strstr(image.infotext, "<lora:arcade:0.8><lora:ink:0.5>"));
    tinct_image_free(&image);
    tinct_image_free(&want);
}

/* ---- files that come, change and go --------------------------------------------------- */

static void a_recipe_finds_a_renamed_file(void **state)
{
    char old_path[512], new_path[512];
    struct tinct_image want = paint("a cat <lora:clay:0.8>"), image;
    struct infotext recipe;
    struct tinct_err err;
    (void)state;

    snprintf(old_path, sizeof old_path, "%s", temporary_path("clay.safetensors"));
    snprintf(new_path, sizeof new_path, "%s", temporary_path("pottery.safetensors"));
    assert_int_equal(rename(old_path, new_path), 0);
    assert_true(infotext_read(want.infotext, strlen(want.infotext), &recipe, &err));
    struct tinct_txt2img p = quick(recipe.prompt);
    check_refused(tinct_txt2img(t, &p, &image, &err), &err, TINCT_ERR_ARG, "\"clay\" is not there");
    p.lora_hashes = infotext_extra(&recipe, "Lora hashes");
    image = paint_on(t, &p);
    says("clay: found as pottery");
    assert_true(are_same(&want, &image));
    tinct_image_free(&image);
    lora_write(tiny, "clay", &(struct lora_plan) { .seed = 44, .rank = 4, .size = 0.05f });      /* another of that name */
    image = paint_on(t, &p);
    assert_true(are_same(&want, &image));
    tinct_image_free(&image);
    assert_int_equal(rename(new_path, old_path), 0);
    infotext_free(&recipe);
    tinct_image_free(&want);
}

/* What a stranger's recipe may hold in their place is no hash of this name: the name counts. */
static void odd_hashes_are_passed_over(void **state)
{
    static const char *const odd[] = { "", ",", ",,: ,", ":", "clay", "clay:", "clay: ", "clay: xyz", "clay: 0123", "clay 0123456789ab",
                                       "cla: 0123456789ab", "clayx: 0123456789ab", "clay, : 0123456789ab", ": 0123456789ab",
                                       "clay: ,clay: ,clay" };
    struct tinct_image want = paint("a cat <lora:clay:0.8>"), image;
    struct tinct_txt2img p = quick("a cat <lora:clay:0.8>");
    (void)state;

    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        p.lora_hashes = odd[i];
        image = paint_on(t, &p);
        if (strstr(said, "clay: not the file")) fail_msg("\"%s\": %s", odd[i], said);
        assert_true(are_same(&want, &image));
        tinct_image_free(&image);
    }
    p.lora_hashes = "ink: 0123456789ab, clay: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    image = paint_on(t, &p);                    /* a hash that no file has: this one is painted with, and that is told */
    says("clay: not the file of the recipe, whose hash is 0123456789ab");
    assert_true(are_same(&want, &image));
    tinct_image_free(&image);
    tinct_image_free(&want);
}

static void a_changed_file_is_read_again(void **state)
{
    struct tinct_image first, other, again;
    struct tinct_txt2img p = quick("a cat <lora:fresh:0.8>");
    struct tinct_err err;
    (void)state;

    lora_write(tiny, "fresh", &(struct lora_plan) { .seed = 6, .rank = 4, .size = 0.05f });     /* since the folder was listed */
    first = paint(p.prompt);
    lora_write(tiny, "fresh", &(struct lora_plan) { .seed = 7, .rank = 4, .size = 0.05f });     /* of the same size */
    other = paint(p.prompt);
    assert_false(are_same(&first, &other));
    lora_write(tiny, "fresh", &(struct lora_plan) { .seed = 6, .rank = 4, .size = 0.05f });
    again = paint(p.prompt);
    assert_true(are_same(&first, &again));
    assert_int_equal(remove(temporary_path("fresh.safetensors")), 0);
    tinct_image_free(&again);
    check_refused(tinct_txt2img(t, &p, &again, &err), &err, TINCT_ERR_ARG, "\"fresh\" is not there");
    tinct_image_free(&first);
    tinct_image_free(&other);
}

/* ---- types of LoRAs ------------------------------------------------------------------- */

#define DOWN_0 "lora_unet_down_blocks_0_"
#define BLOCK_0 DOWN_0 "attentions_0_transformer_blocks_0_"

static void add_part(struct tensor_file *f, const char *module, const char *part, uint32_t dims, uint32_t a, uint32_t b, uint32_t k)
{
    static uint64_t state = 77;
    lora_add_values(f, module, part, dims, (uint32_t[]) { a, b, k, k }, 0.4f, &state);
}

static void write_kinds(void)
{
    struct tensor_file f;

    tensor_file_begin(&f);
    add_part(&f, BLOCK_0 "attn1_to_q", "hada_w1_a", 2, 32, 2, 0);               /* LoHa, on q of a fused weight */
    add_part(&f, BLOCK_0 "attn1_to_q", "hada_w1_b", 2, 2, 32, 0);
    add_part(&f, BLOCK_0 "attn1_to_q", "hada_w2_a", 2, 32, 2, 0);
    add_part(&f, BLOCK_0 "attn1_to_q", "hada_w2_b", 2, 2, 32, 0);
    add_part(&f, BLOCK_0 "attn1_to_v", "lora_up.weight", 2, 32, 3, 0);          /* DoRA, on v: needs the pristine rows */
    add_part(&f, BLOCK_0 "attn1_to_v", "lora_down.weight", 2, 3, 32, 0);
    add_part(&f, BLOCK_0 "attn1_to_v", "dora_scale", 2, 32, 1, 0);
    add_part(&f, BLOCK_0 "attn2_to_q", "lokr_w1", 2, 4, 4, 0);
    add_part(&f, BLOCK_0 "attn2_to_q", "lokr_w2", 2, 8, 8, 0);
    add_part(&f, BLOCK_0 "ff_net_0_proj", "oft_blocks", 3, 64, 4, 4);           /* rows of a GEGLU */
    add_part(&f, DOWN_0 "resnets_0_conv1", "lora_up.weight", 4, 32, 2, 1);      /* LoCon with Tucker's core */
    add_part(&f, DOWN_0 "resnets_0_conv1", "lora_down.weight", 4, 2, 32, 1);
    add_part(&f, DOWN_0 "resnets_0_conv1", "lora_mid.weight", 4, 2, 2, 3);
    add_part(&f, "lora_unet_up_blocks_0_upsamplers_0_conv", "lora_up.weight", 4, 128, 2, 1);
    add_part(&f, "lora_unet_up_blocks_0_upsamplers_0_conv", "lora_down.weight", 4, 2, 128, 3);
    assert_true(tensor_file_save(&f, temporary_path("kinds.safetensors")));
    tensor_file_free(&f);
}

static void add_difference(struct tensor_file *f, const struct lora_module *m, const struct checkpoint *ck)
{
    const struct lora_target *target = m->target;
    struct stored view;
    char name[320];
    struct tinct_err err;

    if (!checkpoint_find(ck, target->weight, &view)) fail_msg("%s is not there", target->weight);
    float *w0 = malloc(stored_count(&view) * sizeof *w0);
    must(stored_read_f32(w0, &view, &err), &err);
    snprintf(name, sizeof name, "%s.diff", m->name);
    float *diff = tensor_file_add(f, name, DTYPE_F32, target->dims, target->shape);
    must(lora_delta(diff, m, (struct lora_use) { .strength = 1 }, w0, &err), &err);
    free(w0);
}

/* The same as differences of whole weights, by the deltas that tests/lora checks: the sums are the same to the last bit but
 * for factors, which go another way. */
static void every_type_is_merged(void **state)
{
    struct tinct_err err;
    struct tensor_file f;
    (void)state;

    write_kinds();
    struct checkpoint *ck = checkpoint_open(tiny, NULL, &err);
    struct lora_targets *targets = lora_targets_of(ck, &err);
    struct lora_file *file = lora_open(temporary_path("kinds.safetensors"), &err);
    struct lora_match *match = file ? lora_match(file, targets, &err) : NULL;
    must(match != NULL, &err);
    assert_int_equal(match->count, 6);
    tensor_file_begin(&f);
    for (uint32_t i = 0; i < match->count; i++) add_difference(&f, &match->modules[i], ck);
    assert_true(tensor_file_save(&f, temporary_path("whole.safetensors")));
    tensor_file_free(&f);
    lora_match_free(match);
    lora_close(file);
    lora_targets_free(targets);
    checkpoint_close(ck);

    struct tinct_image kinds = paint("a cat <lora:kinds>"), whole = paint("a cat <lora:whole>"), plain = paint("a cat");
    double squares = 0, moved = 0;
    for (int i = 0; i < BYTES; i++) {
        squares += (kinds.rgb[i] - whole.rgb[i]) * (kinds.rgb[i] - whole.rgb[i]);
        moved += (kinds.rgb[i] - plain.rgb[i]) * (kinds.rgb[i] - plain.rgb[i]);
    }
    print_message("PSNR %.1f dB; against none %.1f dB\n", 10 * log10(255.0 * 255 * BYTES / (squares + 1e-9)), 10 * log10(255.0 * 255 * BYTES / moved));
    assert_true(squares < 1e-5 * 255 * 255 * BYTES);        /* 50 dB: factors in another order move some weights by one step of fp16 */
    assert_true(moved > 1e-3 * 255 * 255 * BYTES);
    tinct_image_free(&kinds);
    tinct_image_free(&whole);
    tinct_image_free(&plain);
}

/* ---- what is refused ------------------------------------------------------------------ */

static void write_one(const char *name, const char *module, uint32_t rank, uint32_t in, uint32_t out, uint32_t up_rank, float value)
{
    struct tensor_file f;
    char tensor[256];
    float *values;

    tensor_file_begin(&f);
    snprintf(tensor, sizeof tensor, "%s.lora_down.weight", module);
    values = tensor_file_add(&f, tensor, DTYPE_F32, 2, (uint32_t[]) { rank, in });
    if (rank) values[0] = value;
    snprintf(tensor, sizeof tensor, "%s.lora_up.weight", module);
    if (out) tensor_file_add(&f, tensor, DTYPE_F32, 2, (uint32_t[]) { out, up_rank });
    assert_true(tensor_file_save(&f, temporary_path(name)));
    tensor_file_free(&f);
}

/* Half of its layers unknown, an unreadable sidecar, an alpha of 0: painted, and said. */
static void what_is_odd_is_told(void **state)
{
    static const char q[] = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    uint64_t random = 1;
    struct tensor_file f;
    struct tinct_image image;
    (void)state;

    tensor_file_begin(&f);
    for (int i = 0; i < 2; i++) {
        const char *module = i ? "lora_unet_down_blocks_7_attentions_0_to_q" : q;
        lora_add_values(&f, module, "lora_up.weight", 2, (uint32_t[]) { 32, 2 }, 1, &random);
        lora_add_values(&f, module, "lora_down.weight", 2, (uint32_t[]) { 2, 32 }, 1, &random);
    }
    assert_true(tensor_file_save(&f, temporary_path("half-known.safetensors")));
    tensor_file_free(&f);
    temporary_write("half-known.json", "{ \"activation text\": ", 22);
    image = paint("a cat <lora:half-known>");
    says("half-known: 1 of 2 tensors, rank 2, weight 1.00, ");
    says("; 1 match nothing in this model");
    says("half-known: lora_unet_down_blocks_7_attentions_0_to_q: the model has no such layer");
    says("half-known.json: ");
    tinct_image_free(&image);

    tensor_file_begin(&f);
    lora_add_values(&f, q, "lora_up.weight", 2, (uint32_t[]) { 32, 2 }, 1, &random);
    lora_add_values(&f, q, "lora_down.weight", 2, (uint32_t[]) { 2, 32 }, 1, &random);
    tensor_file_add(&f, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.alpha", DTYPE_F32, 0, NULL);
    assert_true(tensor_file_save(&f, temporary_path("still.safetensors")));
    tensor_file_free(&f);
    image = paint("a cat <lora:still>");
    says("still: it changes nothing: every alpha in the file is 0");
    tinct_image_free(&image);
}

static void make_bad_files(void)
{
    static const char q[] = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    static const char k[] = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
    char bytes[4096];
    FILE *f;

    write_one("nan.safetensors", q, 4, 32, 32, 4, NAN);
    write_one("odd.safetensors", q, 4, 32, 32, 5, 0);
    write_one("none.safetensors", q, 0, 32, 32, 0, 0);
    write_one("half.safetensors", q, 4, 32, 0, 0, 0);
    write_one("xl.safetensors", k, 4, 2048, 640, 4, 0);
    write_one("sd2.safetensors", k, 4, 1024, 320, 4, 0);
    write_one("stranger.safetensors", "lora_unet_no_such_layer", 4, 32, 32, 4, 0);
    f = fopen(temporary_path("arcane.safetensors"), "rb");
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, sizeof bytes, f), sizeof bytes);
    fclose(f);
    temporary_write("cut.safetensors", bytes, sizeof bytes);
    memset(bytes, 0xff, 8);
    bytes[4] = bytes[5] = bytes[6] = bytes[7] = 0;
    temporary_write("header.safetensors", bytes, sizeof bytes);                 /* 4 GiB, it says */
}

static void every_mistake_has_its_sentence(void **state)
{
    static const struct { const char *prompt, *words; } wrong[] = {
        { "<lora:arcade>", "LoRA \"arcade\" is not there; the nearest names are arcane" },
        { "<lora:../../x:1>", "LoRA \"../../x\" is not there" },
        { "<lora:/etc/passwd:1>", "is not there" },
        { "<lora:arcane:nan>", "is no number" },
        { "<lora:arcane:1e9>", "at most 16" },
        { "<lora:arcane:1:lbw=1,2>", "12, 17, 20 or 26" },
        { "<lora:arcane:1:lbw=R,1,1,1,1,1,1,1,1,1,1,1>", "random" },
        { "<lora:arcane:1:lbw=nobody>", "NONE, ALL, INS" },
        { "<lora:arcane:1:start=x>", "start= and stop= are steps" },
        { "<lora:arcane:1:step=5-2>", "before it starts" },
        { "<lora:nan>", "NaN" },
        { "<lora:odd>", "rank" },
        { "<lora:none>", "to_q" },
        { "<lora:half>", "to_q" },
        { "<lora:xl>", "SDXL" },
        { "<lora:sd2>", "SD2.x" },
        { "<lora:stranger>", "none of its 1 modules matches" },
        { "<lora:cut>", "cut.safetensors" },
        { "<lora:header>", "header.safetensors" },
    };
    struct tinct_image plain = paint("a cat"), image;
    struct tinct_err err;
    (void)state;

    make_bad_files();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char prompt[256];
        snprintf(prompt, sizeof prompt, "a cat <lora:ink:0.5>%s", wrong[i].prompt);
        struct tinct_txt2img p = quick(prompt);
        bool ok = tinct_txt2img(t, &p, &image, &err);
        if (ok || !strstr(err.text, wrong[i].words)) fail_msg("%s: %s, wanted %s", prompt, ok ? "painted" : err.text, wrong[i].words);
        assert_null(image.rgb);
    }
    char many[64 * 33] = "a cat ";
    for (int i = 0; i < 33; i++) strcat(many, "<lora:arcane:0.1>");
    struct tinct_txt2img p = quick(many);
    check_refused(tinct_txt2img(t, &p, &image, &err), &err, TINCT_ERR_ARG, "at most 32");
    struct tinct_lora given[33];
    for (int i = 0; i < 33; i++) given[i] = (struct tinct_lora) { .name = "arcane", .te = 0.1f, .unet = 0.1f };
    p = quick("a cat");
    p.loras = given;
    p.lora_count = 33;
    check_refused(tinct_txt2img(t, &p, &image, &err), &err, TINCT_ERR_ARG, "33 LoRAs; at most 32");
    image = paint("a cat");                                                     /* nothing was half applied */
    assert_true(are_same(&plain, &image));
    tinct_image_free(&image);
    tinct_image_free(&plain);
}

/* A strength that makes weights overflow is told, and the next picture is as if nothing had been. */
static void what_fp16_cannot_hold_is_refused(void **state)
{
    struct tinct_image plain = paint("a cat"), image;
    struct tinct_txt2img p = quick("a cat <lora:huge:16><lora:arcane>");
    struct tinct_err err;
    (void)state;

    lora_write(tiny, "huge", &(struct lora_plan) { .seed = 8, .rank = 1, .size = 9000 });
    check_refused(tinct_txt2img(t, &p, &image, &err), &err, TINCT_ERR_FORMAT, "65504");
    image = paint("a cat");
    assert_true(are_same(&plain, &image));
    tinct_image_free(&image);
    tinct_image_free(&plain);
}

static void the_check_needs_no_model(void **state)
{
    struct tinct_options options = { .lora_dir = temporary_folder };
    struct tinct_txt2img p = quick("a cat <lora:arcane:0.8>");
    struct tinct_err err;
    (void)state;

    assert_true(tinct_lora_check(&options, &p, &err));
    p.prompt = "a cat <lora:arcade:0.8>";
    check_refused(tinct_lora_check(&options, &p, &err), &err, TINCT_ERR_ARG, "the nearest names are arcane");
    p.lenient = true;
    assert_true(tinct_lora_check(&options, &p, &err));
    p.prompt = "a cat";
    options.lora_dir = "/nowhere";
    assert_true(tinct_lora_check(&options, &p, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_says_what_matched),      cmocka_unit_test(trigger_words_are_added),
        cmocka_unit_test(the_negative_prompt_has_none),    cmocka_unit_test(lenient_paints_without),
        cmocka_unit_test(a_recipe_finds_a_renamed_file),   cmocka_unit_test(odd_hashes_are_passed_over),
        cmocka_unit_test(a_changed_file_is_read_again),    cmocka_unit_test(every_type_is_merged),
        cmocka_unit_test(what_is_odd_is_told),             cmocka_unit_test(every_mistake_has_its_sentence),
        cmocka_unit_test(what_fp16_cannot_hold_is_refused), cmocka_unit_test(the_check_needs_no_model),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
