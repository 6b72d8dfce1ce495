/* A LoRA file from the input's bytes, matched to a small model: refused with a sentence, or every delta is finite.
 * The first byte says whether the rest is the file itself or a recipe for one, which gets much further in. */
#include "lora/delta.h"
#include "lora/keys.h"
#include "lora/match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tensor_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool promise)
{
    if (!promise) abort();
}

/* ---- the model ---------------------------------------------------------- */

static const struct layer {
    const char *weight, *module;
    uint32_t dims, shape[4];
} layers[] = {
    { "model.diffusion_model.input_blocks.0.0.weight", "lora_unet_conv_in", 4, { 4, 2, 3, 3 } },
    { "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.norm1.weight",
      "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_norm1", 1, { 4, 1, 1, 1 } },
    { "model.diffusion_model.input_blocks.1.1.proj_in.weight", "unet.down_blocks.0.attentions.0.proj_in", 4, { 4, 4, 1, 1 } },
    { "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
      "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q", 2, { 4, 4, 1, 1 } },
    { "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
      "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k", 2, { 4, 6, 1, 1 } },
    { "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.ff.net.2.weight",
      "lora_unet_input_blocks_1_1_transformer_blocks_0_ff_net_2", 2, { 4, 8, 1, 1 } },
};
enum { LAYERS = sizeof layers / sizeof *layers };

static bool find_layer(void *user, const char *name, uint32_t *dims, uint32_t shape[4])
{
    (void)user;
    for (int i = 0; i < LAYERS; i++)
        if (!strcmp(layers[i].weight, name)) {
            *dims = layers[i].dims;
            memcpy(shape, layers[i].shape, sizeof layers[i].shape);
            return true;
        }
    return false;
}

/* ---- the file ----------------------------------------------------------- */

struct input {
    const uint8_t *at;
    size_t left;
};

static unsigned take(struct input *in)
{
    if (!in->left) return 0;
    in->left--;
    return *in->at++;
}

/* Sizes that fit each other often: those of the layers, ranks of 1 to 4. */
static uint32_t take_size(struct input *in)
{
    static const uint32_t sizes[] = { 1, 2, 2, 3, 4, 4, 4, 6, 8, 9, 18, 0, 5, 1, 1, 3 };
    return sizes[take(in) % 16];
}

static void add_tensor(struct tensor_file *f, struct input *in)
{
    static const enum dtype types[] = { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_F8_E4M3, DTYPE_I64, DTYPE_BOOL, DTYPE_F32 };
    char name[256];
    uint32_t shape[5];
    unsigned layer = take(in) % (LAYERS + 1), part = take(in) % (LORA_PARTS + 1), form = take(in);
    uint32_t dims = form % 6;
    enum dtype type = types[form / 6 % 8];
    size_t count = 1;

    for (uint32_t i = 0; i < dims; i++) count *= shape[i] = take_size(in);
    if (count > 4096) return;
    snprintf(name, sizeof name, "%s.%s", layer < LAYERS ? layers[layer].module : "lora_unet_other",
             part < LORA_PARTS ? lora_part_name((enum lora_part)part) : "unheard_of");
    unsigned char *to = tensor_file_add(f, name, type, dims, shape);
    if (form & 0x80) { /* the input's own bytes; else small numbers */
        for (size_t i = 0; i < count * dtype_size(type); i++) to[i] = (unsigned char)take(in);
    } else if (type == DTYPE_F32) {
        for (size_t i = 0; i < count; i++) {
            float value = (float)(int8_t)take(in) / 16;
            memcpy(to + 4 * i, &value, 4);
        }
    }
}

static bool write_recipe(struct input *in, const char *path)
{
    static const char *const metadata[] = {
        "{}", "{\"ss_v2\":\"True\"}", "{\"lora_adapter_metadata\":\"{\\\"r\\\":2,\\\"lora_alpha\\\":3,\\\"use_rslora\\\":true}\"}",
        "{\"lora_adapter_metadata\":\"{\\\"unet.alpha_pattern\\\":[1],\\\"unet.r\\\":{},\\\"alpha\\\":1e300}\"}",
    };
    struct tensor_file f;
    unsigned count = take(in) % 24;

    tensor_file_begin_with(&f, metadata[take(in) % 4]);
    tensor_file_add(&f, "first", DTYPE_U8, 0, NULL); /* so that the data is there when an empty tensor comes */
    while (count--) add_tensor(&f, in);
    bool ok = tensor_file_save(&f, path);
    tensor_file_free(&f);
    return ok;
}

static bool write_raw(const uint8_t *bytes, size_t size, const char *path)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, size, f) == size;
    return f && fclose(f) == 0 && ok;
}

/* ---- the promises ------------------------------------------------------- */

static void check_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) check(isfinite(values[i]));
}

static void use_module(const struct lora_module *m, float strength)
{
    const struct lora_target *t = m->target;
    size_t total = (size_t)t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3], columns = total / t->shape[0];
    struct lora_use use = { .strength = strength, .keep = total % 3 };
    float *delta = malloc(total * sizeof *delta), *w0 = malloc(total * sizeof *w0);
    struct tinct_err err = { 0 };
    uint32_t rank = lora_factor_rank(m, use);

    check(delta && w0);
    for (size_t i = 0; i < total; i++) w0[i] = (float)i / 8 - 1;
    if (lora_delta(delta, m, use, lora_needs_weight(m) ? w0 : NULL, &err)) check_finite(delta, total);
    else check(err.text[0] != '\0');
    if (lora_changes_bias(m) && lora_bias_delta(delta, m, use, &err)) check_finite(delta, t->shape[0]);
    if (rank) {
        float *up = malloc((size_t)t->shape[0] * rank * sizeof *up), *down = malloc(rank * columns * sizeof *down);
        check(up && down && lora_factors(up, rank, down, m, use, &err));
        free(up);
        free(down);
    }
    free(delta);
    free(w0);
}

static void use_file(const char *path, const struct lora_targets *targets)
{
    struct tinct_err err = { 0 };
    struct lora_file *file = lora_open(path, &err);
    struct lora_match *match = file ? lora_match(file, targets, &err) : NULL;

    if (file) check(lora_about(file).type != NULL);
    if (match) {
        check(match->count > 0 && match->count <= match->total);
        for (uint32_t i = 0; i < match->count; i++) {
            check(i == 0 || match->modules[i - 1].target < match->modules[i].target);
            use_module(&match->modules[i], i % 2 ? -0.5f : 1);
        }
    } else {
        check(err.text[0] != '\0');
    }
    lora_match_free(match);
    lora_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct lora_targets *targets;
    static char path[64];
    struct input in = { bytes, size };

    if (!targets) {
        snprintf(path, sizeof path, "%s/tinct-fuzz-lora-%ld.safetensors", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
                 (long)getpid());
        check((targets = lora_targets_create(LORA_SD1, find_layer, NULL, NULL)) != NULL);
        check(lora_targets_count(targets) == LAYERS);
    }
    bool raw = take(&in) % 8 == 0;
    if (raw ? write_raw(in.at, in.left, path) : write_recipe(&in, path)) use_file(path, targets);
    unlink(path);
    return 0;
}
