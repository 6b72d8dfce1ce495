/* SHA-256, and the short forms that model sites and A1111 know files by:
 * AutoV2, the first 10 hex digits over the whole file (checkpoints, VAEs), and
 * AutoV3, the first 12 over what follows the safetensors header (LoRAs). */
#ifndef TINCT_BASE_HASH_H
#define TINCT_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/file.h"

enum { HASH_BYTES = 32, HASH_HEX = 65 }; /* digest; its hex digits and NUL */

void hash_memory(const void *bytes, size_t size, unsigned char digest[HASH_BYTES]);

/* The first digits (1..64) of the digest in hex, and NUL. */
void hash_hex(const unsigned char digest[HASH_BYTES], int digits, char *out);

/* Told between pieces of 4 MiB; false stops with TINCT_ERR_CANCELLED. */
struct hash_watch {
    bool (*on_piece)(void *user, uint64_t done, uint64_t size); /* bytes; may be NULL */
    void *user;
};

/* Over size bytes at offset. watch may be NULL. Refused as file_read refuses, and
 * when the file changed meanwhile. */
bool hash_file(const struct file *file, uint64_t offset, uint64_t size, const struct hash_watch *watch,
               unsigned char digest[HASH_BYTES], struct tinct_err *err);

/* Over everything from offset to the end of the file at path, remembered in the
 * text file "hashes" in cache_dir by the file's place, size, time of change and
 * inode, since 2 GB take seconds. cache_dir is made when it is missing; NULL, or a
 * folder that cannot be read or written, only means that nothing is remembered. */
bool hash_cached(const char *cache_dir, const char *path, uint64_t offset, const struct hash_watch *watch,
                 unsigned char digest[HASH_BYTES], struct tinct_err *err);

/* Where the data of a safetensors file begins (8 bytes and the header), the offset
 * for AutoV3. Refused with TINCT_ERR_FORMAT when the file is too short for it. */
bool hash_safetensors_data(const struct file *file, uint64_t *offset, struct tinct_err *err);

#endif
