/* What the files of the vulkan device share. Nothing outside this folder includes it.
 *
 *   instance.c   the loader, the instance, validation, what a physical device offers
 *   device.c     opening, closing, listing; the backend's table
 *   memory.c     blocks of device memory, buffers, staging
 *   matrix.c     what a GPU offers for multiplying matrices
 *   kernels.c    which module, constants and groups serve a dispatch
 *   pipeline.c   pipelines made on first use, their cache on disk
 *   pass.c       hazards, windows, recording      submit.c   running, waiting, times
 *   fault.c      failures on demand, for tests */
#ifndef TINCT_DEVICE_VULKAN_VK_H
#define TINCT_DEVICE_VULKAN_VK_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <stdatomic.h>

#include "device/backend.h"

#include "gemm.h"

/* ---- the loader's functions ---------------------------------------------- */

#define VK_INSTANCE_FUNCTIONS(X)                                                                            \
    X(DestroyInstance) X(EnumeratePhysicalDevices) X(EnumerateDeviceExtensionProperties) X(CreateDevice)     \
    X(GetPhysicalDeviceProperties2) X(GetPhysicalDeviceFeatures2) X(GetPhysicalDeviceMemoryProperties2)      \
    X(GetPhysicalDeviceQueueFamilyProperties) X(GetDeviceProcAddr)

#define VK_DEVICE_FUNCTIONS(X)                                                                              \
    X(DestroyDevice) X(DeviceWaitIdle) X(GetDeviceQueue) X(AllocateMemory) X(FreeMemory) X(MapMemory)        \
    X(CreateBuffer) X(DestroyBuffer) X(GetBufferMemoryRequirements) X(BindBufferMemory)                      \
    X(CreateBufferView) X(DestroyBufferView) X(CreateShaderModule) X(DestroyShaderModule)                    \
    X(CreateDescriptorSetLayout) X(DestroyDescriptorSetLayout) X(CreatePipelineLayout)                       \
    X(DestroyPipelineLayout) X(CreateComputePipelines) X(DestroyPipeline) X(CreatePipelineCache)             \
    X(DestroyPipelineCache) X(GetPipelineCacheData) X(CreateDescriptorPool) X(DestroyDescriptorPool)         \
    X(AllocateDescriptorSets) X(UpdateDescriptorSets) X(CreateCommandPool) X(DestroyCommandPool)             \
    X(AllocateCommandBuffers) X(BeginCommandBuffer) X(EndCommandBuffer) X(CmdBindPipeline)                   \
    X(CmdBindDescriptorSets) X(CmdPushConstants) X(CmdDispatch) X(CmdPipelineBarrier) X(CmdCopyBuffer)       \
    X(CmdFillBuffer) X(CmdResetQueryPool) X(CmdWriteTimestamp) X(CreateQueryPool) X(DestroyQueryPool)        \
    X(GetQueryPoolResults) X(CreateFence) X(DestroyFence) X(ResetFences) X(WaitForFences) X(QueueSubmit)\
    X(GetFenceStatus)

#define VK_MEMBER(name) PFN_vk##name name;

struct vk_watch {              /* what the validation layers' callback needs; does not move */
    atomic_ullong messages;
    void (*log)(void *user, enum tinct_log_level level, const char *line);
    void *log_user;
};

struct vk_instance {
    void *library;
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger;
    struct vk_watch *watch;    /* NULL without validation */
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
    VK_INSTANCE_FUNCTIONS(VK_MEMBER)
};

/* False, quietly but with a sentence in err, without a loader or a driver. */
bool vk_instance_open(struct vk_instance *instance, const struct device_options *options, bool validation,
                      struct tinct_err *err);
void vk_instance_close(struct vk_instance *instance);          /* accepts a half-opened one */

enum { VK_MAX_DEVICES = 16 };

/* Devices that tinct can use (Vulkan 1.1 and a queue that computes): discrete first, software last. */
int vk_usable_devices(const struct vk_instance *instance, VkPhysicalDevice *devices, int room);
/* Queue family that computes, or -1; bits: of its timestamps, may be NULL. */
int vk_compute_family(const struct vk_instance *instance, VkPhysicalDevice gpu, uint32_t *bits);
void vk_describe(const struct vk_instance *instance, VkPhysicalDevice gpu, struct device_info *info);

/* ---- the device ----------------------------------------------------------- */

enum vk_core { CORE_SOFT, CORE_TILE, CORE_MATRIX };

/* Cooperative matrices: none; done by hand (shaders/matrix.glsl), to test the matrix core without them; NV's; KHR's. */
enum vk_matrix_form { MATRIX_NONE, MATRIX_PLAIN, MATRIX_NV, MATRIX_KHR };

struct vk_matrix {
    enum vk_matrix_form form;
    uint32_t m, n;             /* rows and columns of a sum; its factors are fp16, 16 deep */
    uint32_t lanes;            /* of a subgroup of the matrix core's */
    bool force_lanes;          /* they are asked for with each pipeline */
    uint32_t units;            /* that share the work: compute units, or 32 where the driver does not say */
};

struct vk_limits {
    uint64_t storage_range;    /* bytes a storage buffer binding may span */
    uint64_t texels;           /* elements of a texel view */
    uint64_t allocation;       /* bytes of one allocation, and of one buffer */
    uint64_t align;            /* of a binding's first byte; at least 128, see struct vk_head's shifts */
    uint32_t groups;           /* of one dimension */
    uint32_t shared_bytes;
    uint32_t invocations;      /* of one workgroup */
    uint32_t subgroup;         /* lanes */
    bool shuffles;
    double timestamp_ns;       /* one tick; 0: the queue keeps no time */
};

enum vk_fault { FAULT_DEVICE, FAULT_MEMORY, FAULT_BUFFER, FAULT_VIEW, FAULT_PIPELINE, FAULT_RECORD, FAULT_SUBMIT,
                FAULT_WAIT, FAULT_KINDS };

enum { VK_IN_FLIGHT = 64, VK_TRANSFERS = 8 };

struct vk_transfer {                     /* a copy under way */
    VkCommandBuffer commands;
    uint64_t serial;                     /* of its submit */
};

struct vulkan {
    struct device base;                  /* started and done count submits */
    struct vk_instance instance;
    VK_DEVICE_FUNCTIONS(VK_MEMBER)
    VkPhysicalDevice gpu;
    VkDevice device;
    VkQueue queue;
    VkFence fences[VK_IN_FLIGHT];        /* submit n has number n % VK_IN_FLIGHT */
    uint32_t family;
    enum vk_core core;
    struct vk_matrix matrix;
    bool software;
    bool has_budget;                     /* VK_EXT_memory_budget */
    bool lost;                           /* a wait failed: only destruction is allowed */
    struct vk_limits limits;

    uint32_t memory_type;                /* of buffers */
    uint32_t staging_type;
    bool mapped;                         /* buffers have a host pointer */
    bool cached;                         /* and reading through it is quick */
    struct vk_block *blocks;
    struct vk_buffer *staging;           /* made when first needed */
    uint64_t staging_used;               /* bytes of it that copies under way may still want */
    struct vk_buffer *nothing;           /* what absent operands are bound to */
    struct vk_buffer *partials;          /* VK_COUNT_BYTES, VK_PARTIAL_BYTES: sums over slices of k; made when first needed */
    VkCommandPool transfer_pool;
    struct vk_transfer transfers[VK_TRANSFERS];
    uint32_t transfer_next;              /* the one to be used next, and so the oldest */

    struct vk_pipeline *pipelines;
    VkPipelineCache cache;
    char *cache_path;                    /* NULL: none is kept */
    bool cache_grew;

    int fault_kind;                      /* enum vk_fault or -1 */
    int fault_in;                        /* calls of that kind until one fails */
};

static inline struct vulkan *vulkan_of(const struct device *device)
{
    return (struct vulkan *)device;
}

/* ---- failures --------------------------------------------------------------- */

/* A call of this kind is to fail now: TINCT_VULKAN_FAULT=submit:3 makes the third one do so, once. */
bool vk_fault_now(struct vulkan *v, enum vk_fault kind);
VkResult vk_fault_result(enum vk_fault kind);
void vk_fault_arm(struct vulkan *v, const char *text);         /* NULL: none */
#define VK_TRY(v, kind, call) (vk_fault_now(v, kind) ? vk_fault_result(kind) : (call))

/* True for VK_SUCCESS; else "doing: reason", TINCT_ERR_MEMORY or TINCT_ERR_DEVICE, and a lost device is marked. */
bool vk_ok(struct vulkan *v, VkResult result, const char *doing, struct tinct_err *err);

/* ---- memory ------------------------------------------------------------------- */

struct vk_buffer {
    struct buffer base;
    VkBuffer handle;
    struct vk_block *block;
    uint64_t at, bytes;                  /* within the block */
    struct vk_buffer *next;              /* by place in the block */
};

static inline struct vk_buffer *vk_buffer_of(const struct buffer *buffer)
{
    return (struct vk_buffer *)buffer;
}

bool vk_memory_open(struct vulkan *v, struct tinct_err *err);
void vk_memory_close(struct vulkan *v);
uint64_t vk_memory_free(struct device *device);
uint64_t vk_max_buffer(struct device *device);
struct buffer *vk_buffer_create(struct device *device, uint64_t size, struct tinct_err *err);
void vk_buffer_free(struct buffer *buffer);
bool vk_buffer_write(struct buffer *b, uint64_t offset, const void *data, uint64_t size, struct tinct_err *err);
bool vk_buffer_read(struct buffer *b, uint64_t offset, void *data, uint64_t size, struct tinct_err *err);

/* ---- matrices ---------------------------------------------------------------------- */

/* Fills in v->matrix: what this device and its driver offer, MATRIX_NONE where it is not enough. */
void vk_matrix_find(struct vulkan *v);

/* What a device with v->matrix has to be opened with. */
struct vk_matrix_features {
    VkPhysicalDeviceShaderFloat16Int8Features half;
    VkPhysicalDeviceVulkanMemoryModelFeatures model;
    VkPhysicalDeviceSubgroupSizeControlFeatures lanes;
    VkPhysicalDeviceCooperativeMatrixFeaturesNV matrix;    /* or KHR's, which is laid out alike */
    const char *extensions[4];
    uint32_t extension_count;
};
void vk_matrix_features(const struct vulkan *v, struct vk_matrix_features *features);       /* chained from half on */
bool vk_has_extension(const struct vulkan *v, const char *name);

/* ---- kernels and pipelines -------------------------------------------------------- */

/* What stands in front of every kernel's own parameters (shaders/common.glsl). */
struct vk_head {
    uint32_t groups;                     /* there may be more, where they were folded: those return */
    uint32_t first_row, end_row;         /* only these rows of a write laid out by rows are bound and written */
    uint32_t shifts[2];                  /* binding i begins (shifts[i / 8] >> 4 (i % 8) & 15) * 8 bytes before its span */
};

enum { VK_PUSH_BYTES = 128, VK_MAX_BINDINGS = 11, VK_MAX_CONSTANTS = 13 };

/* What an operand's elements are: texel views have a format. */
enum { OPERAND_ACTIVATION = 'a', OPERAND_FLOAT = 'f', OPERAND_WEIGHT = 'w' };

struct vk_plan {                         /* how a dispatch is done */
    char module[48];                     /* "gemm_soft.f32.texel" */
    const char *reads, *writes;          /* one letter an operand */
    bool texel;                          /* reads through texel views */
    uint32_t constants[VK_MAX_CONSTANTS];
    uint32_t constant_count;
    uint32_t split;                      /* slices of k, whose sums lie in v->partials; 0: not the matrix core */
    uint32_t lanes;                      /* of a subgroup, forced; 0: the driver's choice */
    uint64_t groups;
    uint64_t rounds;                     /* of all loops of an invocation, exits counted: llvmpipe stops at 65535 */
};

bool vk_has_kernel(struct device *device, const char *kernel, const char *variant);
void vk_plan(const struct vulkan *v, const struct dispatch *d, bool texel, struct vk_plan *plan);

/* Rows of y that a gemm of plan->split slices may do at once: their sums, and counts of their tiles' workgroups, lie in
 * v->partials, the counts first. */
enum { VK_COUNT_BYTES = GEMM_SPLIT_TILES * 4, VK_PARTIAL_BYTES = 32 << 20 };
uint64_t vk_split_rows(const struct dispatch *d, const struct vk_plan *plan);

struct vk_module {                       /* embedded by the build, shaders/CMakeLists.txt */
    const char *name;
    const uint32_t *words;
    size_t bytes;
};
extern const struct vk_module vk_modules[];
extern const size_t vk_module_count;

struct vk_pipeline {
    struct vk_pipeline *next;
    char module[48];
    uint32_t constants[VK_MAX_CONSTANTS];
    VkDescriptorSetLayout set;
    VkPipelineLayout layout;
    VkPipeline handle;
};

/* The device's own; lives as long as it. NULL on failure. */
const struct vk_pipeline *vk_pipeline_get(struct vulkan *v, const struct vk_plan *plan, struct tinct_err *err);
bool vk_pipelines_open(struct vulkan *v, const char *cache_dir, struct tinct_err *err);
void vk_pipelines_close(struct vulkan *v);

/* ---- passes ------------------------------------------------------------------------ */

struct vk_pass {
    VkCommandPool pool;
    VkDescriptorPool descriptors;
    VkQueryPool queries;                 /* two a call, where times are kept */
    VkBufferView *views;
    uint32_t view_count, view_room;
    VkCommandBuffer *pieces;             /* one submit each */
    uint32_t piece_count;
};

bool vk_pass_compile(struct pass *pass, struct tinct_err *err);
bool vk_pass_start(struct pass *pass, struct tinct_err *err);
bool vk_pass_times(struct pass *pass, struct tinct_err *err);
void vk_pass_free(struct pass *pass);

/* Each submit adds one to base.started, and waits when VK_IN_FLIGHT are under way. They are done in their order; a wait for
 * one ends with the time limit, and the device is lost then. */
bool vk_fences_open(struct vulkan *v, struct tinct_err *err);
void vk_fences_close(struct vulkan *v);
bool vk_submit(struct vulkan *v, VkCommandBuffer commands, struct tinct_err *err);
bool vk_wait(struct device *device, uint64_t started, struct tinct_err *err);
void vk_poll(struct device *device);
void vk_settle(struct vulkan *v);        /* nothing is under way any more, whatever went wrong: before something is freed */

#endif
