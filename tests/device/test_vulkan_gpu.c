/* What GPUs run, compiled by a GPU's own compiler on a machine without one: Mesa's AMD driver makes a device of no
 * hardware where RADV_FORCE_FAMILY is set, and prints what it made of each shader. A kernel that spills registers is
 * several times slower; nothing else here would tell. What each took once is in golden/vulkan/<family>.txt, made by
 *
 *     TINCT_TEST_RECORD=tests/golden/vulkan build/tests/device-vulkan_gpu
 *
 * and holds for the driver that its first line names: there, no shader may take more. Any other driver only must compile
 * all without spills. The matrix core needs a driver that knows KHR's matrices, which Debian 12's is too old for;
 * VK_ICD_FILENAMES names another. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attention.h"
#include "check.h"
#include "device/vulkan/vk.h"
#include "gemm.h"
#include "group_norm.h"
#include "layer_norm.h"
#include "lora_merge.h"
#include "mix.h"
#include "temporary.h"

enum { NO_DRIVER = 77, NO_MATRICES = 78, MOST_SHADERS = 200 };

/* A logical device with what pipelines need, nothing more: memory does not exist here. Not closed: its driver crashes. */
static int open_nothing(struct vulkan *v, bool matrix)
{
    const struct device_options quiet = { 0 };
    VkPhysicalDevice gpus[VK_MAX_DEVICES];
    const float priority = 1;
    struct vk_matrix_features features;
    VkPhysicalDevice16BitStorageFeatures half = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES, .storageBuffer16BitAccess = VK_TRUE };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &half, .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &(VkDeviceQueueCreateInfo) {
            .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority },
    };

    if (!vk_instance_open(&v->instance, &quiet, false, NULL)) return NO_DRIVER;
    int count = vk_usable_devices(&v->instance, gpus, VK_MAX_DEVICES);
    for (int i = 0; i < count && !v->gpu; i++) {
        vk_describe(&v->instance, gpus[i], &v->base.info);
        if (strstr(v->base.info.name, "RADV NAVI")) v->gpu = gpus[i];
    }
    if (!v->gpu) return NO_DRIVER;
    v->core = matrix ? CORE_MATRIX : CORE_TILE;
    v->fault_kind = -1;
    v->limits.invocations = 1024;
    v->limits.shared_bytes = 65536;      /* so do all of AMD's */
    if (matrix) {
        vk_matrix_find(v);
        if (v->matrix.form != MATRIX_KHR) return NO_MATRICES;
        v->matrix.units = 96;            /* a device of no hardware has none: those of a large one */
        vk_matrix_features(v, &features);
        half.pNext = &features.half;
        info.enabledExtensionCount = features.extension_count;
        info.ppEnabledExtensionNames = features.extensions;
    }
    if (v->instance.CreateDevice(v->gpu, &info, NULL, &v->device) != VK_SUCCESS) return NO_DRIVER;
#define LOAD(name) v->name = (PFN_vk##name)v->instance.GetDeviceProcAddr(v->device, "vk" #name);
    VK_DEVICE_FUNCTIONS(LOAD)
#undef LOAD
    return 0;
}

static void compile_plan(struct vulkan *v, const struct vk_plan *plan)
{
    struct tinct_err err = { 0 };

    fprintf(stderr, "Module: %s", plan->module);
    for (uint32_t i = 0; i < plan->constant_count; i++) fprintf(stderr, " %u", plan->constants[i]);
    fprintf(stderr, "\n");
    if (!vk_pipeline_get(v, plan, &err)) fprintf(stderr, "Failed: %s\n", err.text);
}

static void compile(struct vulkan *v, const char *kernel, const char *variant, const void *params)
{
    struct dispatch d = { .kernel = kernel, .variant = variant, .params = params, .rows = 4096 };
    struct vk_plan plan;

    for (int texel = 0; texel <= 1; texel++) {
        vk_plan(v, &d, texel, &plan);
        compile_plan(v, &plan);
    }
}

static void compile_gemms(struct vulkan *v, const char *variant)
{
    static const uint acts[] = { ACT_NONE, ACT_QUICK_GELU, ACT_GEGLU };
    struct gemm_params p = { .cols = 320, .k = 2880, .c1 = 320, .x1_stride = 320, .stride = 1, .upsample = 1, .out_h = 1 };

    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        for (uint kernel = 1; kernel <= 3; kernel += 2)
            for (p.rows = 128; p.rows <= 8192; p.rows *= 8) {
                p.kernel_h = p.kernel_w = kernel;
                p.act = acts[i];
                p.out_w = p.rows / 2;
                compile(v, "gemm", variant, &p);
            }
    for (p.rows = 128; p.rows <= 8192; p.rows *= 64) {
        p = (struct gemm_params) { .rows = p.rows, .cols = 960, .k = 320, .c1 = 320, .x1_stride = 320, .kernel_h = 1,
                                   .kernel_w = 1, .stride = 1, .upsample = 1, .out_h = 1, .out_w = p.rows / 2, .flags = GEMM_NORM };
        compile(v, "gemm", variant, &p);
    }
    p = (struct gemm_params) { .rows = 8192, .cols = 320, .k = 3520, .c1 = 320, .c2 = 320, .c3 = 320, .x1_stride = 320,
                               .x2_stride = 320, .x3_stride = 320, .kernel_h = 3, .kernel_w = 3, .stride = 1, .upsample = 1,
                               .out_h = 64, .out_w = 64 };
    compile(v, "gemm", variant, &p);
    p = (struct gemm_params) { .rows = 8192, .cols = 320, .k = 2880, .c1 = 320, .x1_stride = 320, .kernel_h = 3, .kernel_w = 3,
                               .stride = 1, .upsample = 2, .out_h = 64, .out_w = 64, .flags = GEMM_PHASES };
    compile(v, "gemm", variant, &p);
}

static void compile_attention(struct vulkan *v, const char *variant)
{
    static const uint heads[] = { 40, 64, 80, 160, 512 };

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (uint made = 0; made <= (heads[i] <= ATTENTION_WIDEST_MADE ? 1 : 0); made++)
            compile(v, "attention", variant, &(struct attention_params) {
                .images = 2, .heads = 8, .head_dim = heads[i], .copies = 1, .q_rows = 4096, .k_rows = 4096,
                .inputs = made * 8 * heads[i] });
}

static void compile_matrix(struct vulkan *v)
{
    compile_gemms(v, "f16");
    compile_attention(v, "f16");
}

static void compile_all(struct vulkan *v, const char *variant)
{
    struct group_norm_params norm = { 2, 4096, 320, 0, 320, 0, 320, 32, 16, ACT_SILU, 1e-5f };

    compile_gemms(v, variant);
    compile_attention(v, variant);
    compile(v, "group_norm_stats", variant, &norm);
    compile(v, "group_norm_apply", variant, &norm);
    compile(v, "group_norm_whole", variant, &norm);
    norm.pixels = 256, norm.c1 = 1280;
    compile(v, "group_norm_whole", variant, &norm);
    compile(v, "layer_norm", variant, &(struct layer_norm_params) { 4096, 320, 1e-5f });
}

static void compile_tile(struct vulkan *v)
{
    compile_all(v, "f32");
    compile_all(v, "f16");
    compile(v, "group_norm_finish", "f32", &(struct group_norm_params) { .images = 2, .groups = 32 });
    compile(v, "lora_merge", "f32", &(struct lora_merge_params) { 2880, 2880, 32, MERGE_HALF });
    compile(v, "mix", "f32", &(struct mix_params) { 8, 10, 8, 16384, 16384, 16384, 16384, 0 });
    for (uint flags = 0; flags <= MIX_Y_FLOAT; flags++)
        compile(v, "mix", "f16", &(struct mix_params) { 8, 10, 8, 16384, 16384, 16384, 16384, flags });
}

static int compile_in_a_child(const char *output, const char *family, bool matrix)
{
    static struct vulkan v;
    VkPhysicalDeviceDriverProperties driver = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES };
    VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver };

    setenv("RADV_FORCE_FAMILY", family, 1);
    setenv("RADV_DEBUG", "shaderstats,nocache", 1);
    if (!freopen(output, "w", stderr)) return 1;
    int none = open_nothing(&v, matrix);
    if (none) return none;
    v.instance.GetPhysicalDeviceProperties2(v.gpu, &p);
    fprintf(stderr, "Driver: %s\n", driver.driverInfo);
    if (matrix) compile_matrix(&v);
    else compile_tile(&v);
    fflush(stderr);
    return 0;
}

/* ---- what the driver made of them ----------------------------------------------------- */

struct shader {
    char name[120];                      /* its module and constants */
    unsigned vgprs, sgprs, spilled;
};

struct record {
    char driver[120];
    struct shader shaders[MOST_SHADERS];
    int count;
};

static void strip(char *line)
{
    line[strcspn(line, "\n")] = '\0';
}

/* The driver's statistics follow the line of their module. */
static int read_statistics(const char *path, struct record *r)
{
    char line[300], name[sizeof r->shaders->name] = "";
    int failures = 0;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        struct shader *s = &r->shaders[r->count ? r->count - 1 : 0];
        unsigned n;
        strip(line);
        if (!strncmp(line, "Driver: ", 8)) snprintf(r->driver, sizeof r->driver, "%.*s", (int)sizeof r->driver - 1, line + 8);
        if (!strncmp(line, "Module: ", 8)) snprintf(name, sizeof name, "%.*s", (int)sizeof name - 1, line + 8);
        if (!strncmp(line, "Failed", 6)) {
            print_error("%s: %s\n", name, line);
            failures++;
        }
        if (strstr(line, "*** SHADER STATS ***") && r->count < MOST_SHADERS)
            memcpy(r->shaders[r->count++].name, name, sizeof name);
        if (sscanf(line, "VGPR%*[sS]: %u", &n) == 1) s->vgprs = n;
        if (sscanf(line, "SGPR%*[sS]: %u", &n) == 1) s->sgprs = n;
        if (sscanf(line, "Spilled %*[SV]GPRs: %u", &n) == 1) s->spilled += n;
    }
    fclose(f);
    return failures;
}

static const struct shader *find_shader(const struct record *r, const char *name)
{
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->shaders[i].name, name)) return &r->shaders[i];
    return NULL;
}

static bool read_record(const char *path, struct record *r)
{
    char line[300];
    FILE *f = fopen(path, "r");

    if (!f) return false;
    if (fgets(r->driver, sizeof r->driver, f)) strip(r->driver);
    while (r->count < MOST_SHADERS && fgets(line, sizeof line, f)) {
        struct shader *s = &r->shaders[r->count];
        if (sscanf(line, "%u %u %119[^\n]", &s->vgprs, &s->sgprs, s->name) == 3) r->count++;
    }
    fclose(f);
    return true;
}

static void write_record(const char *path, const struct record *r)
{
    FILE *f = fopen(path, "w");

    if (!f) fail_msg("%s cannot be written", path);
    fprintf(f, "%s\n# VGPRs, SGPRs, module and constants; none spills\n", r->driver);
    for (int i = 0; i < r->count; i++)
        fprintf(f, "%u %u %s\n", r->shaders[i].vgprs, r->shaders[i].sgprs, r->shaders[i].name);
    fclose(f);
}

static int count_worse(const struct record *now, const struct record *then)
{
    int worse = 0;

    for (int i = 0; i < now->count; i++) {
        const struct shader *s = &now->shaders[i], *was = find_shader(then, s->name);
        if (was && s->vgprs <= was->vgprs && s->sgprs <= was->sgprs) continue;
        print_error("%s: %u VGPRs, %u SGPRs; %s %u, %u\n", s->name, s->vgprs, s->sgprs,
                    was ? "recorded are" : "it is not recorded;", was ? was->vgprs : 0, was ? was->sgprs : 0);
        worse++;
    }
    return worse;
}

static char driver_here[sizeof ((struct record *)0)->driver];     /* "Mesa 22.3.6" */

static void check_family(const char *family, bool matrix, int least)
{
    static struct record now, then;
    const char *output = temporary_path("stats"), *record = getenv("TINCT_TEST_RECORD");
    char path[600];
    int status = 0, spilling = 0;
    pid_t child = fork();

    if (child == 0) _exit(compile_in_a_child(output, family, matrix));
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_DRIVER || WEXITSTATUS(status) == NO_MATRICES) {
        print_message("skipped: %s\n", WEXITSTATUS(status) == NO_DRIVER
                      ? "no AMD driver (mesa-vulkan-drivers) to compile with" : "its AMD driver offers no matrices of KHR");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);

    now = then = (struct record) { .count = 0 };
    assert_int_equal(read_statistics(output, &now), 0);
    for (int i = 0; i < now.count; i++)
        if (now.shaders[i].spilled) {
            print_error("%s: %u registers spilled\n", now.shaders[i].name, now.shaders[i].spilled);
            spilling++;
        }
    memcpy(driver_here, now.driver, sizeof driver_here);
    print_message("# %s: %d shaders compiled by %s\n", family, now.count, now.driver);
    assert_true(now.count >= least);
    assert_int_equal(spilling, 0);

    snprintf(path, sizeof path, "%s/%s.txt", record ? record : TESTS_DIR "/golden/vulkan", family);
    if (record) write_record(path, &now);
    if (!read_record(path, &then)) fail_msg("%s cannot be read", path);
    if (strcmp(then.driver, now.driver)) print_message("# counts of %s are not compared\n", then.driver);
    else assert_int_equal(count_worse(&now, &then), 0);
}

static void tile_compiles_as_recorded(void **state)
{
    (void)state;
    check_family("navi21", false, 60);
}

static void matrix_compiles_as_recorded(void **state)
{
    unsigned major = 0, minor = 0;

    (void)state;
    sscanf(driver_here, "Mesa %u.%u", &major, &minor);
    if (major * 100 + minor < 2303) {        /* older ones crash on this family */
        print_message("skipped: VK_KHR_cooperative_matrix wants an AMD driver of Mesa 23.3 or newer; here is %s\n",
                      *driver_here ? driver_here : "none");
        skip();
    }
    check_family("navi31", true, 35);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tile_compiles_as_recorded),
        cmocka_unit_test(matrix_compiles_as_recorded),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
