#include "check.h"

static void sentence_grows_from_the_inside_out(void **state)
{
    struct tinct_err err;
    (void)state;
    assert_false(tinct_fail(&err, TINCT_ERR_FORMAT, "wanted [%d], file has [%d]", 320, 4));
    assert_false(tinct_within(&err, "unet"));
    assert_false(tinct_within(&err, "%s", "a.safetensors"));
    assert_string_equal(err.text, "a.safetensors: unet: wanted [320], file has [4]");
    assert_int_equal(err.code, TINCT_ERR_FORMAT);
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    struct tinct_err err;
    (void)state;
    tinct_fail(&err, TINCT_ERR_IO, "a\033[2Jb\nc");
    assert_string_equal(err.text, "a?[2Jb?c");
    tinct_advise(&err, "try\rthis");
    assert_string_equal(err.advice, "try?this");
}

static void long_sentences_are_cut_not_overrun(void **state)
{
    struct tinct_err err;
    char big[4096];
    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    tinct_fail(&err, TINCT_ERR_IO, "%s", big);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    tinct_within(&err, "%s", big);
    assert_true(strlen(err.text) < sizeof err.text);
    assert_false(tinct_fail(NULL, TINCT_ERR_IO, "no one listens"));
    assert_false(tinct_within(NULL, "no one listens"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentence_grows_from_the_inside_out),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(long_sentences_are_cut_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
