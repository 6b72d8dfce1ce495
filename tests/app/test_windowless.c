/* A program that was built where SDL2 or Dear ImGui are missing: it does all but the window, and says what is missing. */
#define _GNU_SOURCE /* wait4 */
#include "app/program.h"

static int begin(void **state)
{
    (void)state;
    setenv("TINCT_PROGRAM", WINDOWLESS, 1);
    return program_begin();
}

static void the_window_is_one_sentence(void **state)
{
    struct run run = program_run("window");
    (void)state;

    check_failed("window", &run, 4, "this program was built without its window; missing then: libsdl2-dev, libimgui-dev");
    run = program_run("window sea --steps 3");
    check_failed("window sea", &run, 4, "this program was built without its window");
    run = program_run("prompt sea");
    assert_int_equal(run.code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_window_is_one_sentence) };
    return cmocka_run_group_tests(tests, begin, program_leave);
}
