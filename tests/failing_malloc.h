/* Replaces malloc and its like in a test program, so that the n-th allocation can be made to fail. Only with
 * glibc and without sanitizers; FAILING_MALLOC says whether it is there. */
#ifndef TINCT_TESTS_FAILING_MALLOC_H
#define TINCT_TESTS_FAILING_MALLOC_H

#include <stdbool.h>
#include <stdlib.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define FAILING_MALLOC 1

/* glibc's own names for what is replaced here. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void __libc_free(void *block);

/* Seen by the libraries too, whatever -fvisibility says: else what the C library or cJSON allocates is not counted, but
 * counted when it is freed here (getline's line, say). A program whose OpenMP teams come and go defines
 * FAILING_MALLOC_OWN_ONLY: a team outlives what is counted, and OpenMP ends the program for want of memory. */
#ifndef FAILING_MALLOC_OWN_ONLY
#pragma GCC visibility push(default)
#else
#pragma GCC visibility push(hidden)
#endif

static bool malloc_armed;
static long malloc_until_failure; /* allocations that still succeed, while armed */
static long malloc_open_blocks;   /* made minus freed, while armed */

static bool malloc_fails(void)
{
    return malloc_armed && malloc_until_failure-- == 0;
}

void *malloc(size_t size)
{
    if (malloc_fails()) return NULL;
    malloc_open_blocks += malloc_armed;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (malloc_fails()) return NULL;
    malloc_open_blocks += malloc_armed;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    if (malloc_fails()) return NULL;
    if (!old) malloc_open_blocks += malloc_armed;
    return __libc_realloc(old, size);
}

void free(void *block)
{
    if (block) malloc_open_blocks -= malloc_armed;
    __libc_free(block);
}
#pragma GCC visibility pop

/* From here on the allocation after n more fails, once. */
static inline void malloc_arm(long n)
{
    malloc_until_failure = n;
    malloc_open_blocks = 0;
    malloc_armed = true;
}

/* Gives back whether one did fail. */
static inline bool malloc_disarm(void)
{
    malloc_armed = false;
    return malloc_until_failure < 0;
}
#endif

#endif
