#include "pair.h"

#include <dlfcn.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/backend.h"
#include "device/cpu/kernels.h"

enum { TURNS = 4096 };                 /* of a thread, that are kept */

struct turns {                         /* of a thread: each build's time as a share of the first one's */
    uint32_t count;
    float ratios[TURNS][PAIR_BUILDS];
};

static const double turn_ms = 3, least_ms = 0.05;      /* of one build's turn; of a dispatch that is worth a line */
static const struct cpu_kernel_table *tables[PAIR_BUILDS];
static uint32_t build_count;

struct build {                         /* of one dispatch's kernel */
    const struct cpu_kernel *kernel;
    struct cpu_plan plan;
};

struct job {                           /* a dispatch, prepared; threads read it */
    struct cpu_args args;
    struct build builds[PAIR_BUILDS];
    double ms;                         /* it took, with all threads */
};

static _Noreturn void stop(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    exit(1);
}

void pair_open(const char *path)
{
    const struct cpu_kernel_table *(*kernels)(void);

    if (build_count == PAIR_BUILDS) stop(path, "too many builds");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) stop("no library", dlerror());
    *(void **)&kernels = dlsym(library, "kernels");
    if (!kernels) stop(path, "not made by kernels.sh");
    tables[build_count++] = kernels();
}

static double now_ms(void)
{
    return omp_get_wtime() * 1e3;
}

/* False: a build has no such kernel, or no item for each thread. */
static bool prepare(struct job *job, const struct call *call, int threads, bool fast)
{
    *job = (struct job) { .ms = call->ms, .args = cpu_args_of(&call->d, threads) };
    for (uint32_t b = 0; b < build_count; b++) {
        const struct cpu_kernel *kernel = cpu_kernel_find(tables[b], call->d.kernel, call->d.variant, fast);
        if (!kernel) return false;
        job->builds[b] = (struct build) { kernel, kernel->plan(&job->args) };
        if (job->builds[b].plan.items < (uint32_t)threads) return false;
    }
    return true;
}

/* ---- turns -------------------------------------------------------------------- */

/* The slice of a thread's share of the items; threads share no items, or they would write the same lines. */
static void run_slice(const struct job *job, uint32_t build, uint32_t slice, uint32_t slices, unsigned char *memory)
{
    const struct build *b = &job->builds[build];
    uint64_t all = (uint64_t)slices * (uint64_t)omp_get_num_threads(), at = (uint64_t)omp_get_thread_num() * slices + slice;
    uint32_t end = (uint32_t)((at + 1) * b->plan.items / all);

    memset(memory, 0, sizeof(uint32_t));
    for (uint32_t i = (uint32_t)(at * b->plan.items / all); i < end; i++) b->kernel->run(&job->args, &b->plan, i, memory);
}

/* How many of them take a turn each; all have an item at least. */
static uint32_t slices_of(const struct job *job, uint32_t threads)
{
    uint32_t slices = (uint32_t)(job->ms / turn_ms) + 1;

    for (uint32_t b = 0; b < build_count; b++) slices = least(slices, job->builds[b].plan.items / threads);
    return slices;
}

static void shuffle(uint32_t *order, uint32_t *seed)
{
    for (uint32_t i = build_count - 1; i > 0; i--) {
        *seed = *seed * 1664525u + 1013904223u;
        uint32_t other = (*seed >> 8) % (i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

/* One thread's. */
static void take_turns(const struct job *job, double seconds, struct turns *t)
{
    uint32_t slices = slices_of(job, (uint32_t)omp_get_num_threads()), seed = (uint32_t)omp_get_thread_num();
    uint32_t order[PAIR_BUILDS];
    size_t size = 4096;

    for (uint32_t b = 0; b < build_count; b++) {
        if (size < job->builds[b].plan.memory) size = job->builds[b].plan.memory;
        order[b] = b;
    }
    unsigned char *memory = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    if (!memory) stop("working memory", "there is none");
    uint64_t denormals = cpu_denormals_off();
    t->count = 0;
    for (double end = now_ms() + seconds * 1e3; t->count < TURNS && now_ms() < end; t->count++) {
        double ms[PAIR_BUILDS];
        shuffle(order, &seed);
        for (uint32_t i = 0; i < build_count; i++) {
            double begin = now_ms();
            run_slice(job, order[i], t->count % slices, slices, memory);
            ms[order[i]] = now_ms() - begin;
        }
        for (uint32_t b = 0; b < build_count; b++) t->ratios[t->count][b] = (float)(ms[b] / ms[0]);
    }
    cpu_denormals_restore(denormals);
    free(memory);
}

/* ---- lines -------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_job(const struct call *call, const struct turns *turns, int threads)
{
    uint32_t count = 0;
    float *sorted = malloc((size_t)threads * TURNS * sizeof *sorted);

    if (!sorted) stop("turns", "no memory for them");
    printf("  %-18s %8.2f ms", call->d.kernel, call->ms);
    if (call->d.flops > 0) printf(" %7.0f GFLOP/s", call->d.flops / call->ms * 1e-6);
    for (uint32_t b = 1; b < build_count; b++) {
        count = 0;
        for (int i = 0; i < threads; i++)
            for (uint32_t t = 0; t < turns[i].count; t++) sorted[count++] = turns[i].ratios[t][b];
        qsort(sorted, count, sizeof *sorted, by_size);
        printf("   %.3f (%.3f to %.3f)", (double)sorted[count / 2], (double)sorted[count / 4], (double)sorted[count * 3 / 4]);
    }
    printf("   of %u turns\n", count);
    fflush(stdout);
    free(sorted);
}

/* A convolution is taken in bands, which are alike. */
static bool seen_before(const struct pass *pass, uint32_t call)
{
    const struct dispatch *d = &pass->calls[call].d;

    for (uint32_t i = 0; i < call; i++) {
        const struct dispatch *other = &pass->calls[i].d;
        if (!strcmp(d->kernel, other->kernel) && d->rows == other->rows && d->columns == other->columns) return true;
    }
    return false;
}

void pair_time(const struct pass *pass, int threads, bool fast, double seconds)
{
    struct turns *turns = malloc((size_t)threads * sizeof *turns);

    if (!turns) stop("turns", "no memory for them");
    for (uint32_t i = 0; i < pass->call_count; i++) {
        const struct call *call = &pass->calls[i];
        struct job job;
        if (call->ms < least_ms || seen_before(pass, i) || !prepare(&job, call, threads, fast)) continue;
#pragma omp parallel num_threads(threads)
        take_turns(&job, seconds, &turns[omp_get_thread_num()]);
        print_job(call, turns, threads);
    }
    free(turns);
}
