#include "text/prompt.h"
#include "base/json.h"
#include "check.h"

#include <stdlib.h>
#include <time.h>

static char line[1 << 20];

static double number_of(const struct json *object, const char *name)
{
    double value = NAN;
    json_to_double(json_member(object, name), &value);
    return value;
}

static const struct json *item(const struct json *array, size_t index)
{
    const struct json *v = json_first(array);
    while (index--) v = json_next(v);
    return v;
}

static void check_segments(const struct prompt_part *part, const struct json *want, const char *prompt)
{
    size_t i = 0;
    for (const struct json *w = json_first(want); w; w = json_next(w), i++) {
        double end = 0;
        json_to_double(item(w, 0), &end);
        if (i >= part->segment_count || part->segments[i].end_step != (int)end ||
            strcmp(part->texts[part->segments[i].text], json_to_string(item(w, 1))))
            fail_msg("%s: segment %zu: wanted until %g: %s", prompt, i, end, json_to_string(item(w, 1)));
    }
    if (i != part->segment_count) fail_msg("%s: %zu segments, wanted %zu", prompt, part->segment_count, i);
}

/* As one text again: words, positional and named arguments. */
static void check_tags(const struct prompt *p, const struct json *want, const char *prompt)
{
    size_t t = 0;
    for (const struct json *w = json_first(want); w; w = json_next(w), t++) {
        assert_true(t < p->tag_count);
        const struct prompt_tag *tag = &p->tags[t];
        assert_string_equal(tag->word, json_to_string(json_first(w)));
        assert_int_equal(tag->arg_count, json_count(w) - 1);
        for (size_t i = 0; i < tag->arg_count; i++) {
            const char *given = json_to_string(item(w, i + 1)), *key = tag->args[i].key;
            if (key) {
                assert_memory_equal(given, key, strlen(key));
                assert_int_equal(given[strlen(key)], '=');
                given += strlen(key) + 1;
            }
            assert_string_equal(tag->args[i].value, given);
        }
        assert_int_equal(prompt[tag->begin], '<');
        assert_int_equal(prompt[tag->end - 1], '>');
    }
    assert_int_equal(t, p->tag_count);
}

static void check_line(const struct json *want)
{
    const char *prompt = json_to_string(json_member(want, "prompt"));
    struct prompt_options options = { (int)number_of(want, "steps"), (int)number_of(want, "base_steps"), false, false };
    struct prompt p;
    struct tinct_err err;

    json_to_bool(json_member(want, "old"), &options.old_schedule);
    if (!prompt_parse(&p, prompt, &options, &err)) fail_msg("%s: %s", prompt, err.text);
    check_tags(&p, json_member(want, "tags"), prompt);
    size_t i = 0;
    for (const struct json *w = json_first(json_member(want, "parts")); w; w = json_next(w), i++) {
        if (i >= p.part_count) fail_msg("%s: only %zu parts", prompt, i);
        assert_true(p.parts[i].weight == number_of(w, "weight"));
        check_segments(&p.parts[i], json_member(w, "segments"), prompt);
    }
    assert_int_equal(i, p.part_count);
    prompt_free(&p);

    options.negative = true;
    if (!prompt_parse(&p, prompt, &options, &err)) fail_msg("negative %s: %s", prompt, err.text);
    assert_int_equal(p.part_count, 1);
    assert_int_equal(p.tag_count, 0);
    assert_true(p.parts[0].weight == 1);
    check_segments(&p.parts[0], json_member(want, "negative"), prompt);
    prompt_free(&p);
}

static void golden_prompts_are_understood(void **state)
{
    FILE *file = fopen(TESTS_DIR "/golden/text/prompts.jsonl", "r");
    struct tinct_err err;
    size_t lines = 0;
    (void)state;

    assert_non_null(file);
    for (; fgets(line, sizeof line, file); lines++) {
        struct json *want = json_parse(line, strlen(line), &err);
        if (!want) fail_msg("line %zu: %s", lines + 1, err.text);
        check_line(want);
        json_free(want);
    }
    fclose(file);
    assert_true(lines > 200);
}

static void parse(struct prompt *p, const char *text, int steps)
{
    struct tinct_err err;
    if (!prompt_parse(p, text, &(struct prompt_options) { .steps = steps }, &err)) fail_msg("%s: %s", text, err.text);
}

static const char *text_at(const struct prompt *p, int evaluation)
{
    return p->parts[0].texts[prompt_segment_at(&p->parts[0], evaluation)->text];
}

/* Ends are 1-based and compared with a count from 0. */
static void the_first_segment_lasts_one_longer(void **state)
{
    struct prompt p;
    (void)state;

    parse(&p, "[a:b:10]", 20);
    for (int i = 0; i < 20; i++) assert_string_equal(text_at(&p, i), i <= 10 ? "a" : "b");
    prompt_free(&p);
    parse(&p, "[a|b]", 20);
    assert_int_equal(p.parts[0].text_count, 2);
    assert_string_equal(text_at(&p, 0), "a");
    for (int i = 1; i < 20; i++) assert_string_equal(text_at(&p, i), i % 2 ? "a" : "b");
    assert_string_equal(text_at(&p, 25), "b");
    prompt_free(&p);
}

static void loras_are_handed_on(void **state)
{
    struct prompt p;
    (void)state;

    parse(&p, "x <lora:a:0.8><lyco:b>, <lora:c: .5 :-2:16> <lora:d:te=0.25:1:unet=2:dyn=8:start=3>"
              "<lora:e:1:OUTD><lora:f:lbw=IND:0.5>", 1);
    assert_int_equal(p.lora_count, 6);
    static const struct { const char *name; double te, unet; int dyn; const char *blocks; size_t args; } want[] = {
        { "a", 0.8, 0.8, 0, NULL, 2 }, { "b", 1, 1, 0, NULL, 1 },      { "c", 0.5, -2, 16, NULL, 4 },
        { "d", 0.25, 2, 8, NULL, 6 },  { "e", 1, 1, 0, "OUTD", 3 },    { "f", 0.5, 0.5, 0, "IND", 3 },
    };
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(p.loras[i].name, want[i].name);
        assert_true(p.loras[i].te == want[i].te && p.loras[i].unet == want[i].unet);
        assert_int_equal(p.loras[i].dyn, want[i].dyn);
        assert_int_equal(p.tags[p.loras[i].tag].arg_count, want[i].args);
        if (want[i].blocks) assert_string_equal(p.loras[i].blocks, want[i].blocks);
        else assert_null(p.loras[i].blocks);
    }
    assert_string_equal(p.parts[0].texts[0], "x ,");
    prompt_free(&p);
}

static void loras_know_their_steps(void **state)
{
    struct prompt p;
    (void)state;

    parse(&p, "<lora:a:1:start=3><lora:b:stop=10:1><lora:c:1:step=3-10><lora:d:1:step=3-10:stop=12><lora:e>", 1);
    static const struct { int start, stop; } want[] = { { 3, 0 }, { 0, 10 }, { 3, 10 }, { 3, 12 }, { 0, 0 } };
    assert_int_equal(p.lora_count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(p.loras[i].start, want[i].start);
        assert_int_equal(p.loras[i].stop, want[i].stop);
    }
    prompt_free(&p);
}

static void check_prompt_refused(const char *text, const char *words)
{
    struct prompt p;
    struct tinct_err err;
    if (prompt_parse(&p, text, &(struct prompt_options) { .steps = 20 }, &err)) fail_msg("understood: %.60s", text);
    check_refused(false, &err, TINCT_ERR_ARG, words);
    assert_null(p.parts);
}

static void repeat(const char *what, size_t count, const char *words)
{
    size_t length = strlen(what);
    char *text = malloc(length * count + 1);
    for (size_t i = 0; i < count; i++) memcpy(text + i * length, what, length + 1);
    check_prompt_refused(text, words);
    free(text);
}

static void limits_have_their_sentences(void **state)
{
    (void)state;
    repeat("a", 1 << 20, "the prompt has 1048576 bytes; at most 65536 can be used");
    repeat("[", 10000, "opens more than 64 brackets inside one another (byte 64)");
    repeat("(", 10000, "opens more than 64 brackets");
    repeat("<lora:a:1>", 33, "more than 32 LoRA tags");
    repeat("a AND ", 40, "more than 32 parts between AND");
    check_prompt_refused("a\xff", "not valid UTF-8 at byte 1");
    check_prompt_refused("<lora:a:x>", "the text encoder weight of <lora:a> is \"x\", which is no number");
    check_prompt_refused("<lora:a:1:unet=>", "the UNet weight of <lora:a> is \"\"");
    check_prompt_refused("<lora:a:nan>", "no number");
    check_prompt_refused("<lora:a:1e400>", "no number");
    check_prompt_refused("<lora:a:17>", "is 17; at most 16");
    check_prompt_refused("<lora:a:-16.5>", "is -16.5; at most 16");
    check_prompt_refused("<lora:a:1:1:1.5>", "no count of ranks");
    check_prompt_refused("<lora::1>", "has no name");
    check_prompt_refused("a:17 AND b", "the weight of an AND part is 17");
}

static void endless_alternation_is_refused(void **state)
{
    char text[40000] = "";
    struct prompt p;
    struct tinct_err err;
    (void)state;

    memset(text, 'x', 30000);
    strcpy(text + 30000, "[a|b][a|b|c][a|b|c|d|e][a|b|c|d|e|f|g]");
    check_refused(prompt_parse(&p, text, &(struct prompt_options) { .steps = 1000 }, &err), &err, TINCT_ERR_ARG,
                  "unroll to more than 4 MiB");
}

/* What could be slow is short of a second: each fills the 64 KiB. */
static void large_prompts_are_quick(void **state)
{
    static const char *const units[] = {
        "(a)", "[a:b:3]", "[a|b]", ")", "<a:", "<a:b", "<a:b>", "a:", ": ", "BREAK ", "AN", "\\(", " ",
        "[a:[b:[c:d:3]:2]:1]", "[a|[b|[c|d]]]", "\xe3\x80\x80", ":0",
    };
    static char text[PROMPT_MAX_BYTES + 1];
    (void)state;

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t length = strlen(units[i]), count = PROMPT_MAX_BYTES / length;
        struct prompt p;
        struct tinct_err err;
        for (size_t j = 0; j < count; j++) memcpy(text + j * length, units[i], length + 1);
        clock_t start = clock();
        if (!prompt_parse(&p, text, &(struct prompt_options) { .steps = 20 }, &err))
            fail_msg("%s: %s", units[i], err.text);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        if (seconds > 1) fail_msg("%s: %g s", units[i], seconds);
        prompt_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_prompts_are_understood), cmocka_unit_test(the_first_segment_lasts_one_longer),
        cmocka_unit_test(loras_are_handed_on),           cmocka_unit_test(loras_know_their_steps),
        cmocka_unit_test(limits_have_their_sentences),
        cmocka_unit_test(endless_alternation_is_refused), cmocka_unit_test(large_prompts_are_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
