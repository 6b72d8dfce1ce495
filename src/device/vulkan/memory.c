#include "device/vulkan/vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Buffers are cut out of few large allocations: drivers allow some thousand at most, and each is slow. */
struct vk_block {
    VkDeviceMemory memory;
    uint64_t bytes;
    unsigned char *map;                  /* NULL where the host cannot see it */
    struct vk_buffer *first;
    struct vk_block *next;
};

static const uint64_t block_bytes = 64u << 20;
static const double mib = 1024.0 * 1024.0;

/* ---- which memory ---------------------------------------------------------------- */

static VkPhysicalDeviceMemoryProperties memory_properties(const struct vulkan *v,
                                                          VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget)
{
    VkPhysicalDeviceMemoryProperties2 m = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                            .pNext = budget };
    v->instance.GetPhysicalDeviceMemoryProperties2(v->gpu, &m);
    return m.memoryProperties;
}

/* First allowed type with all of want, in the largest such heap; -1: none. */
static int find_type(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed, VkMemoryPropertyFlags want)
{
    int best = -1;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++)
        if (allowed & 1u << i && (m->memoryTypes[i].propertyFlags & want) == want &&
            (best < 0 || m->memoryHeaps[m->memoryTypes[i].heapIndex].size >
                         m->memoryHeaps[m->memoryTypes[best].heapIndex].size))
            best = (int)i;
    return best;
}

/* Buffers are mapped where the whole of the device's memory can be (integrated, software, full resizable BAR). */
static bool choose_types(struct vulkan *v, uint32_t allowed, struct tinct_err *err)
{
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkMemoryPropertyFlags cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    VkPhysicalDeviceMemoryProperties m = memory_properties(v, NULL);
    int device = find_type(&m, allowed, local), shared = find_type(&m, allowed, local | host | cached);
    int staging = find_type(&m, allowed, host | cached);

    if (shared < 0) shared = find_type(&m, allowed, local | host);
    if (staging < 0) staging = find_type(&m, allowed, host);
    if (device < 0 || staging < 0)
        return tinct_fail(err, TINCT_ERR_DEVICE, "%s offers no memory for buffers", v->base.info.name);
    v->mapped = shared >= 0 && m.memoryTypes[shared].heapIndex == m.memoryTypes[device].heapIndex &&
                !getenv("TINCT_VULKAN_STAGING");
    v->memory_type = (uint32_t)(v->mapped ? shared : device);
    v->staging_type = (uint32_t)staging;
    v->cached = v->mapped && m.memoryTypes[shared].propertyFlags & cached;
    return true;
}

static uint64_t system_memory_free(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");

    if (!f) return UINT64_MAX;
    while (fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu", &kib) != 1) { }
    fclose(f);
    return kib * 1024;
}

uint64_t vk_memory_free(struct device *device)
{
    const struct vulkan *v = vulkan_of(device);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT };

    if (v->software) return system_memory_free();       /* lavapipe's heap size is fiction */
    VkPhysicalDeviceMemoryProperties m = memory_properties(v, v->has_budget ? &budget : NULL);
    uint32_t heap = m.memoryTypes[v->memory_type].heapIndex;
    uint64_t used = 0, all = v->has_budget ? budget.heapBudget[heap] : m.memoryHeaps[heap].size;
    if (v->has_budget) used = budget.heapUsage[heap];
    else
        for (const struct vk_block *b = v->blocks; b; b = b->next) used += b->bytes;
    return all > used ? all - used : 0;
}

uint64_t vk_max_buffer(struct device *device)
{
    return vulkan_of(device)->limits.allocation;
}

/* ---- blocks -------------------------------------------------------------------------- */

static struct vk_block *block_create(struct vulkan *v, uint64_t bytes, uint32_t type, bool map, struct tinct_err *err)
{
    struct vk_block *b = calloc(1, sizeof *b);
    void *host = NULL;

    if (!b) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a block");
        return NULL;
    }
    VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = bytes,
                                  .memoryTypeIndex = type };
    VkResult r = VK_TRY(v, FAULT_MEMORY, v->AllocateMemory(v->device, &info, NULL, &b->memory));
    if (r == VK_SUCCESS && map) {
        r = VK_TRY(v, FAULT_MEMORY, v->MapMemory(v->device, b->memory, 0, VK_WHOLE_SIZE, 0, &host));
        if (r != VK_SUCCESS) v->FreeMemory(v->device, b->memory, NULL);
    }
    if (r != VK_SUCCESS) {
        char doing[64];
        snprintf(doing, sizeof doing, "allocating %.0f MiB", (double)bytes / mib);
        vk_ok(v, r, doing, err);
        free(b);
        return NULL;
    }
    b->bytes = bytes;
    b->map = host;
    return b;
}

/* Put the buffer into the block's first gap that takes it. */
static bool block_take(struct vk_block *block, struct vk_buffer *buffer, uint64_t bytes, uint64_t align)
{
    struct vk_buffer **link = &block->first;
    uint64_t at = 0;

    while (*link && (*link)->at < at + bytes) {
        at = ((*link)->at + (*link)->bytes + align - 1) / align * align;
        link = &(*link)->next;
    }
    if (at > block->bytes || bytes > block->bytes - at) return false;
    buffer->block = block;
    buffer->at = at;
    buffer->bytes = bytes;
    buffer->next = *link;
    *link = buffer;
    return true;
}

/* Find room in a block, or make one: of the usual size, or of the buffer's own where that is large. */
static bool find_room(struct vulkan *v, struct vk_buffer *buffer, const VkMemoryRequirements *need,
                      struct tinct_err *err)
{
    uint64_t align = need->alignment > SPAN_ALIGN ? need->alignment : SPAN_ALIGN;
    bool large = need->size > block_bytes / 2;

    for (struct vk_block *b = v->blocks; b && !large; b = b->next)
        if (block_take(b, buffer, need->size, align)) return true;
    struct vk_block *b = block_create(v, large ? need->size : block_bytes, v->memory_type, v->mapped, err);
    if (!b) return false;
    b->next = v->blocks;
    v->blocks = b;
    return block_take(b, buffer, need->size, align);
}

static void block_free(struct vulkan *v, struct vk_block *block)
{
    struct vk_block **link = &v->blocks;

    while (*link && *link != block) link = &(*link)->next;
    if (*link) *link = block->next;
    v->FreeMemory(v->device, block->memory, NULL);      /* unmaps it too */
    free(block);
}

/* ---- buffers --------------------------------------------------------------------------- */

static bool create_handle(struct vulkan *v, struct vk_buffer *b, uint64_t size, struct tinct_err *err)
{
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
    };
    return vk_ok(v, VK_TRY(v, FAULT_BUFFER, v->CreateBuffer(v->device, &info, NULL, &b->handle)),
                 "making a buffer", err);
}

static bool bind(struct vulkan *v, struct vk_buffer *b, struct tinct_err *err)
{
    if (!vk_ok(v, VK_TRY(v, FAULT_MEMORY, v->BindBufferMemory(v->device, b->handle, b->block->memory, b->at)),
               "binding a buffer", err))
        return false;
    if (b->block->map) b->base.map = b->block->map + b->at;
    return true;
}

static VkCommandBuffer transfer_begin(struct vulkan *v, struct tinct_err *err);
static bool transfer_start(struct vulkan *v, struct tinct_err *err);

static bool fill_with_zeros(struct vulkan *v, struct vk_buffer *b, struct tinct_err *err)
{
    if (b->base.map) {
        memset(b->base.map, 0, b->base.size);
        return true;
    }
    VkCommandBuffer commands = transfer_begin(v, err);
    if (!commands) return false;
    v->CmdFillBuffer(commands, b->handle, 0, VK_WHOLE_SIZE, 0);
    return transfer_start(v, err);
}

struct buffer *vk_buffer_create(struct device *device, uint64_t size, struct tinct_err *err)
{
    struct vulkan *v = vulkan_of(device);
    VkMemoryRequirements need;

    if (size > v->limits.allocation) {
        tinct_fail(err, TINCT_ERR_MEMORY,
                   "%s: a buffer of %.0f MiB is more than the %.0f MiB that its driver allows in one",
                   device->info.name, (double)size / mib, (double)v->limits.allocation / mib);
        return NULL;
    }
    struct vk_buffer *b = calloc(1, sizeof *b);
    if (!b) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a buffer");
        return NULL;
    }
    b->base.device = device;
    b->base.size = size;
    /* Whole texels: a vector of 3 floats is read as one of 4. */
    if (!create_handle(v, b, (size + SPAN_ALIGN - 1) / SPAN_ALIGN * SPAN_ALIGN, err)) goto fail;
    v->GetBufferMemoryRequirements(v->device, b->handle, &need);
    if (!find_room(v, b, &need, err) || !bind(v, b, err) || !fill_with_zeros(v, b, err)) goto fail;
    return &b->base;
fail:
    vk_buffer_free(&b->base);
    return NULL;
}

void vk_buffer_free(struct buffer *buffer)
{
    if (!buffer) return;
    struct vk_buffer *b = vk_buffer_of(buffer);
    struct vulkan *v = vulkan_of(buffer->device);

    vk_settle(v);
    if (b->handle) v->DestroyBuffer(v->device, b->handle, NULL);
    if (b->block) {
        struct vk_buffer **link = &b->block->first;
        while (*link != b) link = &(*link)->next;
        *link = b->next;
        if (!b->block->first) block_free(v, b->block);
    }
    free(b);
}

/* ---- reading and writing from the host ------------------------------------------------------ */

/* The commands of a copy behind everything that was started. NULL on failure. */
static VkCommandBuffer transfer_begin(struct vulkan *v, struct tinct_err *err)
{
    struct vk_transfer *t = &v->transfers[v->transfer_next];
    VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                       .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT };
    VkMemoryBarrier earlier = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT };

    if (!vk_wait(&v->base, t->serial, err) ||
        !vk_ok(v, VK_TRY(v, FAULT_RECORD, v->BeginCommandBuffer(t->commands, &begin)), "recording a copy", err))
        return VK_NULL_HANDLE;
    v->CmdPipelineBarrier(t->commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1,
                          &earlier, 0, NULL, 0, NULL);
    return t->commands;
}

static bool transfer_start(struct vulkan *v, struct tinct_err *err)
{
    struct vk_transfer *t = &v->transfers[v->transfer_next];
    VkMemoryBarrier later = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                              .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT, .dstAccessMask = VK_ACCESS_HOST_READ_BIT };

    v->CmdPipelineBarrier(t->commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &later, 0,
                          NULL, 0, NULL);
    if (!vk_ok(v, VK_TRY(v, FAULT_RECORD, v->EndCommandBuffer(t->commands)), "recording a copy", err) ||
        !vk_submit(v, t->commands, err))
        return false;
    t->serial = v->base.started;
    v->transfer_next = (v->transfer_next + 1) % VK_TRANSFERS;
    return true;
}

/* Where buffers are mapped, only what is written while the device is at work goes through it. */
static uint64_t staging_bytes(const struct vulkan *v)
{
    return v->mapped ? 4u << 20 : 32u << 20;
}

static struct vk_buffer *staging_buffer(struct vulkan *v, struct tinct_err *err)
{
    VkMemoryRequirements need;

    if (v->staging) return v->staging;
    struct vk_buffer *b = calloc(1, sizeof *b);
    if (!b) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a buffer");
        return NULL;
    }
    b->base.device = &v->base;
    b->base.size = staging_bytes(v);
    if (!create_handle(v, b, b->base.size, err)) goto fail;
    v->GetBufferMemoryRequirements(v->device, b->handle, &need);
    struct vk_block *block = block_create(v, need.size, v->staging_type, true, err);
    if (!block) goto fail;
    block->next = v->blocks;
    v->blocks = block;
    block_take(block, b, need.size, 1);
    if (!bind(v, b, err)) goto fail;
    v->staging = b;
    return b;
fail:
    vk_buffer_free(&b->base);
    return NULL;
}

/* Room for up to *size bytes, which becomes what there is: half of the staging buffer, so that the other half is filled
 * while it is copied. Waits where copies under way want all of it. */
static unsigned char *staging_take(struct vulkan *v, uint64_t *size, uint64_t *at, struct tinct_err *err)
{
    struct vk_buffer *staging = staging_buffer(v, err);
    uint64_t half = staging_bytes(v) / 2;

    if (!staging) return NULL;
    if (*size > half) *size = half;
    if (v->staging_used + *size > staging_bytes(v) || device_is_done(&v->base, v->base.started)) {
        if (!vk_wait(&v->base, v->base.started, err)) return NULL;
        v->staging_used = 0;
    }
    *at = v->staging_used;
    v->staging_used += (*size + SPAN_ALIGN - 1) / SPAN_ALIGN * SPAN_ALIGN;
    return (unsigned char *)staging->base.map + *at;
}

static bool copy(struct vulkan *v, VkBuffer to, uint64_t to_at, VkBuffer from, uint64_t from_at, uint64_t size,
                 struct tinct_err *err)
{
    VkCommandBuffer commands = transfer_begin(v, err);

    if (!commands) return false;
    v->CmdCopyBuffer(commands, from, to, 1, &(VkBufferCopy) { from_at, to_at, size });
    return transfer_start(v, err);
}

bool vk_buffer_write(struct buffer *b, uint64_t offset, const void *data, uint64_t size, struct tinct_err *err)
{
    struct vulkan *v = vulkan_of(b->device);

    if (b->map && device_is_done(b->device, b->device->started)) {
        memcpy((unsigned char *)b->map + offset, data, size);
        return true;
    }
    for (uint64_t done = 0, n, at; done < size; done += n) {
        n = size - done;
        unsigned char *room = staging_take(v, &n, &at, err);
        if (!room) return false;
        memcpy(room, (const unsigned char *)data + done, n);
        if (!copy(v, vk_buffer_of(b)->handle, offset + done, v->staging->handle, at, n, err)) return false;
    }
    return true;
}

bool vk_buffer_read(struct buffer *b, uint64_t offset, void *data, uint64_t size, struct tinct_err *err)
{
    struct vulkan *v = vulkan_of(b->device);

    if (b->map && v->cached) {
        if (!vk_wait(b->device, b->device->started, err)) return false;
        memcpy(data, (const unsigned char *)b->map + offset, size);
        return true;
    }
    for (uint64_t done = 0, n, at; done < size; done += n) {
        n = size - done;
        unsigned char *room = staging_take(v, &n, &at, err);
        if (!room || !copy(v, v->staging->handle, at, vk_buffer_of(b)->handle, offset + done, n, err) ||
            !vk_wait(b->device, b->device->started, err))
            return false;
        memcpy((unsigned char *)data + done, room, n);
    }
    return true;
}

/* ---- opening and closing ------------------------------------------------------------------------ */

static bool transfer_open(struct vulkan *v, struct tinct_err *err)
{
    VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                     .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                     .queueFamilyIndex = v->family };
    VkCommandBuffer commands[VK_TRANSFERS];

    if (!vk_ok(v, VK_TRY(v, FAULT_RECORD, v->CreateCommandPool(v->device, &pool, NULL, &v->transfer_pool)),
               "making a command pool", err))
        return false;
    VkCommandBufferAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                         .commandPool = v->transfer_pool, .commandBufferCount = VK_TRANSFERS };
    if (!vk_ok(v, VK_TRY(v, FAULT_RECORD, v->AllocateCommandBuffers(v->device, &info, commands)),
               "making a command buffer", err))
        return false;
    for (int i = 0; i < VK_TRANSFERS; i++) v->transfers[i].commands = commands[i];
    return true;
}

/* What a buffer like ours may lie in is asked of a real one. */
bool vk_memory_open(struct vulkan *v, struct tinct_err *err)
{
    VkMemoryRequirements need;
    struct vk_buffer probe = { .base.device = &v->base };

    if (!create_handle(v, &probe, SPAN_ALIGN, err)) return false;
    v->GetBufferMemoryRequirements(v->device, probe.handle, &need);
    v->DestroyBuffer(v->device, probe.handle, NULL);
    if (!choose_types(v, need.memoryTypeBits, err) || !transfer_open(v, err)) return false;
    v->nothing = (struct vk_buffer *)vk_buffer_create(&v->base, SPAN_ALIGN, err);
    return v->nothing != NULL;
}

void vk_memory_close(struct vulkan *v)
{
    if (v->nothing) vk_buffer_free(&v->nothing->base);
    if (v->partials) vk_buffer_free(&v->partials->base);
    if (v->staging) vk_buffer_free(&v->staging->base);
    if (v->transfer_pool) v->DestroyCommandPool(v->device, v->transfer_pool, NULL);
}
