#include "tensor/safetensors.h"

#include "tensor/foreign.h"
#include "tensor/safetensors_header.h"

#include <stdlib.h>
#include <string.h>

struct safetensors {
    struct file *file;
    char *text; /* the header; names and metadata point into it */
    struct safetensors_header header;
};

static uint64_t little_endian_64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* The header's length, once the file's size allows it. */
static bool read_length(const struct file *file, size_t *length, struct tinct_err *err)
{
    unsigned char head[512];
    uint64_t size = file_size(file);
    size_t known = size < sizeof head ? (size_t)size : sizeof head;

    if (!file_read(file, head, 0, known, err)) return false;
    if (!foreign_refuse(head, known, err)) return tinct_within(err, "%s", file_path(file));
    if (size < 10)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: not a safetensors file: %llu bytes, less than the shortest one",
                          file_path(file), (unsigned long long)size);
    if (size > UINT64_C(1) << 48)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: larger than 2^48 bytes", file_path(file));

    uint64_t n = little_endian_64(head);
    if (n > SAFETENSORS_MAX_HEADER)
        return tinct_fail(err, TINCT_ERR_FORMAT,
                          "%s: not a safetensors file: its header would be %llu bytes long, 100000000 is the most",
                          file_path(file), (unsigned long long)n);
    if (n > size - 8)
        return tinct_fail(err, TINCT_ERR_FORMAT,
                          "%s: cut short, or not a safetensors file: a header of %llu bytes in a file of %llu",
                          file_path(file), (unsigned long long)n, (unsigned long long)size);
    *length = (size_t)n;
    return true;
}

static bool read_header(struct safetensors *st, struct tinct_err *err)
{
    size_t length;

    if (!read_length(st->file, &length, err)) return false;
    st->text = malloc(length ? length : 1);
    if (!st->text)
        return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its header of %zu bytes", file_path(st->file),
                          length);
    if (!file_read(st->file, st->text, 8, length, err)) return false;
    return safetensors_header_read(&st->header, st->text, length, file_size(st->file) - 8 - length, err) ||
           tinct_within(err, "%s", file_path(st->file));
}

struct safetensors *safetensors_open(const char *path, struct tinct_err *err)
{
    struct file *file = file_open(path, err);
    struct safetensors *st = file ? calloc(1, sizeof *st) : NULL;

    if (!st) {
        if (file) tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to open it", path);
        file_close(file);
        return NULL;
    }
    st->file = file;
    if (read_header(st, err)) return st;
    safetensors_close(st);
    return NULL;
}

void safetensors_close(struct safetensors *st)
{
    if (!st) return;
    safetensors_header_free(&st->header);
    free(st->text);
    file_close(st->file);
    free(st);
}

const struct file *safetensors_file(const struct safetensors *st)
{
    return st->file;
}

uint32_t safetensors_count(const struct safetensors *st)
{
    return st->header.count;
}

const struct safetensors_tensor *safetensors_at(const struct safetensors *st, uint32_t index)
{
    return &st->header.tensors[index];
}

static int name_order(const void *key, const void *element)
{
    const struct safetensors_tensor *const *t = element;
    return strcmp(key, (*t)->name);
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    const struct safetensors_header *h = &st->header;
    struct safetensors_tensor **found = bsearch(name, h->by_name, h->count, sizeof *h->by_name, name_order);
    return found ? *found : NULL;
}

uint32_t safetensors_metadata_count(const struct safetensors *st)
{
    return st->header.metadata_count;
}

struct safetensors_metadata safetensors_metadata_at(const struct safetensors *st, uint32_t index)
{
    return st->header.metadata[index];
}

static int key_order(const void *key, const void *element)
{
    const struct safetensors_metadata *m = element;
    return strcmp(key, m->key);
}

const char *safetensors_metadata(const struct safetensors *st, const char *key)
{
    const struct safetensors_header *h = &st->header;
    const struct safetensors_metadata *found =
        h->metadata_count ? bsearch(key, h->metadata, h->metadata_count, sizeof *h->metadata, key_order) : NULL;
    return found ? found->value : NULL;
}
