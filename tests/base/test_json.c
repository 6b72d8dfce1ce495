#include "base/json.h"
#include "check.h"

#include <stdlib.h>

static struct json *parse(const char *text, struct tinct_err *err)
{
    return json_parse(text, strlen(text), err);
}

static void values_are_read(void **state)
{
    struct tinct_err err;
    struct json *root = parse(" {\"seed\": 42, \"Seed\": \"4\\u00e9\\ud83c\\udfa8\\n\", \"cfg\": 7.5e0,\n"
                              "\"on\": true, \"none\": null, \"list\": [1, [], {}]} ", &err);
    int64_t integer = 0;
    double number = 0;
    bool on = false;
    (void)state;
    assert_non_null(root);
    assert_true(json_to_integer(json_member(root, "seed"), &integer) && integer == 42);
    assert_string_equal(json_to_string(json_member(root, "Seed")), "4\xc3\xa9\xf0\x9f\x8e\xa8\n");
    assert_null(json_member(root, "SEED"));
    assert_true(json_to_double(json_member(root, "cfg"), &number) && number == 7.5);
    assert_true(json_to_bool(json_member(root, "on"), &on) && on);
    assert_int_equal(json_kind(json_member(root, "none")), JSON_NULL);
    assert_int_equal(json_count(json_member(root, "list")), 3);
    assert_int_equal(json_count(root), 6);
    assert_string_equal(json_name(json_first(root)), "seed");
    json_free(root);
}

static void kinds_are_not_mixed(void **state)
{
    struct tinct_err err;
    struct json *root = parse("{\"half\": 3.5, \"whole\": 3.0, \"text\": \"3\"}", &err);
    int64_t integer = 9;
    double number = 9;
    (void)state;
    assert_false(json_to_integer(json_member(root, "half"), &integer));
    assert_false(json_to_integer(json_member(root, "text"), &integer));
    assert_false(json_to_double(json_member(root, "absent"), &number));
    assert_null(json_to_string(json_member(root, "half")));
    assert_true(integer == 9 && number == 9);
    assert_true(json_to_integer(json_member(root, "whole"), &integer) && integer == 3);
    assert_null(json_member(json_member(root, "text"), "x"));
    assert_null(json_member(NULL, "x"));
    json_free(root);
    json_free(NULL);
}

static void what_cjson_lets_through_is_refused(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "", "a value was expected" },
        { "{} x", "something follows" },
        { "{\"a\": 1, \"a\": 2}", "two members are named \"a\"" },
        { "[{\"b\": {\"a\": 1, \"\\u0061\": 2}}]", "two members" },
        { "[01]", "not a number" },
        { "[1.]", "not a number" },
        { "[+1]", "not a number" },
        { "[1e400]", "too large" },
        { "[9007199254740993]", "2^53 or more" },
        { "[-9007199254740992]", "2^53 or more" },
        { "[1000000000000000000000000000000000000000000000000000000000000000000]", "63 characters" },
        { "[\"a\nb\"]", "control character" },
        { "\xef\xbb\xbf[]", "byte order mark" },
        { "[\"\xff\"]", "not UTF-8" },
        { "[\"\\u0000\"]", "\\u without a character" },
        { "[\"\\ud800\"]", "\\u without a character" },
        { "[\"\\ud800\\u0041\"]", "\\u without a character" },
        { "[\"\\udc00\"]", "\\u without a character" },
        { "[\"\\x\"]", "unknown escape" },
        { "[\"abc]", "no end" },
        { "[\"abc\\", "unknown escape" },
        { "[1,]", "a value was expected" },
        { "{\"a\":1,}", "name was expected" },
        { "{\"a\" 1}", "':' was expected" },
        { "{a: 1}", "name was expected" },
        { "[1 2]", "',' or ']'" },
        { "{\"a\":1 \"b\"", "',' or '}'" },
        { "[tru]", "unknown word" },
        { "[NaN]", "a value was expected" },
        { "[1] // no", "something follows" },
    };
    struct tinct_err err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused(parse(bad[i].text, &err) != NULL, &err, TINCT_ERR_FORMAT, bad[i].words);
    check_refused(json_parse("[\"a\0\"]", 6, &err) != NULL, &err, TINCT_ERR_FORMAT, "control character");
    assert_non_null(strstr(err.text, "byte 4"));
}

static void size_and_depth_are_bounded(void **state)
{
    struct tinct_err err;
    size_t size = JSON_MAX_BYTES + 1;
    char *text = malloc(size);
    (void)state;
    memset(text, ' ', size);
    text[0] = '1';
    check_refused(json_parse(text, size, &err) != NULL, &err, TINCT_ERR_FORMAT, "at most 1048576");
    struct json *one = json_parse(text, size - 1, &err);
    assert_non_null(one);
    json_free(one);

    memset(text, '[', size);
    check_refused(json_parse(text, 100000, &err) != NULL, &err, TINCT_ERR_FORMAT, "64 levels");
    memset(text + 64, ']', 64);
    struct json *deep = json_parse(text, 128, &err);
    assert_non_null(deep);
    json_free(deep);
    free(text);
}

static void what_is_written_reads_back(void **state)
{
    struct tinct_err err;
    struct json_writer w = { 0 };
    int64_t integer = 0;
    double number = 0;
    (void)state;
    json_begin(&w, NULL, JSON_OBJECT);
    json_put_string(&w, "quote\"", "a\\b\n\x01\xc3\xa9\xff");
    json_put_string(&w, "none", NULL);
    json_put_integer(&w, "seed", INT64_C(9007199254740993));
    json_begin(&w, "list", JSON_ARRAY);
    json_put_integer(&w, NULL, -3);
    json_put_double(&w, NULL, 0.1);
    json_put_double(&w, NULL, NAN);
    json_begin(&w, NULL, JSON_OBJECT);
    json_end(&w);
    json_end(&w);
    json_put_bool(&w, "last", false);
    json_end(&w);
    char *text = json_finish(&w, &err);
    assert_string_equal(text, "{\n  \"quote\\\"\": \"a\\\\b\\n\\u0001\xc3\xa9\xef\xbf\xbd\",\n  \"none\": null,\n"
                              "  \"seed\": \"9007199254740993\",\n  \"list\": [\n    -3,\n    0.1,\n    null,\n    {}\n"
                              "  ],\n  \"last\": false\n}\n");

    struct json *root = json_parse(text, strlen(text), &err);
    assert_string_equal(json_to_string(json_member(root, "quote\"")), "a\\b\n\x01\xc3\xa9\xef\xbf\xbd");
    const struct json *item = json_first(json_member(root, "list"));
    assert_true(json_to_integer(item, &integer) && integer == -3);
    assert_true(json_to_double(json_next(item), &number) && number == 0.1);
    json_free(root);
    free(text);
}

static void literals_are_quoted_and_unquoted(void **state)
{
    static const char *const texts[] = { "", "a", "a, b: \"c\" \\ \n\t\x1f", "\xe2\x82\xac\xf0\x9f\x8e\xa8" };
    static const char *const bad[] = { "\"", "a", "\"a", "\"a\"b\"", "\"\\q\"", "\"\\u0000\"", "\"\n\"", "\"\xff\"" };
    char out[64];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct str s = { 0 };
        json_quote(&s, texts[i]);
        assert_true(json_unquote(s.bytes, s.length, out));
        assert_string_equal(out, texts[i]);
        str_free(&s);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(json_unquote(bad[i], strlen(bad[i]), out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(kinds_are_not_mixed),
        cmocka_unit_test(what_cjson_lets_through_is_refused),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(literals_are_quoted_and_unquoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
