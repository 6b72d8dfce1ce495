/* Bad PNG files, one per rule of the format and of our own limits; those of texts are in test_png_text.c. */
#include "malformed/png_maker.h"

/* ---- what is wrong with each ---- */

static void no_signature(struct maker *m)
{
    put_bytes(m, "PNG, perhaps", 12);
}
static void short_file(struct maker *m)
{
    put_bytes(m, "\x89PNG", 4);
}
static void text_mode(struct maker *m)
{
    put_bytes(m, "\x89PNG\n\x1a\n\0\0\0\0", 11);
}
static void only_signature(struct maker *m)
{
    put_signature(m);
}
static void header_not_first(struct maker *m)
{
    put_signature(m);
    end(m);
}
static void header_short(struct maker *m)
{
    put_signature(m);
    put_chunk(m, "IHDR", "\0\0\0\1\0\0\0\1\10\2\0\0", 12);
    end(m);
}
static void header_long(struct maker *m)
{
    put_signature(m);
    put_chunk(m, "IHDR", "\0\0\0\1\0\0\0\1\10\2\0\0\0\0", 14);
    end(m);
}
static void no_width(struct maker *m)
{
    put_signature(m);
    put_header(m, 0, 2, 8, 2, 0);
    end(m);
}
static void no_height(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 0, 8, 2, 0);
    end(m);
}
static void bomb(struct maker *m)
{
    put_signature(m);
    put_header(m, 65535, 65535, 8, 2, 0);
    put_deflated(m, "IDAT", "", 0, 4 << 20, 0);
    put_chunk(m, "IEND", "", 0);
}
static void over_limit(struct maker *m)
{
    put_signature(m);
    put_header(m, 8193, 8192, 8, 2, 0);
    end(m);
}
static void huge_side(struct maker *m)
{
    put_signature(m);
    put_header(m, 0xffffffffu, 1, 8, 2, 0);
    end(m);
}
static void negative_sides(struct maker *m)
{
    put_signature(m);
    put_header(m, 0x80000000u, 0x80000000u, 8, 2, 0);
    end(m);
}
static void bad_depth(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 3, 2, 0);
    end(m);
}
static void bad_colour(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 8, 5, 0);
    end(m);
}
static void bad_pairing(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 4, 2, 0);
    end(m);
}
static void bad_interlace(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 8, 2, 2);
    end(m);
}
static void bad_method(struct maker *m)
{
    put_signature(m);
    put_chunk(m, "IHDR", "\0\0\0\2\0\0\0\2\10\2\1\0\0", 13);
    end(m);
}
static void no_depth(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 0, 0, 0);
    end(m);
}
static void second_header(struct maker *m)
{
    begin(m);
    put_header(m, 2, 2, 8, 2, 0);
    end(m);
}
static void no_pixels(struct maker *m)
{
    begin(m);
    put_chunk(m, "IEND", "", 0);
}
static void no_end(struct maker *m)
{
    begin(m);
    put_pixels(m);
}
static void empty_pixels(struct maker *m)
{
    begin(m);
    put_chunk(m, "IDAT", "", 0);
    put_chunk(m, "IEND", "", 0);
}
static void few_pixels(struct maker *m)
{
    begin(m);
    put_deflated(m, "IDAT", "", 0, 13, 0);
    put_chunk(m, "IEND", "", 0);
}
static void bad_filter(struct maker *m)
{
    begin(m);
    put_deflated(m, "IDAT", "", 0, 14, 9);
    put_chunk(m, "IEND", "", 0);
}
static void no_deflate(struct maker *m)
{
    begin(m);
    put_chunk(m, "IDAT", "not deflated", 12);
    put_chunk(m, "IEND", "", 0);
}
static void split_pixels(struct maker *m)
{
    begin(m);
    put_pixels(m);
    put_chunk(m, "tEXt", "a\0b", 3);
    put_pixels(m);
    put_chunk(m, "IEND", "", 0);
}
static void odd_type(struct maker *m)
{
    begin(m);
    put_chunk(m, "a\0b!", "", 0);
    end(m);
}
static void length_over(struct maker *m)
{
    begin(m);
    put_u32(m, 0x80000000u);
    put_bytes(m, "tEXt", 4);
    end(m);
}
static void length_beyond(struct maker *m)
{
    begin(m);
    put_u32(m, 1000);
    put_bytes(m, "tEXt", 4);
    end(m);
}
static void bad_sum(struct maker *m)
{
    begin(m);
    put_chunk(m, "tEXt", "a\0b", 3);
    m->bytes[m->size - 1] ^= 1;
    end(m);
}
static void bad_last_sum(struct maker *m)
{
    begin(m);
    end(m);
    m->bytes[m->size - 1] ^= 1;
}
static void no_palette(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 8, 3, 0);
    put_deflated(m, "IDAT", "", 0, 6, 0);
    put_chunk(m, "IEND", "", 0);
}
static void odd_palette(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 8, 3, 0);
    put_chunk(m, "PLTE", "1234", 4);
    put_deflated(m, "IDAT", "", 0, 6, 0);
    put_chunk(m, "IEND", "", 0);
}
static void many_chunks(struct maker *m)
{
    begin(m);
    for (int i = 0; i < 1001; i++) put_chunk(m, "prIv", "", 0);
    end(m);
}
static void many_pieces(struct maker *m)
{
    begin(m);
    for (int i = 0; i < 140000; i++) put_chunk(m, "IDAT", "", 0);
    end(m);
}

static const struct bad bad_files[] = {
    { "no_signature", no_signature, "not a PNG file", true, NULL, NULL, 0 },
    { "short_file", short_file, "too short", true, NULL, NULL, 0 },
    { "text_mode", text_mode, "not a PNG file", true, NULL, NULL, 0 },
    BAD(only_signature, "without an IEND"),
    BAD(header_not_first, "first chunk is not IHDR"),
    BAD(header_short, "not 13 bytes"),
    BAD(header_long, "not 13 bytes"),
    BAD(no_width, "0 pixels"),
    BAD(no_height, "0 pixels"),
    BAD(bomb, "65535x65535, more than the 64 Mpx"),
    BAD(over_limit, "8193x8192, more than"),
    BAD(huge_side, "4294967295x1, more than"),
    BAD(negative_sides, "2147483648x2147483648, more than"),
    BAD(bad_depth, "bit depth and colour type"),
    BAD(bad_colour, "bit depth and colour type"),
    BAD(bad_pairing, "bit depth and colour type"),
    BAD(bad_interlace, "interlacing"),
    BAD(bad_method, "compression or filter method"),
    BAD(no_depth, "bit depth and colour type"),
    BAD(second_header, "a second IHDR"),
    BAD(no_pixels, "no IDAT chunk"),
    BAD(no_end, "without an IEND"),
    BAD(empty_pixels, "in its pixels"),
    BAD(few_pixels, "in its pixels"),
    BAD(bad_filter, "in its pixels"),
    BAD(no_deflate, "in its pixels"),
    BAD(split_pixels, "others between them"),
    BAD_CHUNK("unknown_critical", "CgBI", "1234", "critical"),
    BAD(odd_type, "four letters"),
    BAD(length_over, "over 2^31"),
    BAD(length_beyond, "beyond the end"),
    BAD(bad_sum, "checksum is wrong (chunk tEXt at byte 33)"),
    BAD(bad_last_sum, "checksum is wrong (chunk IEND"),
    BAD(no_palette, "in its pixels"),
    BAD(odd_palette, "in its pixels"),
    BAD(many_chunks, "over 1000 chunks"),
    BAD(many_pieces, "over 131072 IDAT"),
};

/* What is unusual but right must not be caught by these rules. */
static void good_files_are_read(void **state)
{
    struct maker m = {0};
    struct tinct_err err;
    struct png png;
    (void)state;
    begin(&m);
    put_chunk(&m, "iCCP", "broken profile, stepped over", 28);
    put_chunk(&m, "acTL", "\0\0\0\2\0\0\0\0", 8);
    put_chunk(&m, "tEXt", "Comment\0caf\xe9", 12); /* Latin-1 */
    put_deflated(&m, "zTXt", "squeezed\0\0", 10, 1 << 20, 'z');
    put_deflated(&m, "iTXt", "world\0\1\0en\0Welt\0", 16, 3, 'w');
    for (int i = 0; i < 3; i++) put_chunk(&m, "IDAT", "", 0);
    put_pixels(&m);
    put_chunk(&m, "tEXt", "parameters\0\xc3\xa9", 13); /* UTF-8 where Latin-1 should be */
    put_chunk(&m, "IEND", "", 0);
    put_bytes(&m, "and more", 8);
    if (!png_read_memory(m.bytes, m.size, true, &png, &err)) fail_msg("%s", err.text);
    assert_int_equal(png.width, 2);
    assert_int_equal(png.text_count, 4);
    assert_string_equal(png_text(&png, "Comment"), "caf\xc3\xa9");
    assert_int_equal(strlen(png_text(&png, "squeezed")), 1 << 20);
    assert_string_equal(png_text(&png, "world"), "www");
    assert_string_equal(png_text(&png, "parameters"), "\xc3\xa9");
    png_free(&png);
    free(m.bytes);
}

static void depths_and_palettes_become_rgb(void **state)
{
    static const struct {
        int depth, colour;
        size_t bytes; /* of 2x2 pixels with filter bytes */
        int value, red, green, blue;
    } kinds[] = {
        {1, 0, 4, 0x00, 0, 0, 0}, {8, 0, 6, 0, 0, 0, 0},  {16, 2, 26, 0, 0, 0, 0},
        {8, 4, 10, 0, 0, 0, 0},   {8, 6, 18, 0, 0, 0, 0}, {8, 3, 6, 0, '1', '2', '3'},
    };
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct maker m = {0};
        struct tinct_err err;
        struct png png;
        put_signature(&m);
        put_header(&m, 2, 2, kinds[i].depth, kinds[i].colour, 0);
        if (kinds[i].colour == 3) put_chunk(&m, "PLTE", "123", 3);
        put_deflated(&m, "IDAT", "", 0, kinds[i].bytes, kinds[i].value);
        put_chunk(&m, "IEND", "", 0);
        if (!png_read_memory(m.bytes, m.size, true, &png, &err)) fail_msg("%s", err.text);
        assert_int_equal(png.rgb[9], kinds[i].red);
        assert_int_equal(png.rgb[10], kinds[i].green);
        assert_int_equal(png.rgb[11], kinds[i].blue);
        png_free(&png);
        free(m.bytes);
    }
}

int main(void)
{
    struct bad_list list = { bad_files, sizeof bad_files / sizeof *bad_files };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_rule_is_told, &list),
        cmocka_unit_test_prestate(the_program_ends_with_3, &list),
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(depths_and_palettes_become_rgb),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
