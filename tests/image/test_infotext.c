#include "image/infotext.h"
#include "check.h"
#include "image/random_infotext.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "image/infotext_fields.h"

static struct json *read_golden(void)
{
    struct tinct_err err;
    struct file *file = file_open(TESTS_DIR "/golden/image/infotext.json", &err);
    if (!file) fail_msg("%s", err.text);
    size_t size = (size_t)file_size(file);
    char *text = malloc(size);
    assert_true(file_read(file, text, 0, size, &err));
    struct json *golden = json_parse(text, size, &err);
    if (!golden) fail_msg("%s", err.text);
    free(text);
    file_close(file);
    return golden;
}

/* Is A1111's pair among what we read? Numbers by value, sizes by half, all else by letter. */
static bool holds(const struct infotext *info, const char *key, const char *want)
{
    const struct infotext_field *field = infotext_field_of(key);
    const char *extra = infotext_extra(info, key), *text;
    size_t key_bytes = strlen(key);
    int size[2];

    if (extra) return strcmp(extra, want) == 0;
    if (key_bytes > 2 && key[key_bytes - 2] == '-' &&
        (key[key_bytes - 1] == '1' || key[key_bytes - 1] == '2')) {
        char whole[64];
        snprintf(whole, sizeof whole, "%.*s", (int)key_bytes - 2, key);
        size[0] = info->width;
        size[1] = info->height;
        extra = infotext_extra(info, whole);
        if (extra && !infotext_size(extra, &size[0], &size[1])) return strstr(extra, want) != NULL;
        if (extra || strcmp(whole, "Size") == 0) return size[key[key_bytes - 1] - '1'] == atoi(want);
    }
    if (!field) return false;
    const char *member = (const char *)info + field->offset;
    switch (field->kind) {
    case INFOTEXT_TEXT:
        memcpy(&text, member, sizeof text);
        return text && strcmp(text, want) == 0;
    case INFOTEXT_COUNT:
        return *(const int *)(const void *)member == atoi(want);
    case INFOTEXT_FRACTION:
        return *(const float *)(const void *)member == strtof(want, NULL);
    case INFOTEXT_SEED:
    case INFOTEXT_DELTA:
        return *(const int64_t *)(const void *)member == strtoll(want, NULL, 10);
    default:
        return false;
    }
}

static void a1111_reads_the_same(void **state)
{
    struct json *golden = read_golden();
    int count = 0;
    (void)state;
    for (const struct json *c = json_first(json_member(golden, "cases")); c; c = json_next(c)) {
        const char *text = json_to_string(json_member(c, "text"));
        struct infotext info;
        struct tinct_err err;
        assert_true(infotext_read(text, strlen(text), &info, &err));
        assert_string_equal(info.prompt, json_to_string(json_member(c, "prompt")));
        assert_string_equal(info.negative, json_to_string(json_member(c, "negative")));
        const struct json *pairs = json_member(c, "pairs");
        for (const struct json *p = json_first(pairs); p; p = json_next(p))
            if (!holds(&info, json_name(p), json_to_string(p)))
                fail_msg("%s\nwants %s: %s", text, json_name(p), json_to_string(p));
        for (size_t i = 0; i < info.extra_count; i++) {
            char half[80];
            snprintf(half, sizeof half, "%s-1", info.extras[i].key);
            if (*info.extras[i].value && !json_member(pairs, info.extras[i].key) && !json_member(pairs, half))
                fail_msg("%s\nhas no %s", text, info.extras[i].key);
        }
        infotext_free(&info);
        count++;
    }
    assert_true(count >= 50);
    json_free(golden);
}

static void a1111_quotes_the_same(void **state)
{
    struct json *golden = read_golden();
    (void)state;
    for (const struct json *q = json_first(json_member(golden, "quoted")); q; q = json_next(q)) {
        const char *value = json_to_string(json_member(q, "value")),
                   *want = json_to_string(json_member(q, "text"));
        struct infotext info = INFOTEXT_EMPTY;
        struct tinct_err err;
        char line[128];
        info.sampler = value;
        char *text = infotext_write(&info, &err);
        snprintf(line, sizeof line, "Sampler: %s", *value ? want : "\"\"");
        assert_string_equal(text, line);
        free(text);
    }
    json_free(golden);
}

static void parts_stand_in_a1111s_order(void **state)
{
    struct infotext_pair extras[] = {
        {"Eta", "0.5"},     {"User", "me"}, {"Lora hashes", "a: 1, b: 2"}, {"Face restoration", "none"},
        {"Tiling", "True"},
    };
    struct infotext info = {.prompt = "  a castle, <lora:arcane:0.8>  \n\n by night ",
                            .negative = "bad",
                            .steps = 20,
                            .sampler = "DPM++ 2M",
                            .scheduler = "Karras",
                            .cfg_scale = 7,
                            .seed = 0,
                            .width = 512,
                            .height = 768,
                            .model_hash = "0123456789",
                            .model = "dreamshaper_8",
                            .vae_hash = "abcdef0123",
                            .vae = "mse",
                            .variation_seed = 9,
                            .variation_strength = 0.1f,
                            .denoising_strength = 0.75f,
                            .clip_skip = 2,
                            .ensd = 31337,
                            .rng = "CPU",
                            .version = "tinct 0.1.0",
                            .extras = extras,
                            .extra_count = 5};
    struct tinct_err err;
    char *text = infotext_write(&info, &err);
    (void)state;
    assert_string_equal(
        text,
        "a castle, <lora:arcane:0.8>\n\nby night\nNegative prompt: bad\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 0, Face restoration: none, "
        "Size: 512x768, "
        "Model hash: 0123456789, Model: dreamshaper_8, VAE hash: abcdef0123, VAE: mse, Variation seed: 9, "
        "Variation seed strength: 0.1, Denoising strength: 0.75, Clip skip: 2, ENSD: 31337, RNG: CPU, "
        "Tiling: True, "
        "Eta: 0.5, Lora hashes: \"a: 1, b: 2\", Version: tinct 0.1.0, User: me");
    free(text);

    text = infotext_write(&(struct infotext){.prompt = "x",
                                             .steps = 1,
                                             .cfg_scale = 7.5f,
                                             .seed = -1,
                                             .variation_seed = -1,
                                             .variation_strength = NAN,
                                             .denoising_strength = NAN,
                                             .clip_skip = 1,
                                             .rng = "GPU"},
                          &err);
    assert_string_equal(text, "x\nSteps: 1, CFG scale: 7.5");
    free(text);
    text = infotext_write(&INFOTEXT_EMPTY, &err);
    assert_string_equal(text, "");
    free(text);
}

static void what_is_absent_has_its_default(void **state)
{
    static const char text[] = "x\nSteps: 20, Sampler: Euler, CFG scale: 7";
    struct infotext info;
    struct tinct_err err;
    (void)state;
    assert_true(infotext_read(text, strlen(text), &info, &err));
    assert_int_equal(info.clip_skip, 1);
    assert_string_equal(info.rng, "GPU");
    assert_null(info.scheduler);
    assert_true(info.seed < 0 && info.variation_seed < 0 && isnan(info.variation_strength));
    assert_int_equal(info.width, 0);
    infotext_free(&info);
    infotext_free(&info);
}

static void sdcpps_object_is_left_out(void **state)
{
    static const char text[] =
        "a cat\nSteps: 20, CFG scale: 7.000000, Seed: 42, Size: 512x512, Sampler: euler_a karras, "
        "Version: stable-diffusion.cpp, SDCPP: {\"sampler\": \"a, Steps: 3, Size: 1x1\", \"lora\": {}}";
    struct infotext info;
    struct tinct_err err;
    (void)state;
    assert_true(infotext_read(text, strlen(text), &info, &err));
    assert_int_equal(info.steps, 20);
    assert_int_equal(info.width, 512);
    assert_string_equal(info.sampler, "euler_a karras");
    assert_string_equal(info.version, "stable-diffusion.cpp");
    assert_int_equal(info.extra_count, 0);
    infotext_free(&info);
}

static void old_releases_are_known(void **state)
{
    static const struct {
        const char *version;
        bool before;
    } cases[] = {{"v1.5.2", true},
                 {"1.5.2", true},
                 {"v1.5.9-10-gabc", true},
                 {"v1.6.0", false},
                 {"v1.6.0-RC", false},
                 {"v1.10.1", false},
                 {"v0.9.9", true},
                 {"tinct 0.1.0", false},
                 {"f2.0.1v1.10.1", false},
                 {"v1.5", false},
                 {"", false},
                 {"v1.5.2x", false}};
    struct infotext info = INFOTEXT_EMPTY;
    (void)state;
    assert_false(infotext_before(&info, 1, 6, 0));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        info.version = cases[i].version;
        if (infotext_before(&info, 1, 6, 0) != cases[i].before) fail_msg("%s", cases[i].version);
    }
}

static void what_is_written_reads_back(void **state)
{
    struct byte_stream stream = {.state = 42};
    struct tinct_err err;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct random_infotext random;
        struct infotext read;
        random_infotext(&stream, &random);
        char *text = infotext_write(&random.info, &err);
        assert_true(infotext_read(text, strlen(text), &read, &err));
        const char *what = differs(&random.info, &read);
        if (what) fail_msg("round %d: %s differs after reading\n%s", i, what, text);
        char *again = infotext_write(&read, &err);
        assert_string_equal(again, text);
        free(again);
        free(text);
        infotext_free(&read);
    }
}

/* A line of a mebibyte that begins a million keys must not take a million times a million steps. */
static void hostile_lines_take_no_time(void **state)
{
    static const char *const parts[] = {"a",  "ab:",      "ab:\"",    "ab:,", "\"\\",
                                        "a ", "\xc3\xa9", "SDCPP: {", "\xff"};
    size_t size = 1 << 20;
    char *text = malloc(size);
    (void)state;
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        struct infotext info;
        struct tinct_err err;
        size_t bytes = strlen(parts[k]);
        for (size_t i = 0; i < size; i++) text[i] = parts[k][i % bytes];
        text[size - 1] = '}';
        assert_true(infotext_read(text, size, &info, &err));
        infotext_free(&info);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a1111_reads_the_same),        cmocka_unit_test(a1111_quotes_the_same),
        cmocka_unit_test(parts_stand_in_a1111s_order), cmocka_unit_test(what_is_absent_has_its_default),
        cmocka_unit_test(sdcpps_object_is_left_out),   cmocka_unit_test(old_releases_are_known),
        cmocka_unit_test(what_is_written_reads_back),  cmocka_unit_test(hostile_lines_take_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
