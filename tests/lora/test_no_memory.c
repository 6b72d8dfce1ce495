/* Every allocation from a LoRA file to its deltas and its card is made to fail in turn: a refusal for want of memory
 * or, for extras, a card without them; nothing is left behind. */
#include "check.h"
#include "failing_malloc.h"
#include "lora/card.h"
#include "lora/delta.h"
#include "lora/match.h"
#include "temporary.h"
#include "tensor_file.h"

#ifdef FAILING_MALLOC
#define BLOCK "model.diffusion_model.input_blocks.1.1.transformer_blocks.0."

static const struct layer {
    const char *weight;
    uint32_t dims, shape[4];
} layers[] = {
    { "model.diffusion_model.input_blocks.0.0.weight", 4, { 4, 2, 3, 3 } },
    { "model.diffusion_model.input_blocks.1.1.proj_in.weight", 4, { 4, 4, 1, 1 } },
    { BLOCK "attn1.to_q.weight", 2, { 4, 4, 1, 1 } },  { BLOCK "attn1.to_k.weight", 2, { 4, 4, 1, 1 } },
    { BLOCK "attn1.to_v.weight", 2, { 4, 4, 1, 1 } },  { BLOCK "attn2.to_q.weight", 2, { 4, 4, 1, 1 } },
    { BLOCK "attn2.to_q.bias", 1, { 4, 1, 1, 1 } },
};

static bool find_layer(void *user, const char *name, uint32_t *dims, uint32_t shape[4])
{
    (void)user;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (!strcmp(layers[i].weight, name)) {
            *dims = layers[i].dims;
            memcpy(shape, layers[i].shape, sizeof layers[i].shape);
            return true;
        }
    return false;
}

static void add(struct tensor_file *f, const char *layer, const char *part, uint32_t dims, uint32_t a, uint32_t b, uint32_t k)
{
    char name[256];
    snprintf(name, sizeof name, "unet.%s.%s", layer, part);
    tensor_file_add(f, name, DTYPE_F16, dims, (uint32_t[]) { a, b, k, k });
}

/* A Tucker LoCon, a DoRA, a LoHa, a LoKr, a GLoRA with a bias, an OFT. */
static const char *write_file(void)
{
    struct tensor_file f;
    const char *path = temporary_path("lora.safetensors"), *q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
               *k = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k",
               *v = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_v",
               *q2 = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q", *in = "down_blocks.0.attentions.0.proj_in";
    tensor_file_begin_with(&f, "{\"ss_dataset_dirs\":\"{\\\"1_a\\\":{}}\",\"lora_adapter_metadata\":\"{\\\"unet.lora_alpha\\\":2}\"}");
    add(&f, "conv_in", "lora_up.weight", 4, 4, 2, 1);
    add(&f, "conv_in", "lora_mid.weight", 4, 2, 2, 3);
    add(&f, "conv_in", "lora_down.weight", 4, 2, 2, 1);
    add(&f, in, "lora_A.weight", 4, 2, 4, 1);
    add(&f, in, "lora_B.weight", 4, 4, 2, 1);
    add(&f, in, "lora_magnitude_vector", 1, 4, 0, 0);
    add(&f, q, "hada_w1_a", 2, 4, 2, 0);
    add(&f, q, "hada_w1_b", 2, 2, 4, 0);
    add(&f, q, "hada_w2_a", 2, 4, 2, 0);
    add(&f, q, "hada_w2_b", 2, 2, 4, 0);
    add(&f, k, "lokr_w1", 2, 2, 2, 0);
    add(&f, k, "lokr_w2_a", 2, 2, 1, 0);
    add(&f, k, "lokr_w2_b", 2, 1, 2, 0);
    add(&f, v, "oft_blocks", 3, 2, 2, 2);
    add(&f, q2, "a1.weight", 2, 4, 1, 0);
    add(&f, q2, "a2.weight", 2, 1, 4, 0);
    add(&f, q2, "b1.weight", 2, 4, 1, 0);
    add(&f, q2, "b2.weight", 2, 1, 4, 0);
    add(&f, q2, "diff_b", 1, 4, 0, 0);
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
    temporary_write("lora.json", "{\"activation text\":\"b\"}", 23);
    return path;
}

static bool use_all(const struct lora_match *match, struct tinct_err *err)
{
    static const float w0[72];
    static float delta[72], up[16], down[36];
    struct lora_use use = { .strength = 1 };
    bool ok = true;

    for (uint32_t i = 0; ok && i < match->count; i++) {
        const struct lora_module *m = &match->modules[i];
        ok = lora_delta(delta, m, use, w0, err) && (!lora_changes_bias(m) || lora_bias_delta(delta, m, use, err)) &&
             (!lora_factor_rank(m, use) || lora_factors(up, lora_factor_rank(m, use), down, m, use, err));
    }
    return ok;
}

static bool match_and_use(const char *path, struct tinct_err *err)
{
    struct lora_targets *targets = lora_targets_create(LORA_SD1, find_layer, NULL, err);
    struct lora_file *file = targets ? lora_open(path, err) : NULL;
    struct lora_match *match = file ? lora_match(file, targets, err) : NULL;
    bool ok = match && match->count == 6 && use_all(match, err);

    lora_match_free(match);
    lora_close(file);
    lora_targets_free(targets);
    return ok;
}

static bool read_card(const char *path, struct tinct_err *err)
{
    struct lora_targets *targets = lora_targets_create(LORA_SD1, find_layer, NULL, err);
    struct lora_card *card = targets ? lora_card_read("lora", path, true, NULL, err) : NULL;
    bool matched = card && lora_card_match(card, targets, true, err);
    char *text = matched ? lora_card_text(card, false, err) : NULL, *json = text ? lora_card_text(card, true, err) : NULL;
    bool ok = text && json;

    free(text);
    free(json);
    lora_card_free(card);
    lora_targets_free(targets);
    return ok;
}

static bool list(const char *path, struct tinct_err *err)
{
    struct lora_folder *folder = lora_folder_create("/nowhere", err);
    const struct lora_entry *entry = folder && lora_folder_add(folder, temporary_folder, err) ? lora_folder_find(folder, "lora", err) : NULL;
    char *text = entry && lora_folder_hash(folder, entry, err) ? lora_list_text(folder, NULL, false, err) : NULL;

    (void)path;
    free(text);
    lora_folder_free(folder);
    return text != NULL;
}

static void fail_each(const char *name, bool (*run)(const char *path, struct tinct_err *err))
{
    const char *path = write_file();
    long n = 0;

    for (;; n++) {
        struct tinct_err err = { 0 };
        malloc_arm(n);
        bool ok = run(path, &err);
        bool reached = malloc_disarm();
        if (malloc_open_blocks)
            fail_msg("%s: %ld blocks left after allocation %ld failed", name, malloc_open_blocks, n);
        bool fair = err.code == TINCT_ERR_MEMORY || (run == list && err.code == TINCT_ERR_IO); /* opendir's own memory */
        if (!ok && !fair) fail_msg("%s: allocation %ld: %s", name, n, err.text);
        if (!reached) {
            if (!ok) fail_msg("%s: %s", name, err.text);
            break;
        }
    }
    print_message("%s: %ld allocations\n", name, n);
    assert_true(n > 5);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fail_each("match and use", match_and_use);
    fail_each("card", read_card);
    fail_each("list", list);
}
#else
static void every_allocation_may_fail(void **state)
{
    (void)state;
    print_message("skipped: the allocator cannot be replaced in this build\n");
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation_may_fail) };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
