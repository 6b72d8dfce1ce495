/* The names nearest to one that is not there: what "unknown sampler" and
 * "unknown LoRA" tell besides. */
#ifndef TINCT_BASE_NEAREST_H
#define TINCT_BASE_NEAREST_H

#include <stddef.h>

/* Letters beyond these are not looked at: a name may come from a stranger's prompt. */
enum { NEAREST_LETTERS = 64 };

/* How many single bytes have to be put in, taken out or changed, or neighbours
 * swapped, to turn a into b; the case of ASCII letters does not count. */
size_t edit_distance(const char *a, const char *b);

/* Indices of the at most `most` of count names nearest to name, best first, equal
 * ones in the order of the list, into best. Returns how many, 0 when count is. */
size_t nearest_names(const char *name, const char *const *names, size_t count, size_t *best, size_t most);

#endif
