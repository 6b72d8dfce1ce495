/* The LoRAs that there are, for tinct.h: a listing, and cards that are read when they are asked for. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "lora/card.h"
#include "tensor/checkpoint.h"

struct shown {
    struct lora_card *card;      /* NULL: not asked for yet, or not readable */
    char *why;                   /* why not */
    struct tinct_lora_card view; /* .name is NULL until then */
};

struct tinct_loras {
    struct lora_folder *folder;
    struct lora_targets *targets; /* of the model to fit; NULL: none */
    struct shown *shown;          /* [count] */
    char *cache_dir;
};

/* ---- listing ------------------------------------------------------------------ */

static struct lora_targets *targets_of(const char *model, struct tinct_err *err)
{
    struct checkpoint *ck = checkpoint_open(model, NULL, err);
    struct lora_targets *targets = NULL;

    if (ck && !checkpoint_about(ck).has_unet) {
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is of kind \"%s\", not a checkpoint that a LoRA could fit", model,
                   checkpoint_about(ck).kind_name);
    } else if (ck) {
        targets = lora_targets_of(ck, err);
    }
    checkpoint_close(ck);
    return targets;
}

static bool fill(struct tinct_loras *l, const struct tinct_lora_list_options *o, struct tinct_err *err)
{
    if (!(l->folder = lora_folder_create(o->cache_dir, err))) return false;
    if (o->lora_dir && !lora_folder_add(l->folder, o->lora_dir, err)) return false;
    if (o->models_dir && !lora_folder_add_models(l->folder, o->models_dir, err)) return false;
    if (o->model && !(l->targets = targets_of(o->model, err))) return false;
    if (o->cache_dir && (l->cache_dir = malloc(strlen(o->cache_dir) + 1))) strcpy(l->cache_dir, o->cache_dir);
    l->shown = calloc(lora_folder_count(l->folder) + 1, sizeof *l->shown);
    return l->shown || tinct_fail(err, TINCT_ERR_MEMORY, "no memory to list LoRAs");
}

struct tinct_loras *tinct_loras_open(const struct tinct_lora_list_options *options, struct tinct_err *err)
{
    struct tinct_loras *l = calloc(1, sizeof *l);

    if (l && fill(l, options, err)) return l;
    if (!l) tinct_fail(err, TINCT_ERR_MEMORY, "no memory to list LoRAs");
    tinct_loras_close(l);
    return NULL;
}

void tinct_loras_close(struct tinct_loras *l)
{
    if (!l) return;
    for (size_t i = 0; l->shown && i < lora_folder_count(l->folder); i++) {
        lora_card_free(l->shown[i].card);
        free(l->shown[i].why);
    }
    free(l->shown);
    lora_targets_free(l->targets);
    lora_folder_free(l->folder);
    free(l->cache_dir);
    free(l);
}

size_t tinct_loras_count(const struct tinct_loras *l)
{
    return lora_folder_count(l->folder);
}

const char *tinct_loras_name(const struct tinct_loras *l, size_t index)
{
    return lora_folder_at(l->folder, index)->name;
}

bool tinct_loras_find(struct tinct_loras *l, const char *name, size_t *index, struct tinct_err *err)
{
    const struct lora_entry *entry = lora_folder_find(l->folder, name, err);

    for (*index = 0; entry && lora_folder_at(l->folder, *index) != entry;) ++*index;
    return entry != NULL;
}

/* ---- cards -------------------------------------------------------------------- */

static const char *text_of(const char *text)
{
    return text ? text : "";
}

static struct tinct_lora_card view_of(const struct lora_card *c)
{
    return (struct tinct_lora_card) {
        .name = c->name, .path = c->path, .why = text_of(c->match.why),
        .readable = true, .fits = !c->match.asked || c->match.fits,
        .alias = c->alias, .base = c->base, .type = c->about.type,
        .modules = c->about.modules, .matched = c->match.count,
        .rank_min = c->about.rank_min, .rank_max = c->about.rank_max,
        .alpha_min = c->about.alpha_min, .alpha_max = c->about.alpha_max,
        .weight = (float)c->weight, .weight_told = c->weight_told,
        .triggers = (const char *const *)c->triggers.words, .trigger_count = c->triggers.count,
        .triggers_by = lora_trigger_source_name(c->triggers.source),
        .negative = text_of(c->negative), .description = text_of(c->description), .notes = text_of(c->notes),
        .hint = text_of(c->hint), .preview = text_of(c->preview), .hash = c->autov3,
    };
}

static struct tinct_lora_card unreadable(const struct lora_entry *entry, const char *why)
{
    return (struct tinct_lora_card) {
        .name = entry->name, .path = entry->path, .why = why, .alias = "", .base = "unknown", .type = "", .weight = 1,
        .triggers_by = lora_trigger_source_name(LORA_TRIGGERS_NONE), .negative = "", .description = "", .notes = "",
        .hint = "", .preview = "", .hash = "",
    };
}

static bool read_card(const struct tinct_loras *l, struct shown *s, const struct lora_entry *entry,
                      struct tinct_err *err)
{
    struct tinct_err why = { 0 };
    struct str sentence = { 0 };

    s->card = lora_card_read(entry->name, entry->path, false, l->cache_dir, &why);
    if (s->card && l->targets && !lora_card_match(s->card, l->targets, false, &why)) {
        lora_card_free(s->card);
        s->card = NULL;
    }
    if (s->card) {
        s->view = view_of(s->card);
        return true;
    }
    if (why.code == TINCT_ERR_MEMORY) return tinct_fail(err, TINCT_ERR_MEMORY, "%s", why.text);
    str_add(&sentence, why.text);
    if (!(s->why = str_take(&sentence, err))) return false;
    s->view = unreadable(entry, s->why);
    return true;
}

const struct tinct_lora_card *tinct_loras_card(struct tinct_loras *l, size_t index, struct tinct_err *err)
{
    struct shown *s = &l->shown[index];

    return s->view.name || read_card(l, s, lora_folder_at(l->folder, index), err) ? &s->view : NULL;
}

/* ---- telling ------------------------------------------------------------------ */

static char *describe_one(struct tinct_loras *l, const char *name, bool json, struct tinct_err *err)
{
    const struct lora_entry *entry = lora_folder_find(l->folder, name, err);
    struct lora_card *card = entry ? lora_card_read(entry->name, entry->path, true, l->cache_dir, err) : NULL;
    bool ok = card && (!l->targets || lora_card_match(card, l->targets, true, err));
    char *text = ok ? lora_card_text(card, json, err) : NULL;

    lora_card_free(card);
    return text;
}

/* What to do where there is nothing to list. */
static char *describe_none(const struct tinct_lora_list_options *o, size_t links, struct tinct_err *err)
{
    const char *folder = o->lora_dir ? o->lora_dir : o->models_dir ? o->models_dir : "";
    bool slash = !folder[0] || folder[strlen(folder) - 1] == '/';
    struct str s = { 0 };

    if (folder[0]) str_addf(&s, "No LoRAs in %s%s: put .safetensors files there.\n", folder, slash ? "" : "/");
    else str_add(&s, "No LoRAs: no folder is named.\n");
    if (links) str_addf(&s, "%zu symbolic link%s passed over: links are not followed\n", links, links > 1 ? "s" : "");
    return str_take(&s, err);
}

char *tinct_describe_loras(const struct tinct_lora_list_options *options, const char *name, bool json,
                           struct tinct_err *err)
{
    struct tinct_loras *l = tinct_loras_open(options, err);
    char *text = NULL;

    if (l && name) text = describe_one(l, name, json, err);
    else if (l && !json && !tinct_loras_count(l)) text = describe_none(options, lora_folder_links(l->folder), err);
    else if (l) text = lora_list_text(l->folder, l->targets, json, err);
    tinct_loras_close(l);
    return text;
}
