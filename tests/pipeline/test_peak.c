/* What a picture takes is known before it is painted: to the byte, where stages share working memory. */
#include <stdlib.h>

#include "pipeline/peak.h"
#include "temporary.h"
#include "tiny_checkpoint.h"

static struct tinct *t;

static void check_prompt(const char *prompt, const char *negative, float guidance, int side)
{
    struct tinct_txt2img p = { .prompt = prompt, .negative = negative, .guidance = guidance, .width = side, .height = side,
                               .steps = 1, .seed = 1 };
    struct tinct_image image;
    struct tinct_err err;
    struct peak peak;

    assert_true(peak_of(t, &p, &peak));
    assert_true(peak.all > peak.scratch && peak.all < peak.unet + peak.vae + (uint64_t)side * side * 16);
    if (!tinct_txt2img(t, &p, &image, &err)) fail_msg("%s", err.text);
    tinct_image_free(&image);
    assert_int_equal(device_scratch_bytes(t->device), peak.scratch);
}

static int open_tiny(void **state)
{
    struct tinct_err err;

    (void)state;
    t = tinct_open(&(struct tinct_options) { .model = temporary_path("tiny.safetensors"), .device = "cpu", .threads = 2 }, &err);
    if (!t) print_error("%s\n", err.text);
    return t ? 0 : -1;
}

static int close_tiny(void **state)
{
    (void)state;
    tinct_close(t);
    return 0;
}

/* Words enough for a second chunk. */
#define LONG "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z"

static void it_is_what_painting_takes(void **state)
{
    (void)state;
    check_prompt("a castle", "", 7, 64);       /* each takes more than the one before, so that it shows */
    check_prompt("a castle AND a [dog:cat:0.5]", "", 7, 64);
    check_prompt(LONG, "blurry", 7, 128);
    check_prompt(LONG " AND a b", LONG, 7, 192);
}

static void without_guidance_less_is_taken(void **state)
{
    struct tinct_txt2img p = { .prompt = "a castle", .negative = "", .guidance = 1, .width = 256, .height = 256, .steps = 1 };
    struct peak without, with;

    (void)state;
    assert_true(peak_of(t, &p, &without));
    p.guidance = 7;
    assert_true(peak_of(t, &p, &with));
    assert_true(without.unet < with.unet && without.vae == with.vae);
    check_prompt("a castle", "", 1, 256);
}

static void what_does_not_fit_is_refused_at_once(void **state)
{
    struct tinct_txt2img p = { .prompt = "a castle", .negative = "", .guidance = 7, .width = 1 << 17, .height = 1 << 13, .steps = 1 };
    struct tinct_err err;

    (void)state;
    check_refused(peak_fits(t, &p, &err), &err, TINCT_ERR_MEMORY, "131072x8192 takes ");
    assert_non_null(strstr(err.text, "beside the model (steps "));
    assert_non_null(strstr(err.text, "MiB are free: "));
    assert_non_null(strstr(err.text, " MiB missing"));
}

/* A software driver makes no buffer above 2 GiB; the processor has no such limit. */
static void what_a_driver_does_not_give_at_once_is_refused(void **state)
{
    struct tinct_txt2img p = { .prompt = "a castle", .negative = "", .guidance = 7, .width = 8192, .height = 8192, .steps = 1 };
    struct tinct_err err;

    (void)state;
    t = tinct_open(&(struct tinct_options) { .model = temporary_path("tiny.safetensors"), .device = "llvmpipe" }, &err);
    if (!t) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    check_refused(peak_fits(t, &p, &err), &err, TINCT_ERR_MEMORY, "MiB of working memory at once, the device's driver gives");
    p.width = p.height = 512;
    assert_true(peak_fits(t, &p, &err));
    tinct_close(t);
}

static int prepare(void **state)
{
    return temporary_make(state) ||
           !tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", temporary_path("tiny.safetensors"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_what_painting_takes, open_tiny, close_tiny),
        cmocka_unit_test_setup_teardown(without_guidance_less_is_taken, open_tiny, close_tiny),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused_at_once, open_tiny, close_tiny),
        cmocka_unit_test(what_a_driver_does_not_give_at_once_is_refused),
    };
    return cmocka_run_group_tests_name("peak", tests, prepare, temporary_remove);
}
