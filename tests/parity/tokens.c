/* Token ids for the parity scripts: strings on standard input, each with its length before it as four bytes,
 * little-endian; a line of ids each on standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "text/tokenizer.h"

static bool read_size(size_t *size)
{
    unsigned char b[4];
    if (fread(b, 1, 4, stdin) != 4) return false;
    *size = b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16 | (size_t)b[3] << 24;
    return true;
}

int main(void)
{
    size_t size;
    struct tokens t = { 0 };
    struct tinct_err err;

    while (read_size(&size)) {
        char *text = malloc(size + 1);
        t.count = 0;
        if (!text || fread(text, 1, size, stdin) != size) return 1;
        if (!tokenize(&t, text, size, &err)) printf("%s", err.text);
        for (size_t i = 0; i < t.count; i++) printf(i ? " %u" : "%u", (unsigned)t.ids[i]);
        printf("\n");
        free(text);
    }
    tokens_free(&t);
    return 0;
}
