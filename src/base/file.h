/* Reading files: ranges of bytes at given places, from any thread.
 *
 * Other people's files are read, never mapped: a file that is cut short while it
 * is mapped raises SIGBUS in whoever touches it, and reading pieces of 1 MiB costs
 * no more where the bytes are looked at once (2.1 GB out of the page cache, 2
 * threads of a Xeon: 0.56 s, mapped 0.54 s; from disk no difference beyond its
 * noise). Only what tinct wrote itself and never changes in place is mapped.
 *
 * Every sentence begins with the file's path. Paths are UTF-8. */
#ifndef TINCT_BASE_FILE_H
#define TINCT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct file;

/* Open for reading. Refused with TINCT_ERR_IO: no such file, a folder, no
 * permission, a pipe or device; with TINCT_ERR_FORMAT: an empty file. */
struct file *file_open(const char *path, struct tinct_err *err);

/* NULL is fine. */
void file_close(struct file *file);

uint64_t file_size(const struct file *file);      /* bytes, when it was opened */
const char *file_path(const struct file *file);   /* as given; lives as long as file */

/* Read exactly size bytes at offset into out. Safe from many threads at once.
 * Refused with TINCT_ERR_IO: a read error, or an end of file before the last
 * byte (the file was cut since it was opened, or the caller asks beyond it). */
bool file_read(const struct file *file, void *out, uint64_t offset, size_t size, struct tinct_err *err);

/* True while the opened file's size and time of change are what they were; call
 * it after reads whose bytes must belong together. A new file renamed over the
 * path is no change: the opened one stays as it was. Refused with TINCT_ERR_IO. */
bool file_unchanged(const struct file *file, struct tinct_err *err);

/* What tells two states of a file apart: no program can set its second time. */
struct file_mark {
    uint64_t size, inode;
    int64_t seconds, nanoseconds;              /* when its bytes changed */
    int64_t status_seconds, status_nanoseconds; /* when its bytes, name, owner or the times above did */
};
struct file_mark file_mark(const struct file *file);

/* Let [at, at + size) of this process's memory hold the file's bytes from offset on, in place of what was there: both
 * multiples of 4096. The memory may be written, which never reaches the file. Nobody may cut the file meanwhile; so one that
 * lies on a network is refused, as is what the system refuses: TINCT_ERR_IO. */
bool file_map(const struct file *file, void *at, uint64_t offset, uint64_t size, struct tinct_err *err);

/* Ask the system to have these bytes ready soon; only a hint. */
void file_expect(const struct file *file, uint64_t offset, uint64_t size);

#endif
