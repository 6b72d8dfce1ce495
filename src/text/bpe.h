/* Byte-pair merging of one word. */
#ifndef TINCT_TEXT_BPE_H
#define TINCT_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Working memory, kept from word to word; { 0 } at first, bpe_free at the end. */
struct bpe {
    struct bpe_symbol *symbols;
    uint64_t *heap;
    size_t room, heap_count;
};

/* The word's ids to ids, which has room for size of them; how many, or 0 when memory ran out. size >= 1.
 * Of all neighbours that the vocabulary knows as a pair, the one of the lowest rank is merged first, the
 * leftmost where several are equal, until none is left. */
size_t bpe_word(struct bpe *b, uint32_t *ids, const unsigned char *word, size_t size);

void bpe_free(struct bpe *b);

#endif
