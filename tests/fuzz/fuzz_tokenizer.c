/* The tokenizer: every id is in the vocabulary, and a text has no more tokens than three times its bytes (form NFC
 * and lower case can make a text longer). */
#include <stdint.h>
#include <stdlib.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct tokens t = {0};
    struct tinct_err err;
    char text[TOKEN_TEXT_MAX];
    bool ends_word;

    tokenize(&t, (const char *)bytes, size, &err);
    if (t.count > 3 * size) abort();
    for (size_t i = 0; i < t.count; i++)
        if (!token_text(t.ids[i], text, &ends_word)) abort();
    tokens_free(&t);
    return 0;
}
