/* tinct paint: from the command line to pictures on disk. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "interrupt.h"
#include "models.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "prompt_text.h"
#include "recipe_model.h"
#include "window.h"

static const char *const rngs[] = { "cuda", "cpu", NULL };          /* in enum tinct_rng's order */

/* What the command line says. */
struct paint {
    const char *model, *models, *vae, *lora_dir, *embedding_dir;
    const char *prompt_file, *recipe_file, *output;
    struct tinct_options options;
    struct tinct_txt2img picture;
    int rng, precision, winograd, count;
    float eta;
    float scale;
    bool eta_given, seed_given, force, preview, verbose, quiet;
    bool window;                 /* the verb is window: no prompt is needed, nothing is painted at once */
    enum tinct_log_level log_level;
    char *prompt;
    struct tinct_recipe *recipe; /* NULL: none */
    struct option_list loras;
    char loras_folder[MODEL_PATH_BYTES], embeddings_folder[MODEL_PATH_BYTES], cache[MODEL_PATH_BYTES];
    char recipe_model[MODEL_PATH_BYTES];
    struct progress progress;
    int current; /* picture that is painted, from 0 */
};

#define PICTURE(member) .target = &p->picture.member

static void describe_options(struct paint *p, struct option_spec specs[OPTIONS_MAX])
{
    const struct option_spec all[] = {
        { OPTION_HEADING, .name = "The picture" },
        { OPTION_TEXT, "negative-prompt", 'n', "TEXT", "what should not be in it", PICTURE(negative) },
        { OPTION_INT, "width", 'W', "PIXELS", "64 to 4096, multiples of 8;\nthe model's own when left out", PICTURE(width),
          .least = 64, .most = 4096, .step = 8 },
        { OPTION_INT, "height", 'H', "PIXELS", "likewise", PICTURE(height), .least = 64, .most = 4096, .step = 8 },
        { OPTION_SEED, "seed", 's', "N", "the same seed gives the same picture;\nleft out or negative: a random one, which is told",
          PICTURE(seed), .given = &p->seed_given },
        { OPTION_INT, "batch-count", 'b', "N", "so many pictures, with seeds N, N+1, ...; 1", .target = &p->count, .least = 1,
          .most = 10000 },
        { OPTION_TEXT, "prompt-file", 0, "FILE", "the prompt is in FILE; - is standard input,\nas is a PROMPT of -",
          .target = &p->prompt_file },
        { OPTION_TEXT, "recipe", 0, "FILE", "paint what this PNG (or a text with its recipe) was\npainted with; other options go over it",
          .target = &p->recipe_file },

        { OPTION_HEADING, .name = "How it is painted" },
        { OPTION_INT, "steps", 0, "N", "1 to 1000; 20", PICTURE(steps), .least = 1, .most = 1000 },
        { OPTION_FLOAT, "cfg-scale", 0, "X", "how closely the prompt is followed; 7;\n1 paints twice as fast without guidance",
          PICTURE(guidance), .least = 0.001, .most = 1000 },
        { OPTION_TEXT, "sampling-method", 0, "NAME", "DPM++ 2M; tinct samplers lists them", PICTURE(sampler) },
        { OPTION_TEXT, "scheduler", 0, "NAME", "the sampler's own", PICTURE(scheduler) },
        { OPTION_INT, "clip-skip", 0, "N", "layer of the text encoder, from the last; 1", PICTURE(clip_skip), .least = 1, .most = 12 },
        { OPTION_FLOAT, "eta", 0, "X", "noise added at each step; the sampler's own", .target = &p->eta, .most = 100,
          .given = &p->eta_given },
        { OPTION_CHOICE, "rng", 0, "cuda|cpu", "whose random numbers: A1111's GPU or CPU; cuda", .target = &p->rng, .choices = rngs },

        { OPTION_HEADING, .name = "LoRAs, besides <lora:NAME:W> in the prompt" },
        { OPTION_LIST, "lora", 0, "NAME:W", "use a LoRA with weight W, 1 when left out; any\nnumber of times; tinct loras lists them",
          .target = &p->loras },
        { OPTION_FLAG, "triggers", 0, NULL, "add the trigger words that the prompt lacks", PICTURE(triggers) },
        { OPTION_FLAG, "lenient", 0, NULL, "paint without a LoRA that is not there", PICTURE(lenient) },

        { OPTION_HEADING, .name = "Files" },
        { OPTION_TEXT, "model", 'm', "FILE", "a .safetensors checkpoint, or a name in the models\nfolder; the demo model",
          .target = &p->model },
        { OPTION_TEXT, "vae", 0, "FILE", "a VAE to use instead of the model's", .target = &p->vae },
        { OPTION_TEXT, "models", 0, "DIR", "the models folder, A1111's and ComfyUI's too;\n$TINCT_MODELS, else models",
          .target = &p->models },
        { OPTION_TEXT, "lora-model-dir", 0, "DIR", "the folder of LoRAs, subfolders included; loras",
          .target = &p->lora_dir },
        { OPTION_TEXT, "embedding-dir", 0, "DIR", "the folder of embeddings (textual inversions), which\nprompts call by their file names; embeddings",
          .target = &p->embedding_dir },
        { OPTION_TEXT, "output", 'o', "PATH", "a folder, or a name with %s for the seed and %i for\nthe index; out/00001-SEED.png and so on",
          .target = &p->output },
        { OPTION_FLAG, "force", 0, NULL, "overwrite a file of that name", .target = &p->force },

        { OPTION_HEADING, .name = "The machine" },
        { OPTION_TEXT, "device", 0, "NAME", "cpu, vulkan, or a number or part of a name from\ntinct devices; the best GPU, else cpu",
          .target = &p->options.device },
        { OPTION_INT, "threads", 0, "N", "of the processor; its cores", .target = &p->options.threads, .least = 1, .most = 1024 },
        { OPTION_CHOICE, "precision", 0, "fp32|fast", "fast on GPUs, fp32 elsewhere", .target = &p->precision, .choices = app_precisions },
        { OPTION_CHOICE, "winograd", 0, "auto|off", "faster 3x3 convolutions on the processor; auto", .target = &p->winograd, .choices = app_winograds },
        { OPTION_FLAG, "no-cache", 0, NULL, "neither use nor keep a model's packed weights, which\nmake the next start quick and take its size on disk",
          .target = &p->options.no_weights_cache },
        { OPTION_FLAG, "preview", 0, NULL, "see it appear in the window", .target = &p->preview },
        { OPTION_FLOAT, "scale", 0, "X", "of the window: 1, 1.5, 2 ...; what the screen says", .target = &p->scale, .least = 0.5, .most = 4 },
        { OPTION_FLAG, "verbose", 'v', NULL, "say what is done", .target = &p->verbose },
        { OPTION_FLAG, "quiet", 'q', NULL, "say nothing but errors", .target = &p->quiet },
    };

    memcpy(specs, all, sizeof all);
    specs[sizeof all / sizeof *all] = (struct option_spec) { 0 };
}

/* ---- before anything is painted ---- */

/* 32 bits, as A1111 has them. */
static int64_t random_seed(void)
{
    uint32_t seed = (uint32_t)time(NULL) ^ (uint32_t)getpid() << 16;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (read(fd, &seed, sizeof seed) != sizeof seed) seed ^= (uint32_t)clock();
        close(fd);
    }
    return seed;
}

/* Tried now: minutes of painting must not end at a folder that cannot be written, or a file that is there
 * already. One path is tried for the folder, the others only where something has their name. */
static enum exit_code check_paths(const struct paint *p)
{
    char path[OUTPUT_PATH_BYTES];
    struct tinct_err err;
    enum exit_code code = output_check(p->output, p->count);

    for (int i = 0; i < p->count && code == EXIT_DONE; i++) {
        if (i && output_is_numbered(p->output)) break;
        if (!output_path(path, sizeof path, p->output, i, p->picture.seed + i))
            return app_fail(EXIT_USAGE, "", "-o: the path is longer than %d bytes", OUTPUT_PATH_BYTES - 1);
        if (i && access(path, F_OK) != 0) continue;
        if (!tinct_image_check(path, p->force, &err)) return app_fail_as(&err);
    }
    return code;
}

/* --lora NAME:W is <lora:NAME:W> at the end of the prompt, so that the recipe has it. */
static enum exit_code add_loras(struct paint *p)
{
    for (int i = 0; i < p->loras.count; i++) {
        const char *lora = p->loras.values[i];
        size_t before = strlen(p->prompt), bytes = before + strlen(lora) + sizeof " <lora:>";
        if (!*lora || strpbrk(lora, "<>"))
            return app_fail(EXIT_USAGE, "write --lora NAME:0.8", "--lora \"%s\": no name of a LoRA", lora);
        char *longer = realloc(p->prompt, bytes);
        if (!longer) return app_fail(EXIT_MACHINE, "", "no memory for a prompt");
        snprintf(longer + before, bytes - before, " <lora:%s>", lora);
        p->prompt = longer;
    }
    return EXIT_DONE;
}

static bool is_png(const char *path)
{
    char mark[4] = "";
    FILE *f = fopen(path, "rb");

    if (!f) return false;
    bool is = fread(mark, 1, sizeof mark, f) == sizeof mark && memcmp(mark, "\x89PNG", sizeof mark) == 0;
    fclose(f);
    return is;
}

/* The recipe's settings, for options to go over. */
static enum exit_code start_from_recipe(struct paint *p)
{
    struct tinct_err err;
    char *text = NULL;
    enum exit_code code;

    if (is_png(p->recipe_file)) {
        p->recipe = tinct_recipe_read(p->recipe_file, &err);
    } else {
        if ((code = prompt_text(NULL, 0, p->recipe_file, &text)) != EXIT_DONE) return code;
        p->recipe = tinct_recipe_parse(text, &err);
        free(text);
    }
    if (!p->recipe) return app_fail_as(&err);
    p->picture = p->recipe->picture;
    p->rng = (int)p->picture.rng;
    p->eta_given = p->picture.eta != NULL;
    if (p->eta_given) p->eta = *p->picture.eta;
    return EXIT_DONE;
}

/* Options of the command line; with --recipe they are read a second time, over what it says. */
static bool read_options(struct paint *p, const struct verb *verb, int argc, char **argv, int *words, enum exit_code *code)
{
    struct option_spec specs[OPTIONS_MAX];
    char **first = malloc(((size_t)argc + 1) * sizeof *first);

    if (!first) {
        *code = app_fail(EXIT_MACHINE, "", "no memory for %d options", argc);
        return false;
    }
    memcpy(first, argv, ((size_t)argc + 1) * sizeof *first);
    describe_options(p, specs);
    bool ok = options_parse(verb, specs, argc, first, words, code);
    free(first);
    if (!ok || (p->recipe_file && (*code = start_from_recipe(p)) != EXIT_DONE)) return false;
    p->loras.count = 0;
    return options_parse(verb, specs, argc, argv, words, code);
}

/* Where the command line has none, the recipe's; a window may begin without. */
static enum exit_code find_prompt(struct paint *p, char *const *words, int count)
{
    const char *usual = p->recipe ? p->recipe->picture.prompt : p->window ? "" : NULL;

    if (count || p->prompt_file || !usual) return prompt_text(words, count, p->prompt_file, &p->prompt);
    if (!(p->prompt = malloc(strlen(usual) + 1))) return app_fail(EXIT_MACHINE, "", "no memory for a prompt");
    strcpy(p->prompt, usual);
    return EXIT_DONE;
}

static enum exit_code settle(struct paint *p, char *const *words, int count)
{
    struct tinct_err err;
    enum exit_code code;

    if (p->verbose && p->quiet) return app_fail(EXIT_USAGE, "", "-v and -q: which of them?");
    if ((code = find_prompt(p, words, count)) != EXIT_DONE) return code;
    if ((code = add_loras(p)) != EXIT_DONE) return code;
    p->picture.prompt = p->prompt;
    p->picture.rng = (enum tinct_rng)p->rng;
    p->picture.eta = p->eta_given ? &p->eta : NULL;
    p->options.precision = (enum tinct_precision)p->precision;
    p->options.no_winograd = p->winograd;
    if (p->picture.seed < 0) p->picture.seed = random_seed();
    if (p->picture.seed > INT64_MAX - p->count)
        return app_fail(EXIT_USAGE, "", "--seed %" PRId64 ": too large for %d pictures", p->picture.seed, p->count);
    return tinct_check(&p->picture, &err) ? EXIT_DONE : app_fail_as(&err);
}

/* An unknown name is told before a model is loaded for nothing. */
static enum exit_code check_loras(struct paint *p)
{
    struct tinct_err err;
    enum exit_code code = lora_folder_choose(p->lora_dir, p->loras_folder);

    if (code == EXIT_DONE) code = embedding_folder_choose(p->embedding_dir, p->embeddings_folder);
    if (code != EXIT_DONE) return code;
    p->options.embedding_dir = p->embeddings_folder;
    p->options.lora_dir = p->loras_folder;
    p->options.models_dir = models_folder(p->models);
    p->options.cache_dir = app_cache_dir(p->cache, sizeof p->cache);
    return tinct_lora_check(&p->options, &p->picture, &err) ? EXIT_DONE : app_fail_as(&err);
}

/* A recipe names its model and does not bring it: where no other is asked for, the one in the models folder that has its hash,
 * or its name. What is painted with another is told. */
static void take_model_of_recipe(struct paint *p)
{
    const char *wanted = p->recipe ? p->recipe->model : NULL, *hash = p->recipe ? p->recipe->model_hash : NULL;
    enum recipe_model_found found = RECIPE_MODEL_NONE;
    char cache[MODEL_PATH_BYTES];

    if (!wanted && !hash) return;
    if (!p->model) found = recipe_model_find(p->recipe, p->models, app_cache_dir(cache, sizeof cache), p->recipe_model);
    if (found != RECIPE_MODEL_NONE) p->model = p->recipe_model;
    if (p->quiet || found == RECIPE_MODEL_SAME) return;
    const char *slash = p->model ? strrchr(p->model, '/') : NULL, *named = slash ? slash + 1 : p->model ? p->model : "tinct-demo";
    if (found == RECIPE_MODEL_NAMED && hash) fprintf(stderr, "%s: not the file of the recipe, whose hash is %s\n", named, hash);
    else if (!wanted || strncmp(named, wanted, strlen(wanted)) != 0)
        fprintf(stderr, "the recipe's model is %s, this one is painted with %s\n", wanted ? wanted : hash, named);
}

/* ---- painting ---- */

static bool on_step(void *user, const struct tinct_progress *step)
{
    struct paint *p = user;

    progress_step(&p->progress, p->current, step);
    return !interrupted();
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Writes the path to stdout, alone on its line, and a word about the picture to stderr. */
static enum exit_code tell(const struct paint *p, const char *path, const struct tinct_image *image, double ms)
{
    progress_clear(&p->progress);
    if (!p->quiet)
        fprintf(stderr, "%dx%d, seed %" PRId64 ", %.1f s\n", image->width, image->height, image->seed, ms / 1000);
    if (puts(path) < 0 || fflush(stdout) != 0) return app_fail(EXIT_OUTPUT, "", "standard output cannot be written");
    return EXIT_DONE;
}

static enum exit_code paint_one(struct paint *p, struct tinct *t)
{
    char path[OUTPUT_PATH_BYTES];
    struct tinct_txt2img picture = p->picture;
    struct tinct_image image;
    struct tinct_err err;
    double began = now_ms();
    enum exit_code code;

    picture.seed += p->current;
    if (!tinct_txt2img(t, &picture, &image, &err)) {
        progress_clear(&p->progress);
        return app_fail_as(&err);
    }
    if (!output_path(path, sizeof path, p->output, p->current, picture.seed))
        code = app_fail(EXIT_USAGE, "", "-o: the path is too long");
    else if (!tinct_image_save(&image, path, p->force, &err))
        code = app_fail_as(&err);
    else
        code = tell(p, path, &image, now_ms() - began);
    tinct_image_free(&image);
    return code;
}

static void settle_log(struct paint *p)
{
    p->log_level = p->quiet ? TINCT_LOG_ERROR : p->verbose ? TINCT_LOG_DEBUG : TINCT_LOG_INFO;
    p->options.log = app_on_log;
    p->options.log_user = &p->log_level;
}

static enum exit_code paint_in_window(struct paint *p)
{
    settle_log(p);
    return window_show(&(struct window_wishes) {
        .options = &p->options, .picture = &p->picture, .count = p->count, .models = p->models, .output = p->output,
        .scale = p->scale, .seed_given = p->seed_given, .prompt_given = *p->prompt != '\0', .force = p->force,
        .start = !p->window,
    });
}

static enum exit_code paint_all(struct paint *p)
{
    struct tinct_err err;
    enum exit_code code = EXIT_DONE;

    settle_log(p);
    p->progress = progress_start(p->count, p->quiet);
    progress_say(&p->progress, "loading the model");
    struct tinct *t = tinct_open(&p->options, &err);
    progress_clear(&p->progress);
    if (!t) return app_fail_as(&err);

    interrupt_defer();
    p->picture.on_step = on_step;
    p->picture.user = p;
    for (p->current = 0; p->current < p->count && code == EXIT_DONE; p->current++) {
        code = paint_one(p, t);
        if (code == EXIT_DONE && interrupted() && p->current + 1 < p->count)
            code = app_fail(EXIT_INTERRUPTED, "", "stopped; %d of %d pictures are done", p->current + 1, p->count);
    }
    tinct_close(t);
    return code;
}

enum exit_code paint_run(const struct verb *verb, int argc, char **argv)
{
    char model[MODEL_PATH_BYTES], vae[MODEL_PATH_BYTES];
    struct paint p = { .count = 1, .picture.seed = -1, .window = strcmp(verb->name, "window") == 0 };
    enum exit_code code;
    int words;

    if (!read_options(&p, verb, argc, argv, &words, &code)) {
        tinct_recipe_free(p.recipe);
        return code;
    }
    code = settle(&p, argv + 1, words);
    if (code == EXIT_DONE) take_model_of_recipe(&p);
    bool chosen_there = p.window && !p.model;   /* the window asks for a model itself */
    if (code == EXIT_DONE && !chosen_there) code = model_find(MODEL_CHECKPOINT, p.model, p.models, model);
    if (code == EXIT_DONE && p.vae) code = model_find(MODEL_VAE, p.vae, p.models, vae);
    if (code == EXIT_DONE) code = check_loras(&p);
    if (code == EXIT_DONE) code = check_paths(&p);
    p.options.model = chosen_there ? NULL : model;
    p.options.vae = p.vae ? vae : NULL;
    if (code == EXIT_DONE) code = p.window || p.preview ? paint_in_window(&p) : paint_all(&p);
    free(p.prompt);
    tinct_recipe_free(p.recipe);
    return code;
}
