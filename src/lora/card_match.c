#include "lora/card.h"

#include "base/str.h"
#include "lora/fit.h"
#include "lora/match.h"

#include <string.h>

/* The sentence without the path that it begins with: the card has it. */
static const char *without_path(const char *text, const char *path)
{
    size_t length = strlen(path);
    return !strncmp(text, path, length) && !strncmp(text + length, ": ", 2) ? text + length + 2 : text;
}

static bool tell(struct lora_card_match *to, const struct lora_match *match, const char *why, struct tinct_err *err)
{
    struct str lines = { 0 }, reason = { 0 };

    to->asked = true;
    to->fits = match != NULL;
    for (uint32_t i = 0; match && i < match->unmatched_count; i++) {
        str_add_printable(&lines, match->unmatched[i].name, LORA_WHY_BYTES);
        str_addf(&lines, ": %s\n", match->unmatched[i].reason);
    }
    if (match) {
        to->count = match->count;
        to->total = match->total;
    }
    str_add(&reason, why);
    to->unmatched = str_take(&lines, err);
    to->why = match ? NULL : str_take(&reason, err);
    str_free(&reason);
    return to->unmatched && (match || to->why);
}

bool lora_card_match(struct lora_card *card, const struct lora_targets *targets, bool values, struct tinct_err *err)
{
    struct tinct_err why = { 0 };
    struct lora_file *file = lora_open(card->path, &why);
    struct lora_match *match = !file    ? NULL
                               : values ? lora_match(file, targets, &why)
                                        : lora_match_layers(file, targets, &why);
    bool ok = (match || why.code != TINCT_ERR_MEMORY)
                  ? tell(&card->match, match, without_path(why.text, card->path), err)
                  : tinct_fail(err, TINCT_ERR_MEMORY, "%s", why.text);

    lora_match_free(match);
    lora_close(file);
    return ok;
}
