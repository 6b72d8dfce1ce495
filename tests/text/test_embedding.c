/* Embedding files: the formats, and what is refused with which words. */
#include "text/embedding.h"

#include "check.h"
#include "temporary.h"
#include "tensor_file.h"

enum { WIDTH = 8 };

static const char *save(struct tensor_file *f)
{
    const char *path = temporary_path("e.safetensors");
    assert_true(tensor_file_save(f, path));
    tensor_file_free(f);
    return path;
}

static void add_counted(struct tensor_file *f, const char *name, uint32_t dims, uint32_t a, uint32_t b)
{
    uint32_t shape[] = { a, b };
    float *values = tensor_file_add(f, name, DTYPE_F32, dims, shape);
    for (uint32_t i = 0; i < (dims == 2 ? a * b : a); i++) values[i] = (float)i;
}

static void check_counted(const struct embedding *e, uint32_t count)
{
    assert_int_equal(e->count, count);
    assert_int_equal(e->width, WIDTH);
    for (uint32_t i = 0; i < count * WIDTH; i++) assert_true(e->vectors[i] >= (float)i && e->vectors[i] <= (float)i);
}

static void formats_are_read(void **state)
{
    static const struct {
        const char *name;
        uint32_t dims, count;
    } forms[] = { { "emb_params", 2, 3 }, { "<cat-toy>", 1, 1 }, { "*", 2, 75 }, { "string_to_param.*", 2, 2 }, { "clip_l", 2, 1 } };
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tensor_file f;
        struct embedding e;
        struct tinct_err err;
        tensor_file_begin(&f);
        add_counted(&f, forms[i].name, forms[i].dims, forms[i].dims == 2 ? forms[i].count : WIDTH, WIDTH);
        if (!embedding_read(&e, save(&f), WIDTH, &err)) fail_msg("%s: %s", forms[i].name, err.text);
        check_counted(&e, forms[i].count);
        embedding_free(&e);
    }
}

/* A1111's own writes the step and names beside the tensor. */
static void known_names_win_among_several_tensors(void **state)
{
    struct tensor_file f;
    struct embedding e;
    struct tinct_err err;
    (void)state;
    tensor_file_begin(&f);
    add_counted(&f, "step", 1, 1, 0);
    add_counted(&f, "emb_params", 2, 2, WIDTH);
    assert_true(embedding_read(&e, save(&f), WIDTH, &err));
    check_counted(&e, 2);
    embedding_free(&e);
}

static void refuse(struct tensor_file *f, const char *words)
{
    struct embedding e;
    struct tinct_err err = { 0 };
    check_refused(embedding_read(&e, save(f), WIDTH, &err), &err, TINCT_ERR_FORMAT, words);
    assert_null(e.vectors);
    assert_non_null(strstr(err.text, "e.safetensors: "));
}

static void others_are_refused(void **state)
{
    static const struct {
        uint32_t dims, a, b;
        const char *words;
    } shapes[] = {
        { 2, 2, 768, "an embedding for SD1.x: its vectors have 768 values, the model's text encoder takes 8" },
        { 1, 1280, 0, "an embedding for SDXL" },
        { 2, 2, 9, "an embedding: its vectors have 9 values" },
        { 2, 76, WIDTH, "an embedding of 76 vectors; 1 to 75 fit" },
        { 2, 0, WIDTH, "an embedding of 0 vectors" },
        { 0, 0, 0, "has 0 dimensions" },
    };
    struct tensor_file f;
    struct embedding e;
    struct tinct_err err;
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        tensor_file_begin(&f);
        tensor_file_add(&f, "x", DTYPE_F32, shapes[i].dims, (uint32_t[]) { shapes[i].a, shapes[i].b });
        refuse(&f, shapes[i].words);
    }
    tensor_file_begin(&f);
    add_counted(&f, "clip_l", 2, 2, WIDTH);
    add_counted(&f, "clip_g", 2, 2, 1280);
    refuse(&f, "an embedding for SDXL: vectors for two text encoders, the model has one");
    tensor_file_begin(&f);
    add_counted(&f, "a", 2, 2, WIDTH);
    add_counted(&f, "b", 2, 2, WIDTH);
    refuse(&f, "is no embedding: it holds 2 tensors, not one");
    tensor_file_begin(&f);
    add_counted(&f, "lora_unet_conv_in.lora_up.weight", 2, 2, WIDTH);
    add_counted(&f, "lora_unet_conv_in.lora_down.weight", 2, 2, WIDTH);
    refuse(&f, "is no embedding but of kind \"LoRA\"");
    tensor_file_begin(&f);
    memcpy(tensor_file_add(&f, "x", DTYPE_F32, 1, (uint32_t[]) { WIDTH }), &(float) { NAN }, 4);
    refuse(&f, "holds NaN or Inf");
    check_refused(embedding_read(&e, temporary_write("e.pt", "PK\3\4archive/data.pkl", 20), WIDTH, &err), &err, TINCT_ERR_FORMAT,
                  "PyTorch pickle");
}

/* ---- pictures ------------------------------------------------------------------- */

static char *base64(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char out[4096];
    size_t size = strlen(text), at = 0;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)(unsigned char)text[i] << 16;
        if (i + 1 < size) bits |= (uint32_t)(unsigned char)text[i + 1] << 8;
        if (i + 2 < size) bits |= (unsigned char)text[i + 2];
        for (int k = 0; k < 4; k++) out[at++] = i + (size_t)k > size ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    out[at] = '\0';
    return out;
}

static void a_pictures_text_is_read(void **state)
{
    static const char *const texts[] = {
        "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":[[0,1,2,3,4,5,6,7],[8,9,10,11.0,12,13,14,1.5e1]]}},\"name\":\"x\"}",
        "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":[[0,1,2,3,4,5,6,7],[8,9,10,11.0,12,13,14,1.5e1]]}},\"name\":\"xy\"}",
        "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":[[0,1,2,3,4,5,6,7],[8,9,10,11.0,12,13,14,1.5e1]]}},\"name\":\"xyz\"}",
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) { /* the three ways base64 can end */
        struct embedding e;
        struct tinct_err err;
        if (!embedding_decode(&e, "p.png", base64(texts[i]), WIDTH, &err)) fail_msg("%s", err.text);
        check_counted(&e, 2);
        embedding_free(&e);
    }
}

static void broken_texts_are_refused(void **state)
{
    static const struct {
        const char *json, *words;
    } bad[] = {
        { "{}", "no \"string_to_param\"" },
        { "[1]", "no \"string_to_param\"" },
        { "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":[[1],[2]]}}}", "vectors have 1 values" },
        { "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":[]}}}", "vectors have 0 values" },
        { "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":5}}}", "vectors have 0 values" },
        { "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":[[1,2,3,4,5,6,7,8],[1]]}}}", "different lengths" },
        { "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":[[1,2,3,4,5,6,7,\"8\"]]}}}", "no number" },
        { "{\"string_to_param\":{\"*\":{\"TORCHTENSOR\":[[1,2,3,4,5,6,7,1e300]]}}}", "no number" },
        { "{\"string_to_param\":{\"a\":{\"TORCHTENSOR\":[[1]]},\"b\":{\"TORCHTENSOR\":[[1]]}}}", "with one tensor" },
        { "not json", "p.png: " },
    };
    struct embedding e;
    struct tinct_err err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused(embedding_decode(&e, "p.png", base64(bad[i].json), WIDTH, &err), &err, TINCT_ERR_FORMAT, bad[i].words);
    check_refused(embedding_decode(&e, "p.png", "e30=!", WIDTH, &err), &err, TINCT_ERR_FORMAT, "no base64");
    check_refused(embedding_decode(&e, "p.png", "e30x=AAAA", WIDTH, &err), &err, TINCT_ERR_FORMAT, "no base64");
    check_refused(embedding_decode(&e, "p.png", "AAAAA", WIDTH, &err), &err, TINCT_ERR_FORMAT, "no base64");
    check_refused(embedding_decode(&e, "p.png", "", WIDTH, &err), &err, TINCT_ERR_FORMAT, "p.png: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_read),
        cmocka_unit_test(known_names_win_among_several_tensors),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(a_pictures_text_is_read),
        cmocka_unit_test(broken_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
