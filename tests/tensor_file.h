/* Writes safetensors files for tests: begin, add tensors one after the other, save. */
#ifndef TINCT_TESTS_TENSOR_FILE_H
#define TINCT_TESTS_TENSOR_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dtype.h"

struct tensor_file {
    char *header;           /* JSON so far, without the closing brace */
    size_t header_length;
    unsigned char *data;
    size_t data_bytes, data_room;
};

static inline void tensor_file_append(struct tensor_file *f, const char *text)
{
    size_t length = strlen(text);
    f->header = realloc(f->header, f->header_length + length + 1);
    memcpy(f->header + f->header_length, text, length + 1);
    f->header_length += length;
}

/* metadata: a JSON object of strings. */
static inline void tensor_file_begin_with(struct tensor_file *f, const char *metadata)
{
    memset(f, 0, sizeof *f);
    tensor_file_append(f, "{\"__metadata__\":");
    tensor_file_append(f, metadata);
}

static inline void tensor_file_begin(struct tensor_file *f)
{
    tensor_file_begin_with(f, "{\"format\":\"pt\"}");
}

static inline void tensor_file_free(struct tensor_file *f)
{
    free(f->header);
    free(f->data);
}

/* Room for a tensor's bytes, zeroed; valid until the next call. */
static inline void *tensor_file_add(struct tensor_file *f, const char *name, enum dtype type, uint32_t dims,
                                    const uint32_t *shape)
{
    char text[512], *at = text, *end = text + sizeof text;
    size_t bytes = dtype_size(type), begin = f->data_bytes;

    at += snprintf(at, (size_t)(end - at), ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", name, dtype_file_name(type));
    for (uint32_t i = 0; i < dims; i++) {
        at += snprintf(at, (size_t)(end - at), "%s%u", i ? "," : "", (unsigned)shape[i]);
        bytes *= shape[i];
    }
    snprintf(at, (size_t)(end - at), "],\"data_offsets\":[%zu,%zu]}", begin, begin + bytes);
    tensor_file_append(f, text);

    if (begin + bytes > f->data_room) {
        f->data_room = 2 * (begin + bytes);
        f->data = realloc(f->data, f->data_room);
    }
    f->data_bytes += bytes;
    return f->data ? memset(f->data + begin, 0, bytes) : NULL;      /* nothing but empty tensors so far */
}

static inline bool tensor_file_save(struct tensor_file *f, const char *path)
{
    unsigned char length[8];
    FILE *out = fopen(path, "wb");
    bool ok;

    tensor_file_append(f, "}");
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)f->header_length >> 8 * i);
    if (!out) return false;
    ok = fwrite(length, 1, 8, out) == 8 && fwrite(f->header, 1, f->header_length, out) == f->header_length &&
         (!f->data || fwrite(f->data, 1, f->data_bytes, out) == f->data_bytes);
    return fclose(out) == 0 && ok;
}

#endif
