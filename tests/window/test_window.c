/* The window as a person meets it: under Xvfb, by keys and mouse, judged by the screen and by what is on the disk. */
#define _GNU_SOURCE /* wait4 */
#include "tiny_checkpoint.h"
#include "pipeline/lora_files.h"
#include "window/desk.h"
#include "window/xdnd.h"

#define OPTIONS "window -q -m tiny.safetensors --device cpu --threads 1 -W 64 -H 64 "

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
    hands("mkdir loras");
    strcpy(temporary_folder, "loras");
    lora_write("tiny.safetensors", "arcane", &(struct lora_plan) { .seed = 1, .rank = 4, .size = 0.05f,
        .metadata = "{\"modelspec.trigger_phrase\":\"arcane style, painted\",\"modelspec.usage_hint\":\"weight 0.8\"}" });
    lora_write("tiny.safetensors", "ink", &(struct lora_plan) { .seed = 2, .rank = 8, .size = 0.05f, .no_text = true });
    hands("cp loras/ink.safetensors dropped.safetensors");
    hands("cp %s/golden/lora/lycoris_loha.safetensors loras/misfit.safetensors", TESTS_DIR);
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
    setenv("SDL_VIDEODRIVER", "", 1);            /* as good as unset */
    struct run unnamed = program_run("window");
    unsetenv("SDL_VIDEODRIVER");
    setenv("DISPLAY", ":4711", 1);
    struct run preview = program_run("paint sea -m tiny.safetensors --preview");
    setenv("DISPLAY", display, 1);
    free(display);
    check_failed("window", &run, 4, "the window has no display to open on");
    check_failed("an empty SDL_VIDEODRIVER", &unnamed, 4, "the window has no display to open on");
    check_failed("--preview", &preview, 4, "the window has no display to open on");
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

/* Each slider's mark says its LoRA's name first. */
static struct mark slider(const char *name)
{
    char line[DESK_LINE_BYTES], wanted[100];
    struct mark m = { 0 };

    snprintf(wanted, sizeof wanted, " %s ", name);
    for (int i = 0; i < DESK_PATIENCE * 50; i++, desk_rest(20)) {
        FILE *f = fopen("trace", "rb");
        bool found = false;
        while (f && !found && fgets(line, sizeof line, f))
            found = strncmp(line, "slider ", 7) == 0 && strstr(line, wanted) && sscanf(line, "slider %d %d %d %d", &m.x, &m.y, &m.w, &m.h) == 4;
        if (f) fclose(f);
        if (found) {
            snprintf(m.value, sizeof m.value, "%s", strstr(line, wanted) + strlen(wanted));
            return m;
        }
    }
    fail_msg("no slider for %s", name);
    return m;
}

/* The knob of a slider from -1 to 2, from one weight to the other. */
static void slide(const char *name, double from, double to)
{
    struct mark m = slider(name);
    int y = m.y + m.h / 2;

    hands("xdotool mousemove %d %d", m.x + (int)(m.w * (from + 1) / 3), y);
    desk_rest(80);
    hands("xdotool mousedown 1");
    desk_rest(120);
    hands("xdotool mousemove %d %d", m.x + (int)(m.w * (to + 1) / 3), y);
    desk_rest(150);
    hands("xdotool mouseup 1");
}

static void sliders_and_tags(void **state)
{
    uint64_t before, after;

    (void)state;
    need_desk();
    hands("rm -rf out");
    desk_open(OPTIONS "--steps 4 -s 5 \"sea\"");
    hands_click("tab.loras");
    slider("arcane");
    desk_rest(300);
    eyes_keep("loras");
    hands_click("view");
    hands_key("ctrl+Return");
    desk_until("status", ".png");
    desk_rest(150);
    before = eyes_hash("view");
    hands_click("auto");
    desk_until("auto", "on");
    slide("arcane", 0.8, 1.5);
    desk_until("prompt", "<lora:arcane:1.5>");
    desk_rest(300);
    desk_until("paint", "idle");            /* painted again by itself */
    desk_rest(150);
    after = eyes_hash("view");
    assert_true(before != after);
    eyes_keep("slider");
    hands_click("prompt");
    hands_key("ctrl+a");
    hands_type("sea <lora:arcane:-0.5>, arcane style, painted");
    for (int i = 0; i < DESK_PATIENCE * 50 && strcmp(slider("arcane").value, "-0.50\n") != 0; i++) desk_rest(20);
    assert_string_equal(slider("arcane").value, "-0.50\n");
    eyes_keep("tag");
    hands_click("trigger");                 /* there: taken out */
    desk_wait("prompt", "arcane style", true);
    hands_click("trigger");
    desk_until("prompt", "arcane style");
    assert_int_equal(desk_close().code, 0);
}

static void compared(void **state)
{
    (void)state;
    need_desk();
    desk_open(OPTIONS "--steps 4 -s 5 \"sea <lora:arcane:1>\"");
    hands_key("ctrl+Return");
    desk_until("status", ".png");
    hands_click("view");
    hands_key("c");
    desk_until("compare", "split without arcane");
    eyes_keep("compare");
    hands_key("c");
    desk_wait("compare", "split", true);
    uint64_t with = eyes_hash("view");
    hands("xdotool keydown space");
    desk_until("compare", "held");
    desk_rest(150);
    assert_true(eyes_hash("view") != with);
    hands("xdotool keyup space");
    desk_wait("compare", "held", true);
    assert_int_equal(desk_close().code, 0);
}

static void history_restores(void **state)
{
    struct run run;

    (void)state;
    need_desk();
    hands("rm -rf out");
    desk_open(OPTIONS "--steps 3 -s 11 \"first\"");
    hands_key("ctrl+Return");
    desk_until("history", "1 out/00001-11.png");
    hands_key("ctrl+a");
    hands_type("second");
    hands_click("tab.recipe");
    hands_click("seed");
    hands_key("ctrl+a");
    hands_type("12");
    hands_key("Return");
    desk_until("seed", "12");
    hands_key("ctrl+Return");
    desk_until("history", "2 out/00002-12.png");
    hands_click("view");
    hands_key("Right");                     /* older */
    desk_until("history", "2 out/00001-11.png");
    desk_until("prompt", "first");
    desk_until("seed", "11");
    hands_key("Left");
    desk_until("prompt", "second");
    struct mark strip = desk_until("history", "");
    hands("xdotool mousemove %d %d", strip.x + strip.h * 3 / 2, strip.y + strip.h / 2);
    desk_rest(60);
    hands("xdotool click 1");
    desk_until("prompt", "first");
    desk_until("view", "out/00001-11.png");
    eyes_keep("history");
    hands_click("tab.loras");
    desk_until("tab.loras", "on");
    hands_click("tab.recipe");
    desk_until("tab.recipe", "on");
    eyes_keep("recipe");
    run = desk_close();
    assert_int_equal(run.code, 0);

    desk_open("window --device cpu --threads 1");       /* it remembers */
    desk_until("prompt", "first");
    desk_until("tab.recipe", "on");
    desk_until("model", "tiny.safetensors");
    desk_until("size", "64x64");
    desk_until("history", "2");
    assert_int_equal(desk_close().code, 0);
}

static void dropped(void **state)
{
    (void)state;
    need_desk();
    hands("mkdir -p elsewhere && %s paint 'a dropped picture' -m tiny.safetensors -W 64 -H 64 --steps 2 -s 77 -q -o elsewhere/it.png >/dev/null", program_path);
    desk_open(OPTIONS "--steps 3 \"before\"");
    hands_click("tab.recipe");
    xdnd_drop("elsewhere/it.png");
    desk_until("prompt", "a dropped picture");
    desk_until("view", "elsewhere/it.png");
    desk_until("seed", "77");
    desk_until("steps", "2");
    xdnd_drop("dropped.safetensors");
    desk_until("prompt", "<lora:dropped:1>");
    hands("touch notes.txt");
    xdnd_drop("notes.txt");
    desk_until("status", "drop a PNG");
    assert_int_equal(desk_close().code, 0);
}

static void keys_are_listed(void **state)
{
    (void)state;
    need_desk();
    desk_open(OPTIONS "sea");
    hands_click("view");
    hands_key("question");
    desk_rest(300);
    eyes_keep("help");
    hands_key("Escape");
    hands_key("ctrl+s");
    desk_until("status", "there is no picture to save");
    assert_int_equal(desk_close().code, 0);
}

/* All that is done while a frame takes long arrives in one: a click, keys and Tab at once ended the program. */
static void numbers_in_one_slow_frame(void **state)
{
    (void)state;
    need_desk();
    desk_open(OPTIONS "--steps 12 \"sea\"");
    hands_click("tab.recipe");
    desk_until("steps", "12");
    hands_move("steps", 0.3, 0.5);
    desk_rest(200);
    kill(desk.window, SIGSTOP);
    hands("xdotool click 1 key ctrl+a type 8");
    kill(desk.window, SIGCONT);
    desk_rest(300);
    kill(desk.window, SIGSTOP);
    hands_key("Tab");
    kill(desk.window, SIGCONT);
    assert_string_equal(desk_until("steps", "8").value, "8");
    desk_rest(300);
    hands_type("5");                            /* into the next field, all of which Tab has selected */
    desk_rest(100);
    hands_key("Return");
    assert_string_equal(desk_until("cfg", "5").value, "5");
    hands_click("model");                       /* an open list ends with Esc, and the next click counts */
    desk_rest(200);
    hands_key("Escape");
    desk_rest(100);
    hands_click("prompt");
    hands_type(" side");
    desk_until("prompt", "sea side");
    hands_move("steps", 0.96, 0.5);             /* + */
    desk_rest(100);
    hands("xdotool click 1");
    desk_until("steps", "9");
    assert_int_equal(desk_close().code, 0);
}

static void two_hundred_events(void **state)
{
    static const char *const keys[] = { "a", "space", "Return", "BackSpace", "Left", "Right", "Up", "Down", "ctrl+a", "ctrl+z", "ctrl+y", "ctrl+x",
                                        "ctrl+v", "ctrl+Up", "ctrl+Down", "Tab", "Escape", "f", "r", "l", "c", "plus", "minus", "question",
                                        "ctrl+Return", "Home", "End", "shift+Left", "less", "parenleft", "colon", "ctrl+s" };
    uint64_t state_of = 42;

    (void)state;
    need_desk();
    desk_open(OPTIONS "--steps 3 \"sea <lora:arcane:1>\"");
    for (int i = 0; i < 200; i++) {
        state_of = state_of * 6364136223846793005u + 1442695040888963407u;
        unsigned dice = (unsigned)(state_of >> 33);
        if (dice % 3) hands("xdotool key %s", keys[dice / 3 % (sizeof keys / sizeof *keys)]);
        else hands("xdotool mousemove %u %u click %u", dice / 3 % 1024, dice / 3072 % 640, 1 + dice / 7 % 5);
        if (!desk_alive()) fail_msg("it ended at event %d", i);
    }
    hands_key("Escape");
    hands_key("Escape");
    struct run run = desk_close();
    assert_int_equal(run.code, 0);
    assert_string_equal(run.err, "");
}

/* On another screen, and back. */
static void look_at(int width, int height, const char *arguments, const char *name)
{
    desk_end();
    desk_begin(width, height);
    desk_open(arguments);
    desk_until("history", "");
    if (width < 1500) hands_click("tab.recipe");
    desk_rest(600);             /* thumbnails */
    eyes_keep(name);
    assert_int_equal(desk_close().code, 0);
}

/* Looked at by people: nothing is clipped, everything is readable. */
static void at_other_scales(void **state)
{
    static const char prompt[] = "\"a castle at dusk, (oil painting:1.2), arcane style, painted <lora:arcane:0.8> <lora:ink:0.4>\"";
    char arguments[400];

    (void)state;
    need_desk();
    snprintf(arguments, sizeof arguments, OPTIONS "--scale 2 %s", prompt);
    look_at(2048, 1280, arguments, "scale-2");
    snprintf(arguments, sizeof arguments, OPTIONS "--scale 1.5 %s", prompt);
    look_at(1536, 960, arguments, "scale-1.5");
    snprintf(arguments, sizeof arguments, OPTIONS "%s", prompt);
    hands("sed -i 's/^window width.*/window width = 1800/; s/^window height.*/window height = 1000/' .config/tinct/window.conf");
    look_at(1800, 1000, arguments, "wide");
    hands("rm .config/tinct/window.conf");
    desk_end();
    desk_begin(1024, 640);
}

/* The program is built with AddressSanitizer where this matters: then its leaks make it end with another code. */
static void ten_pictures(void **state)
{
    (void)state;
    need_desk();
    hands("rm -rf out");
    desk_open(OPTIONS "--steps 2 -b 5 \"sea <lora:arcane:1>\"");
    hands_key("ctrl+Return");
    desk_until("history", "5 ");
    desk_until("paint", "idle");
    hands_key("ctrl+Return");
    desk_until("history", "10 ");
    desk_until("paint", "idle");
    hands_click("view");
    for (int i = 0; i < 3; i++) hands_key("Right");
    desk_until("history", "10 out/00007");
    hands_key("c");
    desk_until("compare", "split without arcane");
    struct run run = desk_close();
    if (run.code) fail_msg("ended with %d: %s", run.code, run.err);
}

/* With an argument: only the tests of that name, as test.sh runs ten_pictures under sanitizers. */
int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(no_display_is_one_sentence, put_away),
        cmocka_unit_test_teardown(typed_and_painted, put_away),
        cmocka_unit_test_teardown(escape_stops, put_away),
        cmocka_unit_test_teardown(closed_while_painting, put_away),
        cmocka_unit_test_teardown(errors_are_told_while_typing, put_away),
        cmocka_unit_test_teardown(sliders_and_tags, put_away),
        cmocka_unit_test_teardown(compared, put_away),
        cmocka_unit_test_teardown(history_restores, put_away),
        cmocka_unit_test_teardown(dropped, put_away),
        cmocka_unit_test_teardown(keys_are_listed, put_away),
        cmocka_unit_test_teardown(numbers_in_one_slow_frame, put_away),
        cmocka_unit_test_teardown(two_hundred_events, put_away),
        cmocka_unit_test_teardown(ten_pictures, put_away),
        cmocka_unit_test_teardown(at_other_scales, put_away),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
