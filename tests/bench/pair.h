/* Builds of the cpu device's kernels against each other, in one process: what whole runs cannot tell on a machine with neighbours,
 * a median of some hundred turns of milliseconds tells to within 1 %. */
#ifndef TINCT_BENCH_PAIR_H
#define TINCT_BENCH_PAIR_H

#include "device/device.h"

enum { PAIR_BUILDS = 8 };      /* at most */

void pair_open(const char *path);      /* what kernels.sh makes; stops the program where it is not that */

/* After a run of that pass on a cpu device with `threads` threads: a line for each kind of dispatch that took some time and has a
 * kernel in all builds and an item for each thread, with each build's time as a share of the first one's: median and quartiles. A
 * dispatch takes `seconds`. Operands are overwritten. */
void pair_time(const struct pass *pass, int threads, bool fast, double seconds);

#endif
