/* CLIP's tokenizer: text -> ids of its byte-pair vocabulary.
 *
 *     struct tokens t = { 0 };
 *     if (!tokenize(&t, "a cat", 5, err)) ...      t.ids = { 320, 2368 }
 *     tokens_free(&t);
 *
 * Gives the ids of transformers' fast CLIPTokenizer without special tokens around them: <|startoftext|> and
 * <|endoftext|> in the text become their ids; the rest is brought to form NFC and lower case, split into runs
 * of letters, single digits, runs of other signs and the English contractions, each spelled in bytes and
 * merged by rank. HTML entities and broken encodings stay as they are. Time is n log n in the longest word.
 * Source: openai/CLIP, simple_tokenizer.py; arXiv:1508.07909. */
#ifndef TINCT_TEXT_TOKENIZER_H
#define TINCT_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    TOKEN_COMMA = 267,     /* a comma that stands alone */
    TOKEN_START = 49406,
    TOKEN_END = 49407,
    TOKEN_COUNT = 49408,
    TOKEN_TEXT_MAX = 64,   /* bytes that any token stands for, and NUL */
};

struct tokens {
    uint32_t *ids;
    size_t count, room;
};

/* Append the ids of size bytes of UTF-8, which may hold NUL. Refused: invalid UTF-8 with TINCT_ERR_ARG, no
 * memory with TINCT_ERR_MEMORY; t then keeps what it had. */
bool tokenize(struct tokens *t, const char *text, size_t size, struct tinct_err *err);

void tokens_free(struct tokens *t);

/* The bytes that id stands for (not always whole characters), and NUL; *ends_word as the vocabulary has it.
 * Returns how many; 0 for an id beyond the vocabulary. */
size_t token_text(uint32_t id, char out[TOKEN_TEXT_MAX], bool *ends_word);

#endif
