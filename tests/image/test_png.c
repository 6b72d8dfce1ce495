#define _POSIX_C_SOURCE 200809L
#include "image/png.h"
#include "check.h"

#include <stdlib.h>
#include <unistd.h>

static unsigned char *paint(int width, int height)
{
    unsigned char *rgb = malloc((size_t)width * (size_t)height * 3);
    uint32_t state = 1;
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++) {
        state = state * 1664525u + 1013904223u;
        rgb[i] = (unsigned char)(i / 7 + (state >> 30));
    }
    return rgb;
}

static void pixels_come_back(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 300}, {300, 1}, {64, 64}, {33, 47}, {640, 200}};
    struct tinct_err err;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int w = sizes[i][0], h = sizes[i][1];
        unsigned char *rgb = paint(w, h), *file, *again;
        size_t size, size_again;
        struct png png;
        assert_true(png_encode(rgb, w, h, "a cat\nSteps: 20", &file, &size, &err));
        assert_true(png_encode(rgb, w, h, "a cat\nSteps: 20", &again, &size_again, &err));
        assert_int_equal(size, size_again);
        assert_memory_equal(file, again, size);
        assert_true(png_claimed(file, size));
        assert_true(png_read_memory(file, size, true, &png, &err));
        assert_int_equal(png.width, w);
        assert_int_equal(png.height, h);
        assert_memory_equal(png.rgb, rgb, (size_t)w * (size_t)h * 3);
        assert_int_equal(png.text_count, 1);
        assert_string_equal(png_text(&png, "parameters"), "a cat\nSteps: 20");
        assert_null(png_text(&png, "Parameters"));
        png_free(&png);
        free(again);
        free(file);
        free(rgb);
    }
}

/* Type of the chunk after IHDR. */
static void check_text_chunk(const char *text, const char *type)
{
    static const unsigned char rgb[3] = {1, 2, 3};
    struct tinct_err err;
    struct png png;
    unsigned char *file;
    size_t size;
    assert_true(png_encode(rgb, 1, 1, text, &file, &size, &err));
    assert_memory_equal(file + 37, type, 4);
    if (!png_read_memory(file, size, false, &png, &err)) fail_msg("%s", err.text);
    assert_null(png.rgb);
    assert_string_equal(png_text(&png, "parameters"), text);
    png_free(&png);
    free(file);
}

static void texts_take_the_plainest_form(void **state)
{
    char *longest = malloc(PNG_MAX_TEXT + 2);
    struct tinct_err err;
    unsigned char *file;
    size_t size;
    (void)state;
    check_text_chunk("", "tEXt");
    check_text_chunk("plain", "tEXt");
    check_text_chunk("caf\xc3\xa9 \xc2\xab\xc3\xbf\xc2\xbb", "tEXt"); /* Latin-1 */
    check_text_chunk("\xe2\x82\xac", "iTXt");                         /* euro sign */
    check_text_chunk("\xf0\x9f\x8e\xa8 \xe7\x8c\xab", "iTXt");        /* emoji, CJK */
    check_text_chunk("\xc3\x83\xc2\xa9", "iTXt");                     /* Latin-1 that reads as UTF-8 */

    memset(longest, 'a', PNG_MAX_TEXT + 1);
    longest[PNG_MAX_TEXT] = '\0';
    check_text_chunk(longest, "tEXt");
    longest[PNG_MAX_TEXT] = 'a';
    longest[PNG_MAX_TEXT + 1] = '\0';
    check_refused(png_encode((unsigned char *)longest, 1, 1, longest, &file, &size, &err), &err,
                  TINCT_ERR_ARG, "1 MiB");
    free(longest);
    check_refused(png_encode((const unsigned char *)"rgb", 1, 1, "a\xff", &file, &size, &err), &err,
                  TINCT_ERR_ARG, "not UTF-8 (byte 1)");
    check_refused(png_encode((const unsigned char *)"rgb", 0, 1, NULL, &file, &size, &err), &err,
                  TINCT_ERR_ARG, "0x1");
    check_refused(png_encode((const unsigned char *)"rgb", 8193, 8192, NULL, &file, &size, &err), &err,
                  TINCT_ERR_ARG, "8193x8192");
    assert_null(file);
}

static void files_are_written_and_read(void **state)
{
    static const unsigned char rgb[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    char path[] = "/tmp/tinct-png-XXXXXX";
    struct tinct_err err;
    struct png png;
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    check_refused(png_write(path, rgb, 2, 2, NULL, false, &err), &err, TINCT_ERR_OUTPUT, "exists already");
    check_refused(png_read(path, true, &png, &err), &err, TINCT_ERR_FORMAT, "the file is empty");
    assert_true(png_write(path, rgb, 2, 2, NULL, true, &err));
    assert_true(png_read(path, true, &png, &err));
    assert_memory_equal(png.rgb, rgb, sizeof rgb);
    assert_int_equal(png.text_count, 0);
    png_free(&png);
    unlink(path);
    check_refused(png_read(path, true, &png, &err), &err, TINCT_ERR_IO, "no such file");
    png_free(&png);
}

/* A file cut anywhere is refused, with its rule, and never read beyond its end. */
static void every_truncation_is_refused(void **state)
{
    unsigned char *rgb = paint(9, 5), *file;
    struct tinct_err err;
    struct png png;
    size_t size;
    (void)state;
    assert_true(png_encode(rgb, 9, 5, "\xe2\x82\xac, text", &file, &size, &err));
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *part = malloc(cut ? cut : 1);
        memcpy(part, file, cut);
        check_refused(png_read_memory(part, cut, true, &png, &err), &err, TINCT_ERR_FORMAT, "PNG");
        free(part);
    }
    free(file);
    free(rgb);
}

static void every_flipped_bit_is_refused(void **state)
{
    unsigned char *rgb = paint(9, 5), *file;
    struct tinct_err err;
    struct png png;
    size_t size;
    (void)state;
    assert_true(png_encode(rgb, 9, 5, "a text", &file, &size, &err));
    for (size_t bit = 0; bit < size * 8; bit++) {
        file[bit / 8] ^= (unsigned char)(1 << bit % 8);
        check_refused(png_read_memory(file, size, true, &png, &err), &err, TINCT_ERR_FORMAT, "");
        file[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(file);
    free(rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_come_back),
        cmocka_unit_test(texts_take_the_plainest_form),
        cmocka_unit_test(files_are_written_and_read),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
