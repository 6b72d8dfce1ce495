/* The JSON wrapper: whatever it takes, it can walk, and its writer's strings come back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static size_t walk(const struct json *value)
{
    size_t count = 1;
    const char *text = json_to_string(value);

    if (text) {
        struct str quoted = {0};
        json_quote(&quoted, text);
        char *back = malloc(quoted.length + 1);
        if (!back || !json_unquote(quoted.bytes, quoted.length, back) || strcmp(back, text) != 0) abort();
        free(back);
        str_free(&quoted);
    }
    for (const struct json *v = json_first(value); v; v = json_next(v)) count += walk(v);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct tinct_err err;
    struct json *root = json_parse((const char *)bytes, size, &err);

    if (root && walk(root) > size) abort(); /* every value takes a byte */
    json_free(root);
    return 0;
}
