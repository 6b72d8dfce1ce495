#include "base/str.h"
#include "check.h"

#include <locale.h>
#include <stdlib.h>

static void texts_grow(void **state)
{
    struct str s = { 0 };
    struct tinct_err err;
    char *empty = str_take(&s, &err);
    (void)state;
    assert_string_equal(empty, "");
    free(empty);

    for (int i = 0; i < 1000; i++) str_addf(&s, "%d,", i);
    assert_int_equal(s.length, strlen(s.bytes));
    assert_int_equal(s.length, 10 * 2 + 90 * 3 + 900 * 4);
    char *text = str_take(&s, &err);
    assert_memory_equal(text, "0,1,2,", 6);
    assert_null(s.bytes);
    free(text);

    str_add_bytes(&s, "a\0b", 3);
    assert_int_equal(s.length, 3);
    str_free(&s);
    s.failed = true;
    str_add(&s, "lost");
    check_refused(str_take(&s, &err) != NULL, &err, TINCT_ERR_MEMORY, "no memory");
}

static const char *float_text(struct str *s, float value)
{
    str_free(s);
    str_add_float(s, value);
    return s->bytes;
}

static void numbers_are_shortest_and_come_back(void **state)
{
    struct str s = { 0 };
    double back;
    (void)state;
    assert_string_equal(float_text(&s, 7.0f), "7");
    assert_string_equal(float_text(&s, 0.1f), "0.1");
    assert_string_equal(float_text(&s, 7.5f), "7.5");
    assert_string_equal(float_text(&s, -0.3f), "-0.3");
    assert_string_equal(float_text(&s, 1e-5f), "1e-05");
    assert_string_equal(float_text(&s, 16777217.0f), "16777216");
    for (uint32_t i = 1; i < 20000; i++) {
        uint32_t bits = i * 214013u;
        float value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        assert_true(str_to_double(float_text(&s, value), &back));
        assert_true((float)back == value);
    }
    str_free(&s);
    str_add_double(&s, 0.1);
    assert_string_equal(s.bytes, "0.1");
    str_free(&s);
}

static void only_numbers_are_read(void **state)
{
    static const char *const bad[] = { "",   "-",  "01", "1.",  ".5",  "+1",   "1e",  "1e+", "0x10", "1 ",
                                       " 1", "nan", "inf", "1,5", "--1", "1.2.3", "1e999", "-01" };
    double value = 5;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(str_to_double(bad[i], &value));
    assert_true(value == 5);
    assert_true(str_to_double("-12.5e+1", &value) && value == -125);
    assert_true(str_to_double("0", &value) && value == 0);
}

static void a_locale_changes_nothing(void **state)
{
    static const char *const commas[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR" };
    struct str s = { 0 };
    double value;
    const char *found = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof commas / sizeof *commas && !found; i++) found = setlocale(LC_NUMERIC, commas[i]);
    if (!found) {
        print_message("skipped: no locale with a decimal comma is installed\n");
        skip();
    }
    assert_string_equal(float_text(&s, 7.5f), "7.5");
    assert_true(str_to_double("7.5", &value) && value == 7.5);
    setlocale(LC_NUMERIC, "C");
    str_free(&s);
}

static void utf8_is_told_from_bytes(void **state)
{
    (void)state;
    assert_int_equal(str_utf8_prefix("abc", 3), 3);
    assert_int_equal(str_utf8_prefix("a\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xa8", 12), 12);
    assert_int_equal(str_utf8_prefix("ab\xc3", 3), 2);                 /* cut */
    assert_int_equal(str_utf8_prefix("\xc0\xaf", 2), 0);               /* overlong */
    assert_int_equal(str_utf8_prefix("a\xed\xa0\x80", 4), 1);          /* surrogate */
    assert_int_equal(str_utf8_prefix("a\xf4\x90\x80\x80", 5), 1);      /* beyond U+10FFFF */
    assert_int_equal(str_utf8_prefix("\x80", 1), 0);
    assert_int_equal(str_utf8_prefix("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_grow),           cmocka_unit_test(numbers_are_shortest_and_come_back),
        cmocka_unit_test(only_numbers_are_read), cmocka_unit_test(a_locale_changes_nothing),
        cmocka_unit_test(utf8_is_told_from_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
