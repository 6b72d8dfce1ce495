/* What GPUs run, compiled by a GPU's own compiler on a machine without one: Mesa's AMD driver makes a device of no
 * hardware where RADV_FORCE_FAMILY is set, and prints what it made of each shader. A kernel that spills registers is
 * several times slower; nothing else here would tell. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attention.h"
#include "check.h"
#include "device/vulkan/vk.h"
#include "gemm.h"
#include "group_norm.h"
#include "layer_norm.h"
#include "temporary.h"

enum { NO_DRIVER = 77 };

/* A logical device with what pipelines need, nothing more: memory does not exist here. Not closed: its driver crashes. */
static bool open_nothing(struct vulkan *v)
{
    const struct device_options quiet = { 0 };
    VkPhysicalDevice gpus[VK_MAX_DEVICES];
    const float priority = 1;
    VkPhysicalDevice16BitStorageFeatures half = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES, .storageBuffer16BitAccess = VK_TRUE };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &half, .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &(VkDeviceQueueCreateInfo) {
            .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority },
    };

    if (!vk_instance_open(&v->instance, &quiet, false, NULL)) return false;
    int count = vk_usable_devices(&v->instance, gpus, VK_MAX_DEVICES);
    for (int i = 0; i < count && !v->gpu; i++) {
        vk_describe(&v->instance, gpus[i], &v->base.info);
        if (strstr(v->base.info.name, "RADV NAVI")) v->gpu = gpus[i];
    }
    if (!v->gpu || v->instance.CreateDevice(v->gpu, &info, NULL, &v->device) != VK_SUCCESS) return false;
#define LOAD(name) v->name = (PFN_vk##name)v->instance.GetDeviceProcAddr(v->device, "vk" #name);
    VK_DEVICE_FUNCTIONS(LOAD)
#undef LOAD
    v->core = CORE_TILE;
    v->fault_kind = -1;
    v->limits.invocations = 1024;
    return true;
}

static void compile(struct vulkan *v, const char *kernel, const char *variant, const void *params)
{
    struct dispatch d = { .kernel = kernel, .variant = variant, .params = params, .rows = 4096 };
    struct tinct_err err = { 0 };
    struct vk_plan plan;

    for (int texel = 0; texel <= 1; texel++) {
        vk_plan(v, &d, texel, &plan);
        fprintf(stderr, "Module: %s", plan.module);
        for (uint32_t i = 0; i < plan.constant_count; i++) fprintf(stderr, " %u", plan.constants[i]);
        fprintf(stderr, "\n");
        if (!vk_pipeline_get(v, &plan, &err)) fprintf(stderr, "Failed: %s\n", err.text);
    }
}

static void compile_all(struct vulkan *v, const char *variant)
{
    static const uint acts[] = { ACT_NONE, ACT_QUICK_GELU, ACT_GEGLU };
    static const uint heads[] = { 40, 64, 80, 160, 512 };
    struct group_norm_params norm = { 2, 4096, 320, 0, 320, 0, 320, 32, 16, ACT_SILU, 1e-5f };

    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        for (uint kernel = 1; kernel <= 3; kernel += 2)
            for (uint rows = 512; rows <= 8192; rows *= 16)
                compile(v, "gemm", variant, &(struct gemm_params) {
                    .rows = rows, .cols = 320, .k = 2880, .c1 = 320, .kernel_h = kernel, .kernel_w = kernel,
                    .stride = 1, .upsample = 1, .act = acts[i] });
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        compile(v, "attention", variant, &(struct attention_params) {
            .images = 2, .heads = 8, .head_dim = heads[i], .q_rows = 4096, .k_rows = 4096 });
    compile(v, "group_norm_stats", variant, &norm);
    compile(v, "group_norm_apply", variant, &norm);
    compile(v, "layer_norm", variant, &(struct layer_norm_params) { 4096, 320, 1e-5f });
}

static int compile_in_a_child(const char *output)
{
    static struct vulkan v;

    setenv("RADV_FORCE_FAMILY", "navi21", 1);
    setenv("RADV_DEBUG", "shaderstats,nocache", 1);
    if (!freopen(output, "w", stderr)) return 1;
    if (!open_nothing(&v)) return NO_DRIVER;
    compile_all(&v, "f32");
    compile_all(&v, "f16");
    compile(&v, "group_norm_finish", "f32", &(struct group_norm_params) { .images = 2, .groups = 32 });
    fflush(stderr);
    return 0;
}

static void nothing_spills(void **state)
{
    const char *output = temporary_path("stats");
    char line[300], module[300] = "";
    int status = 0, shaders = 0, bad = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) _exit(compile_in_a_child(output));
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_DRIVER) {
        print_message("skipped: no AMD driver (mesa-vulkan-drivers) to compile with\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);

    FILE *f = fopen(output, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned spilled;
        if (!strncmp(line, "Module: ", 8)) snprintf(module, sizeof module, "%s", line + 8);
        shaders += sscanf(line, "Spilled VGPRs: %u", &spilled) == 1;
        if ((sscanf(line, "Spilled %*[SV]GPRs: %u", &spilled) == 1 && spilled) || !strncmp(line, "Failed", 6)) {
            print_error("%s%s", module, line);
            bad++;
        }
    }
    fclose(f);
    print_message("# %d shaders compiled\n", shaders);
    assert_true(shaders >= 60);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_spills) };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
