/* Any bytes as a safetensors file: refused, or a header that keeps every promise of tensor/safetensors.h. */
#include "tensor/foreign.h"
#include "tensor/safetensors_header.h"

#include <stdlib.h>
#include <string.h>

static void check(bool promise)
{
    if (!promise) abort();
}

static void check_promises(const struct safetensors_header *h, size_t header_length, size_t data_bytes)
{
    uint64_t end = 8 + header_length;

    for (uint32_t i = 0; i < h->count; i++) {
        const struct safetensors_tensor *t = &h->tensors[i];
        uint64_t bits = dtype_bits(t->dtype);
        check(t->offset == end && t->dims <= SAFETENSORS_MAX_DIMS && t->dtype < DTYPE_COUNT);
        for (uint32_t d = 0; d < t->dims; d++) bits *= t->shape[d];
        check(bits == 8 * t->bytes);
        end += t->bytes;
        check(i == 0 || strcmp(h->by_name[i - 1]->name, h->by_name[i]->name) < 0);
    }
    check(end == 8 + header_length + data_bytes);
    for (uint32_t i = 1; i < h->metadata_count; i++) check(strcmp(h->metadata[i - 1].key, h->metadata[i].key) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct safetensors_header header;
    struct tinct_err err;
    uint64_t n = 0;

    foreign_refuse(bytes, size < 512 ? size : 512, &err);
    if (size < 8) return 0;
    for (int i = 0; i < 8; i++) n |= (uint64_t)bytes[i] << 8 * i;
    if (n > size - 8) n = size - 8; /* most inputs would end at their length otherwise */

    size_t length = (size_t)n, data_bytes = size - 8 - length;
    char *text = malloc(length ? length : 1); /* of its own, so that a step beyond it is seen */
    if (!text) return 0;
    memcpy(text, bytes + 8, length);
    if (safetensors_header_read(&header, text, length, data_bytes, &err)) {
        check_promises(&header, length, data_bytes);
        safetensors_header_free(&header);
    } else {
        check(err.text[0] && (err.code == TINCT_ERR_FORMAT || err.code == TINCT_ERR_MEMORY));
    }
    free(text);
    return 0;
}
