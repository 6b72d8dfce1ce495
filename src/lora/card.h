/* A LoRA's card: what it is, what calls it, how strong it is meant to be; and the
 * texts of `tinct loras` and `tinct loras NAME`. */
#ifndef TINCT_LORA_CARD_H
#define TINCT_LORA_CARD_H

#include "lora/file.h"
#include "lora/folder.h"
#include "lora/triggers.h"

/* What a model makes of a LoRA. */
struct lora_card_match {
    bool asked, fits;
    uint32_t count, total; /* layers changed, layers that the file names */
    char *why;             /* it does not fit; NULL: it does */
    char *unmatched;       /* a line "name: reason" each; "" */
};

struct lora_card {
    char *name, *path;
    char *alias;                  /* ss_output_name; "" */
    struct lora_about about;      /* base, type, rank, alpha */
    char base[64];                /* "SD1.x", "SDXL (Pony)" with a site's family; else what the metadata says */
    char autov2[11], autov3[13];  /* 10 and 12 hex digits; autov2 "" unless asked for */
    struct lora_triggers triggers;
    char *training_tags;          /* the most frequent, with counts; "" */
    double weight;                /* suggested; 1 where nobody says */
    bool weight_told;
    char *negative, *description, *notes, *hint; /* NULL: none */
    char *preview;                /* a path, "embedded", or NULL */
    char *warnings;               /* lines about sidecars that cannot be read; "" */
    struct lora_card_match match; /* zeros unless lora_card_match was called */
};

/* Read a LoRA's card. hashes: compute both hashes of the file (seconds for a large
 * one, remembered in cache_dir); else autov3 is the one stored in the file, or "".
 * NULL refused as lora_open and hash_file refuse. */
struct lora_card *lora_card_read(const char *name, const char *path, bool hashes, const char *cache_dir,
                                 struct tinct_err *err);
void lora_card_free(struct lora_card *card); /* NULL is fine */

/* Ask a model's layers. values: also read every value, so that a NaN is found. What does not fit is
 * told in card->match; false only without memory. */
bool lora_card_match(struct lora_card *card, const struct lora_targets *targets, bool values, struct tinct_err *err);

/* The card for a person, or as JSON: name, path, alias, base, base_by, type, modules,
 * rank_min, rank_max, alpha_min, alpha_max, autov2, autov3, weight, weight_told,
 * triggers [..], triggers_by, training_tags, negative, description, notes, hint, preview, warnings; and, where a
 * model was asked, fits, why_not, matched, total, unmatched [..].
 * Text from files is shown without control characters. The caller frees it. */
char *lora_card_text(const struct lora_card *card, bool json, struct tinct_err *err);

/* All of a folder: a line each, or a JSON array of cards; a file that cannot be read
 * is there with its "error". targets: whether each fits that model; may be NULL. The caller frees it. */
char *lora_list_text(struct lora_folder *folder, const struct lora_targets *targets, bool json,
                     struct tinct_err *err);

#endif
