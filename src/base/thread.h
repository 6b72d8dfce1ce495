/* Work spread over the processor's cores. */
#ifndef TINCT_BASE_THREAD_H
#define TINCT_BASE_THREAD_H

#include <stdint.h>

/* The number of physical cores this process may run on, at least 1: two
 * hardware threads of one core count once; the process's CPU mask and a
 * container's CPU quota (cgroup v2, rounded up) are respected. */
int thread_default_count(void);

/* Call fn(ctx, i) for every i in [0, count), each once, spread over threads (0:
 * thread_default_count()), each taking the next index when it is free. Indices
 * are begun in order. Returns when all are done. fn must not depend on which
 * thread runs it; with one thread, or count 1, it runs on the caller's. */
void thread_for(uint32_t count, int threads, void (*fn)(void *ctx, uint32_t index), void *ctx);

#endif
