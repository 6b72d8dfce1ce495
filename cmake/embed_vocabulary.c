/* Writes CLIP's vocabulary as the C tables that src/text/vocabulary.h declares.
 *
 *     embed_vocabulary bpe_simple_vocab_16e6.txt.gz vocabulary.c
 *
 * The file is a line of version, then one merge a line, "left right", by rank. Symbols are spelled in
 * GPT-2's alphabet, where each byte is a printable character, and </w> ends a word. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "text/vocabulary.h"

enum { NAME_SLOTS = 1 << 17, NAMES = VOCABULARY_FIRST_MERGE + VOCABULARY_MERGES, LONGEST = 256 };

static char *names[NAMES];               /* id -> spelling */
static int32_t name_slots[NAME_SLOTS];   /* hash of a spelling -> id + 1 */
static uint16_t left[VOCABULARY_MERGES], right[VOCABULARY_MERGES], slots[1 << VOCABULARY_SLOT_BITS];
static uint8_t byte_id[256], id_byte[256];

static int32_t *name_slot(const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
    uint32_t slot = hash % NAME_SLOTS;
    while (name_slots[slot] && strcmp(names[name_slots[slot] - 1], name)) slot = (slot + 1) % NAME_SLOTS;
    return &name_slots[slot];
}

static bool add_name(uint32_t id, const char *head, const char *tail)
{
    size_t size = strlen(head) + strlen(tail) + 1;
    char *name = malloc(size);
    if (!name) return false;
    snprintf(name, size, "%s%s", head, tail);
    int32_t *slot = name_slot(name);
    if (*slot) return false;             /* two ids of one spelling */
    names[id] = name;
    *slot = (int32_t)id + 1;
    return true;
}

static int find_name(const char *name)
{
    return *name_slot(name) - 1;
}

static void spell(unsigned point, char out[3])   /* as UTF-8, below U+0800 */
{
    if (point < 0x80) {
        out[0] = (char)point;
        out[1] = '\0';
    } else {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 63));
        out[2] = '\0';
    }
}

/* Printable bytes of Latin-1 stand for themselves and come first; the others follow, spelled from U+0100 on. */
static bool add_bytes(void)
{
    uint32_t id = 0;
    unsigned next = 256;

    for (int printable = 1; printable >= 0; printable--)
        for (unsigned b = 0; b < 256; b++) {
            char letter[3];
            if (((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174) != printable) continue;
            spell(printable ? b : next++, letter);
            byte_id[b] = (uint8_t)id;
            id_byte[id] = (uint8_t)b;
            if (!add_name(id, letter, "") || !add_name(256 + id, letter, "</w>")) return false;
            id++;
        }
    return true;
}

static bool add_merge(uint32_t rank, char *line)
{
    char *space = strchr(line, ' ');
    if (!space) return false;
    *space = '\0';
    space[1 + strcspn(space + 1, "\r\n")] = '\0';

    int l = find_name(line), r = find_name(space + 1);
    if (l < 0 || r < 0) return false;
    left[rank] = (uint16_t)l;
    right[rank] = (uint16_t)r;
    uint32_t slot = vocabulary_slot((uint32_t)l, (uint32_t)r);
    while (slots[slot] != VOCABULARY_EMPTY) slot = (slot + 1) % (1u << VOCABULARY_SLOT_BITS);
    slots[slot] = (uint16_t)rank;
    return add_name(VOCABULARY_FIRST_MERGE + rank, line, space + 1);
}

static bool read_merges(const char *path)
{
    char line[LONGEST];
    gzFile file = gzopen(path, "rb");
    bool good = file && gzgets(file, line, sizeof line);

    for (uint32_t rank = 0; good && rank < VOCABULARY_MERGES; rank++)
        good = gzgets(file, line, sizeof line) && add_merge(rank, line);
    if (file) gzclose(file);
    return good;
}

static void write_table(FILE *out, const char *type, const char *name, const void *values, size_t count, size_t size)
{
    fprintf(out, "const %s %s[] = {", type, name);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%u,", i % 32 ? "" : "\n",
                size == 1 ? ((const uint8_t *)values)[i] : ((const uint16_t *)values)[i]);
    fprintf(out, "\n};\n");
}

static bool write_tables(const char *path)
{
    FILE *out = fopen(path, "w");
    if (!out) return false;
    fprintf(out, "/* CLIP's vocabulary, written by embed_vocabulary. */\n#include \"text/vocabulary.h\"\n");
    write_table(out, "uint16_t", "vocabulary_left", left, VOCABULARY_MERGES, 2);
    write_table(out, "uint16_t", "vocabulary_right", right, VOCABULARY_MERGES, 2);
    write_table(out, "uint16_t", "vocabulary_slots", slots, sizeof slots / 2, 2);
    write_table(out, "uint8_t", "vocabulary_byte_id", byte_id, 256, 1);
    write_table(out, "uint8_t", "vocabulary_id_byte", id_byte, 256, 1);
    bool good = !ferror(out);
    return fclose(out) == 0 && good;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: embed_vocabulary bpe_simple_vocab_16e6.txt.gz vocabulary.c\n");
        return 2;
    }
    memset(slots, 0xff, sizeof slots);
    if (!add_bytes() || !read_merges(argv[1])) {
        fprintf(stderr, "embed_vocabulary: %s: not CLIP's merges\n", argv[1]);
        return 1;
    }
    if (!write_tables(argv[2])) {
        fprintf(stderr, "embed_vocabulary: %s: cannot be written\n", argv[2]);
        return 1;
    }
    for (size_t i = 0; i < NAMES; i++) free(names[i]);
    return 0;
}
