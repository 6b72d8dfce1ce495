/* The kernel table: how each dispatch is done here. Constants are in the order of the shaders' constant_id. */
#include "device/vulkan/vk.h"

#include <stdio.h>
#include <string.h>

#include "attention.h"
#include "gemm.h"
#include "group_norm.h"
#include "lora_merge.h"
#include "mix.h"
#include "winograd.h"

static uint32_t div_up(uint32_t n, uint32_t by)
{
    return (n + by - 1) / by;
}

static void constant(struct vk_plan *plan, uint32_t value)
{
    plan->constants[plan->constant_count++] = value;
}

static uint32_t min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* One subgroup on software drivers, where larger workgroups only cost; else what fills a GPU. */
static uint32_t threads(const struct vulkan *v, uint32_t on_gpu)
{
    return v->core == CORE_SOFT ? v->limits.subgroup : on_gpu;
}

static void name_module(struct vk_plan *plan, const char *shader, const struct dispatch *d)
{
    snprintf(plan->module, sizeof plan->module, "%s.%s.%s", shader, d->variant, plan->texel ? "texel" : "storage");
}

/* ---- gemm ------------------------------------------------------------------------------ */

static void gemm_soft(const struct vulkan *v, const struct gemm_params *p, struct vk_plan *plan)
{
    const uint32_t lanes = v->limits.subgroup, rows = p->rows <= 8 && lanes <= 8 ? 8 : 16;      /* a sum is the same in either */
    bool any_channels = p->c1 % 8 || p->c2 % 8 || p->c3 % 8;
    uint32_t parts = p->flags & GEMM_WINOGRAD ? GEMM_PARTS(p->flags) : 1;

    constant(plan, lanes);
    constant(plan, any_channels);
    constant(plan, p->c2 > 0);
    constant(plan, p->act);
    constant(plan, p->flags);
    constant(plan, rows);
    plan->groups = (uint64_t)parts * div_up(p->rows / parts, rows) * div_up(p->cols, lanes * 8);
    plan->rounds = any_channels ? p->k : p->k / 8 + p->kernel_h * p->kernel_w * 4;
}

/* A lane's rows take all columns: where they are a quad, most of what gemm_soft sums would be thrown away. */
static bool narrow_takes(const struct gemm_params *p)
{
    return p->cols <= 4 && p->c1 % 8 == 0 && p->c2 == 0 && !(p->flags & (GEMM_PER_IMAGE | GEMM_WINOGRAD | GEMM_NORM));
}

static void gemm_narrow_soft(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const uint32_t lanes = v->limits.subgroup, rows_of_a_lane = 2;
    const struct gemm_params *p = d->params;

    name_module(plan, "gemm_narrow_soft", d);
    constant(plan, lanes);
    constant(plan, p->act);
    constant(plan, p->flags);
    plan->groups = div_up(p->rows, lanes * rows_of_a_lane);
    plan->rounds = p->kernel_h * p->kernel_w * (p->c1 / 8 + 1);
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
    constant(plan, p->c2 > 0);
    constant(plan, p->flags & GEMM_NORM ? 1 : 0);
    plan->groups = (uint64_t)(phases ? 4 * div_up(p->rows / 4, tile) : div_up(p->rows, tile)) * div_up(p->cols, 64);
    plan->rounds = p->k / 2 + (p->flags & GEMM_NORM ? p->c1 / 8 : 0);
}

/* Matrix units read eight fp16 values at a time, from storage buffers; what comes otherwise is left to tile. */
static bool matrix_takes(const struct vulkan *v, const struct dispatch *d, const struct vk_plan *plan)
{
    const struct gemm_params *p = d->params;

    return v->core == CORE_MATRIX && !plan->texel && !strcmp(d->variant, "f16") && p->c1 % 8 == 0 && p->c2 % 8 == 0 &&
           p->c3 % 8 == 0 && p->x1_stride % 8 == 0 && p->x2_stride % 8 == 0 && p->x3_stride % 8 == 0 &&
           d->reads[0].offset % 16 == 0 && d->reads[1].offset % 16 == 0 && d->reads[6].offset % 16 == 0;
}

/* Slices of k, where one picture pair's tiles would leave units idle. It decides in which order sums are taken, so it
 * depends on one picture's shape and the machine alone: a picture is the same by itself and in a batch. */
static uint32_t choose_split(const struct vulkan *v, const struct gemm_params *p)
{
    const uint32_t most = 8, least_steps = 4, window = 128;
    uint32_t tiles = 2 * div_up(p->out_h * p->out_w, 64) * div_up(p->cols, 64), steps = p->k / 32;
    uint32_t split = min(min(v->matrix.units / tiles, most), steps / least_steps);
    uint32_t room = VK_PARTIAL_BYTES / (window * (p->cols + 7) / 8 * 32);

    if (p->flags & GEMM_PHASES) return 1;
    split = min(split, room);
    return split ? split : 1;
}

struct matrix_tile {
    uint32_t rows, columns;
    double cost;                         /* of one product, in units of the largest tile's: each loads as much for less */
};

/* The tile whose rounds over all units cost least. It changes no result: every sum is taken in the same order. */
static struct matrix_tile choose_tile(const struct vulkan *v, const struct gemm_params *p, uint32_t split)
{
    static const struct matrix_tile tiles[] = { { 128, 128, 1.0 }, { 128, 64, 1.15 }, { 64, 64, 1.4 } };
    struct matrix_tile best = tiles[2];
    double least = 1e300;

    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        struct matrix_tile t = tiles[i];
        uint32_t phases = p->flags & GEMM_PHASES ? 4 : 1;
        uint64_t groups = (uint64_t)phases * div_up(p->rows / phases, t.rows) * div_up(p->cols, t.columns) * split;
        uint64_t rounds = (groups + v->matrix.units - 1) / v->matrix.units;
        double cost = (double)rounds * t.rows * t.columns * t.cost;
        if (v->matrix.lanes * t.columns / 16 > v->limits.invocations || cost >= least) continue;
        least = cost;
        best = t;
    }
    return best;
}

static uint32_t matrix_stage_bytes(struct matrix_tile t)
{
    return 16 * (t.rows * 5 + 32 * (t.columns / 8 + 1));
}

static const char *form_name(const struct vulkan *v)
{
    static const char *const forms[] = { "", "plain", "nv", "khr" };
    return forms[v->matrix.form];
}

static void gemm_matrix(const struct vulkan *v, const struct gemm_params *p, struct vk_plan *plan)
{
    bool plain = p->kernel_h * p->kernel_w == 1 && p->stride == 1 && p->upsample == 1 && !p->c2;
    uint32_t phases = p->flags & GEMM_PHASES ? 4 : 1;

    plan->split = choose_split(v, p);
    struct matrix_tile tile = choose_tile(v, p, plan->split);
    snprintf(plan->module, sizeof plan->module, "gemm_matrix.f16.%s", form_name(v));
    plan->writes = "af";
    plan->lanes = v->matrix.force_lanes ? v->matrix.lanes : 0;
    constant(plan, v->matrix.lanes * tile.columns / 16);
    constant(plan, v->matrix.lanes);
    constant(plan, tile.rows);
    constant(plan, tile.columns);
    constant(plan, v->matrix.m);
    constant(plan, v->matrix.n);
    constant(plan, 2 * matrix_stage_bytes(tile) <= v->limits.shared_bytes ? 2 : 1);
    constant(plan, plan->split);
    constant(plan, plain);
    constant(plan, p->act);
    constant(plan, phases == 4);
    constant(plan, p->c2 > 0);
    constant(plan, p->flags & GEMM_NORM ? 1 : 0);
    plan->groups = (uint64_t)phases * div_up(p->rows / phases, tile.rows) * div_up(p->cols, tile.columns) * plan->split;
    plan->rounds = p->k / 32 * 24 + (p->flags & GEMM_NORM ? p->c1 / 8 : 0);
}

uint64_t vk_split_rows(const struct dispatch *d, const struct vk_plan *plan)
{
    const uint64_t least_tile = 64;
    const struct gemm_params *p = d->params;
    uint64_t kept = VK_PARTIAL_BYTES / ((uint64_t)plan->split * div_up(p->cols, 8) * 32);
    uint64_t counted = GEMM_SPLIT_TILES / div_up(p->cols, 64) * least_tile;

    return kept < counted ? kept : counted;
}

static void plan_gemm(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    if (v->core == CORE_SOFT && narrow_takes(d->params)) gemm_narrow_soft(v, d, plan);
    else if (v->core == CORE_SOFT) gemm_soft(v, d->params, plan);
    else if (matrix_takes(v, d, plan)) gemm_matrix(v, d->params, plan);
    else gemm_tile(d->params, plan);
}

/* ---- Winograd, on the soft core alone: matrix units do without, and no GPU was there to measure others ------------------- */

static void plan_winograd_weights(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const struct winograd_weights_params *p = d->params;

    constant(plan, v->limits.subgroup);
    constant(plan, p->flags);
    plan->groups = div_up(p->panels * p->channels * 8, v->limits.subgroup);
}

static void plan_winograd_tiles(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const struct winograd_params *p = d->params;

    constant(plan, v->limits.subgroup);
    constant(plan, p->flags);
    plan->groups = div_up(p->tiles * (p->channels / 4), v->limits.subgroup);
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
    constant(plan, p->inputs > 0);
    plan->groups = (uint64_t)div_up(p->q_rows, 64) * p->images * p->heads * div_up(p->head_dim, 64 * blocks);
    plan->rounds = (uint64_t)div_up(p->k_rows, 64) * (7 + div_up(p->head_dim, 16)) + div_up(p->inputs, 16) * 13;
}

static uint32_t attention_matrix_bytes(uint32_t head_dim, uint32_t lanes)
{
    uint32_t gap = (head_dim + 15) / 16 * 2 + 1;
    return 16 * (64 * gap + 32 * gap + 64 * 9 + 64 * 5) + 4 * lanes * 8;
}

/* Heads of whole octets that shared memory holds; others are left to tile. */
static bool attention_suits_matrices(const struct vulkan *v, const struct dispatch *d, const struct vk_plan *plan)
{
    const struct attention_params *p = d->params;

    return v->core == CORE_MATRIX && !plan->texel && !strcmp(d->variant, "f16") && v->matrix.m * v->matrix.n == 256 &&
           p->head_dim % 8 == 0 && p->head_dim <= 160 && p->q_stride % 8 == 0 && p->k_stride % 8 == 0 &&
           p->v_stride % 8 == 0 && p->inputs % 8 == 0 && d->reads[0].offset % 16 == 0 && d->reads[1].offset % 16 == 0 &&
           d->reads[2].offset % 16 == 0 && attention_matrix_bytes(p->head_dim, v->matrix.lanes) <= v->limits.shared_bytes &&
           4 * v->matrix.lanes <= v->limits.invocations;
}

static void attention_matrix(const struct vulkan *v, const struct attention_params *p, struct vk_plan *plan)
{
    snprintf(plan->module, sizeof plan->module, "attention_matrix.f16.%s", form_name(v));
    plan->lanes = v->matrix.force_lanes ? v->matrix.lanes : 0;
    constant(plan, 4 * v->matrix.lanes);
    constant(plan, v->matrix.lanes);
    constant(plan, p->head_dim / 8);
    constant(plan, p->inputs > 0);
    plan->groups = (uint64_t)div_up(p->q_rows, 64) * p->images * p->heads;
    plan->rounds = (uint64_t)div_up(p->k_rows, 32) * (40 + 8 * div_up(p->head_dim, 16)) +
                   div_up(p->inputs, 32) * (10 + 2 * div_up(p->head_dim, 16));
}

static void plan_attention(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    if (v->core == CORE_SOFT) attention_soft(v, d->params, plan);
    else if (attention_suits_matrices(v, d, plan)) attention_matrix(v, d->params, plan);
    else attention_tile(d->params, plan);
}

/* ---- norms ------------------------------------------------------------------------------- */

/* A subgroup's lanes take a group each, or pixels each where groups are wide. */
static void plan_group_norm_stats(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const struct group_norm_params *p = d->params;
    uint32_t width = (p->c1 + p->c2) / p->groups, all = threads(v, 256);
    uint32_t slices = v->core != CORE_SOFT ? 8 : width <= 256 ? 1 : all;

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

/* Kept in registers where that is at most 12 quads of fp16: of 1024 invocations each has 64 registers. */
static void plan_group_norm_whole(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const struct group_norm_params *p = d->params;
    uint32_t width = (p->c1 + p->c2) / p->groups, sets = group_norm_sets(width), items = p->pixels * (sets * width / 4);
    uint32_t all = items > 2560 && v->limits.invocations >= 1024 ? 1024 : 256, kept = div_up(items, all);
    bool keeps = kept <= 12 && !strcmp(d->variant, "f16");

    constant(plan, all);
    constant(plan, sets);
    constant(plan, keeps);
    constant(plan, keeps ? kept : 1);
    plan->groups = (uint64_t)p->images * (p->groups / sets);
    plan->rounds = 3 * ((uint64_t)kept + 12);
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

/* ---- sampling ---------------------------------------------------------------------------- */

static void plan_mix(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan)
{
    const struct mix_params *p = d->params;
    uint32_t all = threads(v, 64);

    constant(plan, all);
    constant(plan, p->flags);
    plan->groups = div_up(p->count / 4, all);
    plan->rounds = p->operands + 1;
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct kernel {
    const char *name, *variants;
    const char *modules[2];              /* of the soft core; of the tile core, which serves the matrix core too; NULL: none */
    const char *reads, *writes;
    void (*plan)(const struct vulkan *v, const struct dispatch *d, struct vk_plan *plan);
} kernels[] = {
    { "gemm", "f32 f16", { "gemm_soft", "gemm_tile" }, "aawffaaff", "a", plan_gemm },
    { "winograd_in", "f32", { "winograd_in_soft", NULL }, "a", "a", plan_winograd_tiles },
    { "winograd_weights", "f32", { "winograd_weights_soft", NULL }, "w", "a", plan_winograd_weights },
    { "winograd_out", "f32", { "winograd_out_soft", NULL }, "affa", "a", plan_winograd_tiles },
    { "attention", "f32 f16", { "attention_soft", "attention_tile" }, "aaawff", "a", plan_attention },
    { "group_norm_stats", "f32 f16", { "group_norm_stats", "group_norm_stats" }, "aa", "f", plan_group_norm_stats },
    { "group_norm_finish", "f32", { "group_norm_finish", "group_norm_finish" }, "f", "f", plan_rows },
    { "group_norm_apply", "f32 f16", { "group_norm_apply", "group_norm_apply" }, "aafff", "a", plan_group_norm_apply },
    { "group_norm_whole", "f32 f16", { NULL, "group_norm_whole" }, "aaff", "a", plan_group_norm_whole },
    { "layer_norm", "f32 f16", { "layer_norm", "layer_norm" }, "aff", "a", plan_rows },
    { "lora_merge", "f32", { "lora_merge", "lora_merge" }, "wffff", "wf", plan_lora_merge },
    { "mix", "f32 f16", { "mix", "mix" }, "faf", "af", plan_mix },
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
    return k && k->modules[vulkan_of(device)->core != CORE_SOFT] && strstr(k->variants, variant) &&
           (strcmp(variant, "f16") || device->info.fast_f16);
}

void vk_plan(const struct vulkan *v, const struct dispatch *d, bool texel, struct vk_plan *plan)
{
    const struct kernel *k = find(d->kernel);

    *plan = (struct vk_plan) { .reads = k->reads, .writes = k->writes, .texel = texel };
    name_module(plan, k->modules[v->core != CORE_SOFT], d);
    k->plan(v, d, plan);
}
