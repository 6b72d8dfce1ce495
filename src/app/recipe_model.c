#include "recipe_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Is the file called so, with or without its ending? */
static bool is_called(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path, *dot = strrchr(file, '.');
    size_t letters = name ? strlen(name) : 0;

    return letters && strncasecmp(file, name, letters) == 0 && (!file[letters] || file + letters == dot);
}

static bool has_hash(const char *path, const char *wanted, const char *cache_dir)
{
    char hash[TINCT_MODEL_HASH_BYTES];

    return wanted && tinct_model_hash(path, cache_dir, hash, NULL) && strcasecmp(hash, wanted) == 0;
}

enum recipe_model_found recipe_model_find(const struct tinct_recipe *recipe, const char *models, const char *cache_dir,
                                          char path[MODEL_PATH_BYTES])
{
    char **paths;
    size_t count = model_list(MODEL_CHECKPOINT, models, &paths);
    const char *named = NULL, *same = NULL;

    for (size_t i = 0; i < count && !same; i++) {
        if (!is_called(paths[i], recipe->model)) continue;
        if (has_hash(paths[i], recipe->model_hash, cache_dir)) same = paths[i];
        if (!named) named = paths[i];
    }
    for (size_t i = 0; i < count && !same; i++)
        if (!is_called(paths[i], recipe->model) && has_hash(paths[i], recipe->model_hash, cache_dir)) same = paths[i];
    if (same || named) snprintf(path, MODEL_PATH_BYTES, "%s", same ? same : named);
    enum recipe_model_found found = same ? RECIPE_MODEL_SAME : named ? RECIPE_MODEL_NAMED : RECIPE_MODEL_NONE;
    for (size_t i = 0; i < count; i++) free(paths[i]);
    free(paths);
    return found;
}
