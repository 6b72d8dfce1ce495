/* Memory of the cpu device, and of the machine. */
#ifndef TINCT_CPU_MEMORY_H
#define TINCT_CPU_MEMORY_H

#include <stdint.h>

/* Zeroed, aligned to 4096 bytes at least; large ones on huge pages where the system gives them. NULL: none left.
 * Free with cpu_memory_release and the same size. */
void *cpu_memory_take(uint64_t size);
void cpu_memory_release(void *memory, uint64_t size);

uint64_t cpu_memory_all(void);     /* bytes this process may ever use: the machine's, or its container's limit */
uint64_t cpu_memory_free(void);    /* bytes still to be had without swapping; the page cache counts as free */

#endif
