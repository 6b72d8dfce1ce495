/* Rewrites a module as khr_matrix.h says, into the words of a C array:
 *
 *     khr_matrix nv.spv khr.inc [khr.spv]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "khr_matrix.h"

enum { MOST_WORDS = 1 << 22 };

static uint32_t words[MOST_WORDS];

static bool read_words(const char *path, size_t *count)
{
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    *count = fread(words, sizeof *words, MOST_WORDS, f);
    bool good = !ferror(f);
    return fclose(f) == 0 && good;
}

static bool write_array(const char *path, const uint32_t *out, size_t count)
{
    FILE *f = fopen(path, "w");
    if (!f) return false;
    for (size_t i = 0; i < count; i++) fprintf(f, "%s0x%08x", !i ? "{" : i % 8 ? "," : ",\n", (unsigned)out[i]);
    fprintf(f, "}\n");
    bool good = !ferror(f);
    return fclose(f) == 0 && good;
}

static bool write_module(const char *path, const uint32_t *out, size_t count)
{
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    bool good = fwrite(out, sizeof *out, count, f) == count;
    return fclose(f) == 0 && good;
}

int main(int argc, char **argv)
{
    const char *why = NULL;
    size_t count, out_count;

    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: khr_matrix nv.spv khr.inc [khr.spv]\n");
        return 2;
    }
    if (!read_words(argv[1], &count)) {
        fprintf(stderr, "khr_matrix: %s: cannot be read\n", argv[1]);
        return 1;
    }
    uint32_t *out = khr_matrix_rewrite(words, count, &out_count, &why);
    if (!out) {
        fprintf(stderr, "khr_matrix: %s: %s\n", argv[1], why);
        return 1;
    }
    bool good = write_array(argv[2], out, out_count) && (argc < 4 || write_module(argv[3], out, out_count));
    free(out);
    if (!good) fprintf(stderr, "khr_matrix: %s: cannot be written\n", argv[2]);
    return good ? 0 : 1;
}
