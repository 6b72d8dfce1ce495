/* What is typed, undone, wrapped and weighed in a prompt, and what is done to it by sliders and trigger words; no screen. */
#include <stdlib.h>

#include "check.h"
#include "window/edit.h"
#include "window/settings.h"
#include "window/trigger.h"
#include "temporary.h"

static struct edit of(const char *text)
{
    struct edit e;
    assert_true(edit_init(&e, text));
    return e;
}

static void typing_is_one_undo_step(void **state)
{
    struct edit e = of("");

    (void)state;
    for (const char *c = "sea"; *c; c++) edit_insert(&e, (char[]) { *c, '\0' }, true);
    edit_insert(&e, " and sky", false);
    assert_string_equal(e.text, "sea and sky");
    edit_undo(&e);
    assert_string_equal(e.text, "sea");
    edit_undo(&e);
    assert_string_equal(e.text, "");
    edit_undo(&e);
    edit_redo(&e);
    edit_redo(&e);
    assert_string_equal(e.text, "sea and sky");
    edit_free(&e);
}

static void a_moving_slider_is_one_undo_step(void **state)
{
    struct edit e = of("sea");

    (void)state;
    edit_set(&e, "sea <lora:a:0.1>", false);
    edit_set(&e, "sea <lora:a:0.2>", true);
    edit_set(&e, "sea <lora:a:0.3>", true);
    edit_undo(&e);
    assert_string_equal(e.text, "sea <lora:a:0.1>");
    edit_undo(&e);
    assert_string_equal(e.text, "sea");
    edit_free(&e);
}

static void characters_stay_whole(void **state)
{
    struct edit e = of("a\xff\tb\r\n\xe2\x82\xac\x01z\xed\xa0\x80");     /* invalid bytes, a tab, a euro, a surrogate */

    (void)state;
    assert_string_equal(e.text, "a b\n\xe2\x82\xacz");
    edit_place(&e, strlen(e.text), false);
    edit_erase(&e, EDIT_LEFT);
    edit_erase(&e, EDIT_LEFT);
    assert_string_equal(e.text, "a b\n");
    edit_insert(&e, "\xe5\xb1\xb1\xe6\xb0\xb4", true);
    assert_int_equal(edit_target(&e, e.caret, EDIT_LEFT), e.caret - 3);
    edit_place(&e, edit_target(&e, e.caret, EDIT_LEFT), true);
    edit_insert(&e, "x", true);
    assert_string_equal(e.text, "a b\n\xe5\xb1\xb1x");
    edit_free(&e);
}

static void words_are_passed_and_selected(void **state)
{
    struct edit e = of("one, two three");

    (void)state;
    assert_int_equal(edit_target(&e, 0, EDIT_WORD_RIGHT), 5);
    assert_int_equal(edit_target(&e, 14, EDIT_WORD_LEFT), 9);
    edit_select_word(&e, 6);
    edit_insert(&e, "2", false);
    assert_string_equal(e.text, "one, 2 three");
    edit_free(&e);
}

static float one(const void *user, uint32_t character)
{
    (void)user;
    return character == '\n' ? 100.0f : 1.0f;
}

static void lines_break_behind_blanks(void **state)
{
    static const char text[] = "aaa bb cccccccc dd\n\ne";
    static const char *const wanted[] = { "aaa bb ", "ccccccc", "c dd", "", "e" };
    struct edit_line *lines;
    size_t count = edit_wrap(text, 7, one, NULL, &lines);

    (void)state;
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(lines[i].end - lines[i].begin, strlen(wanted[i]));
        assert_memory_equal(text + lines[i].begin, wanted[i], strlen(wanted[i]));
    }
    free(lines);
    count = edit_wrap("", 7, one, NULL, &lines);
    assert_int_equal(count, 1);
    free(lines);
}

static void weigh(const char *text, size_t from, size_t to, double step, const char *wanted)
{
    struct edit e = of(text);

    edit_place(&e, from, false);
    edit_place(&e, to, true);
    edit_weigh(&e, step);
    assert_string_equal(e.text, wanted);
    edit_free(&e);
}

static void weights_are_written_where_the_caret_is(void **state)
{
    (void)state;
    weigh("a red boat", 3, 3, 0.1, "a (red:1.1) boat");
    weigh("a (red:1.1) boat", 4, 4, 0.1, "a (red:1.2) boat");
    weigh("a (red:1.1) boat", 4, 4, -0.1, "a red boat");
    weigh("a red boat", 2, 10, -0.1, "a (red boat:0.9)");
    weigh("sea <lora:ink:0.8>", 8, 8, 0.1, "sea <lora:ink:0.9>");
    weigh("sea <lora:ink>", 8, 8, -0.1, "sea <lora:ink:0.9>");
    weigh("", 0, 0, 0.1, "");
}

static void trigger_words_come_and_go(void **state)
{
    static const char *const rows[][3] = {      /* without, words, with */
        { "sea", "arcane style", "sea, arcane style" },
        { "", "ink", "ink" },
        { "sea <lora:ink:1>", "ink", "sea <lora:ink:1>, ink" },
        { "inkwell", "ink", "inkwell, ink" },
    };
    size_t at;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *with = trigger_add(rows[i][0], rows[i][1]), *without = trigger_remove(rows[i][2], rows[i][1]);
        assert_false(trigger_find(rows[i][0], rows[i][1], &at));
        assert_true(trigger_find(rows[i][2], rows[i][1], &at));
        assert_string_equal(with, rows[i][2]);
        assert_string_equal(without, rows[i][0]);
        free(with);
        free(without);
    }
    char *middle = trigger_remove("Ink, sea, INK, sky", "ink");
    assert_string_equal(middle, "sea, sky");
    free(middle);
}

static void settings_come_back(void **state)
{
    struct settings s = { .automatic = true, .tab = 1, .place = { 10, 20, 900, 700, true, false } }, read = { 0 };

    (void)state;
    assert_true(form_init(&s.form) && form_init(&read.form));
    assert_true(form_set_text(&s.form.prompt, "two\nlines and a \\n") && form_set_text(&s.form.negative, "\xe6\xb0\xb4"));
    strcpy(s.form.sampler, "Euler a");
    s.form.guidance = 4.5f;
    s.form.seed = 123456789012;
    assert_true(settings_write(&s, temporary_folder));
    settings_read(&read, temporary_folder);
    assert_string_equal(read.form.prompt, s.form.prompt);
    assert_string_equal(read.form.negative, s.form.negative);
    assert_string_equal(read.form.sampler, "Euler a");
    assert_true(read.form.guidance == 4.5f && read.form.seed == s.form.seed && read.automatic && read.tab == 1);
    assert_int_equal(read.place.w, 900);
    temporary_write("window.conf", "steps = 99999\nwidth = -5\ntab = x\nbatch = 3\nnonsense\n = \ncfg = nan\n", 70);
    settings_read(&read, temporary_folder);
    assert_int_equal(read.form.steps, 20);
    assert_int_equal(read.form.count, 3);
    assert_true(read.form.guidance == 4.5f);
    assert_false(settings_write(&s, "/nowhere/at/all"));
    form_free(&s.form);
    form_free(&read.form);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typing_is_one_undo_step),
        cmocka_unit_test(a_moving_slider_is_one_undo_step),
        cmocka_unit_test(characters_stay_whole),
        cmocka_unit_test(words_are_passed_and_selected),
        cmocka_unit_test(lines_break_behind_blanks),
        cmocka_unit_test(weights_are_written_where_the_caret_is),
        cmocka_unit_test(trigger_words_come_and_go),
        cmocka_unit_test(settings_come_back),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
