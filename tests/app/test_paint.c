/* The program paints: with a tiny model, what it writes, where, and how it ends when that fails or it is stopped. */
#define _GNU_SOURCE /* mount */
#include "app/program.h"
#include "image/png.h"
#include "tensor_file.h"
#include "tiny_checkpoint.h"

#include <dirent.h>
#include <sys/mount.h>

#define ONE_THREAD " --device cpu --threads 1 -W 64 -H 64 " /* one thread: a busy machine makes two wait for each other */
#define QUICK ONE_THREAD "--steps 2 "

static size_t files_in(const char *folder)
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    size_t count = 0;
    while (list && (entry = readdir(list))) count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (list) closedir(list);
    return count;
}

static void empty(const char *folder)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

/* Every line of stdout names a whole picture; returns how many. */
static int check_pictures(const struct run *run)
{
    char lines[SAID_BYTES];
    int count = 0;
    strcpy(lines, run->out);
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
        struct tinct_err err;
        struct png png;
        if (!png_read(line, true, &png, &err)) fail_msg("%s", err.text);
        assert_non_null(png_text(&png, "parameters"));
        png_free(&png);
        count++;
    }
    return count;
}

static void a_picture_is_painted(void **state)
{
    struct run run = program_run("\"a cat\" -s 7" QUICK);
    struct tinct_err err;
    struct png one, two;
    (void)state;
    if (run.code) fail_msg("%s", run.err);
    assert_string_equal(run.out, "out/00001-7.png\n");
    assert_null(strchr(run.err, '\r')); /* no bar where there is no terminal */
    assert_non_null(strstr(run.err, "seed 7"));
    assert_true(png_read("out/00001-7.png", true, &one, &err));
    assert_int_equal(one.width, 64);
    const char *recipe = png_text(&one, "parameters");
    assert_non_null(strstr(recipe, "a cat\nSteps: 2, Sampler: DPM++ 2M"));
    assert_non_null(strstr(recipe, "Seed: 7, Size: 64x64"));
    assert_non_null(strstr(recipe, "Model: tinct-demo"));

    run = program_run("\"a cat\" -s 7 -q" QUICK); /* the next number, the same bytes */
    assert_string_equal(run.out, "out/00002-7.png\n");
    assert_string_equal(run.err, "");
    assert_true(png_read("out/00002-7.png", true, &two, &err));
    assert_memory_equal(one.rgb, two.rgb, 64 * 64 * 3);
    assert_string_equal(recipe, png_text(&two, "parameters"));
    png_free(&one);
    png_free(&two);
    run = program_run("info out/00001-7.png");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "a cat"));
    empty("out");
}

static void a_batch_counts_seeds(void **state)
{
    struct run run = program_run("\"a cat\" -b 3 -s 41 -o p-%s-%i.png" QUICK);
    (void)state;
    assert_int_equal(run.code, 0);
    assert_string_equal(run.out, "p-41-0.png\np-42-1.png\np-43-2.png\n");
    assert_int_equal(check_pictures(&run), 3);
    run = program_run("\"a cat\" -s 42 -o single.png" QUICK); /* alone as in the batch */
    assert_int_equal(run.code, 0);
    struct tinct_err err;
    struct png alone, batched;
    assert_true(png_read("single.png", true, &alone, &err) && png_read("p-42-1.png", true, &batched, &err));
    assert_memory_equal(alone.rgb, batched.rgb, 64 * 64 * 3);
    png_free(&alone);
    png_free(&batched);

    run = program_run("\"a cat\" -b 2 -o one.png" QUICK);
    check_failed("one name", &run, 2, "one name for 2 pictures");
    run = program_run("\"a cat\" -o a.jpg" QUICK);
    check_failed("jpg", &run, 2, "only PNG");
    run = program_run("\"a cat\" -o a%d.png" QUICK);
    check_failed("%d", &run, 2, "unknown %d");
    run = program_run("\"a cat\" -s 42 -o single.png" QUICK);
    check_failed("exists", &run, 5, "single.png: exists already");
    run = program_run("\"a cat\" -b 10000 -s 38 -o p-%s-1.png" QUICK);
    check_failed("the fifth exists", &run, 5, "p-42-1.png: exists already");
    assert_true(run.seconds < 2);
    run = program_run("\"a cat\" -s 42 -o single.png --force" QUICK);
    assert_int_equal(run.code, 0);
    assert_int_equal(mkdir("folder", 0700), 0);
    run = program_run("\"a cat\" -s 42 -b 2 -o folder" QUICK);
    assert_string_equal(run.out, "folder/00001-42.png\nfolder/00002-43.png\n");
}

/* What a terminal as standard error shows. */
static void run_on_terminal(const char *arguments, char *shown, size_t size)
{
    struct run run;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int kept = open(ptsname(terminal), O_RDWR | O_NOCTTY); /* what is in it is lost when the last one closes */
    assert_true(kept >= 0);
    pid_t child = program_start(arguments, &(struct how) { .err = ptsname(terminal) });
    program_end(child, &run);
    assert_int_equal(run.code, 0);
    assert_int_equal(fcntl(terminal, F_SETFL, O_NONBLOCK), 0);
    ssize_t bytes = read(terminal, shown, size - 1);
    shown[bytes > 0 ? bytes : 0] = '\0';
    close(kept);
    close(terminal);
}

static void a_terminal_shows_a_bar(void **state)
{
    char shown[8192];
    (void)state;
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    run_on_terminal("x -b 2" QUICK, shown, sizeof shown);
    assert_non_null(strstr(shown, "2/2   1/2 [==="));
    assert_non_null(strstr(shown, "/it") ? strstr(shown, "/it") : strstr(shown, "it/s"));
    assert_non_null(strstr(shown, " left"));
    assert_non_null(strstr(shown, "\033[36m"));
    setenv("NO_COLOR", "1", 1);
    run_on_terminal("x" QUICK, shown, sizeof shown);
    assert_non_null(strstr(shown, " 1/2 [==="));
    assert_null(strstr(shown, "\033[3"));
    run_on_terminal("x -q" QUICK, shown, sizeof shown);
    assert_string_equal(shown, "");
    setenv("TERM", "dumb", 1);
    run_on_terminal("x" QUICK, shown, sizeof shown);
    assert_null(strchr(shown, '['));
    empty("out");
}

static void prompts_come_from_files_and_stdin(void **state)
{
    FILE *f = fopen("prompt", "wb");
    (void)state;
    fputs("a dog,\nsitting\n", f);
    fclose(f);
    struct run run = program_run("--prompt-file prompt -s 1" QUICK);
    if (run.code) fail_msg("%s", run.err);
    struct run piped = program_run_how("- -s 1" QUICK, &(struct how) { .in = "prompt" });
    assert_int_equal(piped.code, 0);
    struct tinct_err err;
    struct png png;
    assert_true(png_read("out/00002-1.png", true, &png, &err));
    assert_memory_equal(png_text(&png, "parameters"), "a dog,\nsitting\nSteps: 2", 23);
    png_free(&png);
    empty("out");
}

static void prompts_have_limits(void **state)
{
    FILE *f = fopen("brackets", "wb");
    (void)state;
    for (int i = 0; i < 10000; i++) fputc('(', f);
    fclose(f);
    struct run run = program_run("--prompt-file brackets" QUICK);
    check_failed("10,000 brackets", &run, 2, "64");
    run = program_run("\"a cat <lora:nowhere:0.8>\"" QUICK);
    check_failed("a LoRA tag", &run, 2, "nowhere");
    run = program_run("\"a \xff cat\"" QUICK);
    check_failed("not UTF-8", &run, 2, "UTF-8");
}

/* One layer's LoRA in kohya's spelling, with a trigger word. */
static void write_lora(const char *path)
{
    static const char module[] = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
    char name[160];
    struct tensor_file f;
    tensor_file_begin_with(&f, "{\"modelspec.trigger_phrase\":\"arcane style\"}");
    for (int up = 0; up < 2; up++) {
        snprintf(name, sizeof name, "%s.lora_%s.weight", module, up ? "up" : "down");
        float *values = tensor_file_add(&f, name, DTYPE_F32, 2, up ? (uint32_t[]) { 32, 2 } : (uint32_t[]) { 2, 64 });
        for (int i = 0; i < (up ? 64 : 128); i++) values[i] = (float)(i * 37 % 19 - 9) / 4;
    }
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
}

static void loras_are_used(void **state)
{
    struct tinct_err err;
    struct png plain, tagged, named;
    (void)state;
    assert_int_equal(mkdir("loras", 0700) | mkdir("loras/styles", 0700), 0);
    write_lora("loras/styles/arcane.safetensors");
    struct run run = program_run("\"a cat\" -s 7 -o plain.png" QUICK);
    assert_int_equal(run.code, 0);
    run = program_run("\"a cat <lora:arcane:0.8>\" -s 7 -o tagged.png" QUICK);
    if (run.code) fail_msg("%s", run.err);
    assert_non_null(strstr(run.err, "arcane: 1 of 1 tensors, rank 2, weight 0.80, "));
    assert_non_null(strstr(run.err, "trigger words: arcane style"));
    run = program_run("\"a cat\" --lora styles/arcane:0.5 --lora arcane:0.3 --triggers -q -s 7 -o named.png" QUICK);
    assert_int_equal(run.code, 0);
    assert_string_equal(run.err, "");
    assert_true(png_read("plain.png", true, &plain, &err) && png_read("tagged.png", true, &tagged, &err) && png_read("named.png", true, &named, &err));
    assert_memory_not_equal(plain.rgb, tagged.rgb, 64 * 64 * 3);
    assert_non_null(strstr(png_text(&tagged, "parameters"), "Lora hashes: \"arcane: "));
    assert_non_null(strstr(png_text(&named, "parameters"), "a cat <lora:styles/arcane:0.5> <lora:arcane:0.3>, arcane style\n"));
    png_free(&plain);
    png_free(&tagged);
    png_free(&named);

    run = program_run("\"a cat <lora:arcade:0.8>\" -m nowhere/there.safetensors" QUICK);     /* before a model is looked at */
    check_failed("unknown", &run, 2, "LoRA \"arcade\" is not there; the nearest names are styles/arcane");
    run = program_run("\"a cat <lora:arcade:0.8>\" --lenient -s 7 -o lenient.png" QUICK);
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.err, "\"arcade\" is not there: painting without it"));
    run = program_run("\"a cat\" --lora arcane:x" QUICK);
    check_failed("x", &run, 2, "\"x\", which is no number");
    run = program_run("\"a cat\" --lora \"<lora:arcane>\"" QUICK);
    check_failed("brackets", &run, 2, "no name of a LoRA");
    run = program_run("\"a cat\" --lora-model-dir nowhere" QUICK);
    check_failed("nowhere", &run, 3, "--lora-model-dir nowhere: no such folder");
    empty("loras");
}

/* first.png's model has another name now, and another file its old one. */
static void the_model_is_found_by_its_hash(const struct png *first)
{
    struct tinct_err err;
    struct png again;

    assert_int_equal(rename("models/tinct-demo.safetensors", "models/elsewhere.safetensors"), 0);
    assert_int_equal(system("cp loras/other.safetensors models/tinct-demo.safetensors"), 0);
    struct run run = program_run("--recipe first.png -o moved.png --device cpu --threads 1");
    assert_int_equal(rename("models/elsewhere.safetensors", "models/tinct-demo.safetensors"), 0);
    if (run.code) fail_msg("%s", run.err);
    assert_null(strstr(run.err, "the recipe's model"));
    assert_true(png_read("moved.png", true, &again, &err));
    assert_memory_equal(first->rgb, again.rgb, 64 * 64 * 3);
    assert_non_null(strstr(png_text(&again, "parameters"), "Model: elsewhere"));
    png_free(&again);
}

static void a_recipe_paints_again(void **state)
{
    struct tinct_err err;
    struct png one, two;
    (void)state;
    assert_int_equal(mkdir("loras", 0700), 0);
    write_lora("loras/arcane.safetensors");
    struct run run = program_run("\"a cat <lora:arcane:0.8>\" -n dull -s 7 --cfg-scale 5 -o first.png" QUICK);
    assert_int_equal(run.code, 0);
    assert_int_equal(rename("loras/arcane.safetensors", "loras/other.safetensors"), 0);
    run = program_run("--recipe first.png -o second.png --device cpu --threads 1");
    if (run.code) fail_msg("%s", run.err);
    assert_non_null(strstr(run.err, "arcane: found as other by the recipe's hash"));
    assert_true(png_read("first.png", true, &one, &err) && png_read("second.png", true, &two, &err));
    assert_memory_equal(one.rgb, two.rgb, 64 * 64 * 3);
    assert_string_equal(png_text(&one, "parameters"), png_text(&two, "parameters"));
    png_free(&two);
    the_model_is_found_by_its_hash(&one);

    FILE *f = fopen("recipe.txt", "wb");        /* the text alone, pasted; options go over it, a prompt too */
    fputs(png_text(&one, "parameters"), f);
    fclose(f);
    png_free(&one);
    run = program_run("\"a dog\" --recipe recipe.txt -s 8 -o third.png --device cpu --threads 1");
    assert_int_equal(run.code, 0);
    assert_true(png_read("third.png", true, &two, &err));
    const char *recipe = png_text(&two, "parameters");
    assert_non_null(strstr(recipe, "a dog\nNegative prompt: dull\nSteps: 2, "));
    assert_non_null(strstr(recipe, "CFG scale: 5, Seed: 8, Size: 64x64"));
    png_free(&two);
    run = program_run("--recipe nowhere.png" QUICK);
    check_failed("nowhere", &run, 3, "nowhere.png");
    empty("loras");
}

static void bad_files_end_with_3(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t size;
        const char *words;
    } files[] = {
        { "text.safetensors", "hello, this is no model", 23, "text.safetensors" },
        { "pickle.ckpt", "\x80\x02}q\x00X\x0a\x00\x00\x00state_dict", 20, "pickle" },
        { "short.safetensors", "\x04", 1, "short.safetensors" },
        { "empty.safetensors", "", 0, "empty" },
        { "no.safetensors", "\x02\0\0\0\0\0\0\0{}", 10, "no.safetensors" },
    };
    char arguments[256];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *f = fopen(files[i].name, "wb");
        fwrite(files[i].bytes, 1, files[i].size, f);
        fclose(f);
        snprintf(arguments, sizeof arguments, "x -m ./%s" QUICK, files[i].name);
        struct run run = program_run(arguments);
        check_failed(arguments, &run, 3, files[i].words);
        assert_true(run.seconds < 5);
        if (i == 4) continue; /* an empty model file is one: info tells what it is */
        snprintf(arguments, sizeof arguments, "info ./%s", files[i].name);
        run = program_run(arguments);
        check_failed(arguments, &run, 3, files[i].words);
    }
    empty("out");
}

static void wrong_devices_are_refused(void **state)
{
    struct run run = program_run("x -W 64 -H 64 --steps 1 --device \"voodoo 2\"");
    (void)state;
    check_failed("voodoo", &run, 4, "voodoo 2");
    empty("out");
}

static void too_little_memory_ends_with_4(void **state)
{
    struct run run = program_run_how("x --threads 1 --device cpu -W 4096 -H 4096 --steps 1", &(struct how) { .memory_bytes = 300u << 20 });
    (void)state;
    check_failed("300 MiB", &run, 4, "");
    empty("out");
}

static void unwritable_places_end_with_5(void **state)
{
    struct run run = program_run("x -o none/a.png" QUICK);
    (void)state;
    check_failed("no folder", &run, 5, "there is no folder");
    run = program_run("x -o /proc/a.png" QUICK);
    assert_int_equal(run.code, 5);
    if (access("/dev/full", W_OK) == 0) {
        run = program_run("x -o /dev/full" QUICK);
        check_failed("/dev/full", &run, 5, "no space left");
    }
    if (geteuid() != 0) {
        assert_int_equal(mkdir("shut", 0500), 0);
        run = program_run("x -o shut/a.png" QUICK);
        check_failed("no permission", &run, 5, "no permission");
        rmdir("shut");
    }
}

static void a_full_disk_leaves_nothing(void **state)
{
    struct run first, second;
    (void)state;
    assert_int_equal(mkdir("small", 0700), 0);
    if (mount("tmpfs", "small", "tmpfs", 0, "size=16k") != 0) {
        rmdir("small");
        print_message("skipped: a small file system cannot be mounted here (needs root)\n");
        skip();
    }
    first = program_run("x -s 1 -o small/a.png" QUICK);  /* 64x64 of noise: about 12 KiB */
    second = program_run("x -s 1 -o small/b.png" QUICK);
    size_t left = files_in("small");
    umount("small");
    rmdir("small");
    assert_int_equal(first.code, 0);
    check_failed("full", &second, 5, "no space left");
    assert_int_equal(left, 1);
}

/* Ctrl-C at any moment: 130, whole pictures, nothing half written. */
static void ctrl_c_keeps_finished_pictures(void **state)
{
    unsigned random = 12345;
    int kept = 0;
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct run run;
        pid_t child = program_start("x -b 1000 -s 1 -o stop --steps 1" ONE_THREAD, &(struct how) { 0 });
        random = random * 1664525u + 1013904223u;
        long ms = 30 + (i < 3 ? 20 * i : (long)(random >> 16) % 2500); /* also while the model is loaded */
        nanosleep(&(struct timespec) { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
        kill(child, SIGINT);
        program_end(child, &run); /* the alarm of program_start ends what does not stop */
        bool too_early = i < 3 && run.code == 1000 + SIGINT; /* before main; a shell gives 130 for it too */
        if (run.code != 130 && !too_early) fail_msg("ended with %d: %s", run.code, run.err);
        kept += check_pictures(&run);
    }
    print_message("%d pictures were finished before Ctrl-C\n", kept);
    assert_int_equal(files_in("stop"), kept);
    empty("stop");
}

static void the_second_ctrl_c_leaves_at_once(void **state)
{
    struct run run;
    (void)state;
    pid_t child = program_start("x --device cpu -W 512 -H 512 --steps 1000 -q -o slow.png", &(struct how) { 0 });
    nanosleep(&(struct timespec) { .tv_sec = 2 }, NULL);
    kill(child, SIGINT);
    nanosleep(&(struct timespec) { .tv_nsec = 20000000 }, NULL);
    kill(child, SIGINT);
    program_end(child, &run);
    assert_int_equal(run.code, 130);
    assert_int_not_equal(access("slow.png", F_OK), 0);
}

static int begin(void **state)
{
    (void)state;
    if (program_begin() != 0 || mkdir("models", 0700) != 0 || mkdir("stop", 0700) != 0) return -1;
    return tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", "models/tinct-demo.safetensors") ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_painted),
        cmocka_unit_test(a_batch_counts_seeds),
        cmocka_unit_test(a_terminal_shows_a_bar),
        cmocka_unit_test(prompts_come_from_files_and_stdin),
        cmocka_unit_test(prompts_have_limits),
        cmocka_unit_test(loras_are_used),
        cmocka_unit_test(a_recipe_paints_again),
        cmocka_unit_test(bad_files_end_with_3),
        cmocka_unit_test(wrong_devices_are_refused),
        cmocka_unit_test(too_little_memory_ends_with_4),
        cmocka_unit_test(unwritable_places_end_with_5),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(ctrl_c_keeps_finished_pictures),
        cmocka_unit_test(the_second_ctrl_c_leaves_at_once),
    };
    return cmocka_run_group_tests(tests, begin, program_leave);
}
