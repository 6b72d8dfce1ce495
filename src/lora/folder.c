#include "lora/folder.h"

#include "base/folder.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "base/str.h"
#include "tensor/safetensors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 16384, FEWEST_DIGITS = 8, SHOWN = 5 };

static const char extension[] = ".safetensors";

struct listed {
    struct lora_entry shown;
    uint64_t device, inode;
};

struct lora_folder {
    char *cache_dir;
    struct listed *files;
    size_t count, room;
    struct str links; /* names of symbolic links, a line each */
    bool aliases_read;
};

/* ---- small tools -------------------------------------------------------- */

static char *copy(const char *text)
{
    char *to = malloc(strlen(text) + 1);
    return to ? strcpy(to, text) : NULL;
}

static bool no_memory(struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to list LoRAs");
}

static bool ends(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length > wanted && !strcmp(text + length - wanted, end);
}

/* ---- list --------------------------------------------------------------- */

static bool is_known(const struct lora_folder *folder, const struct folder_file *file)
{
    for (size_t i = 0; i < folder->count; i++)
        if (folder->files[i].inode == file->inode && folder->files[i].device == file->device) return true;
    return false;
}

static bool make_room(struct lora_folder *f, struct tinct_err *err)
{
    if (f->count < f->room) return true;
    size_t room = f->room ? f->room * 2 : 64;
    struct listed *files = realloc(f->files, room * sizeof *files);
    if (!files) return no_memory(err);
    f->files = files;
    f->room = room;
    return true;
}

static bool add_link(struct lora_folder *f, const char *name)
{
    str_add_bytes(&f->links, name, strlen(name) - (sizeof extension - 1));
    str_add(&f->links, "\n");
    return true; /* without memory they are not told of, no more */
}

/* A folder_tell. */
static bool add_file(void *user, const struct folder_file *file, struct tinct_err *err)
{
    struct lora_folder *f = user;

    if (!ends(file->name, extension)) return true;
    if (file->is_link) return add_link(f, file->name);
    if (is_known(f, file)) return true;
    if (f->count == MOST_FILES)
        return tinct_fail(err, TINCT_ERR_ARG, "%.*s: holds more than %d LoRA files",
                          (int)(strlen(file->path) - strlen(file->name) - 1), file->path, MOST_FILES);
    if (!make_room(f, err)) return false;
    char *own = copy(file->path), *name = copy(file->name);
    if (!own || !name) {
        free(own);
        free(name);
        return no_memory(err);
    }
    name[strlen(name) - (sizeof extension - 1)] = '\0';
    const char *slash = strrchr(name, '/');
    f->files[f->count++] = (struct listed) { { .path = own, .name = name, .stem = slash ? slash + 1 : name },
                                             file->device, file->inode };
    f->aliases_read = false;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    int order = strcmp(x->shown.name, y->shown.name);
    return order ? order : strcmp(x->shown.path, y->shown.path);
}

struct lora_folder *lora_folder_create(const char *cache_dir, struct tinct_err *err)
{
    struct lora_folder *folder = calloc(1, sizeof *folder);

    if (folder && cache_dir) folder->cache_dir = copy(cache_dir);
    if (folder && (!cache_dir || folder->cache_dir)) return folder;
    free(folder);
    no_memory(err);
    return NULL;
}

void lora_folder_free(struct lora_folder *folder)
{
    if (!folder) return;
    for (size_t i = 0; i < folder->count; i++) {
        free((char *)folder->files[i].shown.path);
        free((char *)folder->files[i].shown.name);
        free((char *)folder->files[i].shown.alias);
    }
    free(folder->files);
    str_free(&folder->links);
    free(folder->cache_dir);
    free(folder);
}

bool lora_folder_add(struct lora_folder *folder, const char *path, struct tinct_err *err)
{
    bool ok = folder_walk(path, add_file, folder, err);

    if (folder->count) qsort(folder->files, folder->count, sizeof *folder->files, by_name);
    return ok;
}

bool lora_folder_add_models(struct lora_folder *folder, const char *models, struct tinct_err *err)
{
    static const char *const places[] = { "Lora",        "LyCORIS",        "loras",
                                          "models/Lora", "models/LyCORIS", "models/loras" };

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = folder_join(models, places[i]);
        bool ok = path ? lora_folder_add(folder, path, err) : no_memory(err);
        free(path);
        if (!ok) return false;
    }
    return true;
}

size_t lora_folder_links(const struct lora_folder *folder)
{
    size_t count = 0;

    for (const char *c = folder->links.bytes; c && *c; c++) count += *c == '\n';
    return count;
}

size_t lora_folder_count(const struct lora_folder *folder)
{
    return folder->count;
}

const struct lora_entry *lora_folder_at(const struct lora_folder *folder, size_t index)
{
    return &folder->files[index].shown;
}

/* ---- aliases and hashes ------------------------------------------------- */

static void keep_stored_hash(struct lora_entry *entry, const char *stored)
{
    if (!stored || strspn(stored, "0123456789abcdef") < LORA_HASH_DIGITS) return;
    memcpy(entry->hash, stored, LORA_HASH_DIGITS);
    entry->hash[LORA_HASH_DIGITS] = '\0';
}

/* Headers of all files. One that cannot be read has no alias; opening it will say why. */
static bool read_aliases(struct lora_folder *folder, struct tinct_err *err)
{
    for (size_t i = 0; i < folder->count && !folder->aliases_read; i++) {
        struct lora_entry *entry = &folder->files[i].shown;
        if (entry->alias) continue;
        struct safetensors *st = safetensors_open(entry->path, NULL);
        const char *alias = st ? safetensors_metadata(st, "ss_output_name") : NULL;
        entry->alias = copy(alias && strcmp(alias, "None") ? alias : "");
        if (st) keep_stored_hash(entry, safetensors_metadata(st, "sshs_model_hash"));
        safetensors_close(st);
        if (!entry->alias) return no_memory(err);
    }
    folder->aliases_read = true;
    return true;
}

static bool compute_hash(const struct lora_folder *folder, struct lora_entry *entry, struct tinct_err *err)
{
    unsigned char digest[HASH_BYTES];
    struct file *file = file_open(entry->path, err);
    uint64_t offset;
    bool ok = file && hash_safetensors_data(file, &offset, err);

    file_close(file);
    if (!ok || !hash_cached(folder->cache_dir, entry->path, offset, NULL, digest, err)) return false;
    hash_hex(digest, LORA_HASH_DIGITS, entry->hash);
    return true;
}

bool lora_folder_hash(struct lora_folder *folder, const struct lora_entry *entry, struct tinct_err *err)
{
    struct lora_entry *own = &folder->files[(size_t)((const struct listed *)entry - folder->files)].shown;
    struct safetensors *st;

    if (own->hash[0]) return true;
    if (!(st = safetensors_open(own->path, err))) return false;
    keep_stored_hash(own, safetensors_metadata(st, "sshs_model_hash"));
    safetensors_close(st);
    return own->hash[0] || compute_hash(folder, own, err);
}

/* ---- find --------------------------------------------------------------- */

enum way { BY_NAME, BY_STEM, BY_ALIAS, BY_HASH, WAYS };

/* text without ".safetensors" is name; what Windows calls it, "styles\\arcane", too. */
static bool is_named(const char *text, const char *name)
{
    for (; *name; text++, name++)
        if (*text != *name && !(*text == '\\' && *name == '/')) return false;
    return !*text || !strcmp(text, extension);
}

static bool matches(const struct lora_entry *entry, const char *name, enum way way)
{
    switch (way) {
    case BY_NAME: return is_named(name, entry->name);
    case BY_STEM: return is_named(name, entry->stem);
    case BY_ALIAS: return entry->alias && entry->alias[0] && !strcmp(entry->alias, name);
    default: return entry->hash[0] && !strncmp(entry->hash, name, strlen(name));
    }
}

static bool is_hash(const char *name)
{
    size_t length = strlen(name);
    return length >= FEWEST_DIGITS && length <= LORA_HASH_DIGITS && strspn(name, "0123456789abcdef") == length;
}

/* What the way looks at, read where it is not yet. */
static bool prepare(struct lora_folder *folder, const char *name, enum way way, struct tinct_err *err)
{
    if (way == BY_ALIAS) return read_aliases(folder, err);
    if (way != BY_HASH || !is_hash(name)) return true;
    for (size_t i = 0; i < folder->count; i++)
        if (!folder->files[i].shown.hash[0]) compute_hash(folder, &folder->files[i].shown, NULL);
    return true;
}

static void refuse_several(const struct lora_folder *folder, const char *name, enum way way, struct tinct_err *err)
{
    static const char *const sames[] = { "name", "file name", "alias", "hash" };
    struct str list = { 0 };
    size_t found = 0;

    for (size_t i = 0; i < folder->count; i++) {
        const struct lora_entry *e = &folder->files[i].shown;
        if (!matches(e, name, way) || ++found > SHOWN) continue;
        str_addf(&list, "%s%s", found > 1 ? ", " : "", way == BY_NAME ? e->path : e->name);
    }
    tinct_fail(err, TINCT_ERR_ARG, "LoRA \"%s\": %zu files have this %s: %s%s", name, found, sames[way],
               list.bytes ? list.bytes : "", found > SHOWN ? " ..." : "");
    tinct_advise(err, way == BY_NAME ? "rename one of them" : "write the name with its folder");
    str_free(&list);
}

/* Is name the name or the stem of one of the links? */
static bool is_link(const struct lora_folder *folder, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = folder->links.bytes; line && *line; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n'), *at = end - length;
        if ((size_t)(end - line) >= length && !strncmp(at, name, length) && (at == line || at[-1] == '/')) return true;
    }
    return false;
}

static void refuse_unknown(const struct lora_folder *folder, const char *name, struct tinct_err *err)
{
    const char **names = malloc((folder->count + 1) * sizeof *names);
    size_t best[3], found = 0;
    struct str list = { 0 };

    for (size_t i = 0; names && i < folder->count; i++) names[i] = folder->files[i].shown.name;
    if (names) found = nearest_names(name, names, folder->count, best, 3);
    for (size_t i = 0; i < found; i++) str_addf(&list, "%s%s", i ? ", " : "", names[best[i]]);
    if (is_link(folder, name))
        tinct_fail(err, TINCT_ERR_ARG, "LoRA \"%s\" is a symbolic link, which is not followed", name);
    else if (found)
        tinct_fail(err, TINCT_ERR_ARG, "LoRA \"%s\" is not there; the nearest names are %s", name,
                   list.bytes ? list.bytes : "");
    else tinct_fail(err, TINCT_ERR_ARG, "LoRA \"%s\" is not there; the folders hold no LoRA at all", name);
    tinct_advise(err, is_link(folder, name) ? "name the folder of the file itself, or move it here"
                                            : "`tinct loras` lists all");
    str_free(&list);
    free(names);
}

const struct lora_entry *lora_folder_find(struct lora_folder *folder, const char *name, struct tinct_err *err)
{
    if (!name[0]) {
        tinct_fail(err, TINCT_ERR_ARG, "a LoRA without a name");
        return NULL;
    }
    for (int way = BY_NAME; way < WAYS; way++) {
        const struct lora_entry *found = NULL;
        size_t count = 0;
        if (way == BY_HASH && !is_hash(name)) break;
        if (!prepare(folder, name, (enum way)way, err)) return NULL;
        for (size_t i = 0; i < folder->count; i++)
            if (matches(&folder->files[i].shown, name, (enum way)way) && !count++) found = &folder->files[i].shown;
        if (count > 1) {
            refuse_several(folder, name, (enum way)way, err);
            return NULL;
        }
        if (found) return found;
    }
    refuse_unknown(folder, name, err);
    return NULL;
}

bool lora_folder_lacks(struct lora_folder *folder, const char *name)
{
    for (int way = BY_NAME; way < WAYS && *name; way++) {
        if ((way == BY_HASH && !is_hash(name)) || !prepare(folder, name, (enum way)way, NULL)) continue;
        for (size_t i = 0; i < folder->count; i++)
            if (matches(&folder->files[i].shown, name, (enum way)way)) return false;
    }
    return *name != '\0';
}
