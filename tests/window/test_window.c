/* The window as a person meets it: under Xvfb, by keys and mouse, judged by the screen and by what is on the disk. */
#define _GNU_SOURCE /* wait4 */
#include "tiny_checkpoint.h"
#include "window/desk.h"

#define OPTIONS "window -m tiny.safetensors --device cpu --threads 1 -W 64 -H 64 "

static int begin(void **state)
{
    (void)state;
    if (!desk_has("Xvfb") || !desk_has("xdotool")) {
        puts("# skip: Xvfb and xdotool are not installed");
        return 0;
    }
    if (program_begin() != 0) return -1;
    hands("mkdir -p %s/../out", TESTS_DIR);
    if (!tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", "tiny.safetensors")) return -1;
    desk_begin(1024, 640);
    return 0;
}

static int end(void **state)
{
    char command[200];

    (void)state;
    desk_end();
    snprintf(command, sizeof command, "cd / && rm -rf %s", program_folder);
    return system(command);
}

/* A test that failed leaves its window behind. */
static int put_away(void **state)
{
    (void)state;
    if (desk.window > 0) {
        kill(desk.window, SIGKILL);
        waitpid(desk.window, NULL, 0);
        desk.window = 0;
    }
    return 0;
}

static void need_desk(void)
{
    if (!desk.display) skip();
}

static void no_display_is_one_sentence(void **state)
{
    struct run run;
    char *display;

    (void)state;
    need_desk();
    display = strdup(getenv("DISPLAY"));
    unsetenv("DISPLAY");
    run = program_run("window");
    check_failed("window", &run, 4, "the window has no display to open on");
    setenv("DISPLAY", ":4711", 1);
    run = program_run("paint sea -m tiny.safetensors --preview");
    check_failed("--preview", &run, 4, "the window has no display to open on");
    setenv("DISPLAY", display, 1);
    free(display);
}

static void typed_and_painted(void **state)
{
    struct run run;
    uint64_t look, before;
    int changes = 0;

    (void)state;
    need_desk();
    desk_open(OPTIONS "--steps 200");
    eyes_keep("empty");
    hands_type("a castle at dusk, (oil painting:1.2)");
    desk_until("prompt", "a castle at dusk, (oil painting:1.2)");
    desk_until("prompt.under", "7 / 75 tokens");
    before = eyes_hash("view");
    hands_key("ctrl+Return");
    for (int i = 0; i < 500 && changes < 4; i++, before = look) {
        desk_rest(20);
        look = eyes_hash("view");
        changes += look != before && strstr(desk_until("view", "").value, " preview");
    }
    assert_int_equal(changes, 4); /* of the preview, while it is painted */
    eyes_keep("painting");
    desk_until("status", ".png");
    desk_until("paint", "idle");
    desk_wait("view", "preview", true);
    eyes_keep("painted");
    run = desk_close();
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "out/00001-"));
    assert_string_equal(run.err, "");
}

static void escape_stops(void **state)
{
    struct run run;

    (void)state;
    need_desk();
    desk_open(OPTIONS "--steps 900 sea");
    hands_key("ctrl+Return");
    desk_until("status", "step 2");
    hands_key("Escape");
    desk_until("paint", "idle");
    desk_wait("status", "step", true);
    run = desk_close();
    assert_int_equal(run.code, 0);
    assert_string_equal(run.out, "");
}

static void closed_while_painting(void **state)
{
    struct run run;

    (void)state;
    need_desk();
    desk_open("paint sea -m tiny.safetensors --device cpu --threads 1 -W 64 -H 64 --steps 900 --preview");
    desk_until("status", "step 3");
    run = desk_close();
    assert_int_equal(run.code, 0);
    assert_string_equal(run.out, "");
}

static void errors_are_told_while_typing(void **state)
{
    (void)state;
    need_desk();
    desk_open(OPTIONS);
    hands_type("sea <lora:arcane:strong>");
    desk_until("prompt.under", "strong");
    eyes_keep("error");
    hands_key("ctrl+Return");
    desk_until("status", "strong");
    assert_int_equal(desk_close().code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(no_display_is_one_sentence, put_away),
        cmocka_unit_test_teardown(typed_and_painted, put_away),
        cmocka_unit_test_teardown(escape_stops, put_away),
        cmocka_unit_test_teardown(closed_while_painting, put_away),
        cmocka_unit_test_teardown(errors_are_told_while_typing, put_away),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
