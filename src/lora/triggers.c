#include "lora/triggers.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { TAGS_SHOWN = 12, TAG_BYTES = 60 };

/* ---- a list of words ---------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool has_word(const struct lora_triggers *t, const char *word, size_t length)
{
    for (size_t i = 0; i < t->count; i++)
        if (strlen(t->words[i]) == length && !memcmp(t->words[i], word, length)) return true;
    return false;
}

static bool add_word(struct lora_triggers *t, const char *word, size_t length)
{
    while (length && is_space(*word)) {
        word++;
        length--;
    }
    while (length && is_space(word[length - 1])) length--;
    if (!length || t->count == LORA_TRIGGERS_MAX || has_word(t, word, length)) return true;
    if (!t->words && !(t->words = calloc(LORA_TRIGGERS_MAX, sizeof *t->words))) return false;
    if (!(t->words[t->count] = malloc(length + 1))) return false;
    memcpy(t->words[t->count], word, length);
    t->words[t->count++][length] = '\0';
    return true;
}

/* The end of an extra network's tag "<lora:...>" that begins here; NULL if none does. */
static const char *tag_end(const char *text)
{
    const char *end = *text == '<' ? strchr(text, '>') : NULL;
    return end && memchr(text, ':', (size_t)(end - text)) ? end + 1 : NULL;
}

/* The pieces between commas and around tags. */
static bool add_phrase(struct lora_triggers *t, const char *text)
{
    const char *begin = text;

    for (const char *at = text; text; at++) {
        const char *after = tag_end(at);
        if (*at && *at != ',' && !after) continue;
        if (!add_word(t, begin, (size_t)(at - begin))) return false;
        if (!*at) break;
        begin = after ? after : at + 1;
        at = begin - 1;
    }
    return true;
}

static bool is_said(const char *text)
{
    return text && *text && strcmp(text, "None");
}

/* ---- kohya's metadata --------------------------------------------------- */

static struct json *parse(const struct safetensors *st, const char *key)
{
    const char *text = safetensors_metadata(st, key);
    return text && (*text == '{' || *text == '[') ? json_parse(text, strlen(text), NULL) : NULL;
}

/* ss_datasets [{ subsets: [{ class_tokens, is_reg }] }] */
static bool add_class_tokens(struct lora_triggers *t, const struct safetensors *st)
{
    struct json *sets = parse(st, "ss_datasets");
    bool ok = true;

    for (const struct json *set = json_first(sets); ok && set; set = json_next(set)) {
        const struct json *subset = json_first(json_member(set, "subsets"));
        for (; ok && subset; subset = json_next(subset)) {
            bool regular = false;
            const char *tokens = json_to_string(json_member(subset, "class_tokens"));
            json_to_bool(json_member(subset, "is_reg"), &regular);
            if (!regular && is_said(tokens)) ok = add_phrase(t, tokens);
        }
    }
    json_free(sets);
    return ok;
}

/* ss_dataset_dirs { "10_jinx woman": ... }: the folder's name without its repeats. */
static bool add_folder_names(struct lora_triggers *t, const struct safetensors *st)
{
    struct json *dirs = parse(st, "ss_dataset_dirs");
    bool ok = true;

    for (const struct json *dir = json_first(dirs); ok && dir; dir = json_next(dir)) {
        const char *name = json_name(dir);
        size_t digits = strspn(name, "0123456789");
        if (digits && name[digits] == '_') ok = add_phrase(t, name + digits + 1);
    }
    json_free(dirs);
    return ok;
}

struct tag {
    const char *name;
    double count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tag *)a)->name, ((const struct tag *)b)->name);
}

static int by_count(const void *a, const void *b)
{
    const struct tag *x = a, *y = b;
    return x->count > y->count ? -1 : x->count < y->count ? 1 : strcmp(x->name, y->name);
}

/* {"folder": {"tag": count}}: those of one name together, the most frequent first. */
static size_t sum_tags(struct tag *tags, const struct json *folders)
{
    size_t count = 0, kept = 0;

    for (const struct json *folder = json_first(folders); folder; folder = json_next(folder))
        for (const struct json *tag = json_first(folder); tag; tag = json_next(tag)) {
            struct tag one = { .name = json_name(tag) };
            if (json_to_double(tag, &one.count)) tags[count++] = one;
        }
    if (count) qsort(tags, count, sizeof *tags, by_name);
    for (size_t i = 0; i < count; i++) {
        if (kept && !strcmp(tags[kept - 1].name, tags[i].name)) tags[kept - 1].count += tags[i].count;
        else tags[kept++] = tags[i];
    }
    if (kept) qsort(tags, kept, sizeof *tags, by_count);
    return kept;
}

static double count_pictures(const struct safetensors *st)
{
    struct json *dirs = parse(st, "ss_dataset_dirs");
    double pictures = 0, one;

    for (const struct json *dir = json_first(dirs); dir; dir = json_next(dir))
        if (json_to_double(json_member(dir, "img_count"), &one)) pictures += one;
    json_free(dirs);
    return pictures;
}

/* Whole captions, not tags, where they are 16 letters long in the mean (A1111's rule); then they say nothing here. */
static bool are_captions(const struct tag *tags, size_t count)
{
    double letters = 0;
    for (size_t i = 0; i < count; i++) letters += (double)strlen(tags[i].name);
    return count && letters >= 16 * (double)count;
}

static size_t count_tags(const struct json *folders)
{
    size_t all = 0;

    for (const struct json *folder = json_first(folders); folder; folder = json_next(folder)) all += json_count(folder);
    return all;
}

static bool add_frequent_tags(struct lora_triggers *t, const struct safetensors *st)
{
    struct json *folders = parse(st, "ss_tag_frequency");
    double pictures = count_pictures(st);
    struct tag *tags = NULL;
    size_t all = count_tags(folders), count = 0;
    bool ok = true;

    if (all && pictures > 0) ok = (tags = malloc(all * sizeof *tags)) != NULL;
    if (tags) count = sum_tags(tags, folders);
    if (are_captions(tags, count)) count = 0;
    for (size_t i = 0; ok && i < count && tags[i].count >= 0.9 * pictures; i++) ok = add_phrase(t, tags[i].name);
    free(tags);
    json_free(folders);
    return ok;
}

char *lora_training_tags(const struct safetensors *st)
{
    struct json *folders = parse(st, "ss_tag_frequency");
    size_t all = count_tags(folders), count = 0;
    struct tag *tags = malloc((all + 1) * sizeof *tags);
    struct str s = { 0 };

    if (tags) count = sum_tags(tags, folders);
    for (size_t i = 0; i < count && i < TAGS_SHOWN; i++) {
        if (i) str_add(&s, ", ");
        str_add_printable(&s, tags[i].name, TAG_BYTES);
        str_addf(&s, " (%.0f)", tags[i].count);
    }
    bool ok = tags != NULL;
    free(tags);
    json_free(folders);
    if (ok) return str_take(&s, NULL);
    str_free(&s);
    return NULL;
}

/* ---- all sources -------------------------------------------------------- */

static bool add_civitai(struct lora_triggers *t, const struct json *civitai)
{
    for (const struct json *word = json_first(json_member(civitai, "trainedWords")); word; word = json_next(word))
        if (!add_phrase(t, json_to_string(word))) return false;
    return true;
}

static bool add_source(struct lora_triggers *t, enum lora_trigger_source source, const struct json *user,
                       const struct json *civitai, const struct safetensors *st)
{
    const char *phrase = safetensors_metadata(st, "modelspec.trigger_phrase");

    switch (source) {
    case LORA_TRIGGERS_USER: return add_phrase(t, json_to_string(json_member(user, "activation text")));
    case LORA_TRIGGERS_MODELSPEC: return !is_said(phrase) || add_phrase(t, phrase);
    case LORA_TRIGGERS_CIVITAI: return add_civitai(t, civitai);
    case LORA_TRIGGERS_CLASS: return add_class_tokens(t, st) && (t->count || add_folder_names(t, st));
    default: return add_frequent_tags(t, st);
    }
}

bool lora_triggers_find(struct lora_triggers *t, const struct json *user, const struct json *civitai,
                        const struct safetensors *st)
{
    *t = (struct lora_triggers) { .source = LORA_TRIGGERS_NONE };
    for (int source = LORA_TRIGGERS_USER; source <= LORA_TRIGGERS_TAGS; source++) {
        if (!add_source(t, (enum lora_trigger_source)source, user, civitai, st)) {
            lora_triggers_free(t);
            return false;
        }
        if (!t->count) continue;
        t->source = (enum lora_trigger_source)source;
        break;
    }
    return true;
}

void lora_triggers_free(struct lora_triggers *t)
{
    for (size_t i = 0; i < t->count; i++) free(t->words[i]);
    free(t->words);
    *t = (struct lora_triggers) { .source = LORA_TRIGGERS_NONE };
}

const char *lora_trigger_source_name(enum lora_trigger_source source)
{
    static const char *const names[] = { "none",    "sidecar",          "modelspec",
                                         "civitai", "training folders", "training tags" };
    return names[source];
}

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

bool lora_trigger_in(const char *prompt, const char *words)
{
    size_t length = strlen(words);

    if (!length) return true;
    for (const char *at = prompt; *at; at++) {
        size_t same = 0;
        while (same < length && tolower((unsigned char)at[same]) == tolower((unsigned char)words[same])) same++;
        bool begins = at == prompt || !is_letter(at[-1]) || !is_letter(words[0]);
        bool ends = same == length && (!is_letter(at[length]) || !is_letter(words[length - 1]));
        if (begins && ends) return true;
    }
    return false;
}
