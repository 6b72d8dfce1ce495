/* Bad PNG files, one per rule of the format and of our own limits: each is refused with TINCT_ERR_FORMAT
 * and one line that names the file and the rule, within a second and without its memory. */
#define _DEFAULT_SOURCE
#include "app/program.h"
#include "image/png.h"
#include "temporary.h"

#include <stdlib.h>
#include <time.h>

#include <zlib.h>

/* ---- a file put together by hand, with every checksum right ---- */

struct maker {
    unsigned char *bytes;
    size_t size, room;
};

static void put_bytes(struct maker *m, const void *bytes, size_t size)
{
    if (m->size + size >= m->room) {
        m->room = 2 * (m->size + size) + 1; /* doubled: a sanitizer's realloc copies every time */
        m->bytes = realloc(m->bytes, m->room);
    }
    if (size) memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

static void put_u32(struct maker *m, uint32_t value)
{
    unsigned char b[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                          (unsigned char)(value >> 8), (unsigned char)value};
    put_bytes(m, b, 4);
}

static void put_chunk(struct maker *m, const char *type, const void *data, size_t size)
{
    size_t begin = m->size + 4;
    put_u32(m, (uint32_t)size);
    put_bytes(m, type, 4);
    put_bytes(m, data, size);
    put_u32(m, (uint32_t)crc32(0, m->bytes + begin, (uInt)(size + 4)));
}

static void put_signature(struct maker *m)
{
    put_bytes(m, "\x89PNG\r\n\x1a\n", 8);
}

static void put_header(struct maker *m, uint32_t width, uint32_t height, int depth, int colour, int interlace)
{
    struct maker header = {0};
    unsigned char rest[5] = {(unsigned char)depth, (unsigned char)colour, 0, 0, (unsigned char)interlace};
    put_u32(&header, width);
    put_u32(&header, height);
    put_bytes(&header, rest, 5);
    put_chunk(m, "IHDR", header.bytes, header.size);
    free(header.bytes);
}

/* size bytes of value, deflated. */
static struct maker deflated(size_t size, int value)
{
    unsigned char *raw = malloc(size + 1);
    uLongf bytes = compressBound((uLong)size);
    struct maker out = {malloc(bytes), 0, bytes};
    memset(raw, value, size + 1);
    assert_int_equal(compress(out.bytes, &bytes, raw, (uLong)size), Z_OK);
    out.size = bytes;
    free(raw);
    return out;
}

static void put_deflated(struct maker *m, const char *type, const char *head, size_t head_bytes, size_t size,
                         int value)
{
    struct maker data = {0}, body = deflated(size, value);
    put_bytes(&data, head, head_bytes);
    put_bytes(&data, body.bytes, body.size);
    put_chunk(m, type, data.bytes, data.size);
    free(body.bytes);
    free(data.bytes);
}

/* A good 2x2 RGB8 picture up to its pixels. */
static void begin(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 8, 2, 0);
}

static void put_pixels(struct maker *m)
{
    put_deflated(m, "IDAT", "", 0, 14, 0);
}

static void end(struct maker *m)
{
    put_pixels(m);
    put_chunk(m, "IEND", "", 0);
}

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
static void unknown_critical(struct maker *m)
{
    begin(m);
    put_chunk(m, "CgBI", "1234", 4);
    end(m);
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
static void text_no_key(struct maker *m)
{
    begin(m);
    put_chunk(m, "tEXt", "\0value", 6);
    end(m);
}
static void text_no_nul(struct maker *m)
{
    begin(m);
    put_chunk(m, "tEXt", "parameters", 10);
    end(m);
}
static void text_empty(struct maker *m)
{
    begin(m);
    put_chunk(m, "tEXt", "", 0);
    end(m);
}
static void text_long_key(struct maker *m)
{
    char key[82];
    memset(key, 'k', 80);
    key[80] = 0;
    key[81] = 'v';
    begin(m);
    put_chunk(m, "tEXt", key, 82);
    end(m);
}
static void text_nul(struct maker *m)
{
    begin(m);
    put_chunk(m, "tEXt", "a\0b\0c", 5);
    end(m);
}
static void text_huge(struct maker *m)
{
    size_t size = (1 << 20) + 3;
    char *text = malloc(size);
    memset(text, 'x', size);
    text[1] = 0;
    begin(m);
    put_chunk(m, "tEXt", text, size);
    end(m);
    free(text);
}
static void text_vast(struct maker *m)
{
    size_t size = 40 << 20;
    char *text = malloc(size);
    memset(text, 'x', size);
    text[1] = 0;
    begin(m);
    put_chunk(m, "tEXt", text, size);
    end(m);
    free(text);
}
static void texts_vast(struct maker *m)
{
    begin(m);
    for (int i = 0; i < 5; i++) put_deflated(m, "zTXt", "a\0\0", 3, 1 << 20, 'x');
    end(m);
}
static void zip_bomb(struct maker *m)
{
    begin(m);
    put_deflated(m, "zTXt", "a\0\0", 3, 64 << 20, 'x');
    end(m);
}
static void zip_cut(struct maker *m)
{
    begin(m);
    put_chunk(m, "zTXt", "a\0\0x\x9c\x4b", 6);
    end(m);
}
static void zip_bad(struct maker *m)
{
    begin(m);
    put_chunk(m, "zTXt", "a\0\0nothing", 10);
    end(m);
}
static void zip_none(struct maker *m)
{
    begin(m);
    put_chunk(m, "zTXt", "a\0", 2);
    end(m);
}
static void zip_method(struct maker *m)
{
    begin(m);
    put_chunk(m, "zTXt", "a\0\7x", 4);
    end(m);
}
static void zip_nul(struct maker *m)
{
    begin(m);
    put_deflated(m, "zTXt", "a\0\0", 3, 5, 0);
    end(m);
}
static void world_short(struct maker *m)
{
    begin(m);
    put_chunk(m, "iTXt", "a\0\0", 3);
    end(m);
}
static void world_flag(struct maker *m)
{
    begin(m);
    put_chunk(m, "iTXt", "a\0\2\0\0\0x", 7);
    end(m);
}
static void world_method(struct maker *m)
{
    begin(m);
    put_chunk(m, "iTXt", "a\0\1\1\0\0x", 7);
    end(m);
}
static void world_language(struct maker *m)
{
    begin(m);
    put_chunk(m, "iTXt", "a\0\0\0en", 6);
    end(m);
}
static void world_translated(struct maker *m)
{
    begin(m);
    put_chunk(m, "iTXt", "a\0\0\0en\0key", 10);
    end(m);
}
static void world_bytes(struct maker *m)
{
    begin(m);
    put_chunk(m, "iTXt", "a\0\0\0\0\0\xff", 7);
    end(m);
}
static void world_bomb(struct maker *m)
{
    begin(m);
    put_deflated(m, "iTXt", "a\0\1\0\0\0", 6, 64 << 20, 'x');
    end(m);
}
static void late_text(struct maker *m)
{
    begin(m);
    put_pixels(m);
    put_chunk(m, "tEXt", "late", 4);
    put_chunk(m, "IEND", "", 0);
}

#define BAD(make, words)                                                                                     \
    {                                                                                                        \
#make, make, words                                                                                   \
    }
static const struct bad {
    const char *name;
    void (*make)(struct maker *m);
    const char *words;
} bad_files[] = {
    BAD(no_signature, "not a PNG file"),
    BAD(short_file, "too short"),
    BAD(text_mode, "not a PNG file"),
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
    BAD(unknown_critical, "critical"),
    BAD(odd_type, "four letters"),
    BAD(length_over, "over 2^31"),
    BAD(length_beyond, "beyond the end"),
    BAD(bad_sum, "checksum is wrong (chunk tEXt at byte 33)"),
    BAD(bad_last_sum, "checksum is wrong (chunk IEND"),
    BAD(no_palette, "in its pixels"),
    BAD(odd_palette, "in its pixels"),
    BAD(many_chunks, "over 1000 chunks"),
    BAD(many_pieces, "over 131072 IDAT"),
    BAD(text_no_key, "key is not 1 to 79"),
    BAD(text_no_nul, "no end of its key"),
    BAD(text_empty, "no end of its key"),
    BAD(text_long_key, "key is not 1 to 79"),
    BAD(text_nul, "a NUL inside"),
    BAD(text_huge, "over 1 MiB"),
    BAD(text_vast, "over 1 MiB"),
    BAD(texts_vast, "over 4 MiB"),
    BAD(zip_bomb, "over 1 MiB"),
    BAD(zip_cut, "damaged"),
    BAD(zip_bad, "damaged"),
    BAD(zip_none, "cut short"),
    BAD(zip_method, "unknown way"),
    BAD(zip_nul, "a NUL inside"),
    BAD(world_short, "cut short"),
    BAD(world_flag, "unknown way"),
    BAD(world_method, "unknown way"),
    BAD(world_language, "no end of its key"),
    BAD(world_translated, "no end of its key"),
    BAD(world_bytes, "not UTF-8"),
    BAD(world_bomb, "over 1 MiB"),
    BAD(late_text, "no end of its key"),
};

/* Of processor time: a busy machine must not fail the test. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void every_rule_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        const struct bad *bad = &bad_files[i];
        struct maker m = {0};
        struct tinct_err err;
        struct png png;
        bad->make(&m);
        const char *path = temporary_write(bad->name, m.bytes, m.size);
        double before = cpu_seconds();
        bool read = png_read(path, true, &png, &err);
        double took = cpu_seconds() - before;
        if (read) fail_msg("%s is read", bad->name);
        check_refused(read, &err, TINCT_ERR_FORMAT, bad->words);
        assert_memory_equal(err.text, path, strlen(path));
        if (took > 1) fail_msg("%s takes %.1f s", bad->name, took);
        check_refused(png_read_memory(m.bytes, m.size, true, &png, &err), &err, TINCT_ERR_FORMAT, bad->words);
        free(m.bytes);
    }
}

/* The program's own word on each: exit 3, one line, never a signal. */
static void the_program_ends_with_3(void **state)
{
    (void)state;
    if (program_begin() != 0) {
        print_message("skipped: the program is not built\n");
        skip();
    }
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        char arguments[600];
        snprintf(arguments, sizeof arguments, "info %s", temporary_path(bad_files[i].name));
        struct run run = program_run(arguments);
        if (strcmp(bad_files[i].words, "in its pixels") == 0 && run.code == 0) continue; /* info reads none */
        check_failed(arguments, &run, 3, i < 3 ? "" : bad_files[i].words); /* what is no PNG may be anything */
    }
    unlink(".stdout");
    unlink(".stderr");
    rmdir(program_folder);
}

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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_is_told),
        cmocka_unit_test(the_program_ends_with_3),
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(depths_and_palettes_become_rgb),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
