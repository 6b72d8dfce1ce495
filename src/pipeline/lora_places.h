/* Where LoRAs are, and which file a name means there. */
#ifndef TINCT_PIPELINE_LORA_PLACES_H
#define TINCT_PIPELINE_LORA_PLACES_H

#include "lora/folder.h"

struct lora_places {
    char *lora_dir, *models_dir, *cache_dir;   /* NULL: none */
    struct lora_folder *folder;                /* listed when the first name is looked for */
};

/* False without memory. */
bool lora_places_open(struct lora_places *places, const struct tinct_options *options, struct tinct_err *err);
void lora_places_close(struct lora_places *places);        /* { 0 } is fine */

/* The file of a name, see lora_folder_find; a file that came since the folders were listed is found too. Valid until the next call.
 *
 * hash: 10 to 12 hex digits of the file that is meant, as a recipe has them, or "". The file of the name is taken if it
 * has this hash, else any other that has; *other tells that the name means another file (or none) today. */
const struct lora_entry *lora_places_find(struct lora_places *places, const char *name, const char *hash, bool *other,
                                          struct tinct_err *err);

#endif
