/* Infotext both ways: any text is read without harm, and any recipe of ours comes back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/infotext.h"
#include "image/random_infotext.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_any(const char *text, size_t size)
{
    struct infotext info;

    if (!infotext_read(text, size, &info, NULL)) return;
    (void)infotext_before(&info, 1, 6, 0);
    char *written = infotext_write(&info, NULL);
    free(written);
    infotext_free(&info);
}

static void come_back(struct byte_stream *stream)
{
    struct random_infotext random;
    struct infotext read;

    random_infotext(stream, &random);
    char *text = infotext_write(&random.info, NULL);
    if (!text || !infotext_read(text, strlen(text), &read, NULL)) abort();
    char *again = infotext_write(&read, NULL);
    if (differs(&random.info, &read) || !again || strcmp(text, again) != 0) abort();
    free(again);
    free(text);
    infotext_free(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct byte_stream stream = {.bytes = bytes, .left = size};

    read_any((const char *)bytes, size);
    come_back(&stream);
    return 0;
}
