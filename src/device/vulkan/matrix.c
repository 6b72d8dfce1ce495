/* What a device offers for the matrix core: cooperative matrices of fp16 factors and fp32 sums, a subgroup's own. */
#include "device/vulkan/vk.h"

#include <stdlib.h>
#include <string.h>

/* VK_KHR_cooperative_matrix, which older headers lack. Source: the Vulkan registry. */
#define KHR_MATRIX_EXTENSION "VK_KHR_cooperative_matrix"
enum { KHR_MATRIX_FEATURES = 1000506000, KHR_MATRIX_PROPERTIES = 1000506001 };

struct khr_matrix_properties {
    VkStructureType sType;
    void *pNext;
    uint32_t m, n, k;
    int32_t a_type, b_type, c_type, result_type;
    VkBool32 saturates;
    int32_t scope;
};
typedef VkResult (VKAPI_PTR *khr_list_matrices)(VkPhysicalDevice gpu, uint32_t *count, struct khr_matrix_properties *list);

enum { TYPE_FLOAT16 = 0, TYPE_FLOAT32 = 1, SCOPE_SUBGROUP = 3, DEPTH = 16, MOST_SHAPES = 128 };   /* KHR's and NV's alike */
enum { VENDOR_INTEL = 0x8086 };

bool vk_has_extension(const struct vulkan *v, const char *name)
{
    uint32_t count = 0;
    bool found = false;

    v->instance.EnumerateDeviceExtensionProperties(v->gpu, NULL, &count, NULL);
    VkExtensionProperties *list = calloc(count ? count : 1, sizeof *list);
    if (list && v->instance.EnumerateDeviceExtensionProperties(v->gpu, NULL, &count, list) >= 0)
        for (uint32_t i = 0; i < count; i++) found |= !strcmp(list[i].extensionName, name);
    free(list);
    return found;
}

void vk_matrix_features(const struct vulkan *v, struct vk_matrix_features *f)
{
    bool khr = v->matrix.form == MATRIX_KHR;

    *f = (struct vk_matrix_features) {
        .half = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, .pNext = &f->model,
                  .shaderFloat16 = VK_TRUE },
        .model = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, .pNext = &f->lanes,
                   .vulkanMemoryModel = VK_TRUE },
        .lanes = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES, .pNext = &f->matrix,
                   .subgroupSizeControl = VK_TRUE, .computeFullSubgroups = VK_TRUE },
        .matrix = { .sType = khr ? (VkStructureType)KHR_MATRIX_FEATURES
                                 : VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV,
                    .cooperativeMatrix = VK_TRUE },
        .extensions = { khr ? KHR_MATRIX_EXTENSION : VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME,
                        VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME,
                        VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME },
        .extension_count = 4,
    };
}

static bool features_are_there(struct vulkan *v, enum vk_matrix_form form)
{
    struct vk_matrix_features f;

    v->matrix.form = form;
    vk_matrix_features(v, &f);
    for (uint32_t i = 0; i < f.extension_count; i++)
        if (!vk_has_extension(v, f.extensions[i])) return false;
    VkPhysicalDeviceFeatures2 all = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &f.half };
    v->instance.GetPhysicalDeviceFeatures2(v->gpu, &all);
    return f.half.shaderFloat16 && f.model.vulkanMemoryModel && f.lanes.subgroupSizeControl &&
           f.lanes.computeFullSubgroups && f.matrix.cooperativeMatrix;
}

/* 16 x 16 rather than 16 x 8 or 8 x 16: fewer loads a product. */
static void take_shape(struct vk_matrix *matrix, const struct khr_matrix_properties *p)
{
    bool fits = (p->m == 16 || p->m == 8) && (p->n == 16 || p->n == 8) && p->k == DEPTH && p->a_type == TYPE_FLOAT16 &&
                p->b_type == TYPE_FLOAT16 && p->c_type == TYPE_FLOAT32 && p->result_type == TYPE_FLOAT32 &&
                !p->saturates && p->scope == SCOPE_SUBGROUP;

    if (!fits || p->m * p->n <= matrix->m * matrix->n) return;
    matrix->m = p->m;
    matrix->n = p->n;
}

static void list_khr(struct vulkan *v)
{
    struct khr_matrix_properties shapes[MOST_SHAPES] = { 0 };
    uint32_t count = MOST_SHAPES;
    khr_list_matrices list = (khr_list_matrices)v->instance.GetInstanceProcAddr(
        v->instance.handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");

    for (int i = 0; i < MOST_SHAPES; i++) shapes[i].sType = (VkStructureType)KHR_MATRIX_PROPERTIES;
    if (!list || list(v->gpu, &count, shapes) < 0) return;
    for (uint32_t i = 0; i < count; i++) take_shape(&v->matrix, &shapes[i]);
}

static void list_nv(struct vulkan *v)
{
    VkCooperativeMatrixPropertiesNV shapes[MOST_SHAPES] = { 0 };
    uint32_t count = MOST_SHAPES;
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesNV list = (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesNV)
        v->instance.GetInstanceProcAddr(v->instance.handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesNV");

    for (int i = 0; i < MOST_SHAPES; i++) shapes[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_NV;
    if (!list || list(v->gpu, &count, shapes) < 0) return;
    for (uint32_t i = 0; i < count; i++)
        take_shape(&v->matrix, &(struct khr_matrix_properties) {
            .m = shapes[i].MSize, .n = shapes[i].NSize, .k = shapes[i].KSize, .a_type = (int32_t)shapes[i].AType,
            .b_type = (int32_t)shapes[i].BType, .c_type = (int32_t)shapes[i].CType,
            .result_type = (int32_t)shapes[i].DType, .scope = (int32_t)shapes[i].scope });
}

/* 32 lanes where the driver lets us choose: AMD's compilers spread a matrix over fewer registers then. Intel's units want
 * the size that the driver would take by itself. */
static void choose_lanes(struct vulkan *v)
{
    VkPhysicalDeviceSubgroupSizeControlProperties size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES };
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &size };

    v->instance.GetPhysicalDeviceProperties2(v->gpu, &p);
    bool free = p.properties.vendorID != VENDOR_INTEL && size.minSubgroupSize <= 32 && size.maxSubgroupSize >= 32;
    v->matrix.lanes = free ? 32 : v->limits.subgroup;
    v->matrix.force_lanes = size.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
}

static uint32_t count_units(const struct vulkan *v)
{
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nv = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV };
    VkPhysicalDeviceShaderCorePropertiesAMD amd = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD };
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2 };
    const uint32_t guess = 32;

    if (vk_has_extension(v, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) p.pNext = &nv;
    else if (vk_has_extension(v, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME)) p.pNext = &amd;
    else return guess;
    v->instance.GetPhysicalDeviceProperties2(v->gpu, &p);
    uint32_t units = nv.shaderSMCount +
                     amd.shaderEngineCount * amd.shaderArraysPerEngineCount * amd.computeUnitsPerShaderArray;
    return units ? units : guess;
}

void vk_matrix_find(struct vulkan *v)
{
    v->matrix = (struct vk_matrix) { 0 };
    if (features_are_there(v, MATRIX_KHR)) list_khr(v);
    if (!v->matrix.m && features_are_there(v, MATRIX_NV)) list_nv(v);
    v->matrix.form = v->matrix.m ? v->matrix.form : MATRIX_NONE;
    if (v->matrix.m) {
        choose_lanes(v);
        v->matrix.units = count_units(v);
    }
    uint32_t lanes = v->matrix.lanes;        /* each stages whole octets, and the last lane's are as many as the first's */
    if (lanes != 16 && lanes != 32 && lanes != 64) v->matrix.form = MATRIX_NONE;
    if (v->matrix.form == MATRIX_NONE && v->software)
        v->matrix = (struct vk_matrix) { .form = MATRIX_PLAIN, .m = 16, .n = 16, .lanes = 32, .units = 32 };
}
