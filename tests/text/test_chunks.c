#include "text/chunks.h"
#include "base/json.h"
#include "check.h"
#include "text/tokenizer.h"

#include <stdlib.h>

static char line[1 << 20];
static const struct chunk_options plain = { .pad = TOKEN_END };

/* The word "tiny" stands for six vectors, as in the script that made the golden file. */
static bool find_tiny(void *user, const uint32_t *ids, size_t count, struct chunk_embedding *found)
{
    (void)count;
    if (ids[0] != *(const uint32_t *)user) return false;
    *found = (struct chunk_embedding) { user, 6, 1 };
    return true;
}

static uint32_t id_of(const char *word)
{
    struct tokens t = { 0 };
    assert_true(tokenize(&t, word, strlen(word), NULL));
    assert_int_equal(t.count, 1);
    uint32_t id = t.ids[0];
    tokens_free(&t);
    return id;
}

static double value_of(const struct json *v)
{
    double value = NAN;
    json_to_double(v, &value);
    return value;
}

/* [[weight, count]...] to the places from 1 on; the places behind it are 1. */
static void spread_runs(const struct json *runs, float weights[CHUNK_TOKENS])
{
    size_t at = 1;
    for (size_t i = 0; i < CHUNK_TOKENS; i++) weights[i] = 1;
    for (const struct json *r = json_first(runs); r; r = json_next(r))
        for (int n = (int)value_of(json_next(json_first(r))); n > 0 && at < CHUNK_TOKENS; n--)
            weights[at++] = (float)value_of(json_first(r));
}

static void check_chunk(const struct chunks *c, uint32_t chunk, const struct json *ids, const struct json *runs,
                        const char *text)
{
    float weights[CHUNK_TOKENS];
    const struct json *v = json_first(ids);

    spread_runs(runs, weights);
    for (size_t i = 0; i < CHUNK_TOKENS; i++) {
        size_t at = (size_t)chunk * CHUNK_TOKENS + i;
        uint32_t want = i == 0 ? TOKEN_START : v ? (uint32_t)value_of(v) : TOKEN_END;
        if (i && v) v = json_next(v);
        if (c->ids[at] != want) fail_msg("%s: chunk %u, place %zu: %u, wanted %u", text, chunk, i, c->ids[at], want);
        if (c->weights[at] != weights[i])
            fail_msg("%s: chunk %u, place %zu: weight %.9g, wanted %.9g", text, chunk, i, (double)c->weights[at],
                     (double)weights[i]);
    }
}

static void check_inserts(const struct chunks *c, const struct json *want)
{
    size_t i = 0;
    for (const struct json *w = json_first(want); w; w = json_next(w), i++) {
        assert_true(i < c->insert_count);
        const struct json *chunk = json_first(w), *position = json_next(chunk);
        assert_int_equal(c->inserts[i].chunk, (uint32_t)value_of(chunk));
        assert_int_equal(c->inserts[i].position, (uint32_t)value_of(position));
        assert_int_equal(c->inserts[i].vectors, (uint32_t)value_of(json_next(position)));
    }
    assert_int_equal(i, c->insert_count);
}

static void check_text(const struct json *want)
{
    uint32_t tiny = id_of("tiny"), chunk = 0;
    const struct chunk_options options = { .pad = TOKEN_END, .find = find_tiny, .user = &tiny };
    const char *text = json_to_string(json_member(want, "text"));
    struct chunks c;
    struct tinct_err err;

    if (!chunks_make(&c, text, &options, &err)) fail_msg("%s: %s", text, err.text);
    const struct json *ids = json_first(json_member(want, "ids")), *runs = json_first(json_member(want, "weights"));
    for (; ids; ids = json_next(ids), runs = json_next(runs), chunk++) {
        assert_true(chunk < c.count);
        check_chunk(&c, chunk, ids, runs, text);
    }
    assert_int_equal(chunk, c.count);
    assert_int_equal(c.own_tokens, (uint32_t)value_of(json_member(want, "tokens")));
    check_inserts(&c, json_member(want, "inserts"));
    chunks_free(&c);
}

/* z of 77 rows of 2, weighed in place. fp32 sums of 154 values near 0.3 there, sums in double here: 154 rounding
 * steps of 2^-24 are 9e-6 of the mean's ratio at worst. */
static void check_weighed(const struct json *want)
{
    float z[CHUNK_TOKENS * 2], expected[CHUNK_TOKENS * 2], weights[CHUNK_TOKENS];
    bool original = !strcmp(json_to_string(json_member(want, "emphasis")), "Original");
    struct chunks c = { .count = 1, .weights = weights };
    const struct json *v = json_first(json_member(want, "z"));

    spread_runs(json_member(want, "weights"), weights);
    memmove(weights, weights + 1, (CHUNK_TOKENS - 1) * sizeof *weights);     /* these begin at place 0 */
    for (size_t i = 0; i < CHUNK_TOKENS * 2; i++, v = json_next(v)) {
        z[i] = (float)((double)((uint32_t)(i * 2654435761u) >> 8) / 16777216.0 - 0.3);
        expected[i] = (float)value_of(v);
    }
    chunks_weigh(&c, original ? TINCT_EMPHASIS_ORIGINAL : TINCT_EMPHASIS_NO_NORM, z, 2);
    check_close(z, expected, CHUNK_TOKENS * 2, 0, original ? 1e-5 : 0);
}

static void golden_texts_give_their_chunks(void **state)
{
    FILE *file = fopen(TESTS_DIR "/golden/text/chunks.jsonl", "r");
    struct tinct_err err;
    size_t texts = 0, weighed = 0;
    (void)state;

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        struct json *want = json_parse(line, strlen(line), &err);
        if (!want) fail_msg("%s", err.text);
        if (json_member(want, "text")) {
            check_text(want);
            texts++;
        } else {
            check_weighed(want);
            weighed++;
        }
        json_free(want);
    }
    fclose(file);
    assert_true(texts > 90);
    assert_int_equal(weighed, 2);
}

/* The line of the A1111 manual: word, weight. */
static void the_house_on_the_hill(void **state)
{
    static const struct { const char *word; double weight; } want[] = {
        { "a", 1 }, { "house", 1.573 }, { "on", 1 }, { "a", 1.1 }, { "hill", 0.55 }, { ",", 1.1 }, { "sun", 1.1 },
        { ",", 1.1 }, { "sky", 1.4641 }, { ".", 1.1 },
    };
    struct chunks c;
    struct tinct_err err;
    (void)state;

    assert_true(chunks_make(&c, "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", &plain, &err));
    assert_int_equal(c.count, 1);
    assert_int_equal(c.own_tokens, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(c.ids[i + 1], id_of(want[i].word));
        assert_true(fabs((double)c.weights[i + 1] - want[i].weight) < 1e-6);     /* a float near 1.5: 6e-8 */
    }
    chunks_free(&c);
}

static void modes_differ(void **state)
{
    static const struct chunk_options ignore = { .pad = TOKEN_END, .emphasis = TINCT_EMPHASIS_IGNORE };
    static const struct chunk_options none = { .pad = TOKEN_END, .emphasis = TINCT_EMPHASIS_NONE };
    struct chunks c;
    (void)state;

    assert_true(chunks_make(&c, "(a:1.5) BREAK b", &ignore, NULL));
    assert_int_equal(c.count, 2);
    assert_int_equal(c.ids[1], 320);
    assert_true(c.weights[1] == 1);
    chunks_free(&c);
    assert_true(chunks_make(&c, "(a:1.5) BREAK b", &none, NULL));
    assert_int_equal(c.count, 1);
    assert_int_equal(c.ids[1], id_of("("));
    chunks_free(&c);
}

/* SD2 pads with 0 behind the first end; SD1 keeps whatever the text says. */
static void padding_is_the_models(void **state)
{
    static const uint32_t sd2[] = { TOKEN_START, 320, TOKEN_END, 0, 0 };
    static const uint32_t sd1[] = { TOKEN_START, 320, TOKEN_END, 321, TOKEN_END };
    struct chunks c;
    (void)state;

    assert_true(chunks_make(&c, "a <|endoftext|> b", &(struct chunk_options) { 0 }, NULL));
    assert_memory_equal(c.ids, sd2, sizeof sd2);
    assert_int_equal(c.ids[CHUNK_TOKENS - 1], 0);
    chunks_free(&c);
    assert_true(chunks_make(&c, "a <|endoftext|> b", &plain, NULL));
    assert_memory_equal(c.ids, sd1, sizeof sd1);
    assert_true(chunks_extend(&c, 3, &plain, NULL));
    assert_int_equal(c.count, 3);
    assert_int_equal(c.ids[2 * CHUNK_TOKENS], TOKEN_START);
    for (size_t i = 1; i < CHUNK_TOKENS; i++) assert_int_equal(c.ids[2 * CHUNK_TOKENS + i], TOKEN_END);
    for (size_t i = 0; i < CHUNK_TOKENS; i++) assert_true(c.weights[2 * CHUNK_TOKENS + i] == 1);
    chunks_free(&c);
}

/* 70 words, a comma, 3 words, an embedding of 6: words and embedding move behind the comma together. */
static void embeddings_move_with_their_words(void **state)
{
    uint32_t tiny = id_of("tiny");
    const struct chunk_options options = { .pad = TOKEN_END, .find = find_tiny, .user = &tiny };
    char text[2000] = "";
    struct chunks c;
    (void)state;

    for (int i = 0; i < 64; i++) strcat(text, "cat ");
    strcat(text, ", dog dog tiny dog dog dog dog");
    assert_true(chunks_make(&c, text, &options, NULL));
    assert_int_equal(c.count, 2);
    assert_int_equal(c.insert_count, 1);
    assert_int_equal(c.inserts[0].chunk, 1);
    assert_int_equal(c.inserts[0].position, 3);
    assert_int_equal(c.ids[65], TOKEN_COMMA);
    assert_int_equal(c.ids[66], TOKEN_END);
    for (size_t i = 3; i < 9; i++) assert_int_equal(c.ids[CHUNK_TOKENS + i], 0);
    assert_int_equal(c.ids[CHUNK_TOKENS + 9], id_of("dog"));
    chunks_free(&c);
}

static bool find_giant(void *user, const uint32_t *ids, size_t count, struct chunk_embedding *found)
{
    (void)ids;
    (void)count;
    *found = (struct chunk_embedding) { user, 76, 1 };
    return true;
}

static void limits_have_their_sentences(void **state)
{
    static const struct { const char *text, *words; } bad[] = {
        { "(a:1.2.3)", "a weight in the prompt is \"1.2.3\", which is no number" },
        { "(a:17)", "is 17; at most 16" },
        { "((((a:8):8):8):8)", "brackets multiplied, is 4096" },
        { "((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))", "brackets multiplied, is 17.4494" },
        { "(((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((", "opens more than 64 brackets" },
    };
    struct chunks c;
    struct tinct_err err;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_refused(chunks_make(&c, bad[i].text, &plain, &err), &err, TINCT_ERR_ARG, bad[i].words);
        assert_null(c.ids);
    }
    check_refused(chunks_make(&c, "a", &(struct chunk_options) { .find = find_giant }, &err), &err, TINCT_ERR_ARG,
                  "has 76 vectors");
}

/* Weights that cancel the mean leave z weighed and not divided by 0. */
static void a_vanished_mean_is_not_restored(void **state)
{
    float weights[CHUNK_TOKENS], z[CHUNK_TOKENS];
    struct chunks c = { .count = 1, .weights = weights };
    (void)state;

    for (size_t i = 0; i < CHUNK_TOKENS; i++) {
        weights[i] = i < 2 ? (i ? -1.0f : 1.0f) : 1.0f;
        z[i] = i < 2 ? 1.0f : 0.0f;
    }
    chunks_weigh(&c, TINCT_EMPHASIS_ORIGINAL, z, 1);
    assert_true(z[0] == 1 && z[1] == -1 && z[2] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_texts_give_their_chunks), cmocka_unit_test(the_house_on_the_hill),
        cmocka_unit_test(modes_differ),                   cmocka_unit_test(padding_is_the_models),
        cmocka_unit_test(embeddings_move_with_their_words), cmocka_unit_test(limits_have_their_sentences),
        cmocka_unit_test(a_vanished_mean_is_not_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
