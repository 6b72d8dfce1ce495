/* Every allocation on the way from a picture to its file and back is made to fail in turn: each time a clean
 * refusal, nothing kept, no file left; and the next try works. */
#include "check.h"
#include "failing_malloc.h"
#include "temporary.h"

#ifdef FAILING_MALLOC
#include "base/json.h"
#include "image/infotext.h"
#include "image/png.h"

static const char recipe[] = "a castle\nNegative prompt: \xe2\x82\xac\nSteps: 20, Sampler: Euler, Seed: 1, Lora hashes: \"a: 1\"";

static bool write_picture(struct tinct_err *err)
{
    static const unsigned char rgb[16 * 16 * 3] = { 1, 2, 3 };
    struct infotext info;
    char *text = NULL;
    bool fine = infotext_read(recipe, strlen(recipe), &info, err) && (text = infotext_write(&info, err)) &&
                png_write(temporary_path("a.png"), rgb, 16, 16, text, true, err);
    free(text);
    infotext_free(&info);
    return fine;
}

static bool read_picture(struct tinct_err *err)
{
    struct png png;
    bool fine = png_read(temporary_path("a.png"), true, &png, err) && strcmp(png_text(&png, "parameters"), recipe) == 0;
    png_free(&png);
    return fine;
}

static bool use_json(struct tinct_err *err)
{
    static const char text[] = "{\"a\": [1, \"\\u00e9\", {\"b\": null, \"c\": 2}]}";
    struct json *root = json_parse(text, strlen(text), err);
    struct json_writer w = { 0 };
    json_free(root);
    if (!root) return false;
    json_begin(&w, NULL, JSON_OBJECT);
    json_put_string(&w, "long", recipe);
    json_end(&w);
    char *written = json_finish(&w, err);
    free(written);
    return written;
}

/* stb_image_write 1.16 forgets the deflated pixels when there is no memory for the file around them. */
static long stb_keeps(const struct tinct_err *err)
{
    return strstr(err->text, "no memory to write a PNG") ? 1 : 0;
}

/* libspng gives an inflater without memory as damaged pixels. */
static void fail_in_turn(bool (*work)(struct tinct_err *err), bool pixels)
{
    bool failed = true;
    int rounds = 0;
    for (long n = 0; failed; n++, rounds++) {
        struct tinct_err err = { 0 };
        malloc_arm(n);
        bool fine = work(&err);
        failed = malloc_disarm();
        if (malloc_open_blocks > stb_keeps(&err))
            fail_msg("allocation %ld: %ld blocks are kept (%s)", n, malloc_open_blocks, err.text);
        if (!fine && err.code != TINCT_ERR_MEMORY && !(pixels && strstr(err.text, "(in its pixels)")))
            fail_msg("allocation %ld: %d %s", n, (int)err.code, err.text);
        if (!failed) assert_true(fine);
        assert_true(work(&err));
    }
    assert_true(rounds > 3);
}

static void no_allocation_is_trusted(void **state)
{
    (void)state;
    fail_in_turn(write_picture, false);
    fail_in_turn(read_picture, true);
    fail_in_turn(use_json, false);
}
#else
static void no_allocation_is_trusted(void **state)
{
    (void)state;
    print_message("skipped: malloc can only be replaced in glibc builds without sanitizers\n");
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_allocation_is_trusted) };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
