/* The model that comes with tinct, as a person uses it. */
#define _GNU_SOURCE /* realpath, wait4 */
#include "app/program.h"
#include "image/png.h"

#define OPTIONS " --device cpu --steps 8 --scheduler Karras --cfg-scale 6 -s 3 --no-cache -o picture.png --force -m " TESTS_DIR "/../models/tinct-demo.safetensors"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_paints_at_its_own_size),
        cmocka_unit_test(it_needs_not_be_named),
        cmocka_unit_test(it_paints_what_it_is_told),
    };
    return cmocka_run_group_tests(tests, program_enter, program_leave);
}
