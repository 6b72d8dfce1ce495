/* The embeddings (textual inversions) that a prompt may name: files are listed, and read when a prompt names them.
 *
 * A name is a file's, without folders and ending, and stands in the prompt as any word: its token ids are looked for,
 * the longest name first, so that case does not count (A1111). "embedding:NAME", with the folder below or without, is
 * understood too (ComfyUI); such a name must be there. */
#ifndef TINCT_PIPELINE_EMBEDDINGS_H
#define TINCT_PIPELINE_EMBEDDINGS_H

#include "pipeline/context.h"
#include "text/chunks.h"
#include "text/embedding.h"

struct embeddings;

/* Strings live as long as the embeddings do. */
struct embeddings_options {
    const char *dir, *models_dir;   /* where they are; NULL: nowhere */
    const char *cache_dir;          /* of hashes; NULL: none */
    const char *hashes;             /* a recipe's "TI hashes", "NAME: 12 hex digits, ...": a NAME that is not there means the file
                                       with that hash; NULL: none */
    uint32_t width;                 /* of the text encoder; 0: not known yet, any will do */
    const struct tinct *log;        /* is told what is wrong with one when a prompt names it; NULL: nobody is */
};

/* List the folders, and what came bundled with the LoRAs in use (loras [count], open until embeddings_close); a file in
 * the folders comes before. Refused: a folder that cannot be read. */
struct embeddings *embeddings_open(const struct embeddings_options *options, const struct safetensors *const *loras, size_t count,
                                   struct tinct_err *err);
void embeddings_close(struct embeddings *e);     /* NULL is fine; ends the vectors */

/* The find of a struct chunk_options, user the struct embeddings: gives a const struct embedding. */
bool embeddings_find(void *user, const uint32_t *ids, size_t count, struct chunk_embedding *found);

/* False with TINCT_ERR_MEMORY when memory ran out in any find so far: the words it left would paint another picture. */
bool embeddings_sound(const struct embeddings *e, struct tinct_err *err);

/* The name of an embedding that was found, as prompts call it. */
const char *embeddings_name(void *user, const void *embedding);

/* Is there an "embedding:" in text? */
bool embeddings_named(const char *text);

/* Ask for every "embedding:NAME" in text. Refused with TINCT_ERR_ARG: one that is not there, with the nearest names;
 * and as embedding_read refuses one that cannot be used. */
bool embeddings_expect(struct embeddings *e, const char *text, struct tinct_err *err);

/* What was found so far, as a recipe has it: "NAME: 12 hex digits of the file's SHA-256, ..."; "" when nothing was.
 * What is bundled has no hash of its own.
 * NULL without memory. The caller frees it. */
char *embeddings_hashes(const struct embeddings *e, struct tinct_err *err);

#endif
