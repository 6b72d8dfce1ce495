/* LoRA files for the tiny model: the layers are found in the checkpoint, the values are random and small. */
#ifndef TINCT_TESTS_PIPELINE_LORA_FILES_H
#define TINCT_TESTS_PIPELINE_LORA_FILES_H

#include "lora/targets.h"
#include "temporary.h"
#include "tensor_file.h"

#define UNET_PREFIX "model.diffusion_model."
#define TEXT_PREFIX "cond_stage_model.transformer."

struct lora_plan {
    const char *metadata;   /* a JSON object of strings; NULL: none */
    uint64_t seed;          /* another one, other values */
    uint32_t rank;
    float size;             /* of a delta's values, about, at weight 1 */
    bool convs;             /* 3x3 convolutions too */
    bool norms;             /* norms and full differences of biases too */
    bool no_text;           /* only the UNet */
    bool attention;         /* only attention and the linear layers behind it */
};

static inline float lora_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)((double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1);
}

/* "model.diffusion_model.input_blocks.1.1.proj_in.weight" -> "lora_unet_input_blocks_1_1_proj_in", kohya's name. */
static inline void lora_kohya_name(char out[256], const struct lora_target *target)
{
    bool unet = target->model == LORA_UNET;
    const char *path = target->weight + strlen(unet ? UNET_PREFIX : TEXT_PREFIX);
    int length = (int)(strlen(path) - strlen(".weight"));

    snprintf(out, 256, "%s%.*s", unet ? "lora_unet_" : "lora_te_", length, path);
    for (char *c = out; *c; c++)
        if (*c == '.') *c = '_';
}

static inline void lora_add_values(struct tensor_file *f, const char *module, const char *part, uint32_t dims,
                                   const uint32_t *shape, float size, uint64_t *state)
{
    char name[320];
    size_t count = 1;

    snprintf(name, sizeof name, "%s.%s", module, part);
    for (uint32_t i = 0; i < dims; i++) count *= shape[i];
    float *values = tensor_file_add(f, name, DTYPE_F32, dims, shape);
    for (size_t i = 0; i < count; i++) values[i] = size * lora_random(state);
}

static inline void lora_add_module(struct tensor_file *f, const struct lora_target *t, const struct lora_plan *plan,
                                   uint64_t *state)
{
    uint32_t r = plan->rank, taps = t->shape[2] * t->shape[3];
    float down = 1 / sqrtf((float)r), alpha = (float)r;
    char module[256];

    lora_kohya_name(module, t);
    if (t->dims == 1) {
        if (!plan->norms) return;
        lora_add_values(f, module, "w_norm", 1, t->shape, plan->size, state);
        lora_add_values(f, module, "b_norm", 1, t->shape, plan->size, state);
        return;
    }
    if (t->dims == 4 && taps > 1 && !plan->convs) return;
    lora_add_values(f, module, "lora_up.weight", t->dims, (uint32_t[]) { t->shape[0], r, 1, 1 }, plan->size * 3, state);
    lora_add_values(f, module, "lora_down.weight", t->dims, (uint32_t[]) { r, t->shape[1], t->shape[2], t->shape[3] }, down, state);
    if (plan->norms && t->bias) lora_add_values(f, module, "diff_b", 1, t->shape, plan->size, state);
    memcpy(tensor_file_add(f, strcat(module, ".alpha"), DTYPE_F32, 0, NULL), &alpha, sizeof alpha);
}

/* The file name.safetensors in the test's folder. */
static inline void lora_write(const char *checkpoint, const char *name, const struct lora_plan *plan)
{
    struct tinct_err err;
    struct checkpoint *ck = checkpoint_open(checkpoint, NULL, &err);
    struct lora_targets *targets = ck ? lora_targets_of(ck, &err) : NULL;
    uint64_t state = plan->seed;
    char file[128];
    struct tensor_file f;

    assert_non_null(targets);
    tensor_file_begin_with(&f, plan->metadata ? plan->metadata : "{\"format\":\"pt\"}");
    for (uint32_t i = 0; i < lora_targets_count(targets); i++) {
        const struct lora_target *t = lora_targets_at(targets, i);
        bool attention = t->attention || strstr(t->weight, ".ff.") || strstr(t->weight, ".mlp.");
        if ((t->model == LORA_UNET || !plan->no_text) && (attention || !plan->attention)) lora_add_module(&f, t, plan, &state);
    }
    snprintf(file, sizeof file, "%s.safetensors", name);
    assert_true(tensor_file_save(&f, temporary_path(file)));
    tensor_file_free(&f);
    lora_targets_free(targets);
    checkpoint_close(ck);
}

#endif
