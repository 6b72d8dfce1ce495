/* Recording a pass: every call becomes one dispatch or a few, with barriers where bytes are used again. */
#include "device/vulkan/vk.h"

#include <stdlib.h>
#include <string.h>

/* ---- hazards ---------------------------------------------------------------------------- */

struct range {
    const struct buffer *buffer;
    uint64_t begin, end;
};

enum { OPEN_RANGES = 128 };

struct hazards {                         /* what was touched since the last barrier */
    struct range reads[OPEN_RANGES], writes[OPEN_RANGES];
    uint32_t read_count, write_count;
};

static bool meets(const struct range *open, uint32_t count, const struct span *s)
{
    for (uint32_t i = 0; i < count; i++)
        if (open[i].buffer == s->buffer && open[i].begin < s->offset + s->size && s->offset < open[i].end) return true;
    return false;
}

/* Scratch memory is a stack and is reused at once, so two tensors that never meet in the model share bytes: a hazard
 * is two uses of the same bytes, whatever tensor they belong to. Tracked by tensor, pictures change from run to run. */
static bool needs_barrier(const struct hazards *h, const struct dispatch *d)
{
    if (h->read_count > OPEN_RANGES - DISPATCH_READS || h->write_count > OPEN_RANGES - DISPATCH_WRITES) return true;
    for (int i = 0; i < DISPATCH_READS; i++)
        if (d->reads[i].buffer && meets(h->writes, h->write_count, &d->reads[i])) return true;
    for (int i = 0; i < DISPATCH_WRITES; i++)
        if (d->writes[i].buffer && (meets(h->writes, h->write_count, &d->writes[i]) ||
                                    meets(h->reads, h->read_count, &d->writes[i])))
            return true;
    return false;
}

static void remember(struct hazards *h, const struct dispatch *d)
{
    for (int i = 0; i < DISPATCH_READS; i++)
        if (d->reads[i].buffer)
            h->reads[h->read_count++] = (struct range) { d->reads[i].buffer, d->reads[i].offset,
                                                         d->reads[i].offset + d->reads[i].size };
    for (int i = 0; i < DISPATCH_WRITES; i++)
        if (d->writes[i].buffer)
            h->writes[h->write_count++] = (struct range) { d->writes[i].buffer, d->writes[i].offset,
                                                           d->writes[i].offset + d->writes[i].size };
}

/* ---- windows of rows ----------------------------------------------------------------------- */

struct windows {                         /* a call is dispatched count times, for these many rows each */
    uint64_t rows;
    uint32_t count;
};

/* A submit takes at most this much work: desktop systems reset a GPU that is busy for seconds. */
static double piece_flops(const struct vulkan *v)
{
    return v->software ? 20e9 : 100e9;
}

/* Rows of the first write; 0: it is not laid out by rows. */
static uint64_t rows_of(const struct dispatch *d)
{
    const struct span *y = &d->writes[0];
    return y->row_bytes ? (y->size + y->row_bytes - 1) / y->row_bytes : 0;
}

/* Texel views for software drivers, and for what a storage buffer cannot span. */
static bool wants_texels(const struct vulkan *v, const struct dispatch *d)
{
    bool texels = v->core == CORE_SOFT;
    for (int i = 0; i < DISPATCH_READS; i++)
        texels |= d->reads[i].size > v->limits.storage_range - SPAN_ALIGN;
    return texels;
}

/* Cut into windows what a storage buffer cannot span, what would run too long, and what leaves too many partial sums. */
static bool find_windows(const struct vulkan *v, const struct dispatch *d, struct windows *w, struct tinct_err *err)
{
    struct vk_plan plan;
    const uint64_t align = 128, range = v->limits.storage_range - SPAN_ALIGN;
    uint64_t all = rows_of(d), rows = all;

    for (int i = 0; i < DISPATCH_WRITES; i++) {
        const struct span *s = &d->writes[i];
        if (!s->buffer || s->size <= range) continue;
        if (!s->row_bytes || s->row_bytes > range / align)
            return tinct_fail(err, TINCT_ERR_DEVICE,
                              "%s: %s writes %llu bytes, a storage buffer of this driver spans %llu", v->base.info.name,
                              d->kernel, (unsigned long long)s->size, (unsigned long long)range);
        if (range / s->row_bytes < rows) rows = range / s->row_bytes;
    }
    if (all && d->flops > piece_flops(v)) {
        uint64_t few = (uint64_t)((double)all * piece_flops(v) / d->flops);
        if (few < rows) rows = few > align ? few : align;
    }
    vk_plan(v, d, wants_texels(v, d), &plan);
    if (plan.split > 1 && rows > vk_split_rows(d, &plan)) rows = vk_split_rows(d, &plan);
    if (rows < all) rows = rows / align * align;            /* whole tiles: none is computed twice */
    *w = (struct windows) { rows, rows < all ? (uint32_t)((all + rows - 1) / rows) : 1 };
    return true;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

struct recorder {
    struct vulkan *v;
    struct vk_pass *p;
    struct hazards hazards;
    VkCommandBuffer commands;            /* the open piece's */
    double flops;                        /* in it */
    uint32_t view_room;
};

static const uint64_t texel = 16;        /* bytes of the widest */

static VkFormat texel_format(char operand, const char *variant)
{
    if (operand == OPERAND_WEIGHT) return VK_FORMAT_R32G32B32A32_UINT;
    return operand == OPERAND_ACTIVATION && !strcmp(variant, "f16") ? VK_FORMAT_R16G16B16A16_SFLOAT
                                                                    : VK_FORMAT_R32G32B32A32_SFLOAT;
}

/* Bindings begin where every driver lets them; the shader adds the rest. They end with a whole texel: a vector of three
 * floats is read as one of four. */
static VkDescriptorBufferInfo place(const struct vulkan *v, const struct span *s, uint32_t binding, uint32_t shifts[2])
{
    if (!s->buffer) return (VkDescriptorBufferInfo) { v->nothing->handle, 0, SPAN_ALIGN };
    uint64_t begin = s->offset / v->limits.align * v->limits.align, skipped = s->offset - begin;
    shifts[binding / 8] |= (uint32_t)(skipped / 8) << (4 * (binding % 8));
    return (VkDescriptorBufferInfo) { vk_buffer_of(s->buffer)->handle, begin,
                                      (skipped + s->size + texel - 1) / texel * texel };
}

/* Where an operand can lie: a multiple of 8 bytes, at most 15 of them beyond what the driver allows. */
static bool offsets_are_fine(const struct vulkan *v, const struct dispatch *d, struct tinct_err *err)
{
    for (int i = 0; i < DISPATCH_READS + DISPATCH_WRITES; i++) {
        const struct span *s = i < DISPATCH_READS ? &d->reads[i] : &d->writes[i - DISPATCH_READS];
        if (s->buffer && (s->offset % 8 || s->offset % v->limits.align > 15 * 8))
            return tinct_fail(err, TINCT_ERR_DEVICE,
                              "%s: operand %d of %s begins at byte %llu; its driver wants multiples of %llu",
                              v->base.info.name, i, d->kernel, (unsigned long long)s->offset,
                              (unsigned long long)v->limits.align);
    }
    return true;
}

static VkBufferView make_view(struct recorder *r, const VkDescriptorBufferInfo *at, VkFormat format,
                              const char *kernel, struct tinct_err *err)
{
    struct vulkan *v = r->v;
    uint64_t bytes = format == VK_FORMAT_R16G16B16A16_SFLOAT ? 8 : 16;
    VkBufferViewCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO, .buffer = at->buffer,
                                    .format = format, .offset = at->offset, .range = at->range };
    VkBufferView view;

    if (at->range / bytes > v->limits.texels) {
        tinct_fail(err, TINCT_ERR_DEVICE, "%s: %s reads %llu bytes, a texel buffer of this driver spans %llu",
                   v->base.info.name, kernel, (unsigned long long)at->range,
                   (unsigned long long)(v->limits.texels * bytes));
        return VK_NULL_HANDLE;
    }
    if (!vk_ok(v, VK_TRY(v, FAULT_VIEW, v->CreateBufferView(v->device, &info, NULL, &view)), "making a view", err))
        return VK_NULL_HANDLE;
    r->p->views[r->p->view_count++] = view;
    return view;
}

struct operands {                        /* of one call, where reads are the same for all its windows */
    VkDescriptorBufferInfo buffers[VK_MAX_BINDINGS];
    VkBufferView views[VK_MAX_BINDINGS];
    uint32_t reads, count, shifts[2];
};

static bool place_reads(struct recorder *r, const struct dispatch *d, const struct vk_plan *plan, struct operands *o,
                        struct tinct_err *err)
{
    *o = (struct operands) { .reads = (uint32_t)strlen(plan->reads) };
    o->count = o->reads + (uint32_t)strlen(plan->writes);
    for (uint32_t i = 0; i < o->reads; i++) {
        o->buffers[i] = place(r->v, &d->reads[i], i, o->shifts);
        if (!plan->texel) continue;
        o->views[i] = make_view(r, &o->buffers[i], texel_format(plan->reads[i], d->variant), d->kernel, err);
        if (!o->views[i]) return false;
    }
    return true;
}

/* The writes of rows [first, end); all of them where a write is not laid out by rows. An absent one is bound to another: a
 * buffer that many dispatches could write would order them. */
static void place_writes(const struct recorder *r, const struct dispatch *d, struct operands *o, uint64_t first,
                         uint64_t end)
{
    uint32_t unused[2] = { 0 };

    for (uint32_t i = o->reads; i < o->count; i++) {
        o->shifts[i / 8] &= ~(15u << (4 * (i % 8)));
        struct span s = d->writes[i - o->reads];
        if (!s.buffer) {
            s = d->writes[i == o->reads];
            o->buffers[i] = place(r->v, &s, i, unused);
            continue;
        }
        uint64_t whole = s.offset + s.size, rest = s.offset + end * s.row_bytes;
        if (s.row_bytes) {
            s.offset += first * s.row_bytes;
            s.size = (rest < whole ? rest : whole) - s.offset;
        }
        o->buffers[i] = place(r->v, &s, i, o->shifts);
    }
}

static VkDescriptorSet make_set(struct recorder *r, const struct vk_pipeline *pipeline, const struct vk_plan *plan,
                                const struct operands *o, struct tinct_err *err)
{
    struct vulkan *v = r->v;
    VkWriteDescriptorSet writes[VK_MAX_BINDINGS];
    VkDescriptorSet set;
    VkDescriptorSetAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                         .descriptorPool = r->p->descriptors, .descriptorSetCount = 1,
                                         .pSetLayouts = &pipeline->set };

    if (!vk_ok(v, VK_TRY(v, FAULT_RECORD, v->AllocateDescriptorSets(v->device, &info, &set)),
               "taking a descriptor set", err))
        return VK_NULL_HANDLE;
    for (uint32_t i = 0; i < o->count; i++)
        writes[i] = (VkWriteDescriptorSet) {
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = set, .dstBinding = i, .descriptorCount = 1,
            .descriptorType = plan->texel && i < o->reads ? VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER
                                                          : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pTexelBufferView = &o->views[i], .pBufferInfo = &o->buffers[i] };
    v->UpdateDescriptorSets(v->device, o->count, writes, 0, NULL);
    return set;
}

/* ---- recording --------------------------------------------------------------------------------- */

static void barrier(struct recorder *r, VkPipelineStageFlags from, VkAccessFlags wrote, VkPipelineStageFlags to,
                    VkAccessFlags use)
{
    VkMemoryBarrier b = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = wrote, .dstAccessMask = use };
    r->v->CmdPipelineBarrier(r->commands, from, to, 0, 1, &b, 0, NULL, 0, NULL);
}

static void barrier_between(struct recorder *r)
{
    barrier(r, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    r->hazards.read_count = r->hazards.write_count = 0;
}

static bool piece_begin(struct recorder *r, struct tinct_err *err)
{
    struct vulkan *v = r->v;
    struct vk_pass *p = r->p;
    VkCommandBufferAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                         .commandPool = p->pool, .commandBufferCount = 1 };
    VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                       .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT };    /* started again before it is done */
    VkCommandBuffer *pieces = realloc(p->pieces, (p->piece_count + 1) * sizeof *pieces);

    if (!pieces) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to record a pass");
    p->pieces = pieces;
    if (!vk_ok(v, VK_TRY(v, FAULT_RECORD, v->AllocateCommandBuffers(v->device, &info, &pieces[p->piece_count])),
               "making a command buffer", err))
        return false;
    r->commands = pieces[p->piece_count++];
    if (!vk_ok(v, VK_TRY(v, FAULT_RECORD, v->BeginCommandBuffer(r->commands, &begin)), "recording", err)) return false;
    r->flops = 0;
    r->hazards.read_count = r->hazards.write_count = 0;
    barrier(r, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_ACCESS_MEMORY_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    return true;
}

static bool piece_end(struct recorder *r, struct tinct_err *err)
{
    barrier(r, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
            VK_ACCESS_HOST_READ_BIT);
    return vk_ok(r->v, VK_TRY(r->v, FAULT_RECORD, r->v->EndCommandBuffer(r->commands)), "recording", err);
}

static bool piece_if_full(struct recorder *r, double flops, struct tinct_err *err)
{
    if (r->flops > 0 && r->flops + flops > piece_flops(r->v) && (!piece_end(r, err) || !piece_begin(r, err)))
        return false;
    r->flops += flops;
    return true;
}

static void dispatch(struct recorder *r, const struct vk_pipeline *pipeline, const struct dispatch *d,
                     const struct vk_head *head, VkDescriptorSet set)
{
    struct vulkan *v = r->v;
    unsigned char push[VK_PUSH_BYTES] = { 0 };
    uint32_t y = (head->groups + v->limits.groups - 1) / v->limits.groups;

    memcpy(push, head, sizeof *head);
    memcpy(push + sizeof *head, d->params, d->params_size);
    v->CmdBindPipeline(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->handle);
    v->CmdBindDescriptorSets(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->layout, 0, 1, &set, 0, NULL);
    v->CmdPushConstants(r->commands, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof push, push);
    v->CmdDispatch(r->commands, (head->groups + y - 1) / y, y, 1);
}

static void timestamp(struct recorder *r, uint32_t query)
{
    if (r->p->queries) r->v->CmdWriteTimestamp(r->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, r->p->queries, query);
}

/* Software drivers end all loops of an invocation after 65535 rounds together, in silence. */
static bool is_feasible(const struct vulkan *v, const struct dispatch *d, const struct vk_plan *plan,
                        struct tinct_err *err)
{
    if (v->software && plan->rounds > 65000)
        return tinct_fail(err, TINCT_ERR_DEVICE, "%s: %s of this size takes %llu rounds of a loop, its driver does "
                          "65535; the cpu device has no such limit", v->base.info.name, d->kernel,
                          (unsigned long long)plan->rounds);
    if (plan->groups > (uint64_t)v->limits.groups * v->limits.groups)
        return tinct_fail(err, TINCT_ERR_DEVICE, "%s: %s of this size takes %llu workgroups", v->base.info.name,
                          d->kernel, (unsigned long long)plan->groups);
    return true;
}

/* The matrix core's last operand. Where nothing is split it is y once more: a buffer that all such dispatches could write
 * would order them. */
static void place_partials(const struct vulkan *v, const struct vk_plan *plan, struct operands *o)
{
    if (plan->split > 1) o->buffers[o->count - 1] = (VkDescriptorBufferInfo) {
        v->partials->handle, 0, VK_COUNT_BYTES + VK_PARTIAL_BYTES };
    else o->buffers[o->count - 1] = o->buffers[o->count - 2];
}

static bool make_partials(struct vulkan *v, struct tinct_err *err)
{
    static const unsigned char none[VK_COUNT_BYTES];

    if (v->partials) return true;
    struct buffer *b = vk_buffer_create(&v->base, VK_COUNT_BYTES + VK_PARTIAL_BYTES, err);
    if (b && !vk_buffer_write(b, 0, none, sizeof none, err)) {
        vk_buffer_free(b);
        b = NULL;
    }
    v->partials = b ? vk_buffer_of(b) : NULL;
    return b != NULL;
}

static bool record_call(struct recorder *r, struct pass *pass, uint32_t index, const struct windows *w,
                        struct tinct_err *err)
{
    const struct dispatch *d = &pass->calls[index].d;
    struct operands o;
    struct vk_plan plan;

    vk_plan(r->v, d, wants_texels(r->v, d), &plan);
    const struct vk_pipeline *pipeline = vk_pipeline_get(r->v, &plan, err);
    bool split = plan.split > 1;
    if (!pipeline || !is_feasible(r->v, d, &plan, err) || !offsets_are_fine(r->v, d, err) ||
        !place_reads(r, d, &plan, &o, err) || (split && !make_partials(r->v, err)))
        return false;
    if (needs_barrier(&r->hazards, d) || r->p->queries || split) barrier_between(r);     /* all splits share their partials */
    timestamp(r, 2 * index);
    for (uint32_t i = 0; i < w->count; i++) {
        uint64_t first = i * w->rows, end = i + 1 < w->count ? first + w->rows : UINT32_MAX;
        if (!piece_if_full(r, d->flops / w->count, err)) return false;
        if (i > 0) barrier_between(r);   /* a window of y, and all of x: y may be x */
        place_writes(r, d, &o, first, end);
        if (plan.split) place_partials(r->v, &plan, &o);
        VkDescriptorSet set = make_set(r, pipeline, &plan, &o, err);
        if (!set) return false;
        struct vk_head head = { (uint32_t)plan.groups, (uint32_t)first, (uint32_t)end, { o.shifts[0], o.shifts[1] } };
        dispatch(r, pipeline, d, &head, set);
    }
    timestamp(r, 2 * index + 1);
    remember(&r->hazards, d);
    return true;
}

/* Pools that hold exactly what the pass needs. */
static bool make_pools(struct recorder *r, struct pass *pass, uint32_t sets, struct tinct_err *err)
{
    struct vulkan *v = r->v;
    struct vk_pass *p = r->p;
    uint32_t queries = pass->device->keep_times && v->limits.timestamp_ns > 0 ? 2 * pass->call_count : 0;
    VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                     .queueFamilyIndex = v->family };
    VkDescriptorPoolSize sizes[] = { { VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, sets * VK_MAX_BINDINGS },
                                     { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, sets * VK_MAX_BINDINGS } };
    VkDescriptorPoolCreateInfo descriptors = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                               .maxSets = sets, .poolSizeCount = 2, .pPoolSizes = sizes };
    VkQueryPoolCreateInfo times = { .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                    .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = queries };

    p->views = calloc((size_t)pass->call_count * DISPATCH_READS, sizeof *p->views);
    if (!p->views) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to record a pass");
    return vk_ok(v, VK_TRY(v, FAULT_RECORD, v->CreateCommandPool(v->device, &pool, NULL, &p->pool)),
                 "making a command pool", err) &&
           vk_ok(v, VK_TRY(v, FAULT_RECORD, v->CreateDescriptorPool(v->device, &descriptors, NULL, &p->descriptors)),
                 "making a descriptor pool", err) &&
           (!queries || vk_ok(v, VK_TRY(v, FAULT_RECORD, v->CreateQueryPool(v->device, &times, NULL, &p->queries)),
                              "making a query pool", err));
}

static bool record(struct recorder *r, struct pass *pass, const struct windows *windows, struct tinct_err *err)
{
    if (!piece_begin(r, err)) return false;
    if (r->p->queries) r->v->CmdResetQueryPool(r->commands, r->p->queries, 0, 2 * pass->call_count);
    for (uint32_t i = 0; i < pass->call_count; i++)
        if (!record_call(r, pass, i, &windows[i], err)) return false;
    return piece_end(r, err);
}

bool vk_pass_compile(struct pass *pass, struct tinct_err *err)
{
    struct recorder r = { .v = vulkan_of(pass->device), .p = calloc(1, sizeof(struct vk_pass)) };
    struct windows *windows = calloc(pass->call_count + 1, sizeof *windows);
    uint32_t sets = 1;
    bool ok = r.p && windows;

    pass->compiled = r.p;
    if (!ok) tinct_fail(err, TINCT_ERR_MEMORY, "no memory to record a pass");
    for (uint32_t i = 0; ok && i < pass->call_count; i++) {
        ok = find_windows(r.v, &pass->calls[i].d, &windows[i], err);
        sets += windows[i].count;
    }
    ok = ok && make_pools(&r, pass, sets, err) && record(&r, pass, windows, err);
    free(windows);
    if (!ok && r.p) {
        vk_pass_free(pass);
        pass->compiled = NULL;
    }
    return ok;
}

void vk_pass_free(struct pass *pass)
{
    struct vulkan *v = vulkan_of(pass->device);
    struct vk_pass *p = pass->compiled;

    vk_settle(v);
    if (p->queries) v->DestroyQueryPool(v->device, p->queries, NULL);
    if (p->pool) v->DestroyCommandPool(v->device, p->pool, NULL);
    if (p->descriptors) v->DestroyDescriptorPool(v->device, p->descriptors, NULL);
    for (uint32_t i = 0; i < p->view_count; i++) v->DestroyBufferView(v->device, p->views[i], NULL);
    free(p->views);
    free(p->pieces);
    free(p);
}
