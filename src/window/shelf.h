/* The LoRAs and embeddings that there are, listed and read on a thread of their own. Names are there soon, cards one by one. */
#ifndef TINCT_WINDOW_SHELF_H
#define TINCT_WINDOW_SHELF_H

#include "tinct.h"

struct shelf;

/* Copies what options and embedding_dir point to. wake_up is called on the thread whenever there is more. NULL without memory or
 * threads. */
struct shelf *shelf_open(const struct tinct_lora_list_options *options, const char *embedding_dir, void (*wake_up)(void *user),
                         void *user);
/* wake_up is not called any more. wait: for the file that is being read; else the thread ends by itself. NULL is fine. */
void shelf_close(struct shelf *s, bool wait);

/* 0 until they are listed; NULL error: none so far. */
size_t shelf_count(struct shelf *s);
bool shelf_listed(struct shelf *s);
const char *shelf_error(struct shelf *s);

/* NULL until they are listed, or where they cannot be. */
struct tinct_embeddings *shelf_embeddings(struct shelf *s);

/* Both live until shelf_close. */
const char *shelf_name(struct shelf *s, size_t index);
const struct tinct_lora_card *shelf_card(struct shelf *s, size_t index);       /* NULL: not read yet */

/* Read this one next. */
void shelf_want(struct shelf *s, size_t index);

/* The one that a tag of this name means, by its name, its file's name or its alias; false when there is none (yet). */
bool shelf_find(struct shelf *s, const char *name, size_t *index);

#endif
