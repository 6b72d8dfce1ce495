#include "device/vulkan/vk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- pipelines ---------------------------------------------------------------------------- */

static const struct vk_module *find_module(const char *name)
{
    for (size_t i = 0; i < vk_module_count; i++)
        if (!strcmp(vk_modules[i].name, name)) return &vk_modules[i];
    return NULL;
}

/* Bindings: reads in order from 0, then writes. */
static bool make_layouts(struct vulkan *v, const struct vk_plan *plan, struct vk_pipeline *p, struct tinct_err *err)
{
    VkDescriptorSetLayoutBinding bindings[VK_MAX_BINDINGS];
    uint32_t reads = (uint32_t)strlen(plan->reads), count = reads + (uint32_t)strlen(plan->writes);

    for (uint32_t i = 0; i < count; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding) {
            .binding = i, .descriptorCount = 1, .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
            .descriptorType = plan->texel && i < reads ? VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER
                                                       : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER };
    VkDescriptorSetLayoutCreateInfo set = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                            .bindingCount = count, .pBindings = bindings };
    if (!vk_ok(v, VK_TRY(v, FAULT_PIPELINE, v->CreateDescriptorSetLayout(v->device, &set, NULL, &p->set)),
               "making a descriptor layout", err))
        return false;
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &p->set,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &(VkPushConstantRange) { VK_SHADER_STAGE_COMPUTE_BIT, 0, VK_PUSH_BYTES },
    };
    return vk_ok(v, VK_TRY(v, FAULT_PIPELINE, v->CreatePipelineLayout(v->device, &layout, NULL, &p->layout)),
                 "making a pipeline layout", err);
}

static bool make_pipeline(struct vulkan *v, const struct vk_plan *plan, const struct vk_module *module,
                          struct vk_pipeline *p, struct tinct_err *err)
{
    VkSpecializationMapEntry entries[VK_MAX_CONSTANTS];
    VkShaderModule shader;
    VkShaderModuleCreateInfo code = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                      .codeSize = module->bytes, .pCode = module->words };

    if (!vk_ok(v, VK_TRY(v, FAULT_PIPELINE, v->CreateShaderModule(v->device, &code, NULL, &shader)), module->name, err))
        return false;
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo lanes = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = plan->lanes };
    for (uint32_t i = 0; i < plan->constant_count; i++) entries[i] = (VkSpecializationMapEntry) { i, 4 * i, 4 };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = p->layout,
        .stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                   .pNext = plan->lanes ? &lanes : NULL,
                   .flags = plan->lanes ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                   .module = shader, .pName = "main",
                   .pSpecializationInfo = &(VkSpecializationInfo) { plan->constant_count, entries,
                                                                    4 * plan->constant_count, plan->constants } },
    };
    bool ok = vk_ok(v, VK_TRY(v, FAULT_PIPELINE,
                              v->CreateComputePipelines(v->device, v->cache, 1, &info, NULL, &p->handle)),
                    module->name, err);
    v->DestroyShaderModule(v->device, shader, NULL);
    return ok;
}

static void pipeline_free(struct vulkan *v, struct vk_pipeline *p)
{
    if (p->handle) v->DestroyPipeline(v->device, p->handle, NULL);
    if (p->layout) v->DestroyPipelineLayout(v->device, p->layout, NULL);
    if (p->set) v->DestroyDescriptorSetLayout(v->device, p->set, NULL);
    free(p);
}

const struct vk_pipeline *vk_pipeline_get(struct vulkan *v, const struct vk_plan *plan, struct tinct_err *err)
{
    for (struct vk_pipeline *p = v->pipelines; p; p = p->next)
        if (!strcmp(p->module, plan->module) && !memcmp(p->constants, plan->constants, sizeof p->constants)) return p;

    const struct vk_module *module = find_module(plan->module);
    struct vk_pipeline *p = calloc(1, sizeof *p);
    if (!module || !p) {
        tinct_fail(err, module ? TINCT_ERR_MEMORY : TINCT_ERR_INTERNAL, "no %s %s", module ? "memory for" : "module",
                   plan->module);
        free(p);
        return NULL;
    }
    snprintf(p->module, sizeof p->module, "%s", plan->module);
    memcpy(p->constants, plan->constants, sizeof p->constants);
    if (!make_layouts(v, plan, p, err) || !make_pipeline(v, plan, module, p, err)) {
        pipeline_free(v, p);
        return NULL;
    }
    p->next = v->pipelines;
    v->pipelines = p;
    v->cache_grew = true;
    return p;
}

/* ---- their cache on disk ---------------------------------------------------------------------- */

/* The driver checks its own header, not what follows: a damaged file must not reach it. */
struct cache_head {
    char magic[8];
    uint64_t bytes, hash;
};

static const char cache_magic[8] = "tinctvk";

static uint64_t hash_of(const unsigned char *data, size_t size)      /* FNV-1a */
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) h = (h ^ data[i]) * 0x100000001b3u;
    return h;
}

/* "<cache_dir>/vulkan-<the driver's UUID for its caches>.cache"; NULL without a folder. */
static char *cache_path(const struct vulkan *v, const char *dir)
{
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2 };
    size_t room = dir ? strlen(dir) + 64 : 0;
    char *path = dir ? malloc(room) : NULL;

    if (!path) return NULL;
    v->instance.GetPhysicalDeviceProperties2(v->gpu, &p);
    size_t used = (size_t)snprintf(path, room, "%s/vulkan-", dir);
    for (size_t i = 0; i < VK_UUID_SIZE; i++)
        used += (size_t)snprintf(path + used, room - used, "%02x", p.properties.pipelineCacheUUID[i]);
    snprintf(path + used, room - used, ".cache");
    return path;
}

/* What was kept, or NULL where there is none or it is damaged. */
static void *cache_read(const char *path, size_t *size)
{
    struct cache_head head;
    FILE *f = fopen(path, "rb");
    unsigned char *data = NULL;

    if (!f) return NULL;
    if (fread(&head, sizeof head, 1, f) == 1 && !memcmp(head.magic, cache_magic, sizeof cache_magic) &&
        head.bytes && head.bytes <= 256u << 20)
        data = malloc(head.bytes);
    if (data && (fread(data, 1, head.bytes, f) != head.bytes || hash_of(data, head.bytes) != head.hash)) {
        free(data);
        data = NULL;
    }
    fclose(f);
    if (data) *size = head.bytes;
    return data;
}

static bool write_all(const char *path, const struct cache_head *head, const void *data)
{
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    bool ok = fwrite(head, sizeof *head, 1, f) == 1 && fwrite(data, 1, head->bytes, f) == head->bytes &&
              fflush(f) == 0 && fsync(fileno(f)) == 0;
    return fclose(f) == 0 && ok;
}

/* A cache that cannot be written costs time, nothing else: told as a debug line. */
static void cache_write(struct vulkan *v)
{
    size_t size = 0, room = strlen(v->cache_path) + 32;
    struct cache_head head;
    void *data = NULL;
    char *temporary = malloc(room);

    if (temporary && v->GetPipelineCacheData(v->device, v->cache, &size, NULL) == VK_SUCCESS && size)
        data = malloc(size);
    if (data && v->GetPipelineCacheData(v->device, v->cache, &size, data) == VK_SUCCESS) {
        memcpy(head.magic, cache_magic, sizeof cache_magic);
        head.bytes = size;
        head.hash = hash_of(data, size);
        snprintf(temporary, room, "%s.tmp.%ld", v->cache_path, (long)getpid());
        if (!write_all(temporary, &head, data) || rename(temporary, v->cache_path) != 0) {
            device_log(&v->base, TINCT_LOG_DEBUG, "%s: the pipeline cache is not kept: %s", v->cache_path,
                       strerror(errno));
            unlink(temporary);
        }
    }
    free(data);
    free(temporary);
}

bool vk_pipelines_open(struct vulkan *v, const char *cache_dir, struct tinct_err *err)
{
    size_t size = 0;
    v->cache_path = cache_path(v, cache_dir);
    void *data = v->cache_path ? cache_read(v->cache_path, &size) : NULL;
    VkPipelineCacheCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                       .initialDataSize = size, .pInitialData = data };
    bool ok = vk_ok(v, VK_TRY(v, FAULT_PIPELINE, v->CreatePipelineCache(v->device, &info, NULL, &v->cache)),
                    "making the pipeline cache", err);
    free(data);
    return ok;
}

void vk_pipelines_close(struct vulkan *v)
{
    if (v->cache && v->cache_path && v->cache_grew && !v->lost) cache_write(v);
    while (v->pipelines) {
        struct vk_pipeline *p = v->pipelines;
        v->pipelines = p->next;
        pipeline_free(v, p);
    }
    if (v->cache) v->DestroyPipelineCache(v->device, v->cache, NULL);
    free(v->cache_path);
}
