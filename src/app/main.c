/* tinct: the program. Its verbs, and what is said about all of them. */
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "interrupt.h"
#include "options.h"

static enum exit_code not_yet(const struct verb *verb, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return app_fail(EXIT_USAGE, "to paint a prompt of this one word: tinct paint PROMPT", "%s: %s", verb->name, verb->does);
}

static const struct verb verbs[] = {
    { "paint", "PROMPT [options]", "Makes pictures.", paint_run },
    { "loras", "[NAME] [options]", "Lists LoRAs, or shows one's card: base, type, trigger words, weight, what fits.", loras_run },
    { "window", "[PROMPT] [options]", "Opens the window: write, watch it paint, tune the LoRAs, paint again.", paint_run },
    { "info", "FILE [options]", "Says what a file is: a checkpoint, a VAE, a LoRA, a picture with its recipe.", info_run },
    { "prompt", "PROMPT [options]", "Says how a prompt is understood: weights, chunks, token ids, schedules.", prompt_run },
    { "devices", "[options]", "Lists what can paint here, and which one is used.", devices_run },
    { "samplers", "[options]", "Lists samplers and schedulers, and the names they go by.", samplers_run },
    { "bench", "[options]", "Times this machine: kernels, text, a step, the VAE.", bench_run },
};

static const struct verb later[] = {
    { "serve", "", "the server is not built in yet", not_yet },
};

enum { VERBS = sizeof verbs / sizeof *verbs, LATER = sizeof later / sizeof *later };

static void print_help(void)
{
    printf("tinct " TINCT_VERSION ": paints pictures from prompts with Stable Diffusion, on a Vulkan GPU or on the processor.\n\n"
           "  tinct \"a castle at dusk\"                        out/00001-SEED.png, by the demo model\n"
           "  tinct \"a castle\" -n \"blurry\" -m checkpoint.safetensors -W 512 -H 768 --seed 7 -o castle.png\n\n"
           "tinct VERB [options]; without a verb it paints.\n\n");
    for (int i = 0; i < VERBS; i++) printf("  %-9s %s\n", verbs[i].name, verbs[i].does);
    printf("\n  tinct VERB --help tells a verb's options, tinct --version the version.\n\n"
           "The paths of the pictures are all that goes to standard output. The program ends with 0: done, 1: a mistake of\n"
           "its own, 2: an option, 3: a file that cannot be read, 4: device or memory, 5: the output, 130: Ctrl-C.\n");
}

static const struct verb *find_verb(const char *word)
{
    for (int i = 0; i < VERBS; i++)
        if (strcmp(word, verbs[i].name) == 0) return &verbs[i];
    for (int i = 0; i < LATER; i++)
        if (strcmp(word, later[i].name) == 0) return &later[i];
    return NULL;
}

/* One small word that nearly is a verb is more likely that than a prompt. */
static enum exit_code refuse_near_verb(const char *word)
{
    const char *names[VERBS], *nearest;
    char advice[120];

    for (int i = 0; i < VERBS; i++) names[i] = verbs[i].name;
    if (strlen(word) < 4 || word[strspn(word, "abcdefghijklmnopqrstuvwxyz")] || !(nearest = nearest_name(word, names, VERBS)))
        return EXIT_DONE;
    snprintf(advice, sizeof advice, "did you mean tinct %s? To paint it all the same: tinct paint %.40s", nearest, word);
    return app_fail(EXIT_USAGE, advice, "%.40s: no such verb", word);
}

int main(int argc, char **argv)
{
    static char paint_name[] = "paint";
    const char *word = argc > 1 ? argv[1] : "";
    const struct verb *verb = find_verb(word);
    enum exit_code code = EXIT_DONE;

    interrupt_install();
    if (argc < 2 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help();
        code = argc < 2 ? EXIT_USAGE : EXIT_DONE;
    } else if (strcmp(word, "--version") == 0) {
        puts("tinct " TINCT_VERSION);
    } else if (verb) {
        code = verb->run(verb, argc - 1, argv + 1);
    } else {
        code = refuse_near_verb(word);
        argv[0] = paint_name;
        if (code == EXIT_DONE) code = verbs[0].run(&verbs[0], argc, argv);
    }
    if (fflush(stdout) != 0 && code == EXIT_DONE) code = app_fail(EXIT_OUTPUT, "", "standard output cannot be written");
    return (int)code;
}
