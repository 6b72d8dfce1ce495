/* Packed weights kept in a file of the user's cache folder: the next start maps them instead of packing them again.
 *
 * Where device memory is the host's (the cpu device), a model's arenas are the file's own pages: nothing is copied, processes
 * that paint with the same model share them, and what a LoRA changes becomes this process's own. Elsewhere reading such a
 * file would cost what packing does, so none is kept.
 *
 * A file belongs to one state of the weights' files (size, times of change, inode, a hash of the header: fine-tunes of one
 * model often agree in size and header), to one list of weights in their packed form, and to one version of tinct: all
 * that is in its name, as a hash. Its header and every MiB of it have sums that must be right, its size follows from
 * the list: what is torn, cut or of other making is not used and written again. It comes by a temporary name, synced and
 * renamed, and is never written again; one that goes is unlinked, so that whoever has mapped it is not disturbed.
 *
 * Four are kept, the longest unused goes first: 8 GiB at SD1.x's size, enough for people who change between a
 * few checkpoints. None is written that would leave less free on its disk than it takes. */
#ifndef TINCT_MODEL_PACKED_H
#define TINCT_MODEL_PACKED_H

#include "device/device.h"
#include "tensor/pack.h"

enum { PACKED_KEPT = 4 };

struct packed;

struct packed_place {                  /* a weight, and where it lies */
    const struct pack_job *job;
    uint64_t offset, bytes;            /* in its arena */
    uint32_t arena;
};

/* The file of these weights in "<cache_dir>/weights", which is made where it is missing. sizes [arenas] lives as long.
 * NULL: a file of the weights cannot be read, or no memory; then nothing is kept. */
struct packed *packed_create(const char *cache_dir, const struct packed_place *places, uint32_t count,
                             const uint64_t *sizes, uint32_t arenas);
void packed_free(struct packed *p);    /* NULL is fine; waits as packed_settle does */

/* Map the file, if it is there and sound: arenas [arenas]. False: it is not, and none is there. */
bool packed_map(struct packed *p, struct device *device, int threads, struct buffer **arenas);

/* Write the file out of arenas that hold just these weights, on a thread of its own that takes little of the processor while
 * others want it: arenas stay as they are until packed_settle is back. Nothing is done, and true given, where
 * another process is at it. Refused: as save_open; too little room. */
bool packed_keep(struct packed *p, struct buffer *const *arenas, struct tinct_err *err);

/* Wait until the file is on the disk and has its name. True as well where nothing was written. Refused: as save_put. */
bool packed_settle(struct packed *p, struct tinct_err *err);

/* There is a file, mapped or written and settled. */
bool packed_there(const struct packed *p);

/* An arena as it was packed: a buffer of the file's bytes, of which those in use take memory, and only the page cache's. Free
 * it; NULL: it cannot be mapped. */
struct buffer *packed_arena(const struct packed *p, struct device *device, uint32_t arena);

/* `size` bytes of an arena as they were packed. Refused: as file_read. */
bool packed_read(const struct packed *p, void *out, uint32_t arena, uint64_t offset, size_t size, struct tinct_err *err);

#endif
