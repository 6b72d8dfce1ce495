#include "device/backend.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 32 };

int device_list(struct device_info *infos, int room)
{
    if (room < 1) return 0;
    cpu_device_describe(&infos[0]);
    return 1 + vulkan_device_list(infos + 1, room - 1);
}

static bool contains_ignoring_case(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && text[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (i == n) return true;
    }
    return n == 0;
}

/* Index in the list of the first device of this kind, or -1. */
static int first_of_kind(const struct device_info *infos, int count, enum device_kind kind)
{
    for (int i = 0; i < count; i++)
        if (infos[i].kind == kind) return i;
    return -1;
}

static int find_by_name(const struct device_info *infos, int count, const char *name)
{
    char *end;
    long index = strtol(name, &end, 10);

    if (end != name && !*end) return index >= 0 && index < count ? (int)index : -1;
    if (!strcmp(name, "vulkan")) {
        int gpu = first_of_kind(infos, count, DEVICE_GPU);
        return gpu >= 0 ? gpu : first_of_kind(infos, count, DEVICE_SOFTWARE);
    }
    for (int i = 0; i < count; i++)
        if (contains_ignoring_case(infos[i].name, name)) return i;
    return -1;
}

static bool refuse_name(const char *name, const struct device_info *infos, int count, struct tinct_err *err)
{
    char list[400] = "";
    size_t used = 0;

    for (int i = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%d: %s", i ? ", " : "", i, infos[i].name);
    if (!strcmp(name, "vulkan"))
        tinct_fail(err, TINCT_ERR_DEVICE, "no Vulkan device found: no driver answers on this machine");
    else
        tinct_fail(err, TINCT_ERR_DEVICE, "no device is called %s; there are %s", name, list);
    return tinct_advise(err, "--device cpu paints without a GPU");
}

struct device *device_open(const struct device_options *options, struct tinct_err *err)
{
    struct device_info infos[MAX_DEVICES];
    int index;

    if (options->name && !strcmp(options->name, "cpu")) return cpu_device_open(options, err);
    int count = device_list(infos, MAX_DEVICES);
    if (!options->name) {
        index = first_of_kind(infos, count, DEVICE_GPU);
        if (index < 0) index = 0;
    } else {
        index = find_by_name(infos, count, options->name);
    }
    if (index < 0) {
        refuse_name(options->name, infos, count, err);
        return NULL;
    }
    return index == 0 ? cpu_device_open(options, err) : vulkan_device_open(options, index - 1, err);
}

void device_close(struct device *device)
{
    if (!device) return;
    buffer_free(device->scratch);
    device->backend->close(device);
}

const struct device_info *device_about(const struct device *device)
{
    return &device->info;
}

bool device_has_kernel(struct device *device, const char *kernel, const char *variant)
{
    return device->backend->has_kernel(device, kernel, variant);
}

bool device_takes_winograd(const struct device *device)
{
    return !device->no_winograd && device->backend->has_kernel((struct device *)device, "winograd_in", "f32");
}

bool device_joins_shortcuts(const struct device *device)
{
    return device->joins_shortcuts;
}

bool device_joins_norms(const struct device *device)
{
    return device->joins_norms;
}

bool device_is_fast(const struct device *device)
{
    return device->fast;
}

bool device_stores_f16(const struct device *device)
{
    return device->stores_f16;
}

uint64_t device_memory_free(struct device *device)
{
    return device->backend->memory_free(device);
}

uint64_t device_scratch_bytes(const struct device *device)
{
    return device->scratch ? device->scratch->size : 0;
}

uint64_t device_max_buffer(struct device *device)
{
    return device->backend->max_buffer ? device->backend->max_buffer(device) : UINT64_MAX;
}

uint64_t device_validation_messages(const struct device *device)
{
    return device->backend->validation_messages(device);
}

double device_measure_peak(struct device *device, bool bf16)
{
    return device->backend->peak_gflops ? device->backend->peak_gflops(device, bf16) : 0;
}

void device_keep_times(struct device *device, bool keep)
{
    device->keep_times = keep;
}

void device_log(const struct device *device, enum tinct_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    if (!device->log) return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    device->log(device->log_user, level, line);
}

uint64_t device_started(const struct device *device)
{
    return device->started;
}

bool device_is_done(struct device *device, uint64_t started)
{
    if (device->done < started && device->backend->poll) device->backend->poll(device);
    return device->done >= started;
}

bool device_wait(struct device *device, uint64_t started, struct tinct_err *err)
{
    return !device->backend->wait || device->backend->wait(device, started, err);
}

struct device_counts device_counts(const struct device *device)
{
    return device->counts;
}

struct buffer *buffer_create(struct device *device, uint64_t size, struct tinct_err *err)
{
    return device->backend->buffer_create(device, size ? size : SPAN_ALIGN, err);
}

bool device_takes_files(const struct device *device)
{
    return device->backend->buffer_of_file != NULL;
}

struct buffer *buffer_of_file(struct device *device, const struct file *file, uint64_t offset, uint64_t size)
{
    if (!device->backend->buffer_of_file || !size || offset % 4096 || offset > file_size(file) ||
        size > file_size(file) - offset)
        return NULL;
    return device->backend->buffer_of_file(device, file, offset, size);
}

void buffer_own(struct buffer *buffer, uint64_t offset, uint64_t size)
{
    if (buffer->device->backend->buffer_own && offset < buffer->size && size <= buffer->size - offset)
        buffer->device->backend->buffer_own(buffer, offset, size);
}

void buffer_free(struct buffer *buffer)
{
    if (buffer) buffer->device->backend->buffer_free(buffer);
}

uint64_t buffer_size(const struct buffer *buffer)
{
    return buffer->size;
}

void *buffer_map(struct buffer *buffer)
{
    return buffer->map;
}

static bool range_is_inside(const struct buffer *b, uint64_t offset, uint64_t size, struct tinct_err *err)
{
    if (size <= b->size && offset <= b->size - size) return true;
    return tinct_fail(err, TINCT_ERR_INTERNAL, "bytes %llu to %llu lie outside a buffer of %llu",
                      (unsigned long long)offset, (unsigned long long)(offset + size), (unsigned long long)b->size);
}

bool buffer_write(struct buffer *buffer, uint64_t offset, const void *data, uint64_t size, struct tinct_err *err)
{
    buffer->device->counts.writes++;
    return range_is_inside(buffer, offset, size, err) &&
           buffer->device->backend->buffer_write(buffer, offset, data, size, err);
}

bool buffer_read(struct buffer *buffer, uint64_t offset, void *data, uint64_t size, struct tinct_err *err)
{
    buffer->device->counts.reads++;
    return range_is_inside(buffer, offset, size, err) &&
           buffer->device->backend->buffer_read(buffer, offset, data, size, err);
}
