/* For one test program: replaces the allocator by one of which any call can be made to fail. TESTS_CAN_FAIL_MALLOC is
 * defined where that is possible: with glibc, gcc and no sanitizer. */
#ifndef TINCT_TESTS_FAILING_MALLOC_H
#define TINCT_TESTS_FAILING_MALLOC_H

#include <stdbool.h>
#include <stdlib.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define TESTS_CAN_FAIL_MALLOC 1

/* glibc's own names for what is replaced here. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void __libc_free(void *block);

static bool armed;
static long until_failure; /* allocations that still succeed, while armed */
static long open_blocks;   /* made minus freed, while armed */

static bool fails(void)
{
    return armed && until_failure-- == 0;
}

void *malloc(size_t size)
{
    if (fails()) return NULL;
    open_blocks += armed;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (fails()) return NULL;
    open_blocks += armed;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    if (fails()) return NULL;
    if (!old) open_blocks += armed;
    return __libc_realloc(old, size);
}

void free(void *block)
{
    if (block) open_blocks -= armed;
    __libc_free(block);
}

#endif
#endif
