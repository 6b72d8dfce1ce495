#include "lora/card.h"

#include "base/hash.h"
#include "lora/sidecar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
    char *to = malloc(strlen(text) + 1);
    return to ? strcpy(to, text) : NULL;
}

static const char *said(const char *text)
{
    return text && *text && strcmp(text, "None") ? text : NULL;
}

/* The first of the texts that says something; NULL without (or without memory: it is an extra). */
static char *first_said(const char *a, const char *b)
{
    const char *text = said(a) ? a : said(b);
    return text ? copy(text) : NULL;
}

/* ---- fields ------------------------------------------------------------- */

static void put_base(struct lora_card *card, const struct safetensors *st, const struct json *user,
                     const struct json *civitai)
{
    const char *site = said(json_to_string(json_member(civitai, "baseModel")));
    const char *version = said(safetensors_metadata(st, "ss_base_model_version"));
    const char *told = said(json_to_string(json_member(user, "sd version")));
    const char *known = card->about.origin.base ? lora_base_name(card->about.origin.base) : NULL;

    if (!site) site = version;
    if (!site && told && strcmp(told, "Unknown")) site = told;
    if (!site) site = said(safetensors_metadata(st, "modelspec.architecture"));
    bool family = known && site && site == json_to_string(json_member(civitai, "baseModel")) && !strstr(site, "SD");
    if (family) snprintf(card->base, sizeof card->base, "%s (%.40s)", known, site);
    else snprintf(card->base, sizeof card->base, "%.60s", known ? known : site ? site : "unknown");
}

/* 0 means unset; 0.8 beside a .civitai.info is what a downloading extension writes for every file. */
static void put_weight(struct lora_card *card, const struct json *user, const struct json *civitai)
{
    double weight = 0;

    card->weight = 1;
    if (!json_to_double(json_member(user, "preferred weight"), &weight) || !(weight > 0) || weight > 100) return;
    if (civitai && weight > 0.799 && weight < 0.801) return;
    card->weight = weight;
    card->weight_told = true;
}

static void put_texts(struct lora_card *card, const struct safetensors *st, const struct json *user)
{
    char *text = sidecar_text(card->path, ".txt");

    if (!text) text = sidecar_text(card->path, ".description.txt");
    card->description = first_said(json_to_string(json_member(user, "description")), text);
    if (!card->description) card->description = first_said(safetensors_metadata(st, "modelspec.description"), NULL);
    card->negative = first_said(json_to_string(json_member(user, "negative text")), NULL);
    card->notes = first_said(json_to_string(json_member(user, "notes")), NULL);
    card->hint = first_said(safetensors_metadata(st, "modelspec.usage_hint"), NULL);
    card->preview = sidecar_preview(card->path);
    if (!card->preview && (said(safetensors_metadata(st, "modelspec.thumbnail")) ||
                           said(safetensors_metadata(st, "ssmd_cover_images"))))
        card->preview = copy("embedded");
    free(text);
}

static bool put_hashes(struct lora_card *card, const struct safetensors *st, bool compute, const char *cache_dir,
                       struct tinct_err *err)
{
    const char *stored = safetensors_metadata(st, "sshs_model_hash");
    unsigned char digest[HASH_BYTES];
    uint64_t offset;

    if (stored && strspn(stored, "0123456789abcdef") >= LORA_HASH_DIGITS)
        snprintf(card->autov3, sizeof card->autov3, "%.12s", stored);
    if (!compute) return true;
    if (!hash_safetensors_data(safetensors_file(st), &offset, err) ||
        !hash_cached(cache_dir, card->path, offset, NULL, digest, err))
        return false;
    hash_hex(digest, LORA_HASH_DIGITS, card->autov3);
    if (!hash_cached(cache_dir, card->path, 0, NULL, digest, err)) return false;
    hash_hex(digest, 10, card->autov2);
    return true;
}

/* ---- read --------------------------------------------------------------- */

static bool fill(struct lora_card *card, const struct lora_file *file, bool hashes, const char *cache_dir,
                 struct tinct_err *err)
{
    const struct safetensors *st = lora_tensors(file);
    const char *alias = said(safetensors_metadata(st, "ss_output_name"));
    struct str warnings = { 0 };
    struct json *user = sidecar_json(card->path, ".json", &warnings);
    struct json *civitai = sidecar_json(card->path, ".civitai.info", &warnings);

    card->about = lora_about(file);
    card->alias = copy(alias ? alias : "");
    put_base(card, st, user, civitai);
    put_weight(card, user, civitai);
    put_texts(card, st, user);
    bool ok = lora_triggers_find(&card->triggers, user, civitai, st) && (card->training_tags = lora_training_tags(st));
    json_free(user);
    json_free(civitai);
    card->warnings = str_take(&warnings, err);
    if (!ok || !card->alias || !card->warnings)
        return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its card", card->path);
    return put_hashes(card, st, hashes, cache_dir, err);
}

struct lora_card *lora_card_read(const char *name, const char *path, bool hashes, const char *cache_dir,
                                 struct tinct_err *err)
{
    struct lora_card *card = calloc(1, sizeof *card);
    struct lora_file *file = NULL;

    if (card) {
        card->name = copy(name);
        card->path = copy(path);
    }
    if (!card || !card->name || !card->path) {
        tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its card", path);
        goto fail;
    }
    if (!(file = lora_open(path, err)) || !fill(card, file, hashes, cache_dir, err)) goto fail;
    lora_close(file);
    return card;
fail:
    lora_close(file);
    lora_card_free(card);
    return NULL;
}

void lora_card_free(struct lora_card *card)
{
    if (!card) return;
    lora_triggers_free(&card->triggers);
    free(card->name);
    free(card->path);
    free(card->alias);
    free(card->training_tags);
    free(card->negative);
    free(card->description);
    free(card->notes);
    free(card->hint);
    free(card->preview);
    free(card->warnings);
    free(card->match.why);
    free(card->match.unmatched);
    free(card);
}
