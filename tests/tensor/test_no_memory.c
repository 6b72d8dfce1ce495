/* Every allocation on the way from a file to packed weights is made to fail in turn: each time a clean
 * refusal for want of memory, and the next run works. Leaks are seen by the sanitizer runs' leak check in the
 * other tests; here what was allocated is counted. */
#include "check.h"
#include "failing_malloc.h"
#include "temporary.h"
#include "tensor/checkpoint.h"
#include "tensor/describe.h"
#include "tensor/names.h"
#include "tensor/pack.h"
#include "tensor_file.h"

#ifdef FAILING_MALLOC
static const char *write_file(void)
{
    struct tensor_file f;
    const char *path = temporary_path("m.safetensors");
    tensor_file_begin_with(&f, "{\"a\":\"b\",\"ss_tag_frequency\":\"{\\\"x\\\":{\\\"y\\\":1}}\"}");
    tensor_file_add(&f, "lora_unet_x.lora_down.weight", DTYPE_F16, 2, (uint32_t[]) { 64, 32 });
    tensor_file_add(&f, "lora_unet_x.alpha", DTYPE_F32, 0, NULL);
    tensor_file_add(&f, NAMES_VAE "decoder.conv_in.weight", DTYPE_F32, 4, (uint32_t[]) { 70, 4, 3, 3 });
    tensor_file_add(&f, NAMES_VAE "decoder.conv_in.bias", DTYPE_F32, 1, (uint32_t[]) { 70 });
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
    return path;
}

static bool open_and_pack(const char *path, struct tinct_err *err)
{
    static _Alignas(64) uint16_t weight[128 * 64];
    static _Alignas(64) float bias[128];
    struct checkpoint *ck = checkpoint_open(path, path, err);
    struct pack_job jobs[2] = { { .form = PACK_WEIGHT, .out = weight }, { .form = PACK_VECTOR_F32, .out = bias } };
    bool ok = ck && checkpoint_tensor(ck, NAMES_VAE "decoder.conv_in.weight", 4, (uint32_t[]) { 0, 4, 3, 3 },
                                      &jobs[0].recipe.parts[0], err) &&
              checkpoint_tensor(ck, NAMES_VAE "decoder.conv_in.bias", 1, (uint32_t[]) { 0 }, &jobs[1].recipe.parts[0], err);

    jobs[0].recipe.part_count = jobs[1].recipe.part_count = 1;
    ok = ok && pack_run(jobs, 2, 1, err);
    checkpoint_close(ck);
    return ok;
}

static bool describe_text(const char *path, struct tinct_err *err)
{
    char *text = checkpoint_describe(path, false, NULL, err);
    free(text);
    return text != NULL;
}

static bool describe_json(const char *path, struct tinct_err *err)
{
    char *text = checkpoint_describe(path, true, NULL, err);
    free(text);
    return text != NULL;
}

static void fail_each(const char *name, bool (*run)(const char *path, struct tinct_err *err))
{
    const char *path = write_file();
    long n = 0;

    for (;; n++) {
        struct tinct_err err = { 0 };
        malloc_armed = true;
        malloc_until_failure = n;
        malloc_open_blocks = 0;
        bool ok = run(path, &err);
        bool reached = malloc_until_failure < 0;
        malloc_armed = false;
        if (malloc_open_blocks) fail_msg("%s: %ld blocks left after allocation %ld failed", name, malloc_open_blocks, n);
        if (!ok && err.code != TINCT_ERR_MEMORY) fail_msg("%s: allocation %ld: %s", name, n, err.text);
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
    fail_each("open and pack", open_and_pack);
    fail_each("describe", describe_text);
    fail_each("describe as JSON", describe_json);
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
