/* PNG files with bad texts, one per rule. */
#include "malformed/png_maker.h"

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

#define BAD(make, words) { #make, make, words, false }

static const struct bad bad_files[] = {
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

static void every_rule_is_told(void **state)
{
    (void)state;
    check_all_told(bad_files, sizeof bad_files / sizeof *bad_files);
}

static void the_program_ends_with_3(void **state)
{
    (void)state;
    check_program_ends_with_3(bad_files, sizeof bad_files / sizeof *bad_files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_is_told),
        cmocka_unit_test(the_program_ends_with_3),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
