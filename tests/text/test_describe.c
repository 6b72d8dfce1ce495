#include "text/describe.h"
#include "base/json.h"
#include "check.h"

#include <stdlib.h>

static const struct prompt_options steps10 = { .steps = 10 };

static void a_person_reads_it(void **state)
{
    struct tinct_err err;
    char *text = prompt_describe("<lora:arcane:0.8> <hypernet:x:1>a [(cat:1.2):dog:4] AND \x07 sea :0.5", &steps10,
                                 TINCT_EMPHASIS_ORIGINAL, NULL, false, &err);
    (void)state;

    assert_non_null(text);
    assert_string_equal(text, "LoRA arcane: text encoder 0.8, UNet 0.8\n"
                              "removed <hypernet:x:1>: tinct knows only <lora:...>\n"
                              "part 1 of 2, weight 1\n"
                              "  1-5 of 10:  a (cat:1.2)\n"
                              "    chunk 1: 2 of 75 tokens\n"
                              "        320  a                    1\n"
                              "       2368  cat                  1.2\n"
                              "  6-10 of 10:  a dog\n"
                              "    chunk 1: 2 of 75 tokens\n"
                              "        320  a                    1\n"
                              "       1929  dog                  1\n"
                              "part 2 of 2, weight 0.5\n"
                              "   \\x07 sea\n"
                              "    chunk 1: 2 of 75 tokens\n"
                              "        451  \\x07                 1\n"
                              "       2102  sea                  1\n");
    free(text);
}

static const struct json *member(const struct json *v, const char *name)
{
    v = json_member(v, name);
    if (!v) fail_msg("no %s", name);
    return v;
}

static double first_number(const struct json *array, int index)
{
    double value = NAN;
    const struct json *v = json_first(array);
    while (index--) v = json_next(v);
    json_to_double(v, &value);
    return value;
}

static void a_program_reads_it(void **state)
{
    struct tinct_err err;
    char *text = prompt_describe("<lyco:a:1:te=0.25><x:\xc3\xa9>[(cat:1.1)|dog] BREAK b", &steps10,
                                 TINCT_EMPHASIS_ORIGINAL, NULL, true, &err);
    (void)state;

    assert_non_null(text);
    struct json *root = json_parse(text, strlen(text), &err);
    if (!root) fail_msg("%s", err.text);
    const struct json *lora = json_first(member(root, "loras")), *part = json_first(member(root, "parts"));
    assert_string_equal(json_to_string(member(lora, "name")), "a");
    assert_string_equal(json_to_string(json_next(json_next(json_first(member(lora, "arguments"))))), "te=0.25");
    assert_string_equal(json_to_string(json_first(member(root, "removed"))), "<x:\xc3\xa9>");
    assert_int_equal(json_count(member(part, "segments")), 10);
    assert_int_equal(json_count(member(part, "texts")), 2);
    const struct json *chunks = member(json_first(member(part, "texts")), "chunks"), *chunk = json_first(chunks);
    assert_int_equal(json_count(chunks), 2);
    assert_int_equal(json_count(member(chunk, "ids")), 77);
    assert_true(first_number(member(chunk, "ids"), 1) == 2368);
    assert_true(first_number(member(chunk, "weights"), 1) == 1.1);
    assert_string_equal(json_to_string(json_first(member(chunk, "spelling"))), "cat");
    json_free(root);
    free(text);
}

static void a_refused_prompt_is_refused(void **state)
{
    struct tinct_err err;
    (void)state;
    for (int json = 0; json < 2; json++)
        check_refused(prompt_describe("a [(b:99)|c]", &steps10, TINCT_EMPHASIS_ORIGINAL, NULL, json, &err) != NULL, &err,
                      TINCT_ERR_ARG, "is 99");
}

/* The public door; 0 steps are 20. */
static void the_library_tells(void **state)
{
    struct tinct_err err;
    char *text = tinct_describe_prompt("[a:b:0.5]", 0, NULL, false, &err);
    (void)state;
    assert_non_null(text);
    assert_non_null(strstr(text, "1-11 of 20: a\n"));
    tinct_text_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_person_reads_it), cmocka_unit_test(a_program_reads_it),
        cmocka_unit_test(a_refused_prompt_is_refused), cmocka_unit_test(the_library_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
