/* What a device implements. Only the rooms below device/ include this. */
#ifndef TINCT_DEVICE_BACKEND_H
#define TINCT_DEVICE_BACKEND_H

#include "device/device.h"

struct backend {
    void (*close)(struct device *device);
    uint64_t (*memory_free)(struct device *device);
    uint64_t (*max_buffer)(struct device *device);         /* NULL: only memory limits it */
    uint64_t (*validation_messages)(const struct device *device);
    struct buffer *(*buffer_create)(struct device *device, uint64_t size, struct tinct_err *err);
    struct buffer *(*buffer_of_file)(struct device *device, const struct file *file, uint64_t offset, uint64_t size);  /* or NULL */
    void (*buffer_own)(struct buffer *buffer, uint64_t offset, uint64_t size);      /* or NULL */
    void (*buffer_free)(struct buffer *buffer);
    bool (*buffer_write)(struct buffer *b, uint64_t offset, const void *data, uint64_t size, struct tinct_err *err);
    bool (*buffer_read)(struct buffer *b, uint64_t offset, void *data, uint64_t size, struct tinct_err *err);

    /* Is there such a kernel? Asked while recording, so that a missing one is told at once. */
    bool (*has_kernel)(struct device *device, const char *kernel, const char *variant);

    /* Turn pass->calls into something that can be replayed, in pass->compiled. All spans are final. */
    bool (*pass_compile)(struct pass *pass, struct tinct_err *err);
    bool (*pass_start)(struct pass *pass, struct tinct_err *err);
    bool (*pass_times)(struct pass *pass, struct tinct_err *err);   /* of a run that is done, into its calls; NULL: they are there */
    uint64_t (*pass_bytes)(const struct pass *pass);       /* that pass_compile takes; NULL: nothing to speak of */
    void (*pass_free)(struct pass *pass);      /* frees pass->compiled, which is not NULL, and waits for what is under way */
    void (*poll)(struct device *device);       /* brings device->done up to date; NULL: it always is, and so is wait */
    bool (*wait)(struct device *device, uint64_t started, struct tinct_err *err);   /* until device->done is there */

    double (*peak_gflops)(struct device *device, bool bf16);   /* NULL: not measured on this device */
};

struct device {                  /* first member of each backend's own struct */
    const struct backend *backend;
    struct device_info info;
    bool fast;                   /* precision fast */
    bool no_winograd;            /* not wanted */
    bool stores_f16;             /* activations are f16 */
    bool joins_shortcuts, joins_norms;     /* see device.h */
    bool keep_times;
    uint64_t started, done;      /* how much was given to it, how much of that is known to be done; the backend counts */
    struct device_counts counts; /* reads and writes: device.c; waits: the backend */
    struct buffer *scratch;      /* working memory of all passes; NULL before the first */
    uint64_t scratch_serial;     /* another number for each such buffer: passes follow it when they run */
    void (*log)(void *user, enum tinct_log_level level, const char *line);
    void *log_user;
};

struct buffer {                  /* first member of each backend's own struct */
    struct device *device;
    uint64_t size;
    void *map;                   /* host pointer or NULL */
};

struct call {                    /* one recorded dispatch; after pass_end d.params points at params below */
    struct dispatch d;
    unsigned char params[DISPATCH_PARAMS_BYTES];
    const char *label;
    double ms;                   /* of the last run, where times are kept; the backend writes it */
};

struct pass {
    struct device *device;
    struct call *calls;
    uint32_t call_count, call_room;
    struct buffer *scratch;      /* the device's, when this was compiled; before that spans hold scratch_stand_in */
    uint64_t scratch_serial;
    struct buffer scratch_stand_in;
    uint64_t scratch_top, scratch_peak;
    const char *label;
    struct tinct_err err;        /* the first failure; code TINCT_OK: none */
    bool ended;
    void *compiled;              /* the backend's */
};

/* Each backend's doors. */
struct device *cpu_device_open(const struct device_options *options, struct tinct_err *err);
void cpu_device_describe(struct device_info *info);
struct device *vulkan_device_open(const struct device_options *options, int index, struct tinct_err *err);
int vulkan_device_list(struct device_info *infos, int room);   /* 0 without a loader or a driver */

#endif
