/* Bad PNG files: a hand to put them together, and what is asked of each: TINCT_ERR_FORMAT and one line that names the
 * file and the rule, within a second and without its memory. */
#ifndef TINCT_TESTS_PNG_MAKER_H
#define TINCT_TESTS_PNG_MAKER_H

#define _DEFAULT_SOURCE
#include "app/program.h"
#include "image/png.h"
#include "temporary.h"

#include <stdlib.h>
#include <time.h>

#include <zlib.h>

/* ---- a file put together by hand, with every checksum right ---- */

struct maker {
    unsigned char *bytes;
    size_t size, room;
};

static inline void put_bytes(struct maker *m, const void *bytes, size_t size)
{
    if (m->size + size >= m->room) {
        m->room = 2 * (m->size + size) + 1; /* doubled: a sanitizer's realloc copies every time */
        m->bytes = realloc(m->bytes, m->room);
    }
    if (size) memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

static inline void put_u32(struct maker *m, uint32_t value)
{
    unsigned char b[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                          (unsigned char)(value >> 8), (unsigned char)value};
    put_bytes(m, b, 4);
}

static inline void put_chunk(struct maker *m, const char *type, const void *data, size_t size)
{
    size_t begin = m->size + 4;
    put_u32(m, (uint32_t)size);
    put_bytes(m, type, 4);
    put_bytes(m, data, size);
    put_u32(m, (uint32_t)crc32(0, m->bytes + begin, (uInt)(size + 4)));
}

static inline void put_signature(struct maker *m)
{
    put_bytes(m, "\x89PNG\r\n\x1a\n", 8);
}

static inline void put_header(struct maker *m, uint32_t width, uint32_t height, int depth, int colour, int interlace)
{
    struct maker header = {0};
    unsigned char rest[5] = {(unsigned char)depth, (unsigned char)colour, 0, 0, (unsigned char)interlace};
    put_u32(&header, width);
    put_u32(&header, height);
    put_bytes(&header, rest, 5);
    put_chunk(m, "IHDR", header.bytes, header.size);
    free(header.bytes);
}

/* size bytes of value, deflated. */
static inline struct maker deflated(size_t size, int value)
{
    unsigned char *raw = malloc(size + 1);
    uLongf bytes = compressBound((uLong)size);
    struct maker out = {malloc(bytes), 0, bytes};
    memset(raw, value, size + 1);
    assert_int_equal(compress(out.bytes, &bytes, raw, (uLong)size), Z_OK);
    out.size = bytes;
    free(raw);
    return out;
}

static inline void put_deflated(struct maker *m, const char *type, const char *head, size_t head_bytes, size_t size,
                         int value)
{
    struct maker data = {0}, body = deflated(size, value);
    put_bytes(&data, head, head_bytes);
    put_bytes(&data, body.bytes, body.size);
    put_chunk(m, type, data.bytes, data.size);
    free(body.bytes);
    free(data.bytes);
}

/* A good 2x2 RGB8 picture up to its pixels. */
static inline void begin(struct maker *m)
{
    put_signature(m);
    put_header(m, 2, 2, 8, 2, 0);
}

static inline void put_pixels(struct maker *m)
{
    put_deflated(m, "IDAT", "", 0, 14, 0);
}

static inline void end(struct maker *m)
{
    put_pixels(m);
    put_chunk(m, "IEND", "", 0);
}

/* ---- what is asked of bad ones ---- */

struct bad {
    const char *name;
    void (*make)(struct maker *m);     /* or NULL: a good picture but for one chunk */
    const char *words;
    bool is_no_png;
    const char *type, *data;
    size_t size;
};

struct bad_list {
    const struct bad *files;
    size_t count;
};

#define BAD(make, words) { #make, make, words, false, NULL, NULL, 0 }
#define BAD_CHUNK(name, type, data, words) { name, NULL, words, false, type, data, sizeof data - 1 }

static inline void make_bad(struct maker *m, const struct bad *bad)
{
    if (bad->make) {
        bad->make(m);
        return;
    }
    begin(m);
    put_chunk(m, bad->type, bad->data, bad->size);
    end(m);
}

/* Of processor time: a busy machine must not fail the test. */
static inline double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* png_read's word on each: the rule, and the file's name. */
static inline void every_rule_is_told(void **state)
{
    const struct bad_list *list = *state;

    for (size_t i = 0; i < list->count; i++) {
        const struct bad *bad = &list->files[i];
        struct maker m = {0};
        struct tinct_err err;
        struct png png;
        make_bad(&m, bad);
        const char *path = temporary_write(bad->name, m.bytes, m.size);
        double before = cpu_seconds();
        bool read = png_read(path, true, &png, &err);
        double took = cpu_seconds() - before;
        if (read) fail_msg("%s is read", bad->name);
        check_refused(read, &err, TINCT_ERR_FORMAT, bad->words);
        assert_memory_equal(err.text, path, strlen(path));
        if (took > 1) fail_msg("%s takes %.1f s", bad->name, took);
        check_refused(png_read_memory(m.bytes, m.size, true, &png, &err), &err, TINCT_ERR_FORMAT, bad->words);
        free(m.bytes);
    }
}

/* The program's own word on each: exit 3, one line, never a signal. */
static inline void the_program_ends_with_3(void **state)
{
    const struct bad_list *list = *state;

    if (program_begin() != 0) {
        print_message("skipped: the program is not built\n");
        skip();
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct bad *bad = &list->files[i];
        char arguments[600];
        snprintf(arguments, sizeof arguments, "info %s", temporary_path(bad->name));
        struct run run = program_run(arguments);
        if (strcmp(bad->words, "in its pixels") == 0 && run.code == 0) continue; /* info reads none */
        check_failed(arguments, &run, 3, bad->is_no_png ? "" : bad->words); /* what is no PNG may be anything */
    }
    unlink(".stdout");
    unlink(".stderr");
    rmdir(program_folder);
}

#endif
