/* The processor as a device: memory shared with the host, passes as arrays of kernel calls, a team of threads. */
#define _POSIX_C_SOURCE 200809L
#include "device/backend.h"
#include "device/cpu/kernels.h"
#include "device/cpu/memory.h"

#include "base/thread.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct cpu_device {
    struct device base;
    enum cpu_isa isa;
    const struct cpu_kernel_table *table;
    int threads;
    _Atomic uint64_t mapped;   /* bytes of files in buffers, which the system counts as free */
};

struct cpu_buffer {
    struct buffer base;
    atomic_flag *owned;        /* of a file's bytes: what became this process's own, CPU_OWN_BYTES each; else NULL */
    _Atomic uint64_t mapped;   /* bytes that are still the file's */
};

struct cpu_call {
    const struct cpu_kernel *kernel;
    struct cpu_args args;
    struct cpu_plan plan;
};

struct cpu_pass {
    uint32_t count;
    int threads;
    size_t memory;             /* bytes of one thread's working memory, a multiple of 4096 */
    unsigned char *memories;   /* one after the other */
    struct cpu_call calls[];
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* ---- memory ------------------------------------------------------------- */

static uint64_t memory_free(struct device *device)
{
    uint64_t have = cpu_memory_free(), mapped = atomic_load(&((struct cpu_device *)device)->mapped);

    return have > mapped ? have - mapped : 0;
}

/* The memory is taken over, or NULL. */
static struct buffer *buffer_around(struct device *device, void *memory, uint64_t size)
{
    struct cpu_buffer *b = memory ? malloc(sizeof *b) : NULL;

    if (b) *b = (struct cpu_buffer) { .base = { .device = device, .size = size, .map = memory } };
    else cpu_memory_release(memory, size);
    return b ? &b->base : NULL;
}

static struct buffer *buffer_make(struct device *device, uint64_t size, struct tinct_err *err)
{
    struct buffer *b = buffer_around(device, cpu_memory_take(size), size);

    if (!b) tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a buffer of %.1f MiB", (double)size / (1024.0 * 1024.0));
    return b;
}

static uint64_t own_pages(uint64_t size)
{
    return (size + CPU_OWN_BYTES - 1) / CPU_OWN_BYTES;
}

/* So many bytes more are a file's; modulo 2^64, so 0 - n makes them fewer. */
static void count_mapped(struct cpu_buffer *b, uint64_t bytes)
{
    atomic_fetch_add(&b->mapped, bytes);
    atomic_fetch_add(&((struct cpu_device *)b->base.device)->mapped, bytes);
}

static struct buffer *buffer_from_file(struct device *device, const struct file *file, uint64_t offset, uint64_t size)
{
    struct buffer *b = buffer_around(device, cpu_memory_of_file(file, offset, size), size);
    bool large = size >= 2 * CPU_OWN_BYTES;      /* only then does it begin and end at such a page */
    atomic_flag *owned = b && large ? malloc(own_pages(size) * sizeof *owned) : NULL;

    for (uint64_t i = 0; owned && i < own_pages(size); i++) atomic_flag_clear(&owned[i]);
    if (!b) return NULL;
    ((struct cpu_buffer *)b)->owned = owned;
    count_mapped((struct cpu_buffer *)b, size);
    return b;
}

static void buffer_take_over(struct buffer *buffer, uint64_t offset, uint64_t size)
{
    struct cpu_buffer *b = (struct cpu_buffer *)buffer;

    for (uint64_t i = offset / CPU_OWN_BYTES; b->owned && i < own_pages(offset + size); i++) {
        uint64_t at = i * CPU_OWN_BYTES, left = buffer->size - at;
        if (atomic_flag_test_and_set(&b->owned[i])) continue;
        cpu_memory_own((char *)buffer->map + at);
        count_mapped(b, 0 - (left < CPU_OWN_BYTES ? left : CPU_OWN_BYTES));
    }
}

static void buffer_release(struct buffer *b)
{
    struct cpu_buffer *own = (struct cpu_buffer *)b;

    count_mapped(own, 0 - atomic_load(&own->mapped));
    cpu_memory_release(b->map, b->size);
    free(own->owned);
    free(b);
}

static bool buffer_put(struct buffer *b, uint64_t offset, const void *data, uint64_t size, struct tinct_err *err)
{
    (void)err;
    if (size) memcpy((char *)b->map + offset, data, size);
    return true;
}

static bool buffer_get(struct buffer *b, uint64_t offset, void *data, uint64_t size, struct tinct_err *err)
{
    (void)err;
    if (size) memcpy(data, (char *)b->map + offset, size);
    return true;
}

/* ---- passes ------------------------------------------------------------- */

static const struct cpu_kernel *find_kernel(const struct cpu_device *d, const char *name, const char *variant)
{
    return cpu_kernel_find(d->table, name, variant, d->base.fast);
}

static bool has_kernel(struct device *device, const char *kernel, const char *variant)
{
    return find_kernel((struct cpu_device *)device, kernel, variant) != NULL;
}

static void *span_pointer(const struct span *s)
{
    return s->buffer ? (char *)s->buffer->map + s->offset : NULL;
}

struct cpu_args cpu_args_of(const struct dispatch *d, int threads)
{
    struct cpu_args a = { .params = d->params, .rows = d->rows, .columns = d->columns, .batch = d->batch,
                          .threads = (uint32_t)threads, .f16 = !strcmp(d->variant, "f16") };

    for (int i = 0; i < DISPATCH_READS; i++) a.reads[i] = span_pointer(&d->reads[i]);
    for (int i = 0; i < DISPATCH_WRITES; i++) a.writes[i] = span_pointer(&d->writes[i]);
    return a;
}

/* Gives the bytes of working memory that a thread needs for it. */
static size_t call_fill(struct cpu_call *c, const struct cpu_device *device, const struct dispatch *d)
{
    c->kernel = find_kernel(device, d->kernel, d->variant);
    c->args = cpu_args_of(d, device->threads);
    c->plan = c->kernel->plan(&c->args);
    return c->plan.memory;
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + 4095) / 4096 * 4096;
}

/* Threads' working memory: how a kernel cuts its work does not depend on where its operands lie. */
static uint64_t pass_bytes(const struct pass *pass)
{
    const struct cpu_device *device = (struct cpu_device *)pass->device;
    size_t most = 0;

    for (uint32_t i = 0; i < pass->call_count; i++) {
        struct dispatch d = pass->calls[i].d;
        struct cpu_call call;
        d.params = pass->calls[i].params;
        for (int k = 0; k < DISPATCH_READS; k++) d.reads[k].buffer = NULL;
        for (int k = 0; k < DISPATCH_WRITES; k++) d.writes[k].buffer = NULL;
        size_t memory = call_fill(&call, device, &d);
        if (most < memory) most = memory;
    }
    return (uint64_t)whole_pages(most) * (uint64_t)device->threads;
}

static bool pass_compile(struct pass *pass, struct tinct_err *err)
{
    const struct cpu_device *device = (struct cpu_device *)pass->device;
    struct cpu_pass *p = calloc(1, sizeof *p + pass->call_count * sizeof p->calls[0]);

    if (!p) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a pass of %u calls", pass->call_count);
    p->count = pass->call_count;
    p->threads = device->threads;
    for (uint32_t i = 0; i < p->count; i++) {
        size_t memory = call_fill(&p->calls[i], device, &pass->calls[i].d);
        if (p->memory < memory) p->memory = memory;
    }
    p->memory = whole_pages(p->memory);
    p->memories = cpu_memory_take(p->memory * (size_t)p->threads + 1);
    if (!p->memories) {
        free(p);
        return tinct_fail(err, TINCT_ERR_MEMORY, "no working memory for %d threads", device->threads);
    }
    pass->compiled = p;
    return true;
}

/* One team for the whole pass: a call begins when the one before it is done. */
static bool pass_execute(struct pass *pass, struct tinct_err *err)
{
    struct cpu_pass *p = pass->compiled;
    double begun = now_ms();

    (void)err;
    pass->device->done = ++pass->device->started;
#pragma omp parallel num_threads(p->threads)
    {
        unsigned char *memory = p->memories + p->memory * (size_t)omp_get_thread_num();
        uint64_t denormals = cpu_denormals_off();

        for (uint32_t i = 0; i < p->count; i++) {
            const struct cpu_call *c = &p->calls[i];
            if (c->plan.memory) memset(memory, 0, sizeof(uint32_t));
#pragma omp for schedule(dynamic, 1)
            for (uint32_t item = 0; item < c->plan.items; item++) c->kernel->run(&c->args, &c->plan, item, memory);
            if (omp_get_thread_num() == 0) {
                double now = now_ms();
                pass->calls[i].ms = now - begun;
                begun = now;
            }
        }
        cpu_denormals_restore(denormals);
    }
    return true;
}

static void pass_release(struct pass *pass)
{
    struct cpu_pass *p = pass->compiled;

    cpu_memory_release(p->memories, p->memory * (size_t)p->threads + 1);
    free(p);
}

/* ---- the device --------------------------------------------------------- */

static uint64_t validation_messages(const struct device *device)
{
    (void)device;
    return 0;
}

static double peak_gflops(struct device *device, bool bf16)
{
    const struct cpu_device *d = (struct cpu_device *)device;
    double (*loop)(uint32_t, float *) = bf16 ? d->table->peak_bf16 : d->table->peak_f32;
    double best = 0;

    if (!loop) return 0;
    for (int round = 0; round < 5; round++) {
        double flops = 0, begun = 0;
#pragma omp parallel num_threads(d->threads) reduction(+ : flops)
        {
            float sink;
            flops += loop(1000, &sink);        /* every thread awake and at speed */
            flops = 0;
#pragma omp barrier
#pragma omp master
            begun = now_ms();
            flops += loop(5000000, &sink);
        }
        double gflops = flops / (now_ms() - begun) * 1e-6;
        if (gflops > best) best = gflops;
    }
    return best;
}

static void device_release(struct device *device)
{
    free(device);
}

static const struct backend cpu_backend = {
    .close = device_release, .memory_free = memory_free, .validation_messages = validation_messages,
    .buffer_create = buffer_make, .buffer_of_file = buffer_from_file, .buffer_own = buffer_take_over,
    .buffer_free = buffer_release, .buffer_write = buffer_put, .buffer_read = buffer_get,
    .has_kernel = has_kernel, .pass_compile = pass_compile, .pass_start = pass_execute, .pass_bytes = pass_bytes, .pass_free = pass_release,
    .peak_gflops = peak_gflops,
};

/* The processor's name as Linux tells it. */
static void read_name(char *name, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(name, size, "CPU");
    while (f && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (!value || strncmp(line, "model name", 10)) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(name, size, "%s", value + 1 + strspn(value + 1, " \t"));
        break;
    }
    if (f) fclose(f);
}

static void describe(struct device_info *info, enum cpu_isa isa, int threads)
{
    *info = (struct device_info) { .backend = "cpu", .kind = DEVICE_CPU, .memory_bytes = cpu_memory_all() };
    read_name(info->name, sizeof info->name);
    snprintf(info->detail, sizeof info->detail, "%s, %d thread%s", cpu_isa_name(isa), threads, threads == 1 ? "" : "s");
}

void cpu_device_describe(struct device_info *info)
{
    enum cpu_isa isa;

    cpu_isa_choose(&isa, NULL);
    describe(info, isa, thread_default_count());
}

struct device *cpu_device_open(const struct device_options *options, struct tinct_err *err)
{
    enum { MOST_THREADS = 1024 };
    const char *act = getenv("TINCT_ACT");
    enum cpu_isa isa;
    struct cpu_device *d;

    if (!cpu_isa_choose(&isa, err)) return NULL;
    if (options->threads < 0 || options->threads > MOST_THREADS) {
        tinct_fail(err, TINCT_ERR_ARG, "%d threads wanted; 1 to %d work, 0 means one for each core", options->threads,
                   MOST_THREADS);
        return NULL;
    }
    d = calloc(1, sizeof *d);
    if (!d) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a device");
        return NULL;
    }
    d->isa = isa;
    d->table = cpu_isa_kernels(isa);
    d->threads = options->threads ? options->threads : thread_default_count();
    d->base.backend = &cpu_backend;
    d->base.fast = options->precision == TINCT_PRECISION_FAST;
    d->base.no_winograd = options->no_winograd;
    d->base.log = options->log;
    d->base.log_user = options->log_user;
    describe(&d->base.info, isa, d->threads);
    d->base.joins_shortcuts = d->table->joins;
    d->base.stores_f16 = find_kernel(d, "gemm", "f16") && !(act && !strcmp(act, "f32"));
    if (act && !strcmp(act, "f16") && !d->base.stores_f16)
        device_log(&d->base, TINCT_LOG_WARN, "TINCT_ACT=f16: a processor stores activations in f16 with --precision fast on AMX, else in f32");
    return &d->base;
}
