/* How many dispatches one step of SD1.5 with guidance takes on a GPU: there each costs some microseconds, and a step should
 * take eight milliseconds. The tiny checkpoint has SD1.5's layout. Nothing runs here. */
#include "check.h"
#include "device/device.h"
#include "pipeline/unet_run.h"
#include "temporary.h"
#include "tiny_checkpoint.h"

static uint32_t dispatches_of(const char *core)
{
    struct tinct_err err = { 0 };

    setenv("TINCT_VULKAN", core, 1);
    setenv("TINCT_ACT", "f16", 1);
    struct device *device = device_open(&(struct device_options) { .name = "llvmpipe" }, &err);
    if (!device) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    struct model *m = model_open(device, &(struct model_options) { .path = temporary_path("tiny.safetensors") }, &err);
    if (!m) fail_msg("%s", err.text);
    struct unet_run *run = unet_run_create(m, &(struct unet_run_size) { .h = 64, .w = 64, .images = 2, .tokens = 77 }, &err);
    if (!run) fail_msg("%s", err.text);
    struct pass *pass = pass_begin(device);
    unet_run_record(pass, run);
    uint32_t count = pass_dispatches(pass);
    pass_free(pass);
    unet_run_free(run);
    model_close(m);
    device_close(device);
    return count;
}

/* 22 residual blocks of 4, 16 transformers of 10, and 10: the time's shifts, the first convolution, 3 down, 3 up, and a norm
 * and the last convolution. The wish is 260, and
 * the sampler's share is two more: scaling, and guidance with its sums. */
static void a_step_takes_few(void **state)
{
    (void)state;
    assert_int_equal(dispatches_of("tile"), 258);
    assert_int_equal(dispatches_of("matrix"), 258);
}

static int prepare(void **state)
{
    if (temporary_make(state)) return -1;
    return tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", temporary_path("tiny.safetensors")) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_step_takes_few) };
    return cmocka_run_group_tests(tests, prepare, temporary_remove);
}
