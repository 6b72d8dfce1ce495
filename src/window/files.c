/* Files that come and go: pictures, LoRAs and checkpoints dropped on the window, recipes restored, pictures saved elsewhere. */
#include <SDL.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "window/parts.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- recipes ---- */

/* The model of that name, where there is one. */
static void choose_model(struct window *w, const char *name)
{
    for (int i = 0; name && i < w->model_count; i++)
        if (strcasecmp(w->model_names[i], name) == 0) {
            if (strcmp(w->form.model, w->model_paths[i]) != 0) {
                snprintf(w->form.model, sizeof w->form.model, "%s", w->model_paths[i]);
                window_list_loras(w);
            }
            return;
        }
    if (name) window_say(w, false, "painted with %s, which is not in the models folder; the model stays as it is", name);
}

bool files_restore(struct window *w, const struct tinct_recipe *recipe)
{
    if (!form_restore(&w->form, recipe)) return false;
    edit_set(&w->prompt.edit, w->form.prompt, false);
    edit_set(&w->negative.edit, w->form.negative, false);
    choose_model(w, recipe->model);
    return true;
}

/* The picture is loaded on the side; its recipe is read now, as it is in the first bytes. */
void files_show_picture(struct window *w, const char *path)
{
    struct tinct_err err;
    struct tinct_recipe *recipe = tinct_recipe_read(path, &err);

    loader_ask(w->loader, LOADER_WHOLE, ++w->whole_id, path, 0);
    *w->message = '\0';
    if (recipe) files_restore(w, recipe);
    else window_say(w, true, "%s", err.text);
    if (recipe && !*w->message) window_say(w, false, "%s: its recipe is restored", path);
    tinct_recipe_free(recipe);
}

/* ---- what is dropped ---- */

/* A LoRA is used by its name below the folder; one from elsewhere gets a link there. */
static void use_lora(struct window *w, const char *path)
{
    char link[FORM_PATH_BYTES], name[256], full[FORM_PATH_BYTES] = "";
    const char *folder = w->options->lora_dir;
    double weight = 1.0;

    snprintf(name, sizeof name, "%s", base_name(path));
    size_t letters = strlen(name);
    if (letters > 12 && strcasecmp(name + letters - 12, ".safetensors") == 0) name[letters - 12] = '\0';
    if (!folder || snprintf(link, sizeof link, "%s/%s", folder, base_name(path)) >= (int)sizeof link) {
        window_say(w, true, "there is no folder of LoRAs to put %s into: make loras/", base_name(path));
        return;
    }
    if (access(link, F_OK) != 0) {
        if (path[0] == '/') snprintf(full, sizeof full, "%s", path);
        else if (getcwd(full, sizeof full / 2)) snprintf(full + strlen(full), sizeof full - strlen(full), "/%.1000s", path);
        mkdir(folder, 0777);
        if (symlink(full, link) != 0) {
            window_say(w, true, "%s: cannot be linked into %s/: %s", path, folder, strerror(errno));
            return;
        }
        window_list_loras(w);
        window_say(w, false, "%s is linked into %s/", base_name(path), folder);
    }
    lora_panel_set(w, name, &weight, false);
    w->tab = TAB_LORAS;
}

void files_told(struct window *w, const struct loader_result *result)
{
    const char *about = result->about, *path = result->path;

    *w->message = '\0';
    if (!about) window_say(w, true, "%s", result->err.text);
    else if (strstr(about, "\"paints\": true")) window_use_model(w, path);
    else if (strstr(about, "\"kind\": \"LoRA\"")) use_lora(w, path);
    else window_say(w, true, "%s: neither a checkpoint that paints nor a LoRA; tinct info tells more", base_name(path));
}

/* On the side: a large file takes a while. */
static void use_tensors(struct window *w, const char *path)
{
    if (loader_ask(w->loader, LOADER_ABOUT, 0, path, 0)) window_say(w, false, "%s: reading what it is…", base_name(path));
    else window_say(w, true, "%s: too much is being read, drop it again", base_name(path));
}

void files_drop(struct window *w, const char *path)
{
    size_t bytes = strlen(path);

    if (bytes > 4 && strcasecmp(path + bytes - 4, ".png") == 0) files_show_picture(w, path);
    else if (bytes > 12 && strcasecmp(path + bytes - 12, ".safetensors") == 0) use_tensors(w, path);
    else window_say(w, true, "%s: drop a PNG with a recipe, a LoRA or a checkpoint (.safetensors)", base_name(path));
}

/* ---- copies ---- */

void files_copy_recipe(struct window *w)
{
    if (!w->shown.infotext) {
        window_say(w, true, "there is no picture with a recipe to copy");
        return;
    }
    SDL_SetClipboardText(w->shown.infotext);
    window_say(w, false, "the recipe is copied");
}

void files_begin_save(struct window *w)
{
    if (!w->shown.rgb) {
        window_say(w, true, "there is no picture to save");
        return;
    }
    const char *home = getenv("HOME");
    snprintf(w->save_path, sizeof w->save_path, "%.2000s/%.1000s", home ? home : ".", *w->shown_path ? base_name(w->shown_path) : "picture.png");
    w->saving = w->save_begins = true;
}

void files_save(struct window *w)
{
    struct tinct_err err;

    if (!tinct_image_save(&w->shown, w->save_path, false, &err)) {
        window_say(w, true, "%s", err.text);
        return;
    }
    w->saving = false;
    window_say(w, false, "saved as %s", w->save_path);
}
