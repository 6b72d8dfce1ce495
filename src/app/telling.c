/* The verbs that only tell: info, prompt, devices, samplers. */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "models.h"
#include "options.h"
#include "prompt_text.h"

static const char json_help[] = "as JSON, for programs";

static enum exit_code no_words(const struct verb *verb, char *const *argv, int words)
{
    if (!words) return EXIT_DONE;
    return app_fail(EXIT_USAGE, "", "tinct %s takes no \"%.60s\"; see tinct %s --help", verb->name, argv[1], verb->name);
}

enum exit_code info_run(const struct verb *verb, int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = { { OPTION_FLAG, "json", 0, NULL, json_help, .target = &json }, { 0 } };
    struct tinct_err err;
    enum exit_code code;
    int words;

    if (!options_parse(verb, specs, argc, argv, &words, &code)) return code;
    if (words != 1) return app_fail(EXIT_USAGE, "", "tinct info takes one file, here are %d", words);
    return app_print(tinct_describe_file(argv[1], json, &err), &err);
}

enum exit_code prompt_run(const struct verb *verb, int argc, char **argv)
{
    bool json = false;
    int steps = 20, words;
    const char *file = NULL, *models = NULL, *folder = NULL;
    const struct option_spec specs[] = {
        { OPTION_INT, "steps", 0, "N", "for [from:to:when]; 20", .target = &steps, .least = 1, .most = 1000 },
        { OPTION_TEXT, "prompt-file", 0, "FILE", "the prompt is in FILE", .target = &file },
        { OPTION_TEXT, "embedding-dir", 0, "DIR", "the folder of embeddings; embeddings", .target = &folder },
        { OPTION_TEXT, "models", 0, "DIR", "the models folder, A1111's and ComfyUI's too;\n$TINCT_MODELS, else models",
          .target = &models },
        { OPTION_FLAG, "json", 0, NULL, json_help, .target = &json },
        { 0 },
    };
    struct tinct_err err;
    enum exit_code code;
    char *prompt, embeddings_folder[MODEL_PATH_BYTES];

    if (!options_parse(verb, specs, argc, argv, &words, &code)) return code;
    if ((code = embedding_folder_choose(folder, embeddings_folder)) != EXIT_DONE) return code;
    if ((code = prompt_text(argv + 1, words, file, &prompt)) != EXIT_DONE) return code;
    struct tinct_embeddings *embeddings = tinct_embeddings_open(&(struct tinct_options) {
        .embedding_dir = embeddings_folder, .models_dir = models_folder(models) }, &err);
    code = app_print(embeddings ? tinct_describe_prompt(prompt, steps, embeddings, json, &err) : NULL, &err);
    tinct_embeddings_close(embeddings);
    free(prompt);
    return code;
}

enum exit_code devices_run(const struct verb *verb, int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = { { OPTION_FLAG, "json", 0, NULL, json_help, .target = &json }, { 0 } };
    struct tinct_err err;
    enum exit_code code;
    int words;

    if (!options_parse(verb, specs, argc, argv, &words, &code)) return code;
    if ((code = no_words(verb, argv, words)) != EXIT_DONE) return code;
    return app_print(tinct_describe_devices(json, &err), &err);
}

enum exit_code samplers_run(const struct verb *verb, int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = { { OPTION_FLAG, "json", 0, NULL, json_help, .target = &json }, { 0 } };
    struct tinct_err err;
    enum exit_code code;
    int words;

    if (!options_parse(verb, specs, argc, argv, &words, &code)) return code;
    if ((code = no_words(verb, argv, words)) != EXIT_DONE) return code;
    return app_print(tinct_describe_samplers(json, &err), &err);
}
