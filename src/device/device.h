/* What both devices offer: memory, and passes recorded once and replayed.
 *
 * `vulkan` runs the shaders, `cpu` runs the same kernels in C. Above this room
 * nobody names a Vulkan type, a thread or an instruction set, writes a barrier
 * or checks a result per call: a recording remembers its first failure.
 *
 *     struct pass *pass = pass_begin(device);
 *     size_t mark = scratch_mark(pass);
 *     struct span h = scratch_take(pass, bytes);
 *     pass_dispatch(pass, &(struct dispatch) { .kernel = "layer_norm", ... });
 *     scratch_release(pass, mark);
 *     if (!pass_end(pass, &err)) ...        the first failure, or no memory
 *     pass_run(pass, &err);                 as often as wanted
 *     pass_free(pass);
 *
 * An op says what and how much (kernel, operands, parameters, rows, columns,
 * batch); the device's kernel table says how (module or function, tile) and so
 * how many groups. Dispatches of a pass behave as if run one after the other. */
#ifndef TINCT_DEVICE_H
#define TINCT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/file.h"

struct device;
struct pass;

/* ---- devices ------------------------------------------------------------ */

struct device_options {
    const char *name;          /* "cpu", "vulkan", an index of device_list or part of a name; NULL: automatic */
    enum tinct_precision precision;
    int threads;               /* cpu: 0 means the number of physical cores */
    const char *cache_dir;     /* pipeline cache; NULL: none */
    bool no_winograd;          /* 3x3 convolutions without it, too */
    bool validation;           /* vulkan: validation layers on, their messages counted */
    void (*log)(void *user, enum tinct_log_level level, const char *line);
    void *log_user;
};

enum device_kind { DEVICE_CPU, DEVICE_GPU, DEVICE_SOFTWARE };   /* SOFTWARE: a Vulkan driver on the processor */

struct device_info {
    char name[256];            /* "AMD EPYC 9B45" or the driver's device name */
    char detail[256];          /* "avx512, 2 threads" or "Vulkan 1.3.230, soft core" */
    const char *backend;       /* "cpu" or "vulkan" */
    enum device_kind kind;
    bool fast_f16;             /* --precision fast stores activations in f16 here */
    uint64_t memory_bytes;     /* all of it */
};

/* Automatic choice: discrete GPU, integrated GPU, cpu; a software Vulkan driver only by name.
 * TINCT_VULKAN=soft|tile|matrix, TINCT_CPU=generic|avx2|avx512|bf16|amx force a core,
 * TINCT_ACT=f32|f16 the storage of activations. */
struct device *device_open(const struct device_options *options, struct tinct_err *err);
void device_close(struct device *device);                      /* NULL is fine */
const struct device_info *device_about(const struct device *device);
bool device_is_fast(const struct device *device);              /* opened with precision fast (given or by default) */
bool device_has_kernel(struct device *device, const char *kernel, const char *variant);   /* one that not all have */
bool device_takes_winograd(const struct device *device);       /* 3x3 convolutions, see shaders/winograd.h */
bool device_joins_shortcuts(const struct device *device);      /* its GEMM is no slower for a 1x1 convolution in a 3x3 one's sum */
bool device_joins_norms(const struct device *device);          /* its GEMM takes GEMM_NORM, its attention makes queries */
bool device_stores_f16(const struct device *device);           /* activations are f16: fast on a GPU and on AMX, or TINCT_ACT */
uint64_t device_memory_free(struct device *device);            /* bytes that may still be taken, a budget */
uint64_t device_scratch_bytes(const struct device *device);     /* held for passes (below), and used again by the next */
uint64_t device_max_buffer(struct device *device);             /* bytes of the largest buffer it makes */
void device_log(const struct device *device, enum tinct_log_level level, const char *fmt, ...) TINCT_PRINTF(3, 4);
uint64_t device_validation_messages(const struct device *device);

/* GFLOP/s of multiply-adds on registers alone, all cores at work, measured now (about 0.1 s); bf16: of bf16 dot products.
 * 0 where the device has none or cannot tell. */
double device_measure_peak(struct device *device, bool bf16);

/* Every device there is, cpu first, in the order of their index. Gives the count written, at most room. */
int device_list(struct device_info *infos, int room);

/* ---- memory ------------------------------------------------------------- */

struct buffer;                 /* device memory, zeroed when made; passes keep no reference: it must outlive them */

struct span {                  /* a range of a buffer: all that a device knows of a tensor */
    struct buffer *buffer;     /* NULL: absent operand */
    uint64_t offset, size;     /* bytes; offset a multiple of SPAN_ALIGN for whole tensors, of 16 for views */
    uint64_t row_bytes;        /* bytes from one of the dispatch's rows to the next; 0: not laid out by its rows */
};

enum { SPAN_ALIGN = 256 };

struct buffer *buffer_create(struct device *device, uint64_t size, struct tinct_err *err);

/* A buffer of the file's bytes from offset on (a multiple of 4096), which are not copied: base/file.h's file_map tells
 * what may not happen to the file. Writing to it is as to any other. NULL: this device, or this file, cannot. */
struct buffer *buffer_of_file(struct device *device, const struct file *file, uint64_t offset, uint64_t size);

/* Before most of a range of such a buffer is written: its bytes become memory of this process at once, in large pages, not
 * page by page (1.7 GB: 0.6 s, where the system takes 4 s). Several threads may ask at once; when all calls are back, all is done.
 * Without memory, or on any other buffer, nothing happens: what is written is right either way. */
void buffer_own(struct buffer *buffer, uint64_t offset, uint64_t size);
bool device_takes_files(const struct device *device);          /* buffer_of_file is not in vain */
void buffer_free(struct buffer *buffer);                       /* NULL is fine */
uint64_t buffer_size(const struct buffer *buffer);
void *buffer_map(struct buffer *buffer);                       /* host pointer, or NULL where memory is not shared; not to be
                                                                  touched while work is under way that uses it */

/* Both take their place behind everything that was started: a write does not wait for it, a read does. */
bool buffer_write(struct buffer *buffer, uint64_t offset, const void *data, uint64_t size, struct tinct_err *err);
bool buffer_read(struct buffer *buffer, uint64_t offset, void *data, uint64_t size, struct tinct_err *err);

/* ---- passes ------------------------------------------------------------- */

enum { DISPATCH_READS = 9, DISPATCH_WRITES = 2, DISPATCH_PARAMS_BYTES = 108 };

struct dispatch {
    const char *kernel;                    /* "gemm": static storage */
    const char *variant;                   /* "f32", "f16": what is stored; static storage */
    struct span reads[DISPATCH_READS];     /* bound in this order; an absent one is not touched by the kernel */
    struct span writes[DISPATCH_WRITES];   /* then these; may overlap a read where the kernel's header allows it */
    const void *params;                    /* the op's own block, copied */
    uint32_t params_size;                  /* at most DISPATCH_PARAMS_BYTES */
    uint32_t rows, columns, batch;         /* how much; 0 counts as 1 */
    double flops;                          /* for the bench; may be 0 */
};

struct pass *pass_begin(struct device *device);                /* NULL only without host memory: later calls take it */
void pass_dispatch(struct pass *pass, const struct dispatch *d);
void pass_label(struct pass *pass, const char *label);         /* names what follows in profiles; static storage */

/* Gives its condition back; records the first false one as the pass's failure. */
bool pass_expect(struct pass *pass, bool condition, const char *fmt, ...) TINCT_PRINTF(3, 4);
bool pass_failed(const struct pass *pass);
struct device *pass_device(const struct pass *pass);           /* NULL for a NULL pass */

/* Working memory is a stack, taken and given back while recording; at pass_end the
 * device has room for its peak, which all its passes share. What it holds when a pass
 * begins is not defined. A span's buffer stands for it until then. */
struct span scratch_take(struct pass *pass, uint64_t size);
size_t scratch_mark(struct pass *pass);
void scratch_release(struct pass *pass, size_t mark);
uint64_t pass_scratch_bytes(const struct pass *pass);          /* the peak so far */
uint64_t pass_own_bytes(const struct pass *pass);              /* what it will take beside, until it is freed; before pass_end too */

/* Finish recording: the first failure, or scratch that does not fit (how many MiB are missing). Once is enough. */
bool pass_end(struct pass *pass, struct tinct_err *err);
bool pass_run(struct pass *pass, struct tinct_err *err);       /* replays it and waits */
bool pass_start(struct pass *pass, struct tinct_err *err);     /* replays it behind what was started before, and does not wait */
void pass_free(struct pass *pass);                             /* NULL is fine; waits for what is under way */
uint32_t pass_dispatches(const struct pass *pass);

/* What was started and is under way: a number that goes up with everything that is started, and whether all up to such a
 * number is done. A device that works on the caller's own thread (cpu) has it done when pass_start returns. What went wrong
 * on the way is told by the next wait. */
uint64_t device_started(const struct device *device);
bool device_is_done(struct device *device, uint64_t started);
bool device_wait(struct device *device, uint64_t started, struct tinct_err *err);

/* How often, since the device was opened, it was read from and written to, and somebody waited for it: for tests. */
struct device_counts {
    uint64_t reads, writes, waits;
};
struct device_counts device_counts(const struct device *device);

/* Times of the last run, where the device was asked to keep them before pass_end. */
struct dispatch_time {
    const char *label, *kernel;
    double ms, flops;
    uint64_t bytes;            /* of all operands */
};
void device_keep_times(struct device *device, bool keep);
bool pass_time(const struct pass *pass, uint32_t index, struct dispatch_time *time);

#endif
