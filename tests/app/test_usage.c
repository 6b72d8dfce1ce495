/* What the command line refuses, and with which words and code; and what it tells. Nothing is painted here. */
#define _DEFAULT_SOURCE
#include "app/program.h"

static void wrong_options_end_with_2(void **state)
{
    static const struct {
        const char *arguments, *words;
    } bad[] = {
        { "x --stepps 3", "unknown option --stepps" },
        { "x --stepps 3", "did you mean --steps?" },
        { "x -Z", "unknown option -Z" },
        { "x --steps", "--steps wants a value" },
        { "x --steps 0", "--steps 0: must be from 1 to 1000" },
        { "x --steps 1001", "must be from 1 to 1000" },
        { "x --steps 20x", "not a whole number" },
        { "x --steps 99999999999999999999", "must be from 1 to 1000" },
        { "x -W 500", "--width 500: not a multiple of 8; try 496 or 504" },
        { "x -H 65", "--height 65: not a multiple of 8; try 64 or 72" },
        { "x -W 0", "must be from 64 to 4096" },
        { "x -H 4104", "must be from 64 to 4096" },
        { "x -W -512", "must be from 64 to 4096" },
        { "x --cfg-scale nan", "not a number" },
        { "x --cfg-scale 0", "must be from 0.001 to 1000" },
        { "x --cfg-scale 7,5", "not a number" },
        { "x --eta -1", "must be from 0 to 100" },
        { "x --seed 1.5", "not a whole number" },
        { "x --seed 9223372036854775808", "more than 63 bits" },
        { "x --seed 9223372036854775807 -b 2", "too large for 2 pictures" },
        { "x -b 0", "must be from 1" },
        { "x --clip-skip 0", "must be from 1" },
        { "x --threads 0", "must be from 1" },
        { "x --rng amd", "one of: cuda, cpu" },
        { "x --precision half", "one of: default, fp32, fast" },
        { "x --sampling-method eulr", "unknown sampler \"eulr\"; nearest are Euler" },
        { "x --scheduler karas", "nearest are Karras" },
        { "x -v -q", "which of them" },
        { "x y", "more than one prompt" },
        { "x --prompt-file p", "which of them" },
        { "\"a [(b:99)|c]\"", "a weight" },
        { "x -n \"(a:99)\"", "negative prompt: " },
        { "<lora:a:1e9>", "the text encoder weight of <lora:a> is 1e+09" },
        { "<lora:a:nan>", "which is no number such as 0.8" },
        { "<lora:a:1:lbw=OUTX>", "LoRA \"a\"" },
        { "paint", "no prompt" },
        { "--steps 3", "no prompt" },
        { "devics", "did you mean tinct devices?" },
        { "loras a b", "takes one name, here are 2" },
        { "info", "takes one file" },
        { "info a b", "takes one file" },
        { "devices x", "takes no \"x\"" },
        { "bench x", "takes no \"x\"" },
        { "samplers --jsno", "did you mean --json?" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct run run = program_run(bad[i].arguments);
        check_failed(bad[i].arguments, &run, 2, bad[i].words);
        assert_true(run.seconds < 5);
    }
}

static void help_tells_every_verb(void **state)
{
    static const char *const verbs[] = { "paint", "loras", "info", "prompt", "devices", "samplers", "bench" };
    char arguments[64];
    struct run all = program_run("--help");
    (void)state;
    assert_int_equal(all.code, 0);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        assert_non_null(strstr(all.out, verbs[i]));
        snprintf(arguments, sizeof arguments, "%s --help", verbs[i]);
        struct run run = program_run(arguments);
        assert_int_equal(run.code, 0);
        assert_string_equal(run.err, "");
        assert_non_null(strstr(run.out, verbs[i]));
        assert_non_null(strstr(run.out, "-h, --help"));
        for (const char *line = run.out; *line; line += strcspn(line, "\n") + 1)
            if (strcspn(line, "\n") > 100) fail_msg("%s: a line of the help is over 100 columns", verbs[i]);
    }
    struct run paint = program_run("paint --help");
    static const char *const options[] = { "-m, --model", "-n, --negative-prompt", "-W, --width", "-H, --height", "--steps",
                                           "--cfg-scale", "-s, --seed", "-b, --batch-count", "--sampling-method",
                                           "--scheduler", "--clip-skip", "--eta", "--rng", "--vae", "--lora-model-dir", "--embedding-dir",
                                           "--models", "--device", "--threads", "--precision", "-o, --output", "--force",
                                           "--preview", "-v", "-q", "--prompt-file" };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (!strstr(paint.out, options[i])) fail_msg("no %s in the help", options[i]);
}

static void verbs_tell(void **state)
{
    struct run run = program_run("--version");
    (void)state;
    assert_int_equal(run.code, 0);
    assert_string_equal(run.out, "tinct 0.1.0\n");
    run = program_run("devices");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "cpu"));
    run = program_run("devices --json");
    assert_int_equal(run.code, 0);
    assert_int_equal(run.out[0], '[');
    run = program_run("loras --lora-model-dir .");
    assert_int_equal(run.code, 0);
    assert_string_equal(run.out, "No LoRAs in ./: put .safetensors files there.\n");
    run = program_run("loras --lora-model-dir nowhere");
    check_failed("loras", &run, 3, "--lora-model-dir nowhere: no such folder");
    run = program_run("samplers");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "Euler"));
    run = program_run("prompt \"a (red:1.3) cat\"");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "cat"));
}

static void a_closed_output_is_told(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    struct run run = program_run_how("devices", &(struct how) { .out = "/dev/full" });
    unlink(".stdout");
    assert_int_equal(run.code, 5);
    assert_non_null(strstr(run.err, "standard output"));
}

/* The program somewhere else, where it finds nothing that comes with it. */
static struct run run_alone(const char *arguments)
{
    char built[sizeof program_path], command[2 * sizeof program_path];
    struct run run;

    strcpy(built, program_path);
    snprintf(command, sizeof command, "cp %s alone", built);
    assert_int_equal(system(command), 0);
    assert_non_null(realpath("alone", program_path));
    run = program_run(arguments);
    strcpy(program_path, built);
    unlink("alone");
    return run;
}

static void missing_models_are_told(void **state)
{
    struct run run = run_alone("x");
    (void)state;
    check_failed("x", &run, 3, "the demo model models/tinct-demo.safetensors is not there");
    assert_non_null(strstr(run.err, "-m FILE.safetensors"));
    assert_int_not_equal(access("out", F_OK), 0);
    run = program_run("x -m dreamshaper");
    check_failed("x -m dreamshaper", &run, 3, "no model of that name in the folder models");
    run = program_run("x -m ../../etc/passwd");
    check_failed("traversal", &run, 3, "etc/passwd");
    run = program_run("x -m /nonexistent/a.safetensors");
    check_failed("path", &run, 3, "no such file");
    run = program_run("x --prompt-file none");
    assert_int_equal(run.code, 2); /* x and a file */
    run = program_run("--prompt-file none");
    check_failed("prompt file", &run, 3, "none: the prompt cannot be read");
}

/* Names are looked up in a list of the folder, in A1111's and ComfyUI's shapes. */
static void names_are_looked_up(void **state)
{
    static const char *const folders[] = { "m", "m/Stable-diffusion", "m/Stable-diffusion/sub", "m/checkpoints", "m/Lora" };
    static const char *const files[] = { "m/top.safetensors", "m/Stable-diffusion/auto.safetensors",
                                         "m/Stable-diffusion/sub/deep.safetensors", "m/checkpoints/comfy.safetensors",
                                         "m/Lora/lora.safetensors", "m/checkpoints/top.safetensors", "m/notes.txt" };
    static const struct {
        const char *name, *words;
        int code;
    } asked[] = {
        { "auto", "auto.safetensors", 3 },        { "auto.safetensors", "Stable-diffusion/auto.safetensors", 3 },
        { "deep", "sub/deep.safetensors", 3 },    { "comfy", "checkpoints/comfy.safetensors", 3 },
        { "lora", "no model of that name", 3 },   { "notes.txt", "no model of that name", 3 },
        { "top", "more than one model", 2 },      { "comfi", "did you mean comfy.safetensors?", 3 },
        { "..", "no model of that name", 3 },     { "%2e%2e", "no model of that name", 3 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) assert_int_equal(mkdir(folders[i], 0700), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) { /* not a model: the error names the file that was found */
        FILE *f = fopen(files[i], "wb");
        assert_non_null(f);
        fputs("not a safetensors file at all", f);
        fclose(f);
    }
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        char arguments[128];
        snprintf(arguments, sizeof arguments, "x --models m -m %s", asked[i].name);
        struct run run = program_run(arguments);
        check_failed(arguments, &run, asked[i].code, asked[i].words);
    }
}

static void long_prompts_are_refused_at_once(void **state)
{
    FILE *f = fopen("long", "wb");
    (void)state;
    for (int i = 0; i < 1 << 20; i++) fputc("a "[i % 2], f);
    fclose(f);
    struct run run = program_run("--prompt-file long");
    check_failed("a mebibyte", &run, 2, "the prompt is over 64 KiB");
    assert_true(run.seconds < 1);
    run = program_run_how("-", &(struct how) { .in = "long" });
    check_failed("a mebibyte on stdin", &run, 2, "the prompt is over 64 KiB");
    f = fopen("nul", "wb");
    fwrite("a\0b", 1, 3, f);
    fclose(f);
    run = program_run("--prompt-file nul");
    check_failed("a NUL", &run, 3, "not a text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_models_are_told), cmocka_unit_test(wrong_options_end_with_2),
        cmocka_unit_test(help_tells_every_verb),   cmocka_unit_test(verbs_tell),
        cmocka_unit_test(a_closed_output_is_told), cmocka_unit_test(names_are_looked_up),
        cmocka_unit_test(long_prompts_are_refused_at_once),
    };
    return cmocka_run_group_tests(tests, program_enter, program_leave);
}
