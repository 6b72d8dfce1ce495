#include "models.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"

enum { DEPTH_MOST = 4, FOUND_MOST = 4096 };

static const char demo_model[] = "tinct-demo.safetensors", ending[] = ".safetensors";

/* Files of one sort, as paths; names point into them behind the folder they were found from. */
struct listing {
    char **paths;
    const char **names;
    size_t count;
};

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool ends_in(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes > end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

static void add_file(struct listing *l, const char *path, size_t root_bytes)
{
    char *copy = l->count < FOUND_MOST ? malloc(strlen(path) + 1) : NULL;

    if (!copy) return;
    l->paths[l->count] = strcpy(copy, path);
    l->names[l->count++] = copy + root_bytes;
}

static void list_folder(struct listing *l, const char *folder, size_t root_bytes, int depth)
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    char path[MODEL_PATH_BYTES];

    while (list && (entry = readdir(list))) {
        int used = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || used < 0 || (size_t)used >= sizeof path) continue;
        if (ends_in(entry->d_name, ending) && is_file(path))
            add_file(l, path, root_bytes);
        else if (depth > 1 && is_folder(path))
            list_folder(l, path, root_bytes, depth - 1);
    }
    if (list) closedir(list);
}

/* The models folder itself without what is below it, and the sort's own folders with all. */
static void list_models(struct listing *l, enum model_sort sort, const char *folder)
{
    static const char *const below[][6] = {
        [MODEL_CHECKPOINT] = { "Stable-diffusion", "checkpoints", "models/Stable-diffusion", "models/checkpoints", NULL },
        [MODEL_VAE] = { "VAE", "vae", "models/VAE", "models/vae", NULL },
    };
    char path[MODEL_PATH_BYTES];

    list_folder(l, folder, strlen(folder) + 1, 1);
    for (int i = 0; below[sort][i]; i++) {
        int used = snprintf(path, sizeof path, "%s/%s", folder, below[sort][i]);
        if (used > 0 && (size_t)used < sizeof path) list_folder(l, path, (size_t)used + 1, DEPTH_MOST);
    }
}

static void free_listing(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++) free(l->paths[i]);
    free(l->paths);
    free(l->names);
}

/* A listed name is meant by itself, without its ending, without its folders, or without both. */
static bool is_meant(const char *listed, const char *name)
{
    const char *slash = strrchr(listed, '/'), *base = slash ? slash + 1 : listed;
    size_t bytes = strlen(name);

    for (int i = 0; i < 2; i++, base = listed)
        if (strncmp(base, name, bytes) == 0 && (!base[bytes] || strcmp(base + bytes, ending) == 0)) return true;
    return false;
}

/* The listed file whose name without folders and ending is nearest to name; NULL when none is near. */
static const char *nearest_model(const struct listing *l, const char *name)
{
    char(*stems)[64] = malloc((l->count + 1) * sizeof *stems);
    const char **names = malloc((l->count + 1) * sizeof *names), *nearest = NULL, *model = NULL;

    for (size_t i = 0; stems && names && i < l->count; i++) {
        const char *slash = strrchr(l->names[i], '/'), *base = slash ? slash + 1 : l->names[i];
        snprintf(stems[i], sizeof stems[i], "%.*s", (int)(strlen(base) - strlen(ending)), base);
        names[i] = stems[i];
    }
    if (stems && names) nearest = nearest_name(name, names, l->count);
    for (size_t i = 0; nearest && i < l->count; i++)
        if (names[i] == nearest) model = l->names[i];
    free(names);
    free(stems);
    return model;
}

static enum exit_code refuse_missing(const struct listing *l, const char *name, const char *folder)
{
    char advice[256] = "put a .safetensors file there, or give its path";
    const char *nearest = nearest_model(l, name);

    if (nearest) snprintf(advice, sizeof advice, "did you mean %.200s?", nearest);
    return app_fail(EXIT_INPUT, advice, "%s: no such file, and no model of that name in the folder %s (of %zu)", name,
                    folder, l->count);
}

static enum exit_code choose(const struct listing *l, const char *name, const char *folder, char path[MODEL_PATH_BYTES])
{
    const char *found = NULL;

    for (size_t i = 0; i < l->count; i++) {
        if (!is_meant(l->names[i], name)) continue;
        if (found)
            return app_fail(EXIT_USAGE, "give the path of the one you mean", "%s: more than one model has that name: %s and %s",
                            name, found, l->paths[i]);
        found = l->paths[i];
    }
    if (!found) return refuse_missing(l, name, folder);
    strcpy(path, found); /* as long as list_folder's own */
    return EXIT_DONE;
}

/* What lies in the working folder, or beside the program: where it is installed, and where it is built. */
static bool find_own(const char *name, bool is(const char *path), char path[MODEL_PATH_BYTES])
{
    static const char *const places[] = { "../share/tinct", "..", "." };
    char program[MODEL_PATH_BYTES / 2];
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);

    snprintf(path, MODEL_PATH_BYTES, "%s", name);
    if (is(path)) return true;
    if (bytes <= 0) return false;
    program[bytes] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, MODEL_PATH_BYTES, "%s/%s/%s", program, places[i], name);
        if (is(path)) return true;
    }
    return false;
}

static bool find_demo(char path[MODEL_PATH_BYTES])
{
    char name[sizeof demo_model + 8];

    snprintf(name, sizeof name, "models/%s", demo_model);
    return find_own(name, is_file, path);
}

const char *models_folder(const char *folder)
{
    const char *chosen = folder ? folder : getenv("TINCT_MODELS");
    return chosen && *chosen ? chosen : "models";
}

static enum exit_code choose_folder(const char *option, const char *folder, const char *own, char path[MODEL_PATH_BYTES])
{
    if (folder && (!is_folder(folder) || strlen(folder) >= MODEL_PATH_BYTES))
        return app_fail(EXIT_INPUT, "", "%s %s: no such folder", option, folder);
    if (folder) strcpy(path, folder);
    else if (!find_own(own, is_folder, path)) strcpy(path, own);
    return EXIT_DONE;
}

enum exit_code lora_folder_choose(const char *folder, char path[MODEL_PATH_BYTES])
{
    return choose_folder("--lora-model-dir", folder, "loras", path);
}

enum exit_code embedding_folder_choose(const char *folder, char path[MODEL_PATH_BYTES])
{
    return choose_folder("--embedding-dir", folder, "embeddings", path);
}

enum exit_code model_find(enum model_sort sort, const char *name, const char *folder, char path[MODEL_PATH_BYTES])
{
    struct listing l = { calloc(FOUND_MOST, sizeof *l.paths), calloc(FOUND_MOST, sizeof *l.names), 0 };
    enum exit_code code;

    if (!l.paths || !l.names) {
        code = app_fail(EXIT_MACHINE, "", "no memory to look for models");
    } else if (!name) {
        code = find_demo(path) ? EXIT_DONE
                               : app_fail(EXIT_INPUT, "name a Stable Diffusion 1.x checkpoint: tinct PROMPT -m FILE.safetensors",
                                          "no model is named, and the demo model models/%s is not there", demo_model);
    } else if (strchr(name, '/') || is_file(name)) {
        code = strlen(name) < MODEL_PATH_BYTES ? EXIT_DONE : app_fail(EXIT_INPUT, "", "-m: the path is too long");
        if (code == EXIT_DONE) strcpy(path, name);
    } else {
        const char *chosen = models_folder(folder);
        list_models(&l, sort, chosen);
        code = choose(&l, name, chosen, path);
    }
    free_listing(&l);
    return code;
}

size_t model_list(enum model_sort sort, const char *folder, char ***paths)
{
    struct listing l = { calloc(FOUND_MOST, sizeof *l.paths), calloc(FOUND_MOST, sizeof *l.names), 0 };
    char demo[MODEL_PATH_BYTES];
    bool listed = false;

    if (l.paths && l.names) list_models(&l, sort, models_folder(folder));
    bool has_demo = sort == MODEL_CHECKPOINT && find_demo(demo);
    for (size_t i = 0; has_demo && i < l.count; i++) listed |= strcmp(l.paths[i], demo) == 0;
    if (has_demo && !listed && l.paths && l.names) add_file(&l, demo, 0);
    free(l.names);
    *paths = l.paths;
    return l.count;
}
