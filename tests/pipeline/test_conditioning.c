/* What prompts become: embeddings against diffusers, the lengths of segments and parts as A1111 has them. */
#include <stdlib.h>
#include <sys/stat.h>

#include <zlib.h>

#include "base/str.h"
#include "check.h"
#include "image/png.h"
#include "pipeline/conditioning.h"
#include "temporary.h"
#include "tensor_file.h"
#include "text/embedding.h"
#include "tiny_checkpoint.h"

enum { WIDTH = 64, CHUNK = CLIP_TOKENS * WIDTH };

#define GOLDEN TESTS_DIR "/golden/embeddings"

static char tiny_path[512], logged[8192];
static struct tinct *tiny;

static void on_log(void *user, enum tinct_log_level level, const char *line)
{
    (void)user;
    if (level == TINCT_LOG_WARN) snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", line);
}

static struct tinct *open_tiny(const char *embeddings)
{
    struct tinct_err err;
    struct tinct *t = tinct_open(&(struct tinct_options) { .model = tiny_path, .device = "cpu", .embedding_dir = embeddings,
                                                           .precision = TINCT_PRECISION_FP32, .log = on_log }, &err);
    if (!t) print_error("%s\n", err.text);
    return t;
}

static int prepare(void **state)
{
    if (temporary_make(state)) return -1;
    snprintf(tiny_path, sizeof tiny_path, "%s", temporary_path("tiny.safetensors"));
    if (!tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", tiny_path)) return -1;
    setenv("TINCT_CPU", "generic", 1); /* products in fp32, as the golden data's */
    return (tiny = open_tiny(GOLDEN)) ? 0 : -1;
}

static int clean_up(void **state)
{
    tinct_close(tiny);
    return temporary_remove(state);
}

static struct tinct_txt2img settled(const char *prompt, const char *negative)
{
    return (struct tinct_txt2img) { .prompt = prompt, .negative = negative, .steps = 10, .guidance = 7, .clip_skip = 1 };
}

static struct conditioning *condition(struct tinct *t, const struct tinct_txt2img *p)
{
    struct tinct_err err = { 0 };
    struct conditioning *c = conditioning_create(t, p, NULL, false, &err);
    if (!c) fail_msg("%s", err.text);
    return c;
}

/* ---- embeddings ----------------------------------------------------------------- */

static void read_golden(const char *name, float *z)
{
    struct tinct_err err;
    struct safetensors *st = safetensors_open(GOLDEN "/context.safetensors", &err);
    const struct safetensors_tensor *t = st ? safetensors_find(st, name) : NULL;
    assert_non_null(t);
    assert_int_equal(t->bytes, sizeof(float) * CHUNK);
    assert_true(file_read(safetensors_file(st), z, t->offset, t->bytes, &err));
    safetensors_close(st);
}

/* fp32 sums in another order through two layers: some 1e-6 of the norm. */
static void check_context(const char *prompt, const char *golden)
{
    float want[CHUNK];
    struct guidance g;
    struct tinct_txt2img p = settled(prompt, "");
    struct conditioning *c = condition(tiny, &p);

    read_golden(golden, want);
    conditioning_at(c, 0, &g);
    assert_int_equal(g.part[1].tokens, CLIP_TOKENS);
    double error = relative_l2(g.part[1].z, want, CHUNK);
    print_message("%s: %.1e\n", prompt, error);
    assert_true(error <= 1e-5);
    conditioning_free(c);
}

static void contexts_are_those_of_diffusers(void **state)
{
    (void)state;
    check_context("a photo of tinctface, castle", "three");
    check_context("a photo of embedding:tinctface, castle", "three");
    check_context("a photo of EMBEDDING:TinctFace, castle", "three");
    check_context("Tinctface in tinctline style", "both");
    check_context("a photo of tinct face", "none");
}

static void the_negative_prompt_has_them_too(void **state)
{
    float want[CHUNK];
    struct guidance g;
    struct tinct_txt2img p = settled("a cat", "a photo of tinctface, castle");
    struct conditioning *c = condition(tiny, &p);
    (void)state;
    read_golden("three", want);
    conditioning_at(c, 0, &g);
    assert_true(relative_l2(g.part[0].z, want, CHUNK) <= 1e-5);
    conditioning_free(c);
}

/* sha256sum of the golden files; the positive prompt's come first, each once. */
static void the_recipe_lists_them(void **state)
{
    struct tinct_err err;
    struct tinct_txt2img p = settled("tinctline tinctline", "tinctface tinctline");
    struct conditioning *c = condition(tiny, &p);
    char *hashes = conditioning_embeddings(c, &err);
    (void)state;
    assert_string_equal(hashes, "tinctline: 939ecb388076, tinctface: c4dfc3f10327");
    free(hashes);
    conditioning_free(c);
    p = settled("a cat", "");
    c = condition(tiny, &p);
    hashes = conditioning_embeddings(c, &err);
    assert_string_equal(hashes, "");
    free(hashes);
    conditioning_free(c);
}

static void unknown_ones_are_refused_where_they_must_be_meant(void **state)
{
    struct tinct_err err;
    struct tinct_txt2img p = settled("a cat, embedding:tinctfate, b", "");
    (void)state;
    check_refused(conditioning_create(tiny, &p, NULL, false, &err) != NULL, &err, TINCT_ERR_ARG,
                  "embedding \"tinctfate\" is not there; the nearest names are tinctface");
    p = settled("a", "(embedding:nothing:1.2)");
    check_refused(conditioning_create(tiny, &p, NULL, false, &err) != NULL, &err, TINCT_ERR_ARG, "negative prompt: embedding \"nothing\"");
    p.lenient = true;
    conditioning_free(condition(tiny, &p));
    p = settled("the word embedding: nothing else, my_embedding:x", "");
    conditioning_free(condition(tiny, &p));
}

/* By the hash that a recipe has: as it was called there, in the prompt and in the recipe that follows. */
static void renamed_ones_are_found(void **state)
{
    float want[CHUNK];
    struct guidance g;
    struct tinct_err err;
    struct tinct_txt2img p = settled("a photo of oldface, castle", "");
    p.embedding_hashes = "other: 0123456789ab, oldface: c4dfc3f10327, tinctline: 939ecb388076";
    struct conditioning *c = condition(tiny, &p);
    char *hashes = conditioning_embeddings(c, &err);
    (void)state;

    read_golden("three", want);
    conditioning_at(c, 0, &g);
    assert_true(relative_l2(g.part[1].z, want, CHUNK) <= 1e-5);
    assert_string_equal(hashes, "oldface: c4dfc3f10327");
    free(hashes);
    conditioning_free(c);
    p.prompt = "embedding:oldface";
    conditioning_free(condition(tiny, &p));
    p.embedding_hashes = "oldface: c4dfc3f1032f";
    check_refused(conditioning_create(tiny, &p, NULL, false, &err) != NULL, &err, TINCT_ERR_ARG, "embedding \"oldface\" is not there");
}

static void the_check_needs_no_model(void **state)
{
    struct tinct_options options = { .embedding_dir = GOLDEN };
    struct tinct_txt2img p = { .prompt = "a embedding:tinctface", .negative = "b" };
    struct tinct_err err;
    (void)state;

    assert_true(tinct_lora_check(&options, &p, &err));
    p.prompt = "a [embedding:tinctfate:b:3]";
    check_refused(tinct_lora_check(&options, &p, &err), &err, TINCT_ERR_ARG, "the nearest names are tinctface");
    p.lenient = true;
    assert_true(tinct_lora_check(&options, &p, &err));
    p.lenient = false;
    p.prompt = "a";
    p.negative = "embedding:nothing";
    check_refused(tinct_lora_check(&options, &p, &err), &err, TINCT_ERR_ARG, "negative prompt: embedding \"nothing\"");
    p.negative = "my_embedding:nothing";
    assert_true(tinct_lora_check(&options, &p, &err));
}

static void write_vectors(const char *name, uint32_t count, uint32_t width)
{
    struct tensor_file f;
    tensor_file_begin(&f);
    tensor_file_add(&f, "emb_params", DTYPE_F32, 2, (uint32_t[]) { count, width });
    assert_true(tensor_file_save(&f, name));
    tensor_file_free(&f);
}

/* Its name stays words, and the log says why; asked for by "embedding:" it is refused. */
static void what_cannot_be_used_is_told(void **state)
{
    struct tinct_err err;
    struct guidance g, plain;
    char folder[600], path[700];
    (void)state;
    snprintf(folder, sizeof folder, "%s", temporary_path("embeddings"));
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(path, sizeof path, "%s/wide.safetensors", folder);
    write_vectors(path, 2, 1024);
    struct tinct *t = open_tiny(folder);
    logged[0] = '\0';
    struct tinct_txt2img p = settled("a wide river, wide", "");
    struct conditioning *c = condition(t, &p), *without = condition(tiny, &p);
    if (!strstr(logged, "wide.safetensors: an embedding for SD2.x: its vectors have 1024 values, the model's text encoder takes 64; "
                        "\"wide\" is painted as plain words\n"))
        fail_msg("%s", logged);
    assert_null(strstr(strchr(logged, '\n') + 1, "wide")); /* once */
    conditioning_at(c, 0, &g);
    conditioning_at(without, 0, &plain);
    assert_memory_equal(g.part[1].z, plain.part[1].z, sizeof(float) * CHUNK);
    conditioning_free(c);
    conditioning_free(without);
    p = settled("embedding:wide", "");
    check_refused(conditioning_create(t, &p, NULL, false, &err) != NULL, &err, TINCT_ERR_FORMAT, "an embedding for SD2.x");
    tinct_close(t);
    remove(path);
    remove(folder);
}

/* ---- pictures and places -------------------------------------------------------- */

static void put_be32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* A picture of one pixel, with text in a tEXt chunk of this key (NULL: none) before its end. */
static void write_picture(const char *path, const char *key, const char *text)
{
    const unsigned char rgb[3] = { 1, 2, 3 };
    unsigned char *png, chunk[8192];
    size_t size, bytes = key ? strlen(key) + 1 + strlen(text) : 0;
    struct tinct_err err;
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_true(png_encode(rgb, 1, 1, NULL, &png, &size, &err));
    assert_int_equal(fwrite(png, 1, size - 12, f), size - 12);
    if (key) {
        put_be32(chunk, (uint32_t)bytes);
        memcpy(chunk + 4, "tEXt", 4);
        strcpy((char *)chunk + 8, key);
        memcpy(chunk + 8 + strlen(key) + 1, text, strlen(text));
        put_be32(chunk + 8 + bytes, (uint32_t)crc32(0, chunk + 4, (uInt)bytes + 4));
        assert_int_equal(fwrite(chunk, 1, bytes + 12, f), bytes + 12);
    }
    assert_int_equal(fwrite(png + size - 12, 1, 12, f), 12);
    assert_int_equal(fclose(f), 0);
    free(png);
}

/* The vector of tinctline as A1111 writes it into a picture. */
static char *line_as_text(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char text[8000];
    struct str json = { 0 };
    struct embedding e;
    struct tinct_err err;

    assert_true(embedding_read(&e, GOLDEN "/tinctline.safetensors", WIDTH, &err));
    str_add(&json, "{\"string_to_token\": {\"*\": 265}, \"string_to_param\": {\"*\": {\"TORCHTENSOR\": [[");
    for (int i = 0; i < WIDTH; i++) str_addf(&json, "%s%.17g", i ? ", " : "", (double)e.vectors[i]);
    str_add(&json, "]]}}, \"name\": \"x\", \"step\": 100}");
    while (json.length % 3) str_add(&json, " ");
    size_t at = 0;
    for (size_t i = 0; i < json.length; i += 3) {
        const unsigned char *b = (const unsigned char *)json.bytes + i;
        uint32_t bits = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
        for (int k = 0; k < 4; k++) text[at++] = digits[bits >> (18 - 6 * k) & 63];
    }
    text[at] = '\0';
    str_free(&json);
    embedding_free(&e);
    return text;
}

/* In ComfyUI's place, and in A1111's below its own folder; a picture beside a model is none. */
static void pictures_are_read_where_others_keep_them(void **state)
{
    struct tinct_err err;
    char root[600], folder[640], path[700], preview[700], other[700];
    struct guidance g, want;
    (void)state;
    snprintf(root, sizeof root, "%s", temporary_path("webui"));
    snprintf(folder, sizeof folder, "%s/embeddings", root);
    snprintf(path, sizeof path, "%s/painted.png", folder);
    snprintf(preview, sizeof preview, "%s/painted.preview.png", folder);
    snprintf(other, sizeof other, "%s/cat.png", folder);
    assert_int_equal(mkdir(root, 0700) | mkdir(folder, 0700), 0);
    write_picture(path, "sd-ti-embedding", line_as_text());
    write_picture(preview, NULL, NULL);
    write_picture(other, NULL, NULL);
    struct tinct *t = tinct_open(&(struct tinct_options) { .model = tiny_path, .device = "cpu", .models_dir = root, .log = on_log,
                                                           .precision = TINCT_PRECISION_FP32 }, &err);
    if (!t) fail_msg("%s", err.text);
    logged[0] = '\0';
    struct tinct_txt2img p = settled("a cat, painted", ""), q = settled("a cat, tinctline", "");
    struct conditioning *c = condition(t, &p), *d = condition(tiny, &q);
    conditioning_at(c, 0, &g);
    conditioning_at(d, 0, &want);
    assert_memory_equal(g.part[1].z, want.part[1].z, sizeof(float) * CHUNK);
    assert_string_equal(logged, ""); /* a picture without an embedding is nobody's mistake */
    conditioning_free(c);
    conditioning_free(d);
    tinct_close(t);
    assert_int_equal(remove(path) | remove(preview) | remove(other) | remove(folder) | remove(root), 0);
}

/* ---- in a LoRA ------------------------------------------------------------------ */

/* A LoRA of one module that brings tinctline as "glow", and a pair for SDXL as "xl". */
static void write_bundle(void)
{
    struct tensor_file f;
    struct embedding e;
    struct tinct_err err;

    assert_true(embedding_read(&e, GOLDEN "/tinctline.safetensors", WIDTH, &err));
    tensor_file_begin(&f);
    tensor_file_add(&f, "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", DTYPE_F16, 4, (uint32_t[]) { 128, 1, 1, 1 });
    tensor_file_add(&f, "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", DTYPE_F16, 4, (uint32_t[]) { 1, 128, 1, 1 });
    memcpy(tensor_file_add(&f, "bundle_emb.glow.string_to_param.*", DTYPE_F32, 2, (uint32_t[]) { 1, WIDTH }), e.vectors,
           sizeof(float) * WIDTH);
    tensor_file_add(&f, "bundle_emb.xl.clip_l", DTYPE_F16, 2, (uint32_t[]) { 1, WIDTH });
    tensor_file_add(&f, "bundle_emb.xl.clip_g", DTYPE_F16, 2, (uint32_t[]) { 1, 80 });
    assert_true(tensor_file_save(&f, temporary_path("bundle.safetensors")));
    tensor_file_free(&f);
    embedding_free(&e);
}

static void a_lora_brings_its_own(void **state)
{
    struct tinct_err err;
    struct guidance g, want;
    (void)state;
    write_bundle();
    struct tinct *t = tinct_open(&(struct tinct_options) { .model = tiny_path, .device = "cpu", .lora_dir = temporary_folder,
                                                           .precision = TINCT_PRECISION_FP32, .log = on_log }, &err);
    if (!t) fail_msg("%s", err.text);
    struct tinct_txt2img p = settled("a cat, glow, xl<lora:bundle:0>", ""), q = settled("a cat, tinctline, xl", "");
    struct lora_stack *loras = lora_stack_create(t, &p, &err);
    if (!loras) fail_msg("%s", err.text);
    p.prompt = lora_stack_prompt(loras);
    logged[0] = '\0';
    struct conditioning *c = conditioning_create(t, &p, loras, false, &err), *d = condition(tiny, &q);
    if (!c) fail_msg("%s", err.text);
    conditioning_at(c, 0, &g);
    conditioning_at(d, 0, &want);
    assert_memory_equal(g.part[1].z, want.part[1].z, sizeof(float) * CHUNK);
    if (!strstr(logged, "an embedding for SDXL: vectors for two text encoders")) fail_msg("%s", logged);
    char *hashes = conditioning_embeddings(c, &err);
    assert_string_equal(hashes, ""); /* the LoRA's own is in the recipe */
    free(hashes);
    conditioning_free(c);
    c = condition(t, &p); /* without the LoRA it is a word */
    conditioning_at(c, 0, &g);
    assert_memory_not_equal(g.part[1].z, want.part[1].z, sizeof(float) * CHUNK);
    conditioning_free(c);
    conditioning_free(d);
    lora_stack_free(loras);
    tinct_close(t);
}

/* ---- lengths -------------------------------------------------------------------- */

static const char long_text[] = "one two three four five six seven eight nine ten one two three four five six seven eight nine ten "
                                "one two three four five six seven eight nine ten one two three four five six seven eight nine ten "
                                "one two three four five six seven eight nine ten one two three four five six seven eight nine ten "
                                "one two three four five six seven eight nine ten one two three four five six seven eight nine ten";

static const float *part_at(struct conditioning *c, int evaluation, uint32_t part, uint32_t *tokens)
{
    static struct guidance g;
    conditioning_at(c, evaluation, &g);
    *tokens = g.part[part].tokens;
    return g.part[part].z;
}

/* The shorter segment's second chunk is that of an empty prompt. */
static void segments_of_a_part_are_of_one_length(void **state)
{
    char prompt[1200];
    uint32_t tokens;
    snprintf(prompt, sizeof prompt, "[a cat:%s:5]", long_text);
    struct tinct_txt2img p = settled(prompt, ""), q = settled("a cat", "");
    struct conditioning *c = condition(tiny, &p), *empty = condition(tiny, &q);
    (void)state;
    const float *z = part_at(c, 0, 1, &tokens);
    assert_int_equal(tokens, 2 * CLIP_TOKENS);
    const float *nothing = part_at(empty, 0, 0, &tokens);
    assert_int_equal(tokens, CLIP_TOKENS);
    assert_memory_equal(z + CHUNK, nothing, sizeof(float) * CHUNK);
    const float *cat = part_at(empty, 0, 1, &tokens);
    assert_memory_equal(z, cat, sizeof(float) * CHUNK);
    part_at(c, 9, 1, &tokens);
    assert_int_equal(tokens, 2 * CLIP_TOKENS);
    part_at(c, 0, 0, &tokens);
    assert_int_equal(tokens, CLIP_TOKENS); /* the negative prompt is left alone */
    conditioning_free(c);
    conditioning_free(empty);
}

/* The shorter part repeats its last row. */
static void parts_are_of_one_length(void **state)
{
    char prompt[1200];
    uint32_t tokens;
    snprintf(prompt, sizeof prompt, "a cat AND %s", long_text);
    struct tinct_txt2img p = settled(prompt, "");
    struct conditioning *c = condition(tiny, &p);
    (void)state;
    const float *z = part_at(c, 0, 1, &tokens);
    assert_int_equal(tokens, 2 * CLIP_TOKENS);
    for (uint32_t i = CLIP_TOKENS; i < 2 * CLIP_TOKENS; i++)
        assert_memory_equal(z + (size_t)i * WIDTH, z + (size_t)(CLIP_TOKENS - 1) * WIDTH, sizeof(float) * WIDTH);
    part_at(c, 0, 2, &tokens);
    assert_int_equal(tokens, 2 * CLIP_TOKENS);
    conditioning_free(c);
}

/* Another number whenever a text changes, the same while none does. */
static void serials_follow_the_texts(void **state)
{
    struct tinct_txt2img p = settled("[a:b:0.5] c", "");
    struct conditioning *c = condition(tiny, &p);
    struct guidance g;
    uint64_t serials[10];
    (void)state;
    for (int i = 0; i < 10; i++) {
        conditioning_at(c, i, &g);
        serials[i] = g.serial;
    }
    for (int i = 1; i < 10; i++) assert_int_equal(serials[i] == serials[i - 1], i != 6); /* six times a: A1111's off-by-one */
    conditioning_expire(c);
    conditioning_at(c, 9, &g);
    assert_int_not_equal(g.serial, serials[9]);
    conditioning_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts_are_those_of_diffusers),
        cmocka_unit_test(the_negative_prompt_has_them_too),
        cmocka_unit_test(the_recipe_lists_them),
        cmocka_unit_test(unknown_ones_are_refused_where_they_must_be_meant),
        cmocka_unit_test(renamed_ones_are_found), cmocka_unit_test(the_check_needs_no_model),
        cmocka_unit_test(what_cannot_be_used_is_told),
        cmocka_unit_test(pictures_are_read_where_others_keep_them),
        cmocka_unit_test(a_lora_brings_its_own),
        cmocka_unit_test(segments_of_a_part_are_of_one_length),
        cmocka_unit_test(parts_are_of_one_length),
        cmocka_unit_test(serials_follow_the_texts),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
