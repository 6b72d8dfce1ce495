/* The kernel table: how each dispatch is done here. Constants are in the order of the shaders' constant_id. */
#include "device/vulkan/vk.h"

#include <stdio.h>
#include <string.h>

#include "attention.h"
#include "gemm.h"
#include "group_norm.h"
#include "lora_merge.h"

static uint32_t div_up(uint32_t n, uint32_t by)
{
    return (n + by - 1) / by;
}

static void constant(struct vk_plan *plan, uint32_t value)
{
    plan->constants[plan->constant_count++] = value;
}

/* One subgroup on software drivers, where larger workgroups only cost; else what fills a GPU. */
static uint32_t threads(const struct vulkan *v, uint32_t on_gpu)
{
    return v->core == CORE_SOFT ? v->limits.subgroup : on_gpu;
}

/* ---- gemm ------------------------------------------------------------------------------ */

static void gemm_soft(const struct vulkan *v, const struct gemm_params *p, struct vk_plan *plan)
{
    const uint32_t rows = 16, lanes = v->limits.subgroup;
    bool any_channels = p->c1 % 8 || p->c2 % 8;

    constant(plan, lanes);
    constant(plan, any_channels);
    constant(plan, p->c2 > 0);
    constant(plan, p->act);
    plan->groups = (uint64_t)div_up(p->rows, rows) * div_up(p->cols, lanes * 8);
    plan->rounds = any_channels ? p->k : p->k / 8 + p->kernel_h * p->kernel_w * 4;
}

/* Tiles of 128 rows, or 64 where there are too few rows to share. */
static void gemm_tile(const struct gemm_params *p, struct vk_plan *plan)
{
    uint32_t tile = p->rows > 1024 ? 128 : 64;
    bool plain = p->kernel_h * p->kernel_w == 1 && p->stride == 1 && p->upsample == 1 && !p->c2;
    bool phases = p->flags & GEMM_PHASES;

    constant(plan, tile * 2);
    constant(plan, plain);
    constant(plan, p->act);
    constant(plan, phases);
    plan->groups = (uint64_t)(phases ? 4 * div_up(p->rows / 4, tile) : div_up(p->rows, tile)) * div_up(p->cols, 64);
    plan->rounds = p->k / 2;
}

static void plan_gemm(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    if (v->core == CORE_SOFT) gemm_soft(v, d->params, plan);
    else gemm_tile(d->params, plan);
}

/* ---- attention --------------------------------------------------------------------------- */

/* Wide heads get fewer queries a lane; above 160 channels the output is made in chunks of 128. */
static void attention_soft(const struct vulkan *v, const struct attention_params *p, struct vk_plan *plan)
{
    uint32_t quads = p->head_dim / 4, lanes = v->limits.subgroup;
    uint32_t out = quads <= 40 ? quads : 32, queries = quads <= 16 ? 4 : quads <= 24 ? 2 : 1;

    constant(plan, lanes);
    constant(plan, quads);
    constant(plan, out);
    constant(plan, queries);
    plan->groups = (uint64_t)div_up(p->q_rows, lanes * queries) * p->images * p->heads * div_up(quads, out);
    plan->rounds = (uint64_t)div_up(p->k_rows, lanes) * (quads == out ? 1 : 2 + div_up(quads, 8));
}

static void attention_tile(const struct attention_params *p, struct vk_plan *plan)
{
    uint32_t blocks = p->head_dim <= 64 ? 1 : 2;

    constant(plan, p->head_dim / 4);
    constant(plan, blocks);
    plan->groups = (uint64_t)div_up(p->q_rows, 64) * p->images * p->heads * div_up(p->head_dim, 64 * blocks);
    plan->rounds = (uint64_t)div_up(p->k_rows, 64) * (7 + div_up(p->head_dim, 16));
}

static void plan_attention(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    if (v->core == CORE_SOFT) attention_soft(v, d->params, plan);
    else attention_tile(d->params, plan);
}

/* ---- norms ------------------------------------------------------------------------------- */

/* A subgroup's lanes take a group each, or pixels each where groups are wide. */
static void plan_group_norm_stats(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const struct group_norm_params *p = d->params;
    uint32_t width = (p->c1 + p->c2) / p->groups, all = threads(v, 256);
    uint32_t slices = v->core == CORE_TILE ? 8 : width <= 256 ? 1 : all;

    constant(plan, all);
    constant(plan, slices);
    plan->groups = (uint64_t)p->images * p->chunks * div_up(p->groups, all / slices);
    plan->rounds = (uint64_t)2 * (width / 4 + 2) * (GROUP_NORM_CHUNK / slices + 2);
}

static void plan_group_norm_apply(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const struct group_norm_params *p = d->params;
    uint32_t all = threads(v, 256), pixels = 16;

    constant(plan, all);
    constant(plan, pixels);
    plan->groups = (uint64_t)p->images * div_up((p->c1 + p->c2) / 4 * div_up(p->pixels, pixels), all);
}

static void plan_rows(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    constant(plan, threads(v, 64));
    plan->groups = d->rows;                  /* rounds: channels / 4 or chunks, shared by all: few */
}

/* ---- weights ----------------------------------------------------------------------------- */

static void plan_lora_merge(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const struct lora_merge_params *p = d->params;
    const uint32_t rows = 4, lanes_a_row = 8;
    uint32_t all = threads(v, 128);

    constant(plan, all);
    constant(plan, p->flags);
    plan->groups = div_up(p->rows / rows * lanes_a_row, all);
    plan->rounds = p->ranks / 4 + 1;
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct kernel {
    const char *name, *variants;
    const char *modules[2];              /* by enum vk_core */
    const char *reads, *writes;
    void (*plan)(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan);
} kernels[] = {
    { "gemm", "f32 f16", { "gemm_soft", "gemm_tile" }, "aawffa", "a", plan_gemm },
    { "attention", "f32 f16", { "attention_soft", "attention_tile" }, "aaa", "a", plan_attention },
    { "group_norm_stats", "f32 f16", { "group_norm_stats", "group_norm_stats" }, "aa", "f", plan_group_norm_stats },
    { "group_norm_finish", "f32", { "group_norm_finish", "group_norm_finish" }, "f", "f", plan_rows },
    { "group_norm_apply", "f32 f16", { "group_norm_apply", "group_norm_apply" }, "aafff", "a", plan_group_norm_apply },
    { "layer_norm", "f32 f16", { "layer_norm", "layer_norm" }, "aff", "a", plan_rows },
    { "lora_merge", "f32", { "lora_merge", "lora_merge" }, "wffff", "wf", plan_lora_merge },
};

static const struct kernel *find(const char *name)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(kernels[i].name, name)) return &kernels[i];
    return NULL;
}

bool vk_has_kernel(struct device *device, const char *kernel, const char *variant)
{
    const struct kernel *k = find(kernel);
    return k && strstr(k->variants, variant) && (strcmp(variant, "f16") || device->info.fast_f16);
}

void vk_plan(const struct vulkan *v, const struct dispatch *d, bool texel, struct vk_plan *plan)
{
    const struct kernel *k = find(d->kernel);

    *plan = (struct vk_plan) { .reads = k->reads, .writes = k->writes, .texel = texel };
    snprintf(plan->module, sizeof plan->module, "%s.%s.%s", k->modules[v->core], d->variant,
             texel ? "texel" : "storage");
    k->plan(v, d, plan);
}
