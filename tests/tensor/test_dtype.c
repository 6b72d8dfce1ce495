#include "check.h"
#include "tensor/dtype.h"

static void every_type_has_both_names_and_a_size(void **state)
{
    (void)state;
    for (int i = 0; i < DTYPE_COUNT; i++) {
        enum dtype type = (enum dtype)i, back = DTYPE_COUNT;
        const char *name = dtype_file_name(type);
        assert_non_null(dtype_name(type));
        assert_true(dtype_from_file_name(&back, name, strlen(name)));
        assert_int_equal(back, type);
        assert_true(dtype_bits(type) >= 4 && dtype_bits(type) <= 64);
    }
    assert_int_equal(dtype_size(DTYPE_F32), 4);
    assert_int_equal(dtype_size(DTYPE_BF16), 2);
    assert_int_equal(dtype_size(DTYPE_I64), 8);
    assert_int_equal(dtype_size(DTYPE_F6_E2M3), 0);
    assert_string_equal(dtype_name(DTYPE_F16), "f16");
}

static void names_are_exact(void **state)
{
    enum dtype type;
    (void)state;
    assert_false(dtype_from_file_name(&type, "f32", 3));
    assert_false(dtype_from_file_name(&type, "F3", 2));
    assert_false(dtype_from_file_name(&type, "F32 ", 4));
    assert_false(dtype_from_file_name(&type, "", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_both_names_and_a_size),
        cmocka_unit_test(names_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
