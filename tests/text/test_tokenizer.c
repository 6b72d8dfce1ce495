#include "text/tokenizer.h"
#include "check.h"

#include <stdlib.h>
#include <time.h>

static int hex_digit(char c)
{
    return c >= 'A' ? c - 'A' + 10 : c - '0';
}

static size_t unescape(char *text)
{
    size_t size = 0;
    for (const char *c = text; *c; c++) {
        char byte = *c;
        if (byte == '%') {
            byte = (char)(hex_digit(c[1]) * 16 + hex_digit(c[2]));
            c += 2;
        }
        text[size++] = byte;
    }
    return size;
}

static void golden_strings_give_their_ids(void **state)
{
    static char line[1 << 16];
    FILE *file = fopen(TESTS_DIR "/golden/text/tokens.txt", "r");
    struct tokens t = { 0 };
    struct tinct_err err;
    size_t strings = 0;
    (void)state;

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char *want = strchr(line, '\t');
        assert_non_null(want);
        *want++ = '\0';
        size_t size = unescape(line), i = 0;
        t.count = 0;
        if (!tokenize(&t, line, size, &err)) fail_msg("%s", err.text);
        for (char *end; *want && *want != '\n'; want = end, i++) {
            unsigned long id = strtoul(want, &end, 10);
            if (i >= t.count || t.ids[i] != id)
                fail_msg("line %zu, token %zu: got %ld, want %lu", strings + 1, i, i < t.count ? (long)t.ids[i] : -1L,
                         id);
        }
        if (t.count != i) fail_msg("line %zu: %zu tokens, want %zu", strings + 1, t.count, i);
        strings++;
    }
    assert_int_equal(strings, 620);
    tokens_free(&t);
    fclose(file);
}

/* The ids that every SD program prints for this line. */
static void a_known_line(void **state)
{
    static const uint32_t want[] = { 320, 1125, 539, 550, 18376, 6765, 320, 4558 };
    static const char line[] = "a photo of an astronaut riding a horse";
    struct tokens t = { 0 };
    (void)state;

    assert_true(tokenize(&t, line, strlen(line), NULL));
    assert_int_equal(t.count, 8);
    assert_memory_equal(t.ids, want, sizeof want);
    assert_true(tokenize(&t, ",", 1, NULL));     /* appends */
    assert_int_equal(t.count, 9);
    assert_int_equal(t.ids[8], TOKEN_COMMA);
    tokens_free(&t);
}

/* The words of a lower-case line, joined again from its tokens. */
static void tokens_spell_their_text(void **state)
{
    static const char line[] = "naïve 東京 café 😂 supercalifragilistic it's";
    char text[TOKEN_TEXT_MAX], joined[256] = "";
    struct tokens t = { 0 };
    bool ends_word;
    (void)state;

    assert_true(tokenize(&t, line, sizeof line - 1, NULL));
    for (size_t i = 0; i < t.count; i++) {
        assert_true(token_text(t.ids[i], text, &ends_word) > 0);
        strcat(joined, text);
        if (ends_word) strcat(joined, " ");
    }
    assert_string_equal(joined, "naïve 東京 café 😂 supercalifragilistic it 's ");
    tokens_free(&t);
    assert_int_equal(token_text(TOKEN_END, text, &ends_word), 13);
    assert_string_equal(text, "<|endoftext|>");
    assert_int_equal(token_text(TOKEN_COUNT, text, &ends_word), 0);
    for (uint32_t id = 0; id < TOKEN_COUNT; id++) {
        size_t size = token_text(id, text, &ends_word);
        assert_true(size >= 1 && size < TOKEN_TEXT_MAX);
    }
}

static void invalid_utf8_is_refused(void **state)
{
    static const struct { const char *bytes; size_t size; const char *words; } bad[] = {
        { "abc\xff", 4, "at byte 3" },         { "\xc3", 1, "at byte 0" },            { "a\xe2\x82", 3, "at byte 1" },
        { "\xed\xa0\x80", 3, "at byte 0" },    { "\xf4\x90\x80\x80", 4, "at byte 0" }, { "ok \xc0\xaf", 5, "at byte 3" },
        { "\x80", 1, "at byte 0" },
    };
    struct tokens t = { 0 };
    struct tinct_err err;
    (void)state;

    assert_true(tokenize(&t, "a", 1, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_refused(tokenize(&t, bad[i].bytes, bad[i].size, &err), &err, TINCT_ERR_ARG, bad[i].words);
        assert_int_equal(t.count, 1);
    }
    tokens_free(&t);
}

static double seconds_for(const char *pattern, size_t size)
{
    char *text = malloc(size);
    struct tokens t = { 0 };
    size_t length = strlen(pattern);

    for (size_t i = 0; i < size; i++) text[i] = pattern[i % length];
    size -= size % length;
    clock_t start = clock();
    assert_true(tokenize(&t, text, size, NULL));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    tokens_free(&t);
    free(text);
    return seconds;
}

/* 64 times the text may take some 64 times as long, not 4096: one word, one run of signs, one pile of marks. */
static void cost_does_not_explode(void **state)
{
    static const char *const patterns[] = { "a", "!?", "\xcc\x81\xcc\x96", "<|", "it's ", "\xf0\x9f\x98\x82" };
    (void)state;

    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        double small = seconds_for(patterns[i], 1 << 14);
        double large = seconds_for(patterns[i], 1 << 20);
        if (large > 600 * (small + 1e-4))
            fail_msg("%s: %g s for 16 KiB, %g s for 1 MiB", patterns[i], small, large);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_strings_give_their_ids), cmocka_unit_test(a_known_line),
        cmocka_unit_test(tokens_spell_their_text),       cmocka_unit_test(invalid_utf8_is_refused),
        cmocka_unit_test(cost_does_not_explode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
