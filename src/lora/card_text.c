#include "lora/card.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 400, TEXT_BYTES = 4000, UNMATCHED_SHOWN = 12 };

/* ---- JSON --------------------------------------------------------------- */

static void put_match_json(struct json_writer *w, const struct lora_card_match *match)
{
    json_put_bool(w, "fits", match->fits);
    json_put_string(w, "why_not", match->why);
    json_put_integer(w, "matched", match->count);
    json_put_integer(w, "total", match->total);
    json_begin(w, "unmatched", JSON_ARRAY);
    for (const char *line = match->unmatched; *line; line = strchr(line, '\n') + 1) {
        struct str one = { 0 };
        str_add_bytes(&one, line, strcspn(line, "\n"));
        json_put_string(w, NULL, one.bytes);
        str_free(&one);
    }
    json_end(w);
}

static void put_json(struct json_writer *w, const struct lora_card *card)
{
    static const char *const by[] = { "nothing", "shapes", "names", "metadata" };
    const struct lora_about *a = &card->about;

    json_begin(w, NULL, JSON_OBJECT);
    json_put_string(w, "name", card->name);
    json_put_string(w, "path", card->path);
    json_put_string(w, "alias", card->alias);
    json_put_string(w, "base", card->base);
    json_put_string(w, "base_by", by[a->origin.evidence]);
    json_put_string(w, "type", a->type);
    json_put_integer(w, "modules", a->modules);
    json_put_integer(w, "rank_min", a->rank_min);
    json_put_integer(w, "rank_max", a->rank_max);
    json_put_double(w, "alpha_min", (double)a->alpha_min);
    json_put_double(w, "alpha_max", (double)a->alpha_max);
    json_put_string(w, "autov2", card->autov2);
    json_put_string(w, "autov3", card->autov3);
    json_put_double(w, "weight", card->weight);
    json_put_bool(w, "weight_told", card->weight_told);
    json_begin(w, "triggers", JSON_ARRAY);
    for (size_t i = 0; i < card->triggers.count; i++) json_put_string(w, NULL, card->triggers.words[i]);
    json_end(w);
    json_put_string(w, "triggers_by", lora_trigger_source_name(card->triggers.source));
    json_put_string(w, "training_tags", card->training_tags);
    json_put_string(w, "negative", card->negative);
    json_put_string(w, "description", card->description);
    json_put_string(w, "notes", card->notes);
    json_put_string(w, "hint", card->hint);
    json_put_string(w, "preview", card->preview);
    json_put_string(w, "warnings", card->warnings);
    if (card->match.asked) put_match_json(w, &card->match);
    json_end(w);
}

/* ---- for a person ------------------------------------------------------- */

static void put_line(struct str *s, const char *label, const char *text, size_t most)
{
    if (!text || !*text) return;
    str_addf(s, "  %-10s ", label);
    str_add_printable(s, text, most);
    str_add(s, "\n");
}

static void add_range(struct str *s, double low, double high)
{
    if (low < high) str_addf(s, "%g to %g", low, high);
    else str_addf(s, "%g", high);
}

static void add_triggers(struct str *s, const struct lora_card *card, size_t most)
{
    for (size_t i = 0; i < card->triggers.count && i < most; i++) {
        if (i) str_add(s, ", ");
        str_add_printable(s, card->triggers.words[i], LINE_BYTES);
    }
    if (card->triggers.count > most) str_addf(s, " and %zu more", card->triggers.count - most);
}

/* Lines, the first of them behind the label. */
static void put_lines(struct str *s, const char *label, const char *lines, size_t most)
{
    size_t count = 0;

    for (const char *line = lines; *line; line = strchr(line, '\n') + 1) {
        char one[LINE_BYTES];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(line, "\n"), line);
        if (count++ < most) put_line(s, count == 1 ? label : "", one, sizeof one);
    }
    if (count > most) str_addf(s, "  %-10s and %zu more; --json shows all\n", "", count - most);
}

static void put_match(struct str *s, const struct lora_card_match *match)
{
    if (match->fits) {
        str_addf(s, "  %-10s yes, %u of its %u layers\n", "fits", (unsigned)match->count, (unsigned)match->total);
    } else {
        str_addf(s, "  %-10s no: ", "fits");
        str_add_printable(s, match->why, LINE_BYTES * 2);
        str_add(s, "\n");
    }
    put_lines(s, "unmatched", match->unmatched, UNMATCHED_SHOWN);
}

static void put_card(struct str *s, const struct lora_card *card)
{
    const struct lora_about *a = &card->about;

    str_add_printable(s, card->name, LINE_BYTES);
    str_add(s, "\n");
    put_line(s, "file", card->path, LINE_BYTES * 4);
    put_line(s, "alias", card->alias, LINE_BYTES);
    put_line(s, "base", card->base, LINE_BYTES);
    str_addf(s, "  %-10s %s, %u layers of the %s\n", "type", a->type, (unsigned)a->modules,
             a->unet && a->text ? "UNet and the text encoder" : a->text ? "text encoder" : "UNet");
    if (a->rank_max) {
        str_addf(s, "  %-10s ", "rank");
        add_range(s, a->rank_min, a->rank_max);
        if (a->alpha_max > 0) {
            str_add(s, ", alpha ");
            add_range(s, (double)a->alpha_min, (double)a->alpha_max);
        }
        str_add(s, "\n");
    }
    str_addf(s, "  %-10s %.2f%s\n", "weight", card->weight, card->weight_told ? "" : " (nobody says)");
    if (card->triggers.count) {
        str_addf(s, "  %-10s ", "triggers");
        add_triggers(s, card, LORA_TRIGGERS_MAX);
        str_addf(s, " (%s)\n", lora_trigger_source_name(card->triggers.source));
    }
    put_line(s, "trained on", card->training_tags, LINE_BYTES);
    put_line(s, "negative", card->negative, LINE_BYTES);
    put_line(s, "hint", card->hint, LINE_BYTES);
    put_line(s, "about", card->description, TEXT_BYTES);
    put_line(s, "notes", card->notes, TEXT_BYTES);
    put_line(s, "preview", card->preview, LINE_BYTES * 4);
    put_line(s, "AutoV2", card->autov2, LINE_BYTES);
    put_line(s, "AutoV3", card->autov3, LINE_BYTES);
    if (card->match.asked) put_match(s, &card->match);
    put_lines(s, "warning", card->warnings, UNMATCHED_SHOWN);
}

char *lora_card_text(const struct lora_card *card, bool json, struct tinct_err *err)
{
    struct json_writer w = { .depth = 0 };
    struct str s = { 0 };

    if (json) {
        put_json(&w, card);
        return json_finish(&w, err);
    }
    put_card(&s, card);
    return str_take(&s, err);
}

/* ---- the list ----------------------------------------------------------- */

static void put_row(struct str *s, const struct lora_card *card)
{
    char rank[32];

    if (card->about.rank_min < card->about.rank_max)
        snprintf(rank, sizeof rank, "%u-%u", (unsigned)card->about.rank_min, (unsigned)card->about.rank_max);
    else
        snprintf(rank, sizeof rank, "%u", (unsigned)card->about.rank_max);
    str_addf(s, "  %-10s %-6s rank %-7s weight %.2f  ", card->base, card->about.type,
             card->about.rank_max ? rank : "-", card->weight);
    if (card->match.asked && !card->match.fits) str_add(s, "does not fit  ");
    add_triggers(s, card, 4);
    str_add(s, "\n");
}

static void put_name(struct str *s, const char *name, size_t width)
{
    size_t before = s->length;
    str_add_printable(s, name, LINE_BYTES);
    for (size_t used = s->length - before; used < width; used++) str_add(s, " ");
}

static void put_error_json(struct json_writer *w, const struct lora_entry *entry, const char *why)
{
    json_begin(w, NULL, JSON_OBJECT);
    json_put_string(w, "name", entry->name);
    json_put_string(w, "path", entry->path);
    json_put_string(w, "error", why);
    json_end(w);
}

/* One entry of the list, whatever is wrong with it. */
static void put_entry(struct json_writer *w, struct str *s, const struct lora_entry *entry,
                      const struct lora_targets *targets, size_t width)
{
    struct tinct_err why = { 0 };
    struct lora_card *card = lora_card_read(entry->name, entry->path, false, NULL, &why);

    if (card && targets && !lora_card_match(card, targets, false, &why)) {
        lora_card_free(card);
        card = NULL;
    }
    if (!s && card) put_json(w, card);
    else if (!s) put_error_json(w, entry, why.text);
    else {
        put_name(s, entry->name, width);
        if (card) put_row(s, card);
        else {
            str_add(s, "  ");
            str_add_printable(s, why.text, LINE_BYTES * 2);
            str_add(s, "\n");
        }
    }
    lora_card_free(card);
}

char *lora_list_text(struct lora_folder *folder, const struct lora_targets *targets, bool json,
                     struct tinct_err *err)
{
    struct json_writer w = { .depth = 0 };
    struct str s = { 0 };
    size_t width = 8;

    if (json) json_begin(&w, NULL, JSON_ARRAY);
    for (size_t i = 0; i < lora_folder_count(folder); i++) {
        size_t length = strlen(lora_folder_at(folder, i)->name);
        if (length > width && length <= 40) width = length;
    }
    for (size_t i = 0; i < lora_folder_count(folder); i++)
        put_entry(&w, json ? NULL : &s, lora_folder_at(folder, i), targets, width);
    if (!json) {
        size_t links = lora_folder_links(folder);
        if (links) str_addf(&s, "%zu symbolic link%s passed over: links are not followed\n", links, links > 1 ? "s" : "");
        return str_take(&s, err);
    }
    json_end(&w);
    return json_finish(&w, err);
}
