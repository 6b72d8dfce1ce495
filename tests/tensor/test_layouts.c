/* The layouts of real files (tests/golden/tiny/make_tiny.py): whatever the spelling, shape and type,
 * each canonical name gives the same numbers as in the plain file. Needs python3 with numpy. */
#include "check.h"
#include "temporary.h"
#include "tensor/checkpoint.h"
#include "tensor/names.h"

#include <stdlib.h>

static const char *python(void)
{
    const char *named = getenv("TINCT_PYTHON");
    return named ? named : "python3";
}

static bool make(const char *layout)
{
    char command[1024];
    snprintf(command, sizeof command, "%s %s/golden/tiny/make_tiny.py %s/%s.safetensors --layout %s", python(), TESTS_DIR,
             temporary_folder, layout, layout);
    return system(command) == 0;
}

static bool is_ours(const char *name)
{
    return (!strncmp(name, NAMES_UNET, strlen(NAMES_UNET)) || !strncmp(name, NAMES_TEXT, strlen(NAMES_TEXT)) ||
            !strncmp(name, NAMES_VAE, strlen(NAMES_VAE))) && !strstr(name, "position_ids");
}

static uint32_t compare(const struct checkpoint *plain, const struct checkpoint *other)
{
    const struct safetensors *st = checkpoint_file(plain);
    uint32_t compared = 0;

    for (uint32_t i = 0; i < safetensors_count(st); i++) {
        const char *name = safetensors_at(st, i)->name;
        struct stored a, b;
        struct tinct_err err = { 0 };
        if (!is_ours(name)) continue;
        assert_true(checkpoint_find(plain, name, &a));
        if (!checkpoint_tensor(other, name, a.dims, a.shape, &b, &err)) fail_msg("%s", err.text);
        size_t bytes = (size_t)stored_count(&a) * sizeof(float);
        float *x = malloc(bytes), *y = malloc(bytes);
        assert_true(stored_read_f32(x, &a, &err) && stored_read_f32(y, &b, &err));
        if (memcmp(x, y, bytes)) fail_msg("%s differs", name);
        free(x);
        free(y);
        compared++;
    }
    return compared;
}

static void every_layout_gives_the_same_numbers(void **state)
{
    static const char *const layouts[] = { "extras", "text",   "positions", "mixed",
                                           "vae-flat", "vae-to", "split",     "diffusers" };
    struct tinct_err err = { 0 };
    char command[512];
    (void)state;

    snprintf(command, sizeof command, "%s -c 'import numpy' 2>/dev/null", python());
    if (system(command) != 0) {
        print_message("skipped: %s has no numpy to write the layouts with\n", python());
        skip();
    }
    assert_true(make("plain"));
    struct checkpoint *plain = checkpoint_open(temporary_path("plain.safetensors"), NULL, &err);
    if (!plain) fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        char file[64];
        bool split = !strcmp(layouts[i], "split");
        snprintf(file, sizeof file, "%s.safetensors", layouts[i]);
        assert_true(make(layouts[i]));
        struct checkpoint *other = checkpoint_open(temporary_path(file), split ? temporary_path("split.vae.safetensors") : NULL, &err);
        if (!other || !checkpoint_expect_sd1(other, &err)) fail_msg("%s", err.text);
        assert_int_equal(checkpoint_about(other).kind, CHECKPOINT_SD1);
        assert_int_equal(compare(plain, other), 970);
        checkpoint_close(other);
        unlink(temporary_path(file));
    }
    checkpoint_close(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_layout_gives_the_same_numbers) };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
