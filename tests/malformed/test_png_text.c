/* PNG files with bad texts, one per rule. */
#include "malformed/png_maker.h"

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
static void put_text(struct maker *m, size_t size)
{
    char *text = malloc(size);
    memset(text, 'x', size);
    text[1] = 0;
    begin(m);
    put_chunk(m, "tEXt", text, size);
    end(m);
    free(text);
}
static void text_huge(struct maker *m)
{
    put_text(m, (1 << 20) + 3);
}
static void text_vast(struct maker *m)
{
    put_text(m, 40 << 20);
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
static void zip_nul(struct maker *m)
{
    begin(m);
    put_deflated(m, "zTXt", "a\0\0", 3, 5, 0);
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

static const struct bad bad_files[] = {
    BAD_CHUNK("text_no_key", "tEXt", "\0value", "key is not 1 to 79"),
    BAD_CHUNK("text_no_nul", "tEXt", "parameters", "no end of its key"),
    BAD_CHUNK("text_empty", "tEXt", "", "no end of its key"),
    BAD(text_long_key, "key is not 1 to 79"),
    BAD_CHUNK("text_nul", "tEXt", "a\0b\0c", "a NUL inside"),
    BAD(text_huge, "over 1 MiB"),
    BAD(text_vast, "over 1 MiB"),
    BAD(texts_vast, "over 4 MiB"),
    BAD(zip_bomb, "over 1 MiB"),
    BAD_CHUNK("zip_cut", "zTXt", "a\0\0x\x9c\x4b", "damaged"),
    BAD_CHUNK("zip_bad", "zTXt", "a\0\0nothing", "damaged"),
    BAD_CHUNK("zip_none", "zTXt", "a\0", "cut short"),
    BAD_CHUNK("zip_method", "zTXt", "a\0\7x", "unknown way"),
    BAD(zip_nul, "a NUL inside"),
    BAD_CHUNK("world_short", "iTXt", "a\0\0", "cut short"),
    BAD_CHUNK("world_flag", "iTXt", "a\0\2\0\0\0x", "unknown way"),
    BAD_CHUNK("world_method", "iTXt", "a\0\1\1\0\0x", "unknown way"),
    BAD_CHUNK("world_language", "iTXt", "a\0\0\0en", "no end of its key"),
    BAD_CHUNK("world_translated", "iTXt", "a\0\0\0en\0key", "no end of its key"),
    BAD_CHUNK("world_bytes", "iTXt", "a\0\0\0\0\0\xff", "not UTF-8"),
    BAD(world_bomb, "over 1 MiB"),
    BAD(late_text, "no end of its key"),
};

int main(void)
{
    struct bad_list list = { bad_files, sizeof bad_files / sizeof *bad_files };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_rule_is_told, &list),
        cmocka_unit_test_prestate(the_program_ends_with_3, &list),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
