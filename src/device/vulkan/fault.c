#include "device/vulkan/vk.h"

#include <stdlib.h>
#include <string.h>

static const char *const fault_names[FAULT_KINDS] = {
    [FAULT_DEVICE] = "device", [FAULT_MEMORY] = "memory", [FAULT_BUFFER] = "buffer", [FAULT_VIEW] = "view",
    [FAULT_PIPELINE] = "pipeline", [FAULT_RECORD] = "record", [FAULT_SUBMIT] = "submit", [FAULT_WAIT] = "wait",
};

void vk_fault_arm(struct vulkan *v, const char *text)
{
    v->fault_kind = -1;
    if (!text) return;
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    for (int i = 0; i < FAULT_KINDS; i++)
        if (strlen(fault_names[i]) == length && !strncmp(text, fault_names[i], length)) v->fault_kind = i;
    v->fault_in = colon ? atoi(colon + 1) : 1;
}

bool vk_fault_now(struct vulkan *v, enum vk_fault kind)
{
    return (int)kind == v->fault_kind && v->fault_in > 0 && --v->fault_in == 0;
}

VkResult vk_fault_result(enum vk_fault kind)
{
    return kind == FAULT_SUBMIT || kind == FAULT_WAIT || kind == FAULT_DEVICE ? VK_ERROR_DEVICE_LOST
                                                                             : VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

static const char *result_words(VkResult result)
{
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "out of device memory";
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL: return "out of descriptor memory";
    case VK_ERROR_TOO_MANY_OBJECTS: return "the driver allows no more allocations";
    case VK_ERROR_DEVICE_LOST: return "the device was lost (its driver reset it)";
    case VK_ERROR_INITIALIZATION_FAILED: return "the driver failed to start";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "the driver is too old";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "the driver lacks a feature";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "the driver lacks an extension";
    case VK_ERROR_INVALID_SHADER_NV: return "the driver refused a shader";
    default: return NULL;
    }
}

static bool is_memory(VkResult r)
{
    return r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_OUT_OF_DEVICE_MEMORY ||
           r == VK_ERROR_OUT_OF_POOL_MEMORY || r == VK_ERROR_FRAGMENTED_POOL || r == VK_ERROR_TOO_MANY_OBJECTS;
}

bool vk_ok(struct vulkan *v, VkResult result, const char *doing, struct tinct_err *err)
{
    if (result == VK_SUCCESS) return true;
    if (result == VK_ERROR_DEVICE_LOST) v->lost = true;
    enum tinct_code code = is_memory(result) ? TINCT_ERR_MEMORY : TINCT_ERR_DEVICE;
    const char *words = result_words(result);
    if (words) return tinct_fail(err, code, "%s: %s: %s", v->base.info.name, doing, words);
    return tinct_fail(err, code, "%s: %s: Vulkan error %d", v->base.info.name, doing, (int)result);
}
