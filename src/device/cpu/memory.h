/* Memory of the cpu device, and of the machine. */
#ifndef TINCT_CPU_MEMORY_H
#define TINCT_CPU_MEMORY_H

#include <stdint.h>

#include "base/file.h"

/* Zeroed, aligned to 4096 bytes at least; large ones on huge pages where the system gives them. NULL: none left.
 * Free with cpu_memory_release and the same size. */
void *cpu_memory_take(uint64_t size);

/* The same size, but holding a file's bytes (base/file.h, file_map). NULL: it cannot be mapped. */
void *cpu_memory_of_file(const struct file *file, uint64_t offset, uint64_t size);

/* Pages of that memory of CPU_OWN_BYTES each, from a multiple of it on, become this process's own, with the bytes they have. */
enum { CPU_OWN_BYTES = 2 << 20 };
void cpu_memory_own(void *page);
void cpu_memory_release(void *memory, uint64_t size);

uint64_t cpu_memory_all(void);     /* bytes this process may ever use: the machine's, or its container's limit */
uint64_t cpu_memory_free(void);    /* bytes still to be had without swapping; the page cache counts as free */

#endif
