#include "device/backend.h"

#include <stdlib.h>
#include <string.h>

struct pass *pass_begin(struct device *device)
{
    struct pass *pass = calloc(1, sizeof *pass);

    if (pass) pass->device = device;
    return pass;
}

bool pass_failed(const struct pass *pass)
{
    return !pass || pass->err.code != TINCT_OK;
}

struct device *pass_device(const struct pass *pass)
{
    return pass ? pass->device : NULL;
}

bool pass_expect(struct pass *pass, bool condition, const char *fmt, ...)
{
    if (!condition && !pass_failed(pass)) {
        va_list args;
        va_start(args, fmt);
        tinct_failv(&pass->err, TINCT_ERR_ARG, fmt, args);
        va_end(args);
    }
    return condition;
}

void pass_label(struct pass *pass, const char *label)
{
    if (pass) pass->label = label;
}

static bool spans_are_inside(struct pass *pass, const struct dispatch *d, const struct span *spans, int count)
{
    for (int i = 0; i < count; i++) {
        const struct span *s = &spans[i];
        if (!s->buffer) continue;
        uint64_t limit = s->buffer == &pass->scratch_stand_in ? pass->scratch_peak : s->buffer->size;
        if (!pass_expect(pass, s->size <= limit && s->offset <= limit - s->size,
                         "%s: operand %d lies outside its buffer", d->kernel, i))
            return false;
    }
    return true;
}

static struct call *call_append(struct pass *pass)
{
    if (pass->call_count == pass->call_room) {
        uint32_t room = pass->call_room ? pass->call_room * 2 : 256;
        struct call *calls = realloc(pass->calls, room * sizeof *calls);
        if (!calls) {
            tinct_fail(&pass->err, TINCT_ERR_MEMORY, "no memory to record %u dispatches", room);
            return NULL;
        }
        pass->calls = calls;
        pass->call_room = room;
    }
    return &pass->calls[pass->call_count++];
}

void pass_dispatch(struct pass *pass, const struct dispatch *d)
{
    if (pass_failed(pass)) return;
    if (!pass_expect(pass, d->params_size <= DISPATCH_PARAMS_BYTES, "%s: %u bytes of parameters, %d fit", d->kernel,
                     d->params_size, DISPATCH_PARAMS_BYTES) ||
        !pass_expect(pass, pass->device->backend->has_kernel(pass->device, d->kernel, d->variant),
                     "%s has no kernel %s for %s", pass->device->info.backend, d->kernel, d->variant) ||
        !spans_are_inside(pass, d, d->reads, DISPATCH_READS) || !spans_are_inside(pass, d, d->writes, DISPATCH_WRITES))
        return;

    struct call *call = call_append(pass);
    if (!call) return;
    *call = (struct call) { .d = *d, .label = pass->label };
    if (d->params_size) memcpy(call->params, d->params, d->params_size);
    if (!call->d.rows) call->d.rows = 1;
    if (!call->d.columns) call->d.columns = 1;
    if (!call->d.batch) call->d.batch = 1;
}

struct span scratch_take(struct pass *pass, uint64_t size)
{
    if (pass_failed(pass) ||
        !pass_expect(pass, size <= UINT64_MAX / 4 && pass->scratch_top <= UINT64_MAX / 4, "scratch of %llu bytes",
                     (unsigned long long)size))
        return (struct span) { 0 };

    struct span s = { &pass->scratch_stand_in, pass->scratch_top, size, 0 };
    pass->scratch_top += (size + SPAN_ALIGN - 1) / SPAN_ALIGN * SPAN_ALIGN;
    if (pass->scratch_top > pass->scratch_peak) pass->scratch_peak = pass->scratch_top;
    return s;
}

size_t scratch_mark(struct pass *pass)
{
    return pass ? (size_t)pass->scratch_top : 0;
}

void scratch_release(struct pass *pass, size_t mark)
{
    if (pass) pass->scratch_top = mark;
}

uint64_t pass_scratch_bytes(const struct pass *pass)
{
    return pass ? pass->scratch_peak : 0;
}

uint64_t pass_own_bytes(const struct pass *pass)
{
    return pass && pass->device->backend->pass_bytes ? pass->device->backend->pass_bytes(pass) : 0;
}

static void bind(struct pass *pass, const struct buffer *from, struct buffer *to)
{
    for (uint32_t i = 0; i < pass->call_count; i++) {
        struct dispatch *d = &pass->calls[i].d;
        for (int k = 0; k < DISPATCH_READS; k++)
            if (d->reads[k].buffer == from) d->reads[k].buffer = to;
        for (int k = 0; k < DISPATCH_WRITES; k++)
            if (d->writes[k].buffer == from) d->writes[k].buffer = to;
    }
}

/* All passes of a device work in one buffer, as large as the largest wants, since only one runs at a time. */
static bool grow_scratch(struct device *device, uint64_t size, struct tinct_err *err)
{
    uint64_t held = device->scratch ? device->scratch->size : 0, have = device_memory_free(device) + held;
    const double mib = 1024.0 * 1024.0;

    if (size <= held) return true;
    if (size > have)
        return tinct_fail(err, TINCT_ERR_MEMORY, "%s: %.0f MiB of working memory wanted, %.0f MiB free: %.0f MiB missing",
                          device->info.name, (double)size / mib, (double)have / mib, (double)(size - have) / mib);
    buffer_free(device->scratch);
    device->scratch_serial++;
    device->scratch = buffer_create(device, size, err);
    return device->scratch != NULL;
}

/* Compile for the scratch buffer that the device has now; spans hold the one they were compiled for, or the stand-in. */
static bool compile(struct pass *pass, struct tinct_err *err)
{
    struct device *device = pass->device;

    if (pass->compiled) device->backend->pass_free(pass);
    pass->compiled = NULL;
    if (!grow_scratch(device, pass->scratch_peak, err)) return false;
    if (pass->scratch_peak) bind(pass, pass->scratch ? pass->scratch : &pass->scratch_stand_in, device->scratch);
    pass->scratch = pass->scratch_peak ? device->scratch : NULL;
    pass->scratch_serial = device->scratch_serial;
    return device->backend->pass_compile(pass, err);
}

bool pass_end(struct pass *pass, struct tinct_err *err)
{
    if (!pass) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a pass");
    if (pass_failed(pass)) {
        if (err) *err = pass->err;
        return false;
    }
    if (pass->ended) return true;
    for (uint32_t i = 0; i < pass->call_count; i++)
        pass->calls[i].d.params = pass->calls[i].params;     /* the array has stopped moving */
    pass->ended = compile(pass, err);
    return pass->ended;
}

bool pass_start(struct pass *pass, struct tinct_err *err)
{
    if (!pass || !pass->ended) return tinct_fail(err, TINCT_ERR_INTERNAL, "a pass is run before it was recorded");
    bool moved = pass->scratch_peak && pass->scratch_serial != pass->device->scratch_serial;
    return (!moved || compile(pass, err)) && pass->device->backend->pass_start(pass, err);
}

bool pass_run(struct pass *pass, struct tinct_err *err)
{
    if (!pass_start(pass, err)) return false;
    struct device *device = pass->device;
    bool times = device->keep_times && device->backend->pass_times;
    return device_wait(device, device->started, err) && (!times || device->backend->pass_times(pass, err));
}

void pass_free(struct pass *pass)
{
    if (!pass) return;
    if (pass->compiled) pass->device->backend->pass_free(pass);
    free(pass->calls);
    free(pass);
}

uint32_t pass_dispatches(const struct pass *pass)
{
    return pass ? pass->call_count : 0;
}

static uint64_t bytes_moved(const struct dispatch *d)
{
    uint64_t bytes = 0;
    for (int i = 0; i < DISPATCH_READS; i++) bytes += d->reads[i].size;
    for (int i = 0; i < DISPATCH_WRITES; i++) bytes += d->writes[i].size;
    return bytes;
}

bool pass_time(const struct pass *pass, uint32_t index, struct dispatch_time *time)
{
    if (!pass || index >= pass->call_count || !pass->device->keep_times) return false;
    const struct call *call = &pass->calls[index];
    *time = (struct dispatch_time) { call->label, call->d.kernel, call->ms, call->d.flops, bytes_moved(&call->d) };
    return true;
}
