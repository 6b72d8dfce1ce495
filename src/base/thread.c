#define _GNU_SOURCE /* sched_getaffinity: which processors this process may use */
#include "base/thread.h"

#include <omp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

static int read_int(const char *path, int fallback)
{
    int value = fallback;
    FILE *f = fopen(path, "r");
    if (!f) return fallback;
    if (fscanf(f, "%d", &value) != 1) value = fallback;
    fclose(f);
    return value;
}

/* Processors that are the first of their core in the mask. Where the system does not
 * tell its topology every processor counts as a core. */
static int cores_in_mask(const cpu_set_t *mask)
{
    static const char *core_of = "/sys/devices/system/cpu/cpu%d/topology/%s";
    int core[CPU_SETSIZE], package[CPU_SETSIZE], cores = 0;

    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        char path[96];
        bool seen = false;
        if (!CPU_ISSET(cpu, mask)) continue;
        snprintf(path, sizeof path, core_of, cpu, "core_id");
        core[cores] = read_int(path, -1 - cpu);
        snprintf(path, sizeof path, core_of, cpu, "physical_package_id");
        package[cores] = read_int(path, 0);
        for (int i = 0; i < cores && !seen; i++) seen = core[i] == core[cores] && package[i] == package[cores];
        if (!seen) cores++;
    }
    return cores;
}

/* Processors' worth of time a container may use, rounded up; a huge number without a limit. */
static int quota(void)
{
    long long limit, period;
    int cpus = 1 << 20;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!f) return cpus;
    if (fscanf(f, "%lld %lld", &limit, &period) == 2 && limit > 0 && period > 0 && limit / period < cpus)
        cpus = (int)((limit + period - 1) / period);
    fclose(f);
    return cpus;
}

int thread_default_count(void)
{
    cpu_set_t mask;
    int cores = sched_getaffinity(0, sizeof mask, &mask) == 0 ? cores_in_mask(&mask) : omp_get_num_procs();
    int limit = quota();

    if (cores > limit) cores = limit;
    return cores > 0 ? cores : 1;
}

void thread_for(uint32_t count, int threads, void (*fn)(void *ctx, uint32_t index), void *ctx)
{
    if (threads <= 0) threads = thread_default_count();
    if ((uint32_t)threads > count) threads = (int)count;
    if (threads <= 1) {
        for (uint32_t i = 0; i < count; i++) fn(ctx, i);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (uint32_t i = 0; i < count; i++) fn(ctx, i);
}
