/* Characters as the programs whose results we match see them: CLIP's tokenizer (Hugging Face's tokenizers)
 * and Python's regular expressions (A1111's prompt grammar).
 *
 * utf8proc knows one version of Unicode; tokenizers is built from several. The differences are tables in
 * unicode.c, and tests/parity/tokens.py goes through every code point. */
#ifndef TINCT_TEXT_UNICODE_H
#define TINCT_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at text[*at], valid UTF-8; *at moves behind it. */
uint32_t unicode_next(const char *text, size_t *at);

/* The code point that ends before text[*at], *at > 0; *at moves to its first byte. */
uint32_t unicode_previous(const char *text, size_t *at);

/* UTF-8 of point to out; its length, 1..4. */
size_t unicode_put(uint32_t point, char out[4]);

/* The tokenizer's \p{L}, \p{N} and \s. */
bool unicode_is_letter(uint32_t point);
bool unicode_is_number(uint32_t point);
bool unicode_is_space(uint32_t point);

/* The tokenizer's lower case: one or two points to out; how many. */
size_t unicode_lower(uint32_t point, uint32_t out[2]);

/* Python's \s and \w. */
bool unicode_is_python_space(uint32_t point);
bool unicode_is_word(uint32_t point);

/* Normalisation form C as the tokenizer has it, in time linear in size: valid UTF-8 to points. *points holds
 * *count of them; free() it. False when memory ran out. */
bool unicode_compose(const char *text, size_t size, uint32_t **points, size_t *count);

#endif
