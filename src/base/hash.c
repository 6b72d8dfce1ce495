#define _XOPEN_SOURCE 700 /* realpath */
#include "base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <nettle/sha2.h>

#include "base/save.h"
#include "base/str.h"

enum {
    PIECE_BYTES = 4 << 20,
    CACHE_LINES = 1000,     /* the oldest go first */
    CACHE_BYTES = 1 << 20,  /* a longer file is not ours */
};

void hash_memory(const void *bytes, size_t size, unsigned char digest[HASH_BYTES])
{
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, size, bytes);
    sha256_digest(&sha, HASH_BYTES, digest);
}

void hash_hex(const unsigned char digest[HASH_BYTES], int digits, char *out)
{
    static const char hex[] = "0123456789abcdef";

    for (int i = 0; i < digits; i++) out[i] = hex[i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4];
    out[digits] = '\0';
}

bool hash_file(const struct file *file, uint64_t offset, uint64_t size, const struct hash_watch *watch,
               unsigned char digest[HASH_BYTES], struct tinct_err *err)
{
    struct sha256_ctx sha;
    unsigned char *piece = malloc(PIECE_BYTES);
    bool fine = piece || tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to read it", file_path(file));

    sha256_init(&sha);
    for (uint64_t done = 0; fine && done < size;) {
        size_t take = size - done < PIECE_BYTES ? (size_t)(size - done) : PIECE_BYTES;
        file_expect(file, offset + done + take, PIECE_BYTES);
        fine = file_read(file, piece, offset + done, take, err);
        if (!fine) break;
        sha256_update(&sha, take, piece);
        done += take;
        if (watch && watch->on_piece && !watch->on_piece(watch->user, done, size))
            fine = tinct_fail(err, TINCT_ERR_CANCELLED, "%s: stopped while hashing it", file_path(file));
    }
    free(piece);
    if (!fine || !file_unchanged(file, err)) return false;
    sha256_digest(&sha, HASH_BYTES, digest);
    return true;
}

bool hash_safetensors_data(const struct file *file, uint64_t *offset, struct tinct_err *err)
{
    unsigned char length[8];
    uint64_t header = 0;

    if (file_size(file) < sizeof length)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: too short for a safetensors file", file_path(file));
    if (!file_read(file, length, 0, sizeof length, err)) return false;
    for (int i = 7; i >= 0; i--) header = header << 8 | length[i];
    if (header > file_size(file) - sizeof length)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: its header should be %" PRIu64 " bytes, the file ends before",
                          file_path(file), header);
    *offset = sizeof length + header;
    return true;
}

/* ---- the cache: one line a file, "HEX offset size seconds.nanoseconds inode device path" ---- */

/* What follows the digest on this file's line; NULL when its place cannot be written on one. */
static char *cache_key(const char *path, uint64_t offset)
{
    struct stat st;
    struct str key = { 0 };
    char *real = realpath(path, NULL);

    if (real && !strchr(real, '\n') && stat(real, &st) == 0)
        str_addf(&key, " %" PRIu64 " %lld %lld.%09ld %llu %llu %s", offset, (long long)st.st_size,
                 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (unsigned long long)st.st_ino,
                 (unsigned long long)st.st_dev, real);
    bool known = key.length > 0;
    free(real);
    return known ? str_take(&key, NULL) : NULL;
}

static char *cache_path(const char *cache_dir)
{
    struct str path = { 0 };
    str_addf(&path, "%s/hashes", cache_dir);
    return str_take(&path, NULL);
}

/* The cache's text, "" when there is none. */
static char *cache_read(const char *path)
{
    struct file *file = file_open(path, NULL);
    size_t size = file && file_size(file) <= CACHE_BYTES ? (size_t)file_size(file) : 0;
    char *text = calloc(1, size + 1);

    if (text && size && !file_read(file, text, 0, size, NULL)) text[0] = '\0';
    file_close(file);
    return text;
}

static bool from_hex(const char *hex, unsigned char digest[HASH_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < 2 * HASH_BYTES; i++) {
        const char *digit = hex[i] ? strchr(digits, hex[i]) : NULL;
        if (!digit) return false;
        digest[i / 2] = (unsigned char)(i % 2 ? digest[i / 2] | (digit - digits) : (digit - digits) << 4);
    }
    return true;
}

static bool cache_find(const char *text, const char *key, unsigned char digest[HASH_BYTES])
{
    size_t key_bytes = strlen(key);

    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        if ((size_t)(end - line) == 2 * HASH_BYTES + key_bytes &&
            memcmp(line + 2 * HASH_BYTES, key, key_bytes) == 0)
            return from_hex(line, digest);
    return false;
}

static int count_lines(const char *text)
{
    int lines = 0;
    while ((text = strchr(text, '\n'))) {
        lines++;
        text++;
    }
    return lines;
}

static void cache_add(const char *path, const char *text, const char *key, const unsigned char digest[HASH_BYTES])
{
    char hex[HASH_HEX];
    struct str all = { 0 };
    int surplus = count_lines(text) + 1 - CACHE_LINES;

    for (; surplus > 0; surplus--) text = strchr(text, '\n') + 1;
    hash_hex(digest, 2 * HASH_BYTES, hex);
    str_addf(&all, "%s%s%s\n", text, hex, key);
    char *bytes = str_take(&all, NULL);
    if (bytes) save_file(path, bytes, strlen(bytes), true, NULL);
    free(bytes);
}

static bool hash_rest(const char *path, uint64_t offset, const struct hash_watch *watch,
                      unsigned char digest[HASH_BYTES], struct tinct_err *err)
{
    struct file *file = file_open(path, err);
    bool fine = file != NULL;

    if (fine && offset > file_size(file))
        fine = tinct_fail(err, TINCT_ERR_FORMAT, "%s: ends before byte %" PRIu64, path, offset);
    fine = fine && hash_file(file, offset, file_size(file) - offset, watch, digest, err);
    file_close(file);
    return fine;
}

bool hash_cached(const char *cache_dir, const char *path, uint64_t offset, const struct hash_watch *watch,
                 unsigned char digest[HASH_BYTES], struct tinct_err *err)
{
    char *key = cache_dir ? cache_key(path, offset) : NULL;
    char *where = key ? cache_path(cache_dir) : NULL;
    char *text = where ? cache_read(where) : NULL;
    bool known = text && cache_find(text, key, digest);
    bool fine = known || hash_rest(path, offset, watch, digest, err);

    if (fine && !known && text) {
        char *after = cache_key(path, offset); /* another file may have taken the name */
        if (after && strcmp(after, key) == 0) {
            if (mkdir(cache_dir, 0777) == 0 || errno == EEXIST) cache_add(where, text, key, digest);
        }
        free(after);
    }
    free(text);
    free(where);
    free(key);
    return fine;
}
