#include "window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models.h"
#include "output.h"

#ifdef TINCT_WITHOUT_WINDOW

enum exit_code window_show(const struct window_wishes *wishes)
{
    (void)wishes;
    return app_fail(EXIT_MACHINE, "install what is missing and build again, or paint without a window: tinct paint PROMPT",
                    "this program was built without its window; missing then: " TINCT_WITHOUT_WINDOW);
}

#else

#include "window/window.h"

static bool picture_path(const void *user, char *path, size_t size, int index, int64_t seed)
{
    const struct window_wishes *wishes = user;
    return output_path(path, size, wishes->output, index, seed);
}

static void picture_saved(const char *path)
{
    puts(path);
    fflush(stdout);
}

/* The folder that pictures go to. */
static void output_folder(char *folder, size_t size, const char *pattern)
{
    snprintf(folder, size, "%s", pattern ? pattern : "out");
    if (output_is_numbered(pattern)) return;
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    else snprintf(folder, size, ".");
}

/* The user's folder for settings, made when it is missing; NULL when there is none. */
static const char *config_dir(char *path, size_t size)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool given = config && *config == '/';

    if (!given && (!home || !*home)) return NULL;
    int bytes = snprintf(path, size, "%s%s", given ? config : home, given ? "" : "/.config");
    if (bytes < 0 || (size_t)bytes + sizeof "/tinct" > size) return NULL;
    mkdir(path, 0700);
    strcat(path, "/tinct");
    mkdir(path, 0700);
    return access(path, R_OK | W_OK | X_OK) == 0 ? path : NULL;
}

enum exit_code window_show(const struct window_wishes *wishes)
{
    char output[OUTPUT_PATH_BYTES], config[4096], **models;
    size_t model_count = model_list(MODEL_CHECKPOINT, wishes->models, &models);
    struct window_options o = {
        .open = *wishes->options,
        .picture = *wishes->picture,
        .count = wishes->count > 1 || wishes->start ? wishes->count : 0,
        .seed_given = wishes->seed_given,
        .prompt_given = wishes->prompt_given,
        .start = wishes->start,
        .models = (const char *const *)models,
        .model_count = model_count,
        .lora_dir = wishes->options->lora_dir,
        .models_dir = wishes->options->models_dir,
        .output_dir = output,
        .config_dir = config_dir(config, sizeof config),
        .trace = getenv("TINCT_WINDOW_TRACE"),
        .scale = wishes->scale,
        .overwrite = wishes->force,
        .path = picture_path,
        .path_user = wishes,
        .saved = picture_saved,
    };
    struct tinct_err err = { .text = "no memory for the window", .code = TINCT_ERR_MEMORY };

    output_folder(output, sizeof output, wishes->output);
    if (!wishes->seed_given && !wishes->start) o.picture.seed = -1;
    bool ok = window_run(&o, &err);
    for (size_t i = 0; i < model_count; i++) free(models[i]);
    free(models);
    return ok ? EXIT_DONE : app_fail_as(&err);
}

#endif
