/* The LoRA files that there are, listed once, subfolders included.
 *
 * A name from a prompt is compared with the listing and never made part of a path,
 * so "../../x", "/etc/x" or "a%2fb" are simply names that no file has. base/folder.h
 * says what is passed over: symbolic links, hidden files, odd names. */
#ifndef TINCT_LORA_FOLDER_H
#define TINCT_LORA_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { LORA_HASH_DIGITS = 12 };

struct lora_entry {
    const char *path;  /* what opens it */
    const char *name;  /* below the folder, without ".safetensors": "styles/arcane" */
    const char *stem;  /* the name's last component: "arcane" */
    const char *alias; /* ss_output_name; NULL until looked at, "" where there is none */
    char hash[LORA_HASH_DIGITS + 1]; /* AutoV3; "" until looked at */
};

struct lora_folder;

/* cache_dir: where hashes are remembered (base/hash.h); NULL: nowhere. */
struct lora_folder *lora_folder_create(const char *cache_dir, struct tinct_err *err);
void lora_folder_free(struct lora_folder *folder); /* NULL is fine; ends all entries */

/* List the *.safetensors of a folder and its subfolders. A folder that is not there
 * lists nothing. Refused: TINCT_ERR_IO one that cannot be read, TINCT_ERR_ARG more
 * than 16,384 files; folders more than 16 deep are not entered. */
bool lora_folder_add(struct lora_folder *folder, const char *path, struct tinct_err *err);

/* The places below a models folder, or below the folder that holds one, where A1111 (Lora, LyCORIS)
 * and ComfyUI (loras) keep them. */
bool lora_folder_add_models(struct lora_folder *folder, const char *models, struct tinct_err *err);

/* Sorted by name; a file that is reached twice is listed once. */
size_t lora_folder_count(const struct lora_folder *folder);
const struct lora_entry *lora_folder_at(const struct lora_folder *folder, size_t index);

/* Symbolic links that were passed over. */
size_t lora_folder_links(const struct lora_folder *folder);

/* The file of a name: its name below the folder, its stem, its alias, or 8 or more hex
 * digits of its hash, in this order; ".safetensors" may follow the first two, and '\\' stand for '/'. Case counts.
 * Aliases and hashes are only read when it comes to them.
 *
 * NULL with TINCT_ERR_ARG: an empty name; several files, listed in the sentence; none,
 * with the three nearest names. */
const struct lora_entry *lora_folder_find(struct lora_folder *folder, const char *name, struct tinct_err *err);

/* Whether it is for want of such a file that lora_folder_find refuses the name, which is not empty. */
bool lora_folder_lacks(struct lora_folder *folder, const char *name);

/* The hash of one entry, from the file's own metadata or computed. Refused as hash_file refuses. */
bool lora_folder_hash(struct lora_folder *folder, const struct lora_entry *entry, struct tinct_err *err);

#endif
