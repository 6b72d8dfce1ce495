#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, madvise */
#include "device/cpu/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const uint64_t huge_page = 2u << 20;

static uint64_t whole_pages(uint64_t size)
{
    uint64_t page = size >= 2 * huge_page ? huge_page : 4096;
    return (size + page - 1) / page * page;
}

/* A mapping of whole huge pages begins on one: taken one page too long, its ends given back. */
static void *take_huge(uint64_t size)
{
    char *m = mmap(NULL, size + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return NULL;

    uint64_t front = (huge_page - (uintptr_t)m % huge_page) % huge_page;
    if (front) munmap(m, front);
    if (front < huge_page) munmap(m + front + size, huge_page - front);
#ifdef MADV_HUGEPAGE
    madvise(m + front, size, MADV_HUGEPAGE);     /* a wish: 4 KB pages work too */
#endif
    return m + front;
}

void *cpu_memory_take(uint64_t size)
{
    uint64_t bytes = whole_pages(size);

    if (size > SIZE_MAX / 2) return NULL;
    if (bytes % huge_page == 0) return take_huge(bytes);
    void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return m == MAP_FAILED ? NULL : m;
}

void *cpu_memory_of_file(const struct file *file, uint64_t offset, uint64_t size)
{
    char *memory = cpu_memory_take(size);    /* reserves the place, huge pages' beginnings and all */
    uint64_t pages = (size + 4095) / 4096 * 4096;

    if (memory && !file_map(file, memory, offset, pages, NULL)) {
        cpu_memory_release(memory, size);
        return NULL;
    }
    return memory;
}

void cpu_memory_own(void *page)
{
    void *bytes = malloc(CPU_OWN_BYTES), *own;

    if (!bytes) return;
    memcpy(bytes, page, CPU_OWN_BYTES);
    own = mmap(page, CPU_OWN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (own == page) {                           /* else the file's pages are still there */
#ifdef MADV_HUGEPAGE
        madvise(page, CPU_OWN_BYTES, MADV_HUGEPAGE);
#endif
        memcpy(page, bytes, CPU_OWN_BYTES);
    }
    free(bytes);
}

void cpu_memory_release(void *memory, uint64_t size)
{
    if (memory) munmap(memory, whole_pages(size));
}

/* The number behind `key` at the start of a line, or the file's first number for key "". */
static bool read_number(const char *path, const char *key, uint64_t *number)
{
    char line[256];
    size_t n = strlen(key);
    bool found = false;
    FILE *f = fopen(path, "r");

    if (!f) return false;
    while (!found && fgets(line, sizeof line, f))
        found = !strncmp(line, key, n) && sscanf(line + n, "%" SCNu64, number) == 1;
    fclose(f);
    return found;
}

struct budget {
    uint64_t all, free;      /* bytes */
};

static void narrow(struct budget *b, uint64_t limit, uint64_t used, uint64_t cache)
{
    uint64_t held = used > cache ? used - cache : 0, left = limit > held ? limit - held : 0;
    if (limit < b->all) b->all = limit;
    if (left < b->free) b->free = left;
}

/* One control group's limit, in either version's words; its page cache can be taken back. */
static void narrow_by_group(struct budget *b, const char *folder, const char *limit_file, const char *used_file,
                            const char *cache_key)
{
    char path[640];
    uint64_t limit, used, cache = 0;

    snprintf(path, sizeof path, "%s/%s", folder, limit_file);
    if (!read_number(path, "", &limit)) return;          /* no such group, or "max" */
    snprintf(path, sizeof path, "%s/%s", folder, used_file);
    if (!read_number(path, "", &used)) return;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    read_number(path, cache_key, &cache);
    narrow(b, limit, used, cache);
}

/* The groups named in /proc/self/cgroup, and the root as a container sees it. */
static void narrow_by_groups(struct budget *b)
{
    char line[512], folder[560];
    FILE *f = fopen("/proc/self/cgroup", "r");

    narrow_by_group(b, "/sys/fs/cgroup", "memory.max", "memory.current", "file ");
    narrow_by_group(b, "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache ");
    while (f && fgets(line, sizeof line, f)) {
        char *path = strchr(line, '/');
        line[strcspn(line, "\n")] = 0;
        if (!path) continue;
        if (!strncmp(line, "0::", 3)) {
            snprintf(folder, sizeof folder, "/sys/fs/cgroup%s", path);
            narrow_by_group(b, folder, "memory.max", "memory.current", "file ");
        } else if (strstr(line, ":memory:")) {
            snprintf(folder, sizeof folder, "/sys/fs/cgroup/memory%s", path);
            narrow_by_group(b, folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache ");
        }
    }
    if (f) fclose(f);
}

static struct budget budget_now(void)
{
    struct budget b = { UINT64_MAX, UINT64_MAX };
    uint64_t kib;

    if (read_number("/proc/meminfo", "MemTotal:", &kib)) b.all = kib * 1024;
    if (read_number("/proc/meminfo", "MemAvailable:", &kib)) b.free = kib * 1024;
    narrow_by_groups(&b);
    return b;
}

uint64_t cpu_memory_all(void)
{
    return budget_now().all;
}

uint64_t cpu_memory_free(void)
{
    return budget_now().free;
}
