#include "pipeline/lora_places.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* *to: a copy of text; NULL where that is. */
static bool copy(char **to, const char *text)
{
    *to = text ? malloc(strlen(text) + 1) : NULL;
    if (*to) strcpy(*to, text);
    return *to || !text;
}

bool lora_places_open(struct lora_places *places, const struct tinct_options *options, struct tinct_err *err)
{
    *places = (struct lora_places) { 0 };
    return (copy(&places->lora_dir, options->lora_dir) && copy(&places->models_dir, options->models_dir) &&
            copy(&places->cache_dir, options->cache_dir)) ||
           tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the folders of LoRAs");
}

void lora_places_close(struct lora_places *places)
{
    lora_folder_free(places->folder);
    free(places->lora_dir);
    free(places->models_dir);
    free(places->cache_dir);
    *places = (struct lora_places) { 0 };
}

static bool list(struct lora_places *places, struct tinct_err *err)
{
    lora_folder_free(places->folder);
    places->folder = lora_folder_create(places->cache_dir, err);
    if (places->folder && (!places->lora_dir || lora_folder_add(places->folder, places->lora_dir, err)) &&
        (!places->models_dir || lora_folder_add_models(places->folder, places->models_dir, err)))
        return true;
    lora_folder_free(places->folder);
    places->folder = NULL;
    return false;
}

/* A listed file may be gone, a wanted one may have come since. */
static const struct lora_entry *find(struct lora_places *places, const char *name, struct tinct_err *err)
{
    bool fresh = !places->folder;

    if (fresh && !list(places, err)) return NULL;
    const struct lora_entry *entry = lora_folder_find(places->folder, name, err);
    if (fresh || (entry && access(entry->path, F_OK) == 0)) return entry;
    return list(places, err) ? lora_folder_find(places->folder, name, err) : NULL;
}

static bool has_hash(struct lora_places *places, const struct lora_entry *entry, const char *hash)
{
    return lora_folder_hash(places->folder, entry, NULL) && !strncmp(entry->hash, hash, strlen(hash));
}

const struct lora_entry *lora_places_find(struct lora_places *places, const char *name, const char *hash, bool *other,
                                          struct tinct_err *err)
{
    const struct lora_entry *entry = find(places, name, err), *renamed;

    *other = false;
    if (!*hash || !places->folder || (entry && has_hash(places, entry, hash))) return entry;
    renamed = lora_folder_find(places->folder, hash, NULL);
    *other = entry || renamed;
    return renamed ? renamed : entry;
}
