/* CLIP's byte-pair vocabulary as constant tables, written at build time by cmake/embed_vocabulary.c, so
 * that a tokenizer is ready when the program starts.
 *
 * Ids: 0..255 a byte within a word, 256..511 a byte that ends one, then a symbol for every merge in
 * order of rank, then <|startoftext|> and <|endoftext|>. */
#ifndef TINCT_TEXT_VOCABULARY_H
#define TINCT_TEXT_VOCABULARY_H

#include <stdint.h>

enum {
    VOCABULARY_MERGES = 48894,
    VOCABULARY_FIRST_MERGE = 512,    /* the id that rank 0 gives */
    VOCABULARY_SLOT_BITS = 17,       /* of the hash table over merges */
    VOCABULARY_EMPTY = 0xffff,       /* no rank in this slot */
};

extern const uint16_t vocabulary_left[VOCABULARY_MERGES];                /* rank -> ids of the two symbols */
extern const uint16_t vocabulary_right[VOCABULARY_MERGES];
extern const uint16_t vocabulary_slots[1 << VOCABULARY_SLOT_BITS];       /* ranks, open addressing, step 1 */
extern const uint8_t vocabulary_byte_id[256];                            /* byte -> id within a word */
extern const uint8_t vocabulary_id_byte[256];

/* Where the search for a pair of ids begins. */
static inline uint32_t vocabulary_slot(uint32_t left, uint32_t right)
{
    return (left * 0x9e3779b1u ^ right * 0x85ebca6bu) >> (32 - VOCABULARY_SLOT_BITS);
}

#endif
