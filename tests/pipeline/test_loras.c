/* Pictures with LoRAs on a tiny model: what changes them, and what must not. */
#include "pipeline/loras.h"

/* ---- what the weights do ---------------------------------------------------------- */

static void they_leave_no_trace(void **state)
{
    static const char *const between[] = { "a cat <lora:arcane>", "a cat <lora:ink:-0.7>", "a cat <lora:clay:2><lora:ink:0.5>" };
    struct tinct_image plain = paint("a cat"), again, first[3];
    (void)state;

    for (int i = 0; i < 3; i++) {
        first[i] = paint(between[i]);
        assert_false(are_same(&plain, &first[i]));
        again = paint("a cat");
        assert_true(are_same(&plain, &again));
        tinct_image_free(&again);
    }
    for (int i = 0; i < 3; i++) {           /* without a picture in between, in another context too */
        struct tinct *fresh = open_tiny();
        struct tinct_txt2img p = quick(between[i]);
        again = paint(between[i]);
        struct tinct_image anew = paint_on(fresh, &p);
        assert_true(are_same(&first[i], &again) && are_same(&first[i], &anew));
        tinct_image_free(&again);
        tinct_image_free(&anew);
        tinct_image_free(&first[i]);
        tinct_close(fresh);
    }
    tinct_image_free(&plain);
}

/* fp32 sums in another order, and weights one step of fp16 apart: some 60 dB. */
static void vulkan_paints_alike(void **state)
{
    struct tinct_txt2img p = quick("a cat <lora:arcane:0.8><lora:ink:0.6>");
    struct tinct_image cpu = paint(p.prompt), vulkan, again;
    struct tinct_err err;
    double squares = 0;
    struct tinct *gpu = tinct_open(&(struct tinct_options) { .model = tiny, .device = "llvmpipe", .lora_dir = temporary_folder }, &err);
    (void)state;

    if (!gpu) {
        print_message("skipped: %s\n", err.text);
        tinct_image_free(&cpu);
        skip();
    }
    vulkan = paint_on(gpu, &p);
    for (int i = 0; i < BYTES; i++) squares += (cpu.rgb[i] - vulkan.rgb[i]) * (cpu.rgb[i] - vulkan.rgb[i]);
    print_message("PSNR %.1f dB\n", 10 * log10(255.0 * 255 * BYTES / (squares + 1e-9)));
    assert_true(squares < 1e-5 * 255 * 255 * BYTES);
    p.prompt = "a cat";
    again = paint_on(gpu, &p);                             /* and takes them away again */
    tinct_image_free(&vulkan);
    tinct_image_free(&cpu);
    cpu = paint("a cat");
    squares = 0;
    for (int i = 0; i < BYTES; i++) squares += (cpu.rgb[i] - again.rgb[i]) * (cpu.rgb[i] - again.rgb[i]);
    assert_true(squares < 1e-5 * 255 * 255 * BYTES);
    tinct_image_free(&again);
    tinct_image_free(&cpu);
    tinct_close(gpu);
}

static void their_order_does_not_matter(void **state)
{
    (void)state;
    compare("a cat <lora:arcane:0.8><lora:ink:0.6><lora:clay:0.7>", "<lora:clay:0.7><lora:ink:0.6>a cat <lora:arcane:0.8>", false);
    compare("a cat <lora:arcane:0.8><lora:ink:0.6>", "a cat <lora:arcane:0.6><lora:ink:0.8>", true);
}

/* Their hashes are the same; what is summed first must not hang on which was opened first. */
static void nor_does_that_of_two_copies(void **state)
{
    static const char *const orders[] = { "a cat <lora:arcane:0.9><lora:twin:-0.4>", "a cat <lora:twin:-0.4><lora:arcane:0.9>" };
    struct tinct_image image[2];
    (void)state;

    lora_write(tiny, "twin", &(struct lora_plan) { .seed = 1, .rank = 8, .size = 0.05f, .attention = true });   /* arcane's tensors */
    for (int i = 0; i < 2; i++) {
        struct tinct *fresh = open_tiny();
        struct tinct_txt2img p = quick(orders[i]);
        image[i] = paint_on(fresh, &p);
        tinct_close(fresh);
    }
    assert_true(are_same(&image[0], &image[1]));
    for (int i = 0; i < 2; i++) tinct_image_free(&image[i]);
    unlink(temporary_path("twin.safetensors"));
}

static void strengths_are_as_written(void **state)
{
    (void)state;
    compare("a cat <lora:arcane:0.3><lora:arcane:0.5>", "a cat <lyco:arcane:0.8>", false);        /* duplicates add up */
    compare("a cat <lora:arcane:0.5:0.25>", "a cat <lora:arcane:te=0.5:unet=0.25>", false);
    compare("a cat <lora:arcane:0.5:0.25>", "a cat <lora:arcane:0.25:0.5>", true);
    compare("a cat <lora:arcane:0>", "a cat", false);
    compare("a cat <lora:arcane:0:1>", "a cat <lora:arcane:1>", true);
    compare("a cat <lora:arcane:1:0>", "a cat", true);
    compare("a cat <lora:arcane:1:dyn=8>", "a cat <lora:arcane>", false);                         /* all of its ranks */
    compare("a cat <lora:arcane:1:dyn=2>", "a cat <lora:arcane>", true);
    compare("a cat <lora:arc>", "a cat <lora:arcane.safetensors:1>", false);                      /* its alias */
}

static void blocks_have_their_own(void **state)
{
    (void)state;
    compare("a cat <lora:arcane:1:lbw=NONE>", "a cat", false);
    compare("a cat <lora:arcane:1:lbw=1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1>", "a cat <lora:arcane>", false);
    compare("a cat <lora:arcane:1:lbw=ALL>", "a cat <lora:arcane:1:lbw=OUTALL>", true);
    compare("a cat <lora:arcane:1:lbw=1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0>", "a cat <lora:arcane:1:0>", false);
    compare("a cat <lora:arcane:1:lbw=INS><lora:arcane:1:lbw=OUTS>",                /* what two uses of a file say is added */
            "a cat <lora:arcane:1:lbw=2,1,1,1,0,0,0,0,0,0,0,0,1,1,1,1,1>", false);
}

/* ---- over the steps --------------------------------------------------------------- */

enum { STEPS = 4, LATENT = SIDE / 8 * SIDE / 8 * 4 };

struct trajectory {
    float after[STEPS][LATENT];
    int stop_after;                        /* 0: never */
};

static bool remember(void *user, const struct tinct_progress *progress)
{
    struct trajectory *way = user;

    memcpy(way->after[progress->step - 1], progress->latent, sizeof way->after[0]);
    return progress->step != way->stop_after;
}

static void follow(const char *prompt, struct trajectory *way)
{
    struct tinct_txt2img p = quick(prompt);
    struct tinct_image image;

    *way = (struct trajectory) { .stop_after = 0 };
    p.steps = STEPS;
    p.on_step = remember;
    p.latents = true;
    p.user = way;
    image = paint_on(t, &p);
    tinct_image_free(&image);
}

static bool same_after(const struct trajectory *a, const struct trajectory *b, int step)
{
    return memcmp(a->after[step - 1], b->after[step - 1], sizeof a->after[0]) == 0;
}

/* The text encoder's part is there from first to last, the UNet's in its steps: until it begins, all is as with the
 * text encoder's alone; until it ends, as with both. */
static void steps_begin_and_end(void **state)
{
    static struct trajectory text, both, late, early;
    struct tinct_image image;
    (void)state;

    follow("a cat <lora:arcane:1:0>", &text);
    follow("a cat <lora:arcane>", &both);
    follow("a cat <lora:arcane:1:start=3>", &late);
    follow("a cat <lora:arcane:1:step=1-2>", &early);
    for (int step = 1; step <= STEPS; step++) {
        assert_int_equal(same_after(&late, &text, step), step < 3);
        assert_int_equal(same_after(&early, &both, step), step <= 2);
        assert_false(same_after(&text, &both, step));
    }
    compare("a cat <lora:arcane:1:start=1:stop=2>", "a cat <lora:arcane>", false);        /* all of the two steps */
    compare("a cat <lora:arcane:1:start=3>", "a cat <lora:arcane:1:0>", false);
    image = paint("a cat <lora:arcane:1:start=3>");
    says("it begins with step 3, and there are 2");
    tinct_image_free(&image);
}

static void a_cancelled_picture_is_forgotten(void **state)
{
    static struct trajectory way;
    struct tinct_image plain = paint("a cat"), again, image;
    struct tinct_txt2img p = quick("a cat <lora:arcane:1:start=2><lora:ink>");
    struct tinct_err err;
    (void)state;

    way.stop_after = 2;
    p.steps = STEPS;
    p.on_step = remember;
    p.latents = true;
    p.user = &way;
    check_refused(tinct_txt2img(t, &p, &image, &err), &err, TINCT_ERR_CANCELLED, "cancelled");
    again = paint("a cat");
    assert_true(are_same(&plain, &again));
    tinct_image_free(&plain);
    tinct_image_free(&again);
}

/* ---- on the open model -------------------------------------------------------------- */

static void set(const char *name, float weight)
{
    struct tinct_err err;
    must(tinct_lora_set(t, &(struct tinct_lora) { .name = name, .te = weight, .unet = weight }, &err), &err);
}

static void drop(const char *name)
{
    struct tinct_err err;
    must(tinct_lora_remove(t, name, &err), &err);
}

static void they_stay_until_removed(void **state)
{
    struct tinct_image plain = paint("a cat"), tagged = paint("a cat <lora:arcane:0.5>"), other = paint("a cat <lora:arcane:0.75>"), now;
    struct tinct_lora given = { .name = "arcane", .te = 0.25f, .unet = 0.25f };
    struct tinct_txt2img p = quick("a cat");
    struct tinct_err err;
    (void)state;

    set("arcane", 0.5f);
    now = paint("a cat");
    assert_true(are_same(&tagged, &now));
    assert_non_null(strstr(now.infotext, "a cat <lora:arcane:0.5>\n"));         /* so that the recipe gives it again */
    tinct_image_free(&now);
    p.loras = &given;
    p.lora_count = 1;
    now = paint_on(t, &p);
    assert_true(are_same(&other, &now));
    tinct_image_free(&now);
    set("arcane", 0.75f);
    now = paint("a cat");
    assert_true(are_same(&other, &now));
    tinct_image_free(&now);
    set("arc", 0.5f);                                                           /* the same file by its alias */
    assert_int_equal(tinct_lora_count(t), 1);
    assert_string_equal(tinct_lora_at(t, 0).name, "arc");
    check_refused(tinct_lora_remove(t, "ink", &err), &err, TINCT_ERR_ARG, "\"ink\" is not set");
    drop("arc");
    now = paint("a cat");
    assert_true(are_same(&plain, &now));
    tinct_image_free(&now);
    check_refused(tinct_lora_set(t, &(struct tinct_lora) { .name = "arcan", .te = 1, .unet = 1 }, &err), &err, TINCT_ERR_ARG, "arcane");
    check_refused(tinct_lora_set(t, &(struct tinct_lora) { .name = "ink", .te = NAN, .unet = 1 }, &err), &err, TINCT_ERR_ARG, "-16..16");
    check_refused(tinct_lora_set(t, &(struct tinct_lora) { .name = "ink", .te = 1, .unet = 1, .blocks = "OUT" }, &err), &err, TINCT_ERR_ARG, "OUTALL");
    assert_int_equal(tinct_lora_count(t), 0);
    tinct_image_free(&plain);
    tinct_image_free(&tagged);
    tinct_image_free(&other);
}

/* Some pictures on the way are compared with a context that never had another set. */
static void fifty_changes_and_none_is_left(void **state)
{
    static const char *const names[] = { "arcane", "ink", "clay" };
    struct tinct_image plain = paint("a cat"), now;
    bool is_set[3] = { false };
    uint64_t random = 9;
    (void)state;

    for (int i = 0; i < 50; i++) {
        int which = (int)(1.5f + 1.49f * lora_random(&random));
        float weight = (float)(int)(8 * lora_random(&random)) / 8;
        if (is_set[which] && weight < 0) drop(names[which]);
        else set(names[which], weight);
        is_set[which] = !(is_set[which] && weight < 0);
        now = paint("a cat");
        if (i % 16 == 15) {
            struct tinct *fresh = open_tiny();
            struct tinct_txt2img p = quick(now.infotext);                       /* its first line has the tags */
            char prompt[256];
            snprintf(prompt, sizeof prompt, "%.*s", (int)strcspn(now.infotext, "\n"), now.infotext);
            p.prompt = prompt;
            struct tinct_image anew = paint_on(fresh, &p);
            assert_true(are_same(&anew, &now));
            tinct_image_free(&anew);
            tinct_close(fresh);
        }
        tinct_image_free(&now);
    }
    for (int i = 0; i < 3; i++)
        if (is_set[i]) drop(names[i]);
    now = paint("a cat");
    assert_true(are_same(&plain, &now));
    tinct_image_free(&now);
    tinct_image_free(&plain);
}

/* ---- what is said ------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_leave_no_trace),             cmocka_unit_test(their_order_does_not_matter),
        cmocka_unit_test(nor_does_that_of_two_copies),     cmocka_unit_test(vulkan_paints_alike),
        cmocka_unit_test(strengths_are_as_written),        cmocka_unit_test(blocks_have_their_own),
        cmocka_unit_test(steps_begin_and_end),             cmocka_unit_test(a_cancelled_picture_is_forgotten),
        cmocka_unit_test(they_stay_until_removed),         cmocka_unit_test(fifty_changes_and_none_is_left),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
