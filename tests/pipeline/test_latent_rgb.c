/* The matrix of a model's header: what is one, and what is none. */
#include "pipeline/latent_rgb.h"

#include <string.h>

#include "check.h"

static void with_a_bias(void **state)
{
    float m[5][3];

    (void)state;
    assert_true(latent_rgb_parse("[[0.5, -1, 2e-1], [0,0,0], [1,2,3], [4,5,6], [-0.25, 0, 7]]", m));
    assert_float_equal(m[0][0], 0.5f, 0);
    assert_float_equal(m[0][2], 0.2f, 0);
    assert_float_equal(m[2][1], 2.0f, 0);
    assert_float_equal(m[4][0], -0.25f, 0);
    assert_float_equal(m[4][2], 7.0f, 0);
}

static void without_one_it_is_0(void **state)
{
    float m[5][3] = { { 0 }, { 0 }, { 0 }, { 0 }, { 9, 9, 9 } };

    (void)state;
    assert_true(latent_rgb_parse("[[1,2,3],[1,2,3],[1,2,3],[4,5,6]]", m));
    for (int c = 0; c < 3; c++) assert_float_equal(m[4][c], 0, 0);
}

static void anything_else_is_none(void **state)
{
    static const char *const texts[] = {
        "", "{}", "1", "[", "[[1,2,3],[1,2,3],[1,2,3]]", "[[1,2,3],[1,2,3],[1,2,3],[1,2,3],[1,2,3],[1,2,3]]",
        "[[1,2],[1,2],[1,2],[1,2]]", "[[1,2,3,4],[1,2,3,4],[1,2,3,4],[1,2,3,4]]", "[[1,2,3],[1,2,3],[1,2,3],[1,2,null]]",
        "[[1,2,3],[1,2,3],[1,2,3],[1,2,\"3\"]]", "[[1,2,3],[1,2,3],[1,2,3],[1,2,1e9]]", "[[1,2,3],[1,2,3],[1,2,3],[1,2,NaN]]",
        "[[1,2,3],[1,2,3],[1,2,3],[1,2,1e999]]", "[1,2,3,4]", "[[1,2,3],[1,2,3],[1,2,3],{\"a\":1,\"b\":2,\"c\":3}]",
    };
    float m[5][3], before[5][3];

    (void)state;
    for (int i = 0; i < 15; i++) m[i / 3][i % 3] = 42;
    memcpy(before, m, sizeof m);
    assert_false(latent_rgb_parse(NULL, m));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (latent_rgb_parse(texts[i], m)) fail_msg("%s", texts[i]);
    assert_memory_equal(m, before, sizeof m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_a_bias),
        cmocka_unit_test(without_one_it_is_0),
        cmocka_unit_test(anything_else_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
