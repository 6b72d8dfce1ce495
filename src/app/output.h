/* Where pictures go: a pattern with %s (seed) and %i (index), or out/00001-SEED.png and so on. */
#ifndef TINCT_APP_OUTPUT_H
#define TINCT_APP_OUTPUT_H

#include <stdint.h>

#include "app.h"

enum { OUTPUT_PATH_BYTES = 4096 };

/* Is pattern (NULL: the default folder) good for this many pictures? Makes the default folder. */
enum exit_code output_check(const char *pattern, int pictures);

/* Does it stand for a folder, in which names begin with the next number? */
bool output_is_numbered(const char *pattern);

/* The path of picture index (from 0) with this seed. False when it does not fit. With a folder or
 * no pattern: the next number that no file in the folder begins with. */
bool output_path(char *path, size_t size, const char *pattern, int index, int64_t seed);

#endif
