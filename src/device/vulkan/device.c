#include "device/vulkan/vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void vulkan_close(struct device *device);

static uint64_t validation_messages(const struct device *device)
{
    struct vk_watch *watch = vulkan_of(device)->instance.watch;
    return watch ? atomic_load(&watch->messages) : 0;
}

static const struct backend vulkan_backend = {
    .close = vulkan_close,
    .memory_free = vk_memory_free,
    .max_buffer = vk_max_buffer,
    .validation_messages = validation_messages,
    .buffer_create = vk_buffer_create,
    .buffer_free = vk_buffer_free,
    .buffer_write = vk_buffer_write,
    .buffer_read = vk_buffer_read,
    .has_kernel = vk_has_kernel,
    .pass_compile = vk_pass_compile,
    .pass_start = vk_pass_start,
    .pass_times = vk_pass_times,
    .pass_free = vk_pass_free,
    .poll = vk_poll,
    .wait = vk_wait,
};

int vulkan_device_list(struct device_info *infos, int room)
{
    const struct device_options quiet = { 0 };
    VkPhysicalDevice gpus[VK_MAX_DEVICES];
    struct vk_instance instance;

    if (!vk_instance_open(&instance, &quiet, false, NULL)) return 0;
    int count = vk_usable_devices(&instance, gpus, room < VK_MAX_DEVICES ? room : VK_MAX_DEVICES);
    for (int i = 0; i < count; i++) vk_describe(&instance, gpus[i], &infos[i]);
    vk_instance_close(&instance);
    return count;
}

/* ---- opening ------------------------------------------------------------------ */

static void read_limits(struct vulkan *v, uint32_t timestamp_bits)
{
    VkPhysicalDeviceSubgroupProperties sub = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES };
    VkPhysicalDeviceMaintenance3Properties m3 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &sub };
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &m3 };

    v->instance.GetPhysicalDeviceProperties2(v->gpu, &p);
    const VkPhysicalDeviceLimits *l = &p.properties.limits;
    uint64_t align = l->minStorageBufferOffsetAlignment > l->minTexelBufferOffsetAlignment
                   ? l->minStorageBufferOffsetAlignment : l->minTexelBufferOffsetAlignment;
    const uint64_t signed_offsets = 0x7fffff00;            /* lavapipe's byte offsets are signed 32-bit */
    v->limits = (struct vk_limits) {
        .storage_range = l->maxStorageBufferRange,
        .texels = l->maxTexelBufferElements,
        .allocation = v->software && m3.maxMemoryAllocationSize > signed_offsets ? signed_offsets
                                                                                 : m3.maxMemoryAllocationSize,
        .align = align > 128 ? align : 128,
        .groups = l->maxComputeWorkGroupCount[0] < 65535 ? l->maxComputeWorkGroupCount[0] : 65535,
        .shared_bytes = l->maxComputeSharedMemorySize,
        .invocations = l->maxComputeWorkGroupInvocations,
        .subgroup = sub.subgroupSize,
        .shuffles = sub.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT,
        .timestamp_ns = timestamp_bits ? l->timestampPeriod : 0,
    };
}

static bool tile_fits(const struct vulkan *v, struct tinct_err *err)
{
    const uint32_t shared_bytes = 26112, invocations = 256;      /* attention_tile's */
    return (v->limits.shared_bytes >= shared_bytes && v->limits.invocations >= invocations) ||
           tinct_fail(err, TINCT_ERR_DEVICE, "%s has workgroups of %u with %u bytes of shared memory; %u with %u are "
                      "needed", v->base.info.name, v->limits.invocations, v->limits.shared_bytes, invocations,
                      shared_bytes);
}

/* Asked for by name: matrices done by hand will do, as they are what a software driver can test. */
static bool matrix_fits(const struct vulkan *v, struct tinct_err *err)
{
    if (v->matrix.form == MATRIX_NONE)
        return tinct_fail(err, TINCT_ERR_DEVICE, "TINCT_VULKAN=matrix: %s has no matrix units that its driver offers for fp16 "
                          "with fp32 sums; tile works", v->base.info.name);
    return v->base.stores_f16 ||
           tinct_fail(err, TINCT_ERR_DEVICE, "TINCT_VULKAN=matrix multiplies in fp16, and activations are f32 here; with "
                      "--precision fast or TINCT_ACT=f16 it works");
}

/* fp32 never goes through matrix units: their factors are fp16. */
static bool choose_core(struct vulkan *v, struct tinct_err *err)
{
    const char *forced = getenv("TINCT_VULKAN");
    uint32_t lanes = v->limits.subgroup;
    bool soft_fits = v->limits.shuffles && (lanes == 8 || lanes == 16), ok = true;

    vk_matrix_find(v);
    if (!forced || !*forced) {
        bool units = v->matrix.form > MATRIX_PLAIN && v->base.stores_f16;
        v->core = v->software && soft_fits ? CORE_SOFT : units ? CORE_MATRIX : CORE_TILE;
    } else if (!strcmp(forced, "soft")) {
        v->core = CORE_SOFT;
        ok = soft_fits || tinct_fail(err, TINCT_ERR_DEVICE, "TINCT_VULKAN=soft wants subgroups of 8 or 16 lanes that "
                                     "shuffle, %s has %u; tile works", v->base.info.name, lanes);
    } else if (!strcmp(forced, "tile")) {
        v->core = CORE_TILE;
    } else if (!strcmp(forced, "matrix")) {
        v->core = CORE_MATRIX;
        ok = matrix_fits(v, err);
    } else {
        ok = tinct_fail(err, TINCT_ERR_ARG, "TINCT_VULKAN=%s is no core; there are soft, tile and matrix", forced);
    }
    if (v->core != CORE_MATRIX) v->matrix.form = MATRIX_NONE;
    v->base.joins_shortcuts = true;
    v->base.joins_norms = v->core != CORE_SOFT;        /* its workgroups take too few columns to find norms for each again */
    return ok && (v->core == CORE_SOFT || tile_fits(v, err));      /* the matrix core leaves much to tile */
}

/* f16 or f32 activations: by precision, or forced with TINCT_ACT. */
static bool choose_storage(struct vulkan *v, const struct device_options *options, struct tinct_err *err)
{
    const char *forced = getenv("TINCT_ACT");
    struct device *d = &v->base;

    d->no_winograd = options->no_winograd;
    d->fast = options->precision == TINCT_PRECISION_FAST ||
              (options->precision == TINCT_PRECISION_DEFAULT && !v->software);
    d->stores_f16 = d->fast && d->info.fast_f16;
    if (!forced || !*forced) return true;
    if (strcmp(forced, "f16") && strcmp(forced, "f32"))
        return tinct_fail(err, TINCT_ERR_ARG, "TINCT_ACT=%s is no storage type; there are f32 and f16", forced);
    d->stores_f16 = !strcmp(forced, "f16");
    if (d->stores_f16 && !d->info.fast_f16)
        return tinct_fail(err, TINCT_ERR_DEVICE, "TINCT_ACT=f16: %s cannot store 16-bit values; f32 works",
                          d->info.name);
    return true;
}

static bool logical_device(struct vulkan *v, struct tinct_err *err)
{
    const float priority = 1;
    VkPhysicalDevice16BitStorageFeatures half = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .storageBuffer16BitAccess = v->base.info.fast_f16,
    };
    const char *extensions[8] = { VK_EXT_MEMORY_BUDGET_EXTENSION_NAME };
    uint32_t extension_count = v->has_budget;
    struct vk_matrix_features matrix;
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &half,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &(VkDeviceQueueCreateInfo) {
            .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueFamilyIndex = v->family,
            .queueCount = 1, .pQueuePriorities = &priority },
        .ppEnabledExtensionNames = extensions,
    };
    if (v->matrix.form > MATRIX_PLAIN) {
        vk_matrix_features(v, &matrix);
        half.pNext = &matrix.half;
        for (uint32_t i = 0; i < matrix.extension_count; i++) extensions[extension_count++] = matrix.extensions[i];
    }
    info.enabledExtensionCount = extension_count;
    if (!vk_ok(v, VK_TRY(v, FAULT_DEVICE, v->instance.CreateDevice(v->gpu, &info, NULL, &v->device)),
               "opening the device", err))
        return false;
#define LOAD(function)                                                                                      \
    v->function = (PFN_vk##function)v->instance.GetDeviceProcAddr(v->device, "vk" #function);               \
    if (!v->function) return tinct_fail(err, TINCT_ERR_DEVICE, "%s: its driver lacks vk" #function, v->base.info.name);
    VK_DEVICE_FUNCTIONS(LOAD)
#undef LOAD
    v->GetDeviceQueue(v->device, v->family, 0, &v->queue);
    return true;
}

static bool pick(struct vulkan *v, int index, struct tinct_err *err)
{
    VkPhysicalDevice gpus[VK_MAX_DEVICES];
    uint32_t bits;
    int count = vk_usable_devices(&v->instance, gpus, VK_MAX_DEVICES);

    if (index < 0 || index >= count)
        return tinct_fail(err, TINCT_ERR_DEVICE, "Vulkan device %d is gone; there are %d", index, count);
    v->gpu = gpus[index];
    vk_describe(&v->instance, v->gpu, &v->base.info);
    v->software = v->base.info.kind == DEVICE_SOFTWARE;
    v->family = (uint32_t)vk_compute_family(&v->instance, v->gpu, &bits);
    v->has_budget = vk_has_extension(v, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    read_limits(v, bits);
    return true;
}

static void tell_choice(struct vulkan *v)
{
    static const char *const cores[] = { "soft", "tile", "matrix" };
    static const char *const forms[] = { "", " by hand", " of NV", "" };
    size_t used = strlen(v->base.info.detail);
    snprintf(v->base.info.detail + used, sizeof v->base.info.detail - used, ", %s core%s, %s", cores[v->core],
             forms[v->matrix.form], v->base.stores_f16 ? "f16" : "f32");
}

struct device *vulkan_device_open(const struct device_options *options, int index, struct tinct_err *err)
{
    const char *wish = getenv("TINCT_VALIDATION");
    bool validation = options->validation || (wish && *wish && strcmp(wish, "0"));
    struct vulkan *v = calloc(1, sizeof *v);

    if (!v) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a device");
        return NULL;
    }
    v->base.backend = &vulkan_backend;
    v->base.log = options->log;
    v->base.log_user = options->log_user;
    vk_fault_arm(v, getenv("TINCT_VULKAN_FAULT"));
    if (!vk_instance_open(&v->instance, options, validation, err) || !pick(v, index, err) ||
        !choose_storage(v, options, err) || !choose_core(v, err) || !logical_device(v, err) ||
        !vk_fences_open(v, err) || !vk_memory_open(v, err) || !vk_pipelines_open(v, options->cache_dir, err)) {
        vulkan_close(&v->base);
        return NULL;
    }
    tell_choice(v);
    return &v->base;
}

static void vulkan_close(struct device *device)
{
    struct vulkan *v = vulkan_of(device);

    if (v->DestroyDevice) {              /* the last function that is needed; all are there or none is used */
        if (v->DeviceWaitIdle) v->DeviceWaitIdle(v->device);
        vk_pipelines_close(v);
        vk_memory_close(v);
        vk_fences_close(v);
        v->DestroyDevice(v->device, NULL);
    }
    vk_instance_close(&v->instance);
    free(v);
}
