/* The program on top of tinct.h, compiled as it stands there (tests/CMakeLists.txt), paints and says what is wrong. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "image/png.h"
#include "temporary.h"
#include "tiny_checkpoint.h"

/* Exit status of the example in the temporary folder, with these words on standard error. */
static int run_example(const char *model, char *words, size_t room)
{
    char command[1024];

    snprintf(command, sizeof command, "cd %s && %s '%s' 2>&1", temporary_folder, EXAMPLE, model);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    words[fread(words, 1, room - 1, out)] = '\0';
    int status = pclose(out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_example_paints(void **state)
{
    char words[4096];
    struct png png;
    struct tinct_err err;

    (void)state;
    assert_true(tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", temporary_path("tiny.safetensors")));
    int status = run_example("tiny.safetensors", words, sizeof words);
    if (status) print_error("%s\n", words);
    assert_int_equal(status, 0);
    assert_string_equal(words, "");
    assert_true(png_read(temporary_path("castle.png"), true, &png, &err));
    assert_int_equal(png.width, 512);
    assert_non_null(strstr(png_text(&png, "parameters"), "a castle at dusk\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras"));
    png_free(&png);

    assert_int_equal(run_example("tiny.safetensors", words, sizeof words), 1);
    assert_non_null(strstr(words, "castle.png"));                 /* is there already: never overwritten unasked */
}

static void a_missing_model_is_one_sentence(void **state)
{
    char words[4096];

    (void)state;
    assert_int_equal(run_example("nowhere.safetensors", words, sizeof words), 1);
    assert_non_null(strstr(words, "nowhere.safetensors"));
    assert_int_equal(strchr(words, '\n') - words + 1, (long)strlen(words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_paints),
        cmocka_unit_test(a_missing_model_is_one_sentence),
    };
    return cmocka_run_group_tests_name("example", tests, temporary_make, temporary_remove);
}
