/* What comes with tinct, as a person uses it: the demo model, and the LoRAs made for it. */
#define _GNU_SOURCE /* realpath, wait4 */
#include "app/program.h"
#include "image/png.h"

#include <math.h>

#define DEMO "-m " TESTS_DIR "/../models/tinct-demo.safetensors --lora-model-dir " TESTS_DIR "/../loras"
#define OPTIONS " --device cpu --steps 8 --scheduler Karras --cfg-scale 6 -s 3 --no-cache -o picture.png --force " DEMO

static const struct {
    const char *name, *weight, *trigger;
} loras[] = {
    { "arcane", "0.8", "arcane style" }, { "sketch", "0.9", "pencil sketch" }, { "dark_vador", "0.9", "dark vador" }, { "dab", "0.8", "doing a dab" },
};

static struct png painted(const char *words, struct run *run)
{
    char line[2048];
    struct tinct_err err;
    struct png png;

    snprintf(line, sizeof line, "\"%s\"%s", words, OPTIONS);
    *run = program_run(line);
    if (run->code) fail_msg("%s", run->err);
    if (!png_read("picture.png", true, &png, &err)) fail_msg("%s", err.text);
    return png;
}

static bool are_same(const struct png *a, const struct png *b)
{
    return a->width == b->width && a->height == b->height && !memcmp(a->rgb, b->rgb, (size_t)a->width * (size_t)a->height * 3);
}

/* The mean of channel c in rows and columns of [from, to) eighths. */
static double mean_of(const struct png *png, int c, int y_from, int y_to, int x_from, int x_to)
{
    int w = png->width, h = png->height, count = 0;
    double sum = 0;

    for (int y = h * y_from / 8; y < h * y_to / 8; y++)
        for (int x = w * x_from / 8; x < w * x_to / 8; x++, count++) sum += png->rgb[3 * (y * w + x) + c];
    return sum / count;
}

static void it_paints_at_its_own_size(void **state)
{
    struct run run;
    struct png png = painted("a red house in a meadow", &run);

    (void)state;
    assert_int_equal(png.width, 256);
    assert_int_equal(png.height, 256);
    assert_non_null(strstr(png_text(&png, "parameters"), "Model: tinct-demo"));
    png_free(&png);
}

static void it_needs_not_be_named(void **state)
{
    struct run run = program_run("x --device cpu --steps 1 -W 64 -H 64 --no-cache -q -o unnamed.png");
    struct tinct_err err;
    struct png png;

    (void)state;
    if (run.code || !png_read("unnamed.png", true, &png, &err)) fail_msg("%s", run.err);
    assert_non_null(strstr(png_text(&png, "parameters"), "Model: tinct-demo"));
    png_free(&png);
}

/* Red where a red balloon is wanted, blue where a blue one; dark at night. */
static void it_paints_what_it_is_told(void **state)
{
    static const char *const words[] = { "a red balloon in the snow by day", "a blue balloon in the snow by day", "a blue balloon in the snow at night" };
    double red[3], blue[3], sky[3];
    struct run run;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct png png = painted(words[i], &run);
        red[i] = mean_of(&png, 0, 2, 6, 2, 6);
        blue[i] = mean_of(&png, 2, 2, 6, 2, 6);
        sky[i] = mean_of(&png, 1, 0, 1, 0, 8);
        png_free(&png);
    }
    if (red[0] < blue[0] + 20 || blue[1] < red[1] + 20) fail_msg("red: %.0f red, %.0f blue; blue: %.0f red, %.0f blue", red[0], blue[0], red[1], blue[1]);
    if (sky[2] > sky[1] / 2) fail_msg("the sky is %.0f by day and %.0f at night", sky[1], sky[2]);
}

static void every_lora_fits_whole(void **state)
{
    struct run run;
    struct png plain = painted("a girl in a meadow", &run);

    (void)state;
    for (size_t i = 0; i < sizeof loras / sizeof *loras; i++) {
        char words[256], told[128];
        unsigned matched, all;
        snprintf(words, sizeof words, "a girl in a meadow <lora:%s:%s>", loras[i].name, loras[i].weight);
        struct png png = painted(words, &run);
        snprintf(told, sizeof told, "%s: ", loras[i].name);
        const char *line = strstr(run.err, told);
        if (!line || sscanf(line + strlen(told), "%u of %u tensors", &matched, &all) != 2 || !all || matched != all)
            fail_msg("%s: said: %s", loras[i].name, run.err);
        snprintf(told, sizeof told, "lacks its trigger words: %s", loras[i].trigger);
        if (!strstr(run.err, told)) fail_msg("%s: said: %s", loras[i].name, run.err);
        assert_false(are_same(&plain, &png));
        png_free(&png);
    }
    struct png nothing = painted("a girl in a meadow <lora:arcane:0>", &run);
    assert_true(are_same(&plain, &nothing));
    png_free(&nothing);
    png_free(&plain);
}

static void every_lora_has_a_card_and_a_preview(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof loras / sizeof *loras; i++) {
        char line[1024], path[1024];
        struct tinct_err err;
        struct png png;
        snprintf(line, sizeof line, "loras %s " DEMO, loras[i].name);
        struct run run = program_run(line);
        if (run.code || !strstr(run.out, loras[i].trigger) || !strstr(run.out, loras[i].weight)) fail_msg("%s: %s%s", line, run.out, run.err);
        snprintf(path, sizeof path, TESTS_DIR "/../loras/%s.preview.png", loras[i].name);
        if (!png_read(path, true, &png, &err)) fail_msg("%s", err.text);
        assert_int_equal(png.width, 256);
        png_free(&png);
    }
}

/* How far red, green and blue are apart, on average of the middle. */
static double colourfulness(const struct png *png)
{
    double mean[3], low, high;

    for (int c = 0; c < 3; c++) mean[c] = mean_of(png, c, 2, 6, 2, 6);
    low = fmin(mean[0], fmin(mean[1], mean[2]));
    high = fmax(mean[0], fmax(mean[1], mean[2]));
    return high - low;
}

static void a_pencil_sketch_is_grey(void **state)
{
    struct run run;
    struct png plain = painted("a blue balloon in the snow by day", &run);
    struct png drawn = painted("a blue balloon in the snow by day, pencil sketch <lora:sketch:0.9>", &run);
    double before = colourfulness(&plain), after = colourfulness(&drawn);

    (void)state;
    png_free(&plain);
    png_free(&drawn);
    if (after > before / 2) fail_msg("its colours are %.0f apart, %.0f without the LoRA", after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_paints_at_its_own_size),
        cmocka_unit_test(it_needs_not_be_named),
        cmocka_unit_test(it_paints_what_it_is_told),
        cmocka_unit_test(every_lora_fits_whole),
        cmocka_unit_test(every_lora_has_a_card_and_a_preview),
        cmocka_unit_test(a_pencil_sketch_is_grey),
    };
    return cmocka_run_group_tests(tests, program_enter, program_leave);
}
