/* LoRA tags written into prompts. */
#include <stdlib.h>

#include "check.h"
#include "text/tag_edit.h"

static void check(const char *text, const char *name, const double *weight, const char *wanted)
{
    struct tinct_err err;
    char *got = tag_edit_lora(text, name, weight, &err);

    if (!got) fail_msg("%s: %s", text, err.text);
    assert_string_equal(got, wanted);
    free(got);
}

static void tags_are_rewritten(void **state)
{
    static const double w = 0.8, minus = -0.25, zero = -0.001, third = 1.0 / 3.0;

    (void)state;
    check("sea", "ink", &w, "sea <lora:ink:0.8>");
    check("", "ink", &w, "<lora:ink:0.8>");
    check("sea\n", "ink", &w, "sea\n<lora:ink:0.8>");
    check("a <lora:ink:1> b", "ink", &minus, "a <lora:ink:-0.25> b");
    check("a <lora:ink> b", "ink", &zero, "a <lora:ink:0> b");
    check("<lora:ink:1:0.5>", "ink", &third, "<lora:ink:0.33>");
    check("<lora:ink:te=1:unet=0.5:dyn=8>", "ink", &w, "<lora:ink:0.8:dyn=8>");
    check("<lora:ink:1:0.5:8>", "ink", &w, "<lora:ink:0.8:0.8:8>");
    check("<lora:ink:1:OUTD>", "ink", &w, "<lora:ink:0.8:OUTD>");
    check("<lora:ink:1:lbw=OUTD>", "ink", &w, "<lora:ink:0.8:lbw=OUTD>");
    check("<lyco:ink:1>", "ink", &w, "<lyco:ink:0.8>");
    check("<lora:inkwell:1>", "ink", &w, "<lora:inkwell:1> <lora:ink:0.8>");
    check("<lora:ink:1> x <lora:ink:0.2>", "ink", &w, "<lora:ink:0.8> x");
}

static void tags_are_taken_out(void **state)
{
    (void)state;
    check("a <lora:ink:1> b", "ink", NULL, "a b");
    check("<lora:ink:1><lora:ink:2>", "ink", NULL, "");
    check("a <lora:arcane:1>", "ink", NULL, "a <lora:arcane:1>");
}

static void names_that_no_tag_holds_are_refused(void **state)
{
    static const char *const names[] = { "", "a:b", "a>b", "a<b", "a=b", "a\nb" };
    const double w = 1;
    struct tinct_err err;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_null(tag_edit_lora("sea", names[i], &w, &err));
        assert_int_equal(err.code, TINCT_ERR_ARG);
    }
    assert_null(tag_edit_lora("<lora:x:strong>", "ink", &w, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_rewritten),
        cmocka_unit_test(tags_are_taken_out),
        cmocka_unit_test(names_that_no_tag_holds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
