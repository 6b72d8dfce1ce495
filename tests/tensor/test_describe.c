#include "tensor/describe.h"
#include "check.h"
#include "temporary.h"
#include "tiny_checkpoint.h"

#include <stdlib.h>

static char *describe(const char *path, bool json)
{
    struct tinct_err err = { 0 };
    char *text = checkpoint_describe(path, json, NULL, &err);
    if (!text) fail_msg("%s", err.text);
    return text;
}

static void check_has(const char *text, const char *words)
{
    if (!strstr(text, words)) fail_msg("no '%s' in:\n%s", words, text);
}

static void a_checkpoint_is_told(void **state)
{
    const char *path = temporary_path("tiny.safetensors");
    (void)state;
    assert_true(tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", path));
    char *text = describe(path, false);
    check_has(text, "kind       SD1.x\n");
    check_has(text, "parts      UNet, text encoder, VAE\n");
    check_has(text, "paints     yes\n");
    check_has(text, "context    64\n");
    check_has(text, "predicts   noise\n");
    check_has(text, "tensors    974\n");
    check_has(text, "types      F32 3, F16 970, I64 1\n");
    check_has(text, "metadata   format: pt\n");
    free(text);
}

static void what_is_no_model_is_refused(void **state)
{
    struct tinct_err err;
    (void)state;
    check_refused(checkpoint_describe(temporary_write("p", "PK\x03\x04.......", 11), false, NULL, &err) != NULL, &err, TINCT_ERR_FORMAT,
                  "PyTorch pickle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_is_told),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
