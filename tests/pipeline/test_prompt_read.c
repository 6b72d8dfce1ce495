/* Prompts for programs that edit them: tags with their places, tokens as the engine counts them, embeddings too. */
#include "check.h"
#include "tinct.h"

static struct tinct_prompt *read(const char *prompt, bool negative, struct tinct_embeddings *embeddings)
{
    struct tinct_err err;
    struct tinct_prompt *p = tinct_prompt_read(prompt, negative, embeddings, &err);
    if (!p) fail_msg("%s: %s", prompt, err.text);
    return p;
}

static void check_count(const char *prompt, struct tinct_embeddings *embeddings, int tokens, int chunks)
{
    struct tinct_prompt *p = read(prompt, false, embeddings);
    if (p->tokens != tokens || p->chunks != chunks) fail_msg("\"%s\": %d tokens, %d chunks", prompt, p->tokens, p->chunks);
    tinct_prompt_free(p);
}

static void tags_and_their_places(void **state)
{
    static const char prompt[] = "a <lora:arcane:0.8>cat, <lora:ink:0.5:0.25> <lyco:arcane:te=1:unet=-2>";
    struct tinct_prompt *p = read(prompt, false, NULL);
    (void)state;

    assert_int_equal(p->lora_count, 3);
    assert_string_equal(p->loras[0].name, "arcane");
    assert_int_equal(p->loras[0].begin, 2);
    assert_int_equal(p->loras[0].end, strstr(prompt, "cat") - prompt);
    assert_true(p->loras[0].te > 0.799 && p->loras[0].te < 0.801 && p->loras[0].te >= p->loras[0].unet && p->loras[0].te <= p->loras[0].unet);
    assert_string_equal(p->loras[1].name, "ink");
    assert_true(p->loras[1].te >= 0.5 && p->loras[1].te <= 0.5 && p->loras[1].unet >= 0.25 && p->loras[1].unet <= 0.25);
    assert_string_equal(p->loras[2].name, "arcane");
    assert_true(p->loras[2].unet <= -2);
    assert_int_equal(p->loras[2].end, sizeof prompt - 1);
    assert_int_equal(p->tokens, 3);     /* a, cat, and the comma: tags are no words */
    tinct_prompt_free(p);
    p = read(prompt, true, NULL);
    assert_int_equal(p->lora_count, 0); /* in a negative prompt they are text */
    assert_true(p->tokens > 10);
    tinct_prompt_free(p);
}

static void tokens_and_chunks(void **state)
{
    char eighty[400] = "";
    (void)state;

    check_count("", NULL, 0, 1);
    check_count("a castle at dusk, (oil painting:1.2)", NULL, 7, 1);
    check_count("a BREAK b", NULL, 76, 2);                      /* the padding before it counts, as A1111 shows it */
    check_count("[a:a cat on a mat:0.5]", NULL, 5, 1);          /* the longest of what takes turns */
    check_count("a cat AND a dog with a hat", NULL, 5, 1);
    for (int i = 0; i < 80; i++) strcat(eighty, "sea ");
    check_count(eighty, NULL, 80, 2);
}

static void embeddings_count_with_their_vectors(void **state)
{
    struct tinct_err err;
    struct tinct_embeddings *e = tinct_embeddings_open(&(struct tinct_options) { .embedding_dir = TESTS_DIR "/golden/embeddings" }, &err);
    (void)state;

    assert_non_null(e);
    check_count("a tinctface", e, 1 + 3, 1);
    check_count("a TinctFace", e, 1 + 3, 1);
    check_count("a embedding:tinctline b", e, 2 + 1, 1);
    char *told = tinct_describe_prompt("a tinctface", 0, e, false, &err);
    assert_non_null(told);
    if (!strstr(told, "tinctface, vector 3 of 3")) fail_msg("%s", told);
    tinct_text_free(told);
    told = tinct_describe_prompt("a tinctface", 0, NULL, false, &err);
    assert_non_null(told);
    assert_null(strstr(told, "vector"));
    tinct_text_free(told);
    tinct_embeddings_close(e);
    e = tinct_embeddings_open(&(struct tinct_options) { .embedding_dir = "/nowhere" }, &err);
    assert_non_null(e);                 /* a folder that is not there holds nothing */
    check_count("sea", e, 1, 1);
    tinct_embeddings_close(e);
    tinct_embeddings_close(NULL);
}

static void refused_as_painting_would(void **state)
{
    struct tinct_err err;
    (void)state;

    check_refused(tinct_prompt_read("<lora:a:strong>", false, NULL, &err) != NULL, &err, TINCT_ERR_ARG, "strong");
    check_refused(tinct_prompt_read("(a:99)", false, NULL, &err) != NULL, &err, TINCT_ERR_ARG, "99");
    check_refused(tinct_prompt_read("\xff", true, NULL, &err) != NULL, &err, TINCT_ERR_ARG, "UTF-8");
    assert_null(tinct_prompt_read("<lora::1>", false, NULL, NULL));
    tinct_prompt_free(NULL);
}

static void a_tag_is_set(void **state)
{
    struct tinct_err err;
    const double weight = 1.5;
    char *text = tinct_prompt_set_lora("a <lora:ink:0.5:start=3> b <lora:ink:1>", "ink", &weight, &err);
    (void)state;

    assert_non_null(text);
    assert_non_null(strstr(text, "<lora:ink:1.5:start=3>"));
    assert_null(strstr(text, "<lora:ink:1>"));
    tinct_text_free(text);
    text = tinct_prompt_set_lora("sea", "ink", &weight, &err);
    assert_string_equal(text, "sea <lora:ink:1.5>");
    tinct_text_free(text);
    check_refused(tinct_prompt_set_lora("sea", "a>b", &weight, &err) != NULL, &err, TINCT_ERR_ARG, "a>b");
}

static void names_end_with_null(void **state)
{
    int samplers = 0, schedulers = 0;
    (void)state;

    while (tinct_sampler_name(samplers)) samplers++;
    while (tinct_scheduler_name(schedulers)) schedulers++;
    assert_true(samplers > 5 && schedulers > 5);
    assert_string_equal(tinct_sampler_name(0), "DPM++ 2M");
    assert_null(tinct_sampler_name(-1));
    assert_null(tinct_scheduler_name(schedulers + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_and_their_places),
        cmocka_unit_test(tokens_and_chunks),
        cmocka_unit_test(embeddings_count_with_their_vectors),
        cmocka_unit_test(refused_as_painting_would),
        cmocka_unit_test(a_tag_is_set),
        cmocka_unit_test(names_end_with_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
