/* A picture's steps stay on the device: nothing is read between them unless it is asked for, and what is told, cancelled or
 * refused on the way is the same on every device. */
#include <stdlib.h>

#include "check.h"
#include "pipeline/context.h"
#include "temporary.h"
#include "tiny_checkpoint.h"

enum { SIDE = 72, LATENT = SIDE / 8 * SIDE / 8 * 4, BYTES = SIDE * SIDE * 3 };      /* 9x9: of no whole vector */

struct place {
    const char *device, *staging, *act, *validation;   /* environment: NULL: unset */
};

static const struct place cpu = { "cpu", NULL, NULL, NULL }, soft = { "llvmpipe", NULL, "f32", "1" };
static const struct place staged = { "llvmpipe", "1", "f16", NULL };     /* as where the host does not see the device's memory */

static struct tinct *t;

static void force(const char *name, const char *value)
{
    if (value) setenv(name, value, 1);
    else unsetenv(name);
}

static int open_on(void **state)
{
    const struct place *place = *state;
    struct tinct_err err;

    force("TINCT_VULKAN_STAGING", place->staging);
    force("TINCT_ACT", place->act);
    force("TINCT_VALIDATION", place->validation);
    t = tinct_open(&(struct tinct_options) { .model = temporary_path("tiny.safetensors"), .device = place->device, .threads = 1 }, &err);
    if (!t && strcmp(place->device, "cpu") != 0) {
        print_message("skipped: %s\n", err.text);
        return 0;
    }
    if (!t) print_error("%s\n", err.text);
    return t ? 0 : -1;
}

static int close_it(void **state)
{
    (void)state;
    bool spoke = t && device_validation_messages(t->device);
    if (spoke) print_error("the validation layers spoke\n");
    tinct_close(t);
    t = NULL;
    return spoke ? -1 : 0;
}

static bool is_on_cpu(void)
{
    return device_about(t->device)->kind == DEVICE_CPU;
}

static struct tinct_txt2img settings(const char *sampler, int steps)
{
    if (!t) skip();
    return (struct tinct_txt2img) { .prompt = "a castle", .negative = "blurry", .width = SIDE, .height = SIDE, .steps = steps,
                                    .sampler = sampler, .seed = 5 };
}

static struct tinct_image paint(const struct tinct_txt2img *p)
{
    struct tinct_image image;
    struct tinct_err err;

    if (!tinct_txt2img(t, p, &image, &err)) fail_msg("%s: %s", p->sampler, err.text);
    return image;
}

/* What painting adds to the device's counts. */
static struct device_counts counts_of(const struct tinct_txt2img *p)
{
    struct device_counts before = device_counts(t->device), after;
    struct tinct_image image = paint(p);

    tinct_image_free(&image);
    after = device_counts(t->device);
    return (struct device_counts) { after.reads - before.reads, after.writes - before.writes, after.waits - before.waits };
}

struct told {
    int steps, steps_of, stop_after;      /* stop_after 0: never */
    bool latents;
    float last[LATENT];
};

static bool remember(void *user, const struct tinct_progress *progress)
{
    struct told *told = user;

    assert_int_equal(progress->step, ++told->steps);
    told->steps_of = progress->steps;
    told->latents = progress->latent != NULL;
    if (progress->latent) memcpy(told->last, progress->latent, sizeof told->last);
    return progress->step != told->stop_after;
}

/* Ten steps more are as many evaluations of the model: each writes its weights and which time it is, and a draw its noise.
 * Trial points have times of their own, which are embedded when they come: "Heun" has none. The host waits once a step at most, and
 * before and after them a few times more where the device is slower. */
static void nothing_is_read_between_steps(void **state)
{
    static const struct { const char *sampler; int evaluations, draws; bool told; } samplers[] = {
        { "Euler", 1, 0, true }, { "Euler a", 1, 1, false }, { "DPM++ 2M", 1, 0, false }, { "Heun", 2, 0, false },
    };
    (void)state;

    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++) {
        struct told first = { 0 }, last = { 0 };
        struct tinct_txt2img few = settings(samplers[i].sampler, 2), many = settings(samplers[i].sampler, 12);
        few.on_step = many.on_step = samplers[i].told ? remember : NULL;
        few.user = &first;
        many.user = &last;
        struct device_counts less = counts_of(&few), more = counts_of(&many);
        assert_int_equal(more.reads, less.reads);
        assert_int_equal(more.writes - less.writes, 10 * (2 * samplers[i].evaluations + samplers[i].draws));
        assert_true(more.waits <= less.waits + (is_on_cpu() ? 0 : 10 + 6));
        assert_int_equal(last.steps, samplers[i].told ? 12 : 0);
        assert_false(last.latents);
    }
    struct tinct_txt2img few = settings("DPM++ SDE", 2), many = settings("DPM++ SDE", 3);
    struct device_counts less = counts_of(&few), more = counts_of(&many);
    assert_int_equal(more.reads, less.reads);
}

static void latents_are_read_where_asked_for(void **state)
{
    struct told told = { 0 };
    struct tinct_txt2img few = settings("Euler a", 2), plain = settings("Euler a", 4);
    (void)state;

    few.on_step = remember;
    few.user = &told;
    few.latents = true;
    struct tinct_txt2img many = few;
    many.steps = 4;
    struct device_counts less = counts_of(&few);
    assert_true(told.latents);
    assert_int_equal(told.steps_of, 2);
    told = (struct told) { 0 };
    struct device_counts more = counts_of(&many);
    assert_int_equal(more.reads, less.reads + 2);
    told = (struct told) { 0 };
    struct tinct_image with = paint(&many), without = paint(&plain);
    assert_memory_equal(with.rgb, without.rgb, BYTES);
    tinct_image_free(&with);
    tinct_image_free(&without);

    double largest = 0;
    for (int i = 0; i < LATENT; i++) largest = fmax(largest, fabs((double)told.last[i]));
    assert_true(largest > 0.01 && largest < 1000);
}

/* A text of the negative prompt's length is evaluated beside it, a longer one after it, and a prompt may change on the way. */
static void texts_may_differ(void **state)
{
#define WORDS "a b c d e f g h i j k l m n o p q r s t u v w x y z "
#define LONG WORDS WORDS WORDS
    struct tinct_txt2img p = settings("DPM++ 2M", 4);
    const char *const prompts[] = { "a castle", LONG " AND a dog", "a castle AND a dog :0.5 AND a cat", "a [castle:dog:0.5]" };
    enum { PROMPTS = sizeof prompts / sizeof *prompts };
    struct tinct_image images[PROMPTS];
    (void)state;

    for (int i = 0; i < PROMPTS; i++) {
        p.prompt = prompts[i];
        images[i] = paint(&p);
        for (int k = 0; k < i; k++) assert_true(memcmp(images[i].rgb, images[k].rgb, BYTES) != 0);
    }
    p.prompt = prompts[1];                 /* and nothing of one is left for the next */
    struct tinct_image again = paint(&p);
    assert_memory_equal(again.rgb, images[1].rgb, BYTES);
    tinct_image_free(&again);
    for (int i = 0; i < PROMPTS; i++) tinct_image_free(&images[i]);
}

static void it_may_be_cancelled(void **state)
{
    struct tinct_txt2img p = settings("Euler", 3);
    struct tinct_image image, before = paint(&p), after;
    struct tinct_err err;
    (void)state;

    for (int latents = 0; latents < 2; latents++)
        for (int step = 2; step <= 3; step++) {
            char words[64];
            struct told told = { .stop_after = step };
            struct tinct_txt2img q = p;
            q.on_step = remember;
            q.user = &told;
            q.latents = latents;
            snprintf(words, sizeof words, "cancelled after step %d of 3", step);
            check_refused(tinct_txt2img(t, &q, &image, &err), &err, TINCT_ERR_CANCELLED, words);
            assert_int_equal(told.steps, step);
        }
    after = paint(&p);
    assert_memory_equal(after.rgb, before.rgb, BYTES);
    tinct_image_free(&before);
    tinct_image_free(&after);
}

/* Told with the first step where that costs nothing, or where a latent is read; else with the last. */
static void what_is_no_number_is_refused(void **state)
{
    float noise[LATENT] = { 0 };
    struct tinct_txt2img p = settings("Euler", 3), good = settings("Euler", 3);
    struct tinct_image image, before = paint(&good), after;
    struct tinct_err err;
    (void)state;

    for (int latents = 0; latents < 2; latents++) {
        struct told told = { 0 };
        noise[7] = latents ? INFINITY : NAN;
        p.noise = noise;
        p.on_step = remember;
        p.user = &told;
        p.latents = latents;
        check_refused(tinct_txt2img(t, &p, &image, &err), &err, TINCT_ERR_NAN, "the UNet gave a value that is not a number");
        if (is_on_cpu() || latents) assert_int_equal(told.steps, 0);
    }
    after = paint(&good);
    assert_memory_equal(after.rgb, before.rgb, BYTES);
    tinct_image_free(&before);
    tinct_image_free(&after);
}

static int prepare(void **state)
{
    return temporary_make(state) ||
           !tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", temporary_path("tiny.safetensors"));
}

#define ON(place, test) { #test ": " #place, test, open_on, close_it, (void *)&place }
#define EVERYWHERE(test) ON(cpu, test), ON(soft, test), ON(staged, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERYWHERE(nothing_is_read_between_steps),
        EVERYWHERE(latents_are_read_where_asked_for),
        EVERYWHERE(texts_may_differ),
        EVERYWHERE(it_may_be_cancelled),
        EVERYWHERE(what_is_no_number_is_refused),
    };
    return cmocka_run_group_tests_name("steps", tests, prepare, temporary_remove);
}
