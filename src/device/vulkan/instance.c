#include "device/vulkan/vk.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

/* A function pointer out of dlsym's void *, as POSIX wants it done. */
static PFN_vkGetInstanceProcAddr first_function(void *library)
{
    PFN_vkGetInstanceProcAddr f;
    void *symbol = dlsym(library, "vkGetInstanceProcAddr");
    memcpy(&f, &symbol, sizeof f);
    return f;
}

static bool loader_open(struct vk_instance *instance, struct tinct_err *err)
{
    instance->library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (instance->library) instance->GetInstanceProcAddr = first_function(instance->library);
    if (!instance->GetInstanceProcAddr)
        return tinct_fail(err, TINCT_ERR_DEVICE, "no Vulkan loader (libvulkan.so.1) on this machine");
    return true;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT type,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    struct vk_watch *watch = user;

    (void)severity, (void)type;
    atomic_fetch_add(&watch->messages, 1);
    if (watch->log) watch->log(watch->log_user, TINCT_LOG_ERROR, data->pMessage);
    return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(struct vk_watch *watch)
{
    return (VkDebugUtilsMessengerCreateInfoEXT) {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = watch,
    };
}

static bool layer_is_there(const struct vk_instance *instance)
{
    PFN_vkEnumerateInstanceLayerProperties list = (PFN_vkEnumerateInstanceLayerProperties)
        instance->GetInstanceProcAddr(NULL, "vkEnumerateInstanceLayerProperties");
    VkLayerProperties layers[64];
    uint32_t count = 64;

    if (!list || list(&count, layers) < 0) return false;
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(layers[i].layerName, validation_layer)) return true;
    return false;
}

static bool watch_open(struct vk_instance *instance, const struct device_options *options)
{
    if (!layer_is_there(instance)) {
        if (options->log)
            options->log(options->log_user, TINCT_LOG_WARN,
                         "validation was asked for, but VK_LAYER_KHRONOS_validation is not installed");
        return false;
    }
    instance->watch = calloc(1, sizeof *instance->watch);
    if (!instance->watch) return false;
    instance->watch->log = options->log;
    instance->watch->log_user = options->log_user;
    return true;
}

static VkResult instance_create(struct vk_instance *instance, bool validation)
{
    PFN_vkCreateInstance create =
        (PFN_vkCreateInstance)instance->GetInstanceProcAddr(NULL, "vkCreateInstance");
    const VkValidationFeatureEnableEXT also = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(instance->watch);
    const VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT, .pNext = &messenger,
        .enabledValidationFeatureCount = 1, .pEnabledValidationFeatures = &also,
    };
    const char *const layers[] = { validation_layer };
    const char *const extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME };

    return !create ? VK_ERROR_INITIALIZATION_FAILED : create(&(VkInstanceCreateInfo) {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validation ? &features : NULL,
        .pApplicationInfo = &(VkApplicationInfo) {
            .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "tinct",
            .apiVersion = VK_API_VERSION_1_1 },
        .enabledLayerCount = validation ? 1 : 0, .ppEnabledLayerNames = layers,
        .enabledExtensionCount = validation ? 1 : 0, .ppEnabledExtensionNames = extensions,
    }, NULL, &instance->handle);
}

static void messenger_open(struct vk_instance *instance)
{
    PFN_vkCreateDebugUtilsMessengerEXT create = (PFN_vkCreateDebugUtilsMessengerEXT)
        instance->GetInstanceProcAddr(instance->handle, "vkCreateDebugUtilsMessengerEXT");
    VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(instance->watch);

    if (create) create(instance->handle, &info, NULL, &instance->messenger);
}

static void messenger_close(struct vk_instance *instance)
{
    PFN_vkDestroyDebugUtilsMessengerEXT destroy = (PFN_vkDestroyDebugUtilsMessengerEXT)
        instance->GetInstanceProcAddr(instance->handle, "vkDestroyDebugUtilsMessengerEXT");

    if (destroy) destroy(instance->handle, instance->messenger, NULL);
}

bool vk_instance_open(struct vk_instance *instance, const struct device_options *options, bool validation,
                      struct tinct_err *err)
{
    *instance = (struct vk_instance) { 0 };
    if (!loader_open(instance, err)) goto fail;
    if (validation) validation = watch_open(instance, options);
    if (instance_create(instance, validation) != VK_SUCCESS) {
        instance->handle = VK_NULL_HANDLE;
        tinct_fail(err, TINCT_ERR_DEVICE, "no Vulkan driver on this machine");
        goto fail;
    }
#define LOAD(function)                                                                                      \
    instance->function = (PFN_vk##function)instance->GetInstanceProcAddr(instance->handle, "vk" #function); \
    if (!instance->function) {                                                                              \
        tinct_fail(err, TINCT_ERR_DEVICE, "the Vulkan loader is too old: it lacks vk" #function);           \
        goto fail;                                                                                          \
    }
    VK_INSTANCE_FUNCTIONS(LOAD)
#undef LOAD
    if (validation) messenger_open(instance);
    return true;
fail:
    vk_instance_close(instance);
    return false;
}

void vk_instance_close(struct vk_instance *instance)
{
    if (instance->messenger) messenger_close(instance);
    if (instance->handle && instance->DestroyInstance) instance->DestroyInstance(instance->handle, NULL);
    if (instance->library) dlclose(instance->library);
    free(instance->watch);
    *instance = (struct vk_instance) { 0 };
}

/* ---- physical devices ------------------------------------------------------- */

int vk_compute_family(const struct vk_instance *instance, VkPhysicalDevice gpu, uint32_t *bits)
{
    VkQueueFamilyProperties families[16];
    uint32_t count = 16;

    instance->GetPhysicalDeviceQueueFamilyProperties(gpu, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) {
            if (bits) *bits = families[i].timestampValidBits;
            return (int)i;
        }
    return -1;
}

static VkPhysicalDeviceProperties properties_of(const struct vk_instance *instance, VkPhysicalDevice gpu)
{
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2 };
    instance->GetPhysicalDeviceProperties2(gpu, &p);
    return p.properties;
}

static int preference(VkPhysicalDeviceType type)
{
    return type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ? 0 : type == VK_PHYSICAL_DEVICE_TYPE_CPU ? 2 : 1;
}

int vk_usable_devices(const struct vk_instance *instance, VkPhysicalDevice *devices, int room)
{
    VkPhysicalDevice all[VK_MAX_DEVICES];
    uint32_t count = VK_MAX_DEVICES;
    int usable = 0;

    if (instance->EnumeratePhysicalDevices(instance->handle, &count, all) < 0) return 0;
    for (int rank = 0; rank <= 2; rank++)
        for (uint32_t i = 0; i < count && usable < room; i++) {
            VkPhysicalDeviceProperties p = properties_of(instance, all[i]);
            if (preference(p.deviceType) == rank && p.apiVersion >= VK_API_VERSION_1_1 &&
                vk_compute_family(instance, all[i], NULL) >= 0)
                devices[usable++] = all[i];
        }
    return usable;
}

static uint64_t largest_local_heap(const struct vk_instance *instance, VkPhysicalDevice gpu)
{
    VkPhysicalDeviceMemoryProperties2 m = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2 };
    uint64_t largest = 0;

    instance->GetPhysicalDeviceMemoryProperties2(gpu, &m);
    for (uint32_t i = 0; i < m.memoryProperties.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &m.memoryProperties.memoryHeaps[i];
        if (heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && heap->size > largest) largest = heap->size;
    }
    return largest;
}

static bool stores_16_bits(const struct vk_instance *instance, VkPhysicalDevice gpu)
{
    VkPhysicalDevice16BitStorageFeatures half = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES };
    VkPhysicalDeviceFeatures2 f = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &half };

    instance->GetPhysicalDeviceFeatures2(gpu, &f);
    return half.storageBuffer16BitAccess;
}

static uint64_t system_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

void vk_describe(const struct vk_instance *instance, VkPhysicalDevice gpu, struct device_info *info)
{
    static const char *const kinds[] = { "other", "integrated", "discrete", "virtual", "software" };
    VkPhysicalDeviceProperties p = properties_of(instance, gpu);
    bool software = p.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;

    *info = (struct device_info) {
        .backend = "vulkan",
        .kind = software ? DEVICE_SOFTWARE : DEVICE_GPU,
        .fast_f16 = stores_16_bits(instance, gpu),
        .memory_bytes = software ? system_memory() : largest_local_heap(instance, gpu),   /* lavapipe says 2 GiB */
    };
    snprintf(info->name, sizeof info->name, "%s", p.deviceName);
    snprintf(info->detail, sizeof info->detail, "Vulkan %u.%u.%u, %s", VK_API_VERSION_MAJOR(p.apiVersion),
             VK_API_VERSION_MINOR(p.apiVersion), VK_API_VERSION_PATCH(p.apiVersion),
             p.deviceType <= VK_PHYSICAL_DEVICE_TYPE_CPU ? kinds[p.deviceType] : kinds[0]);
}
