/* Every allocation between a prompt's tags and changed weights fails in turn: each time a clean refusal, after which a
 * picture without LoRAs is as if nothing had been. */
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"
#define FAILING_MALLOC_OWN_ONLY
#include "failing_malloc.h"
#include "pipeline/lora_stack.h"
#include "temporary.h"
#include "tensor_file.h"
#include "tiny_checkpoint.h"

#ifdef FAILING_MALLOC
enum { SIDE = 64, BYTES = SIDE * SIDE * 3 };

static const struct tinct_txt2img asked = { .prompt = "a cat <lora:small:0.8>", .negative = "blurry <lora:small:1>", .width = SIDE,
                                            .height = SIDE, .steps = 1, .sampler = "Euler", .guidance = 7, .clip_skip = 1, .triggers = true };

/* A low-rank layer, and one that goes through its dense sum, a bias with it. */
static void write_lora(void)
{
    static const char low[] = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
    static const char dense[] = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_out_0";
    struct tensor_file f;
    char name[160];

    tensor_file_begin_with(&f, "{\"modelspec.trigger_phrase\":\"arcane style\"}");
    for (int part = 0; part < 4; part++) {
        static const char *const parts[] = { "lora_up.weight", "lora_down.weight", "diff", "diff_b" };
        static const uint32_t shapes[][2] = { { 32, 2 }, { 2, 64 }, { 32, 32 }, { 32, 1 } };
        snprintf(name, sizeof name, "%s.%s", part < 2 ? low : dense, parts[part]);
        float *values = tensor_file_add(&f, name, DTYPE_F32, part == 3 ? 1 : 2, shapes[part]);
        for (uint32_t i = 0; i < shapes[part][0] * shapes[part][1]; i++) values[i] = (float)(i * 37 % 19) / 8 - 1;
    }
    assert_true(tensor_file_save(&f, temporary_path("small.safetensors")));
    tensor_file_free(&f);
}

static struct tinct_image paint(struct tinct *t, const char *prompt)
{
    struct tinct_txt2img p = asked;
    struct tinct_image image;
    struct tinct_err err;

    p.prompt = prompt;
    if (!tinct_txt2img(t, &p, &image, &err)) fail_msg("%s", err.text);
    return image;
}

static bool use_loras(struct tinct *t, struct tinct_err *err)
{
    struct lora_stack *stack = lora_stack_create(t, &asked, err);
    bool changed, ok = stack && lora_stack_apply(stack, 1, &changed, err);

    lora_stack_free(stack);
    return ok;
}

static bool set_one(struct tinct *t, struct tinct_err *err)
{
    return tinct_lora_set(t, &(struct tinct_lora) { .name = "small", .te = 1, .unet = 1, .blocks = "ALL" }, err) &&
           tinct_lora_remove(t, "small", err);
}

/* The folder is listed anew, and the file read anew. */
static void forget_files(struct tinct *t, long n)
{
    struct tinct_err err;
    struct timespec times[2] = { { .tv_sec = 1000000 + n }, { .tv_sec = 1000000 + n } };

    lora_places_close(&t->places);
    if (!lora_places_open(&t->places, &(struct tinct_options) { .lora_dir = temporary_folder }, &err)) fail_msg("%s", err.text);
    assert_int_equal(utimensat(AT_FDCWD, temporary_path("small.safetensors"), times, 0), 0);
}

/* A picture without LoRAs has the same pixels whenever it is painted on the way. */
static void fail_each(struct tinct *t, const char *what, bool (*call)(struct tinct *t, struct tinct_err *err))
{
    struct tinct_image plain = paint(t, "a cat"), again;
    long refused = 0;

    for (long n = 0;; n++) {
        struct tinct_err err = { 0 };
        forget_files(t, n);
        malloc_until_failure = n;
        malloc_armed = true;
        bool ok = call(t, &err), reached = malloc_until_failure < 0;
        malloc_armed = false;
        refused += !ok;
        if (!ok && !reached) fail_msg("%s: %s", what, err.text);
        if (!ok && (err.code == TINCT_OK || !err.text[0])) fail_msg("%s: allocation %ld: refused without a word", what, n);
        if (n % 16 && reached) continue;
        again = paint(t, "a cat");
        assert_memory_equal(plain.rgb, again.rgb, BYTES);
        tinct_image_free(&again);
        if (!reached) break;
    }
    print_message("%s: %ld refusals\n", what, refused);
    assert_true(refused > 20);
    tinct_image_free(&plain);
}

static void each_allocation_may_fail(void **state)
{
    struct tinct_err err;
    const char *tiny = temporary_path("tiny.ckpt");
    (void)state;

    assert_true(tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", tiny));
    write_lora();
    struct tinct *t = tinct_open(&(struct tinct_options) { .model = tiny, .device = "cpu", .threads = 1, .lora_dir = temporary_folder }, &err);
    assert_non_null(t);
    assert_true(context_adapters(t, &err));        /* the model's own list of layers is tested with lora/targets.h */
    fail_each(t, "set", set_one);
    fail_each(t, "picture", use_loras);
    tinct_close(t);
}
#else
static void each_allocation_may_fail(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_allocation_may_fail) };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
