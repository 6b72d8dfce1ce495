#include "pipeline/embeddings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/folder.h"
#include "base/nearest.h"
#include "base/str.h"
#include "image/png.h"
#include "text/tokenizer.h"

enum { FILES_MOST = 16384, SHOWN = 3 };

enum sort { SAFETENSORS, PICTURE, PICKLE, BUNDLED };    /* which of one name comes first */

struct entry {
    char *path;
    char *name;                 /* below its folder, without ending */
    const char *stem;           /* its last component */
    char *called;               /* what a recipe calls it, whose hash it has; NULL: nothing else */
    const struct safetensors *lora;     /* BUNDLED: where it is */
    enum sort sort;
    struct embedding embedding; /* read when it is first named */
    bool refused;               /* cannot be used, which was told */
    uint32_t use;               /* 1 the first that a prompt named, 2 the next ...; 0: not named */
};

struct spelling {               /* token ids that mean an entry */
    uint32_t *ids;
    size_t count;
    uint32_t entry;
};

struct embeddings {
    struct embeddings_options options;
    struct entry *entries;
    size_t count, room;
    struct spelling *spellings;  /* the longest first */
    size_t spelling_count;
    uint32_t uses;
    bool starved;                /* memory ran out while one was read */
};

/* ---- listing ------------------------------------------------------------------ */

static bool no_memory(struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to list embeddings");
}

/* Where the ending begins that says what a file may be; NULL: it is none of ours. */
static const char *ending_of(const char *name, enum sort *sort)
{
    static const struct {
        const char *ending;
        enum sort sort;
    } endings[] = {
        { ".preview.png", PICTURE }, { ".safetensors", SAFETENSORS }, { ".png", PICTURE },
        { ".pt", PICKLE },           { ".bin", PICKLE },
    };
    size_t bytes = strlen(name);

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t end = strlen(endings[i].ending);
        if (bytes <= end || strcmp(name + bytes - end, endings[i].ending)) continue;
        *sort = endings[i].sort;
        return i ? name + bytes - end : NULL;   /* the first is but a picture of an embedding */
    }
    return NULL;
}

static bool is_listed(const struct embeddings *e, const char *path)
{
    for (size_t i = 0; i < e->count; i++)
        if (!strcmp(e->entries[i].path, path)) return true;
    return false;
}

static struct entry *add_entry(struct embeddings *e, const char *path, const char *name, size_t length, enum sort sort,
                               struct tinct_err *err)
{
    struct str own_path = { 0 }, own_name = { 0 };

    if (e->count == FILES_MOST) {
        tinct_fail(err, TINCT_ERR_ARG, "%s: more than %d embeddings", path, FILES_MOST);
        return NULL;
    }
    if (e->count == e->room) {
        size_t room = e->room ? 2 * e->room : 32;
        struct entry *entries = realloc(e->entries, room * sizeof *entries);
        if (!entries) {
            no_memory(err);
            return NULL;
        }
        e->entries = entries;
        e->room = room;
    }
    str_add(&own_path, path);
    str_add_bytes(&own_name, name, length);
    struct entry *to = &e->entries[e->count++];
    *to = (struct entry) { .path = str_take(&own_path, err), .name = str_take(&own_name, err), .sort = sort };
    if (!to->path || !to->name) return NULL;
    const char *slash = strrchr(to->name, '/');
    to->stem = slash ? slash + 1 : to->name;
    return to;
}

/* A folder_tell. */
static bool add_file(void *user, const struct folder_file *file, struct tinct_err *err)
{
    struct embeddings *e = user;
    enum sort sort;
    const char *ending = ending_of(file->name, &sort);

    if (!ending || file->is_link || is_listed(e, file->path)) return true;
    return add_entry(e, file->path, file->name, (size_t)(ending - file->name), sort, err) != NULL;
}

static bool is_bundled(const struct embeddings *e, const struct safetensors *lora, const char *name, size_t length)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->entries[i].lora == lora && strlen(e->entries[i].name) == length &&
            !strncmp(e->entries[i].name, name, length))
            return true;
    return false;
}

static bool add_bundled(struct embeddings *e, const struct safetensors *lora, struct tinct_err *err)
{
    for (uint32_t i = 0; i < safetensors_count(lora); i++) {
        size_t length = 0;
        const char *name = embedding_bundled_name(safetensors_at(lora, i)->name, &length);
        if (!name || is_bundled(e, lora, name, length)) continue;
        struct entry *entry = add_entry(e, file_path(safetensors_file(lora)), name, length, BUNDLED, err);
        if (!entry) return false;
        entry->lora = lora;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = (int)x->sort - (int)y->sort;

    if (!order) order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->path, y->path);
}

static int by_length(const void *a, const void *b)
{
    const struct spelling *x = a, *y = b;

    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static bool add_spelling(struct embeddings *e, uint32_t entry, const char *prefix, const char *name,
                         struct tinct_err *err)
{
    struct str text = { 0 };
    struct tokens t = { 0 };

    str_add(&text, prefix);
    str_add(&text, name);
    bool ok = !text.failed && tokenize(&t, text.bytes ? text.bytes : "", text.length, err);
    if (ok && t.count) e->spellings[e->spelling_count++] = (struct spelling) { t.ids, t.count, entry };
    else tokens_free(&t);
    str_free(&text);
    return ok || no_memory(err);
}

static bool spell_all(struct embeddings *e, struct tinct_err *err)
{
    e->spellings = malloc((5 * e->count + 1) * sizeof *e->spellings);
    if (!e->spellings) return no_memory(err);
    for (uint32_t i = 0; i < e->count; i++) {
        const struct entry *entry = &e->entries[i];
        bool below = entry->stem != entry->name;
        if (!add_spelling(e, i, "", entry->stem, err) || !add_spelling(e, i, "embedding:", entry->stem, err) ||
            (below && !add_spelling(e, i, "embedding:", entry->name, err)) ||
            (entry->called && (!add_spelling(e, i, "", entry->called, err) || !add_spelling(e, i, "embedding:", entry->called, err))))
            return false;
    }
    if (e->spelling_count) qsort(e->spellings, e->spelling_count, sizeof *e->spellings, by_length);
    return true;
}

/* ---- renamed ones ------------------------------------------------------------- */

/* As recipes have names, without ':' and ','. */
static void add_plain(struct str *s, const char *name)
{
    for (const char *c = name; *c; c++)
        if (*c != ':' && *c != ',') str_add_bytes(s, c, 1);
}

static bool is_there(const struct embeddings *e, const char *name)
{
    bool there = false;

    for (size_t i = 0; i < e->count && !there; i++) {
        struct str plain = { 0 };
        add_plain(&plain, e->entries[i].stem);
        there = plain.bytes && !strcmp(plain.bytes, name);
        str_free(&plain);
    }
    return there;
}

static bool has_hash(const struct embeddings *e, const struct entry *entry, const char *digits, size_t count)
{
    unsigned char digest[HASH_BYTES];
    char hex[HASH_HEX];

    if (entry->sort == BUNDLED || !hash_cached(e->options.cache_dir, entry->path, 0, NULL, digest, NULL)) return false;
    hash_hex(digest, 12, hex);
    return !strncmp(hex, digits, count);
}

/* One that is not there by its name may be by its hash. */
static void find_renamed(struct embeddings *e, const char *name, const char *digits, size_t count)
{
    for (size_t i = 0; i < e->count && !is_there(e, name); i++) {
        struct entry *entry = &e->entries[i];
        struct str called = { 0 };
        if (entry->called || !has_hash(e, entry, digits, count)) continue;
        str_add(&called, name);
        entry->called = str_take(&called, NULL);
        if (e->options.log)
            context_log(e->options.log, TINCT_LOG_INFO, "%s: found as %s by the recipe's hash", name, entry->stem);
        return;
    }
}

static void find_all_renamed(struct embeddings *e)
{
    enum { LEAST_DIGITS = 10, MOST_DIGITS = 12 };

    for (const char *at = e->options.hashes; at && *at;) {
        const char *item = at + strspn(at, ", "), *colon = item + strcspn(item, ":,"), *digits = colon + strspn(colon, ": ");
        size_t count = strspn(digits, "0123456789abcdef");
        struct str name = { 0 };
        str_add_bytes(&name, item, (size_t)(colon - item));
        if (*colon == ':' && count >= LEAST_DIGITS && name.bytes && name.length)
            find_renamed(e, name.bytes, digits, count < MOST_DIGITS ? count : MOST_DIGITS);
        str_free(&name);
        at = digits + strcspn(digits, ",");
    }
}

/* The folder itself, and the places of A1111 and ComfyUI in a models folder and above it. */
static bool list(struct embeddings *e, struct tinct_err *err)
{
    static const char *const places[] = { "embeddings", "models/embeddings" };
    const struct embeddings_options *o = &e->options;
    bool ok = !o->dir || folder_walk(o->dir, add_file, e, err);

    for (size_t i = 0; ok && o->models_dir && i < sizeof places / sizeof *places; i++) {
        char *path = folder_join(o->models_dir, places[i]);
        ok = path ? folder_walk(path, add_file, e, err) : no_memory(err);
        free(path);
    }
    return ok;
}

static bool fill(struct embeddings *e, const struct safetensors *const *loras, size_t count, struct tinct_err *err)
{
    if (!list(e, err)) return false;
    for (size_t i = 0; i < count; i++)
        if (!add_bundled(e, loras[i], err)) return false;
    if (e->count) qsort(e->entries, e->count, sizeof *e->entries, by_name);
    find_all_renamed(e);
    return spell_all(e, err);
}

struct embeddings *embeddings_open(const struct embeddings_options *options, const struct safetensors *const *loras, size_t count,
                                   struct tinct_err *err)
{
    struct embeddings *e = calloc(1, sizeof *e);

    if (!e) {
        no_memory(err);
        return NULL;
    }
    e->options = *options;
    if (fill(e, loras, count, err)) return e;
    embeddings_close(e);
    return NULL;
}

void embeddings_close(struct embeddings *e)
{
    if (!e) return;
    for (size_t i = 0; i < e->count; i++) {
        free(e->entries[i].path);
        free(e->entries[i].name);
        free(e->entries[i].called);
        embedding_free(&e->entries[i].embedding);
    }
    for (size_t i = 0; i < e->spelling_count; i++) free(e->spellings[i].ids);
    free(e->entries);
    free(e->spellings);
    free(e);
}

/* ---- reading ------------------------------------------------------------------ */

/* A picture without an embedding in it is nobody's mistake: it lies beside the one it shows. *silent then. */
static bool read_picture(struct entry *entry, uint32_t width, bool *silent, struct tinct_err *why)
{
    struct png png;

    if (!png_read(entry->path, false, &png, why)) return false;
    const char *text = png_text(&png, "sd-ti-embedding");
    *silent = !text;
    bool ok = text && embedding_decode(&entry->embedding, entry->path, text, width, why);
    png_free(&png);
    return ok;
}

/* False with why. */
static bool read_entry(const struct embeddings *e, struct entry *entry, bool *silent, struct tinct_err *why)
{
    uint32_t width = e->options.width;

    *silent = false;
    if (entry->embedding.vectors) return true;
    if (entry->sort == BUNDLED)
        return embedding_read_bundled(&entry->embedding, entry->lora, entry->name, strlen(entry->name), width, why);
    if (entry->sort != PICTURE) return embedding_read(&entry->embedding, entry->path, width, why);
    return read_picture(entry, width, silent, why) ||
           (*silent && tinct_fail(why, TINCT_ERR_FORMAT, "%s: a picture without an embedding in it", entry->path));
}

/* Read it once; what cannot be used is told, and its name stays words. */
static bool can_use(struct embeddings *e, struct entry *entry)
{
    struct tinct_err why = { 0 };
    bool silent;

    if (entry->refused || read_entry(e, entry, &silent, &why)) return !entry->refused;
    if (why.code == TINCT_ERR_MEMORY) {
        e->starved = true;
        return false;
    }
    entry->refused = true;
    if (!silent && e->options.log) context_log(e->options.log, TINCT_LOG_WARN, "%s; \"%s\" is painted as plain words", why.text, entry->stem);
    return false;
}

bool embeddings_find(void *user, const uint32_t *ids, size_t count, struct chunk_embedding *found)
{
    struct embeddings *e = user;

    for (size_t i = 0; i < e->spelling_count; i++) {
        const struct spelling *s = &e->spellings[i];
        struct entry *entry = &e->entries[s->entry];
        if (s->count > count || memcmp(s->ids, ids, s->count * sizeof *ids) || !can_use(e, entry)) continue;
        if (!entry->use) entry->use = ++e->uses;
        *found = (struct chunk_embedding) { &entry->embedding, entry->embedding.count, s->count };
        return true;
    }
    return false;
}

bool embeddings_sound(const struct embeddings *e, struct tinct_err *err)
{
    return !e->starved || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for an embedding that the prompt names");
}

const char *embeddings_name(void *user, const void *embedding)
{
    const struct embeddings *e = user;

    for (size_t i = 0; i < e->count; i++)
        if (&e->entries[i].embedding == embedding) return e->entries[i].stem;
    return "";
}

/* ---- "embedding:NAME" --------------------------------------------------------- */

static bool begins(const char *text, const char *with)
{
    while (*with && tolower((unsigned char)*text) == tolower((unsigned char)*with)) {
        text++;
        with++;
    }
    return !*with;
}

static bool is_end(char c)
{
    return !c || isspace((unsigned char)c) || strchr(",()[]:|<>", c);
}

static bool refuse_unknown(const struct embeddings *e, const char *name, size_t bytes, struct tinct_err *err)
{
    const char **names = malloc((e->count + 1) * sizeof *names);
    size_t best[SHOWN], found = 0;
    struct str wanted = { 0 }, nearest = { 0 };

    str_add_bytes(&wanted, name, bytes);
    for (size_t i = 0; names && i < e->count; i++) names[i] = e->entries[i].stem;
    if (names && wanted.bytes) found = nearest_names(wanted.bytes, names, e->count, best, SHOWN);
    for (size_t i = 0; i < found; i++) str_addf(&nearest, "%s%s", i ? ", " : "", names[best[i]]);
    if (found)
        tinct_fail(err, TINCT_ERR_ARG, "embedding \"%s\" is not there; the nearest names are %s", wanted.bytes,
                   nearest.bytes ? nearest.bytes : "");
    else
        tinct_fail(err, TINCT_ERR_ARG, "embedding \"%s\" is not there; the folders hold no embedding at all",
                   wanted.bytes ? wanted.bytes : "");
    str_free(&wanted);
    str_free(&nearest);
    free(names);
    return false;
}

/* What stands behind one "embedding:". */
static bool expect_one(struct embeddings *e, const char *name, struct tinct_err *err)
{
    struct tinct_err why = { 0 };
    size_t bytes = 0;

    while (!is_end(name[bytes])) bytes++;
    if (!bytes) return true;            /* just the word */
    for (size_t i = 0; i < e->count; i++) {
        struct entry *entry = &e->entries[i];
        bool stem = begins(name, entry->stem) && is_end(name[strlen(entry->stem)]);
        bool whole = begins(name, entry->name) && is_end(name[strlen(entry->name)]), silent;
        whole |= entry->called && begins(name, entry->called) && is_end(name[strlen(entry->called)]);
        if ((stem || whole) && read_entry(e, entry, &silent, &why)) return true;
    }
    if (!why.code) return refuse_unknown(e, name, bytes, err);
    if (err) *err = why;
    return false;
}

/* The name behind the next "embedding:" from *at on, which goes behind that word; NULL: there is none. */
static const char *next_named(const char *text, const char **at)
{
    static const char word[] = "embedding:";

    for (const char *c = *at; *c; c++) {
        bool inside = c > text && (isalnum((unsigned char)c[-1]) || strchr("_-", c[-1]));
        if (!inside && begins(c, word)) return *at = c + sizeof word - 1;
    }
    return NULL;
}

bool embeddings_named(const char *text)
{
    return next_named(text, &(const char *) { text }) != NULL;
}

bool embeddings_expect(struct embeddings *e, const char *text, struct tinct_err *err)
{
    const char *at = text, *name;

    while ((name = next_named(text, &at)))
        if (!expect_one(e, name, err)) return false;
    return true;
}

/* ---- the recipe --------------------------------------------------------------- */

static void add_hash(struct str *s, const struct embeddings *e, const struct entry *entry)
{
    unsigned char digest[HASH_BYTES];
    char hex[HASH_HEX];

    if (entry->sort == BUNDLED || !hash_cached(e->options.cache_dir, entry->path, 0, NULL, digest, NULL)) return;
    hash_hex(digest, 12, hex);
    if (s->length) str_add(s, ", ");
    add_plain(s, entry->called ? entry->called : entry->stem);
    str_addf(s, ": %s", hex);
}

char *embeddings_hashes(const struct embeddings *e, struct tinct_err *err)
{
    struct str s = { 0 };

    for (uint32_t use = 1; use <= e->uses; use++)
        for (size_t i = 0; i < e->count; i++)
            if (e->entries[i].use == use) add_hash(&s, e, &e->entries[i]);
    return str_take(&s, err);
}
