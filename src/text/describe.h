/* How a prompt is understood, told to a person or as JSON. */
#ifndef TINCT_TEXT_DESCRIBE_H
#define TINCT_TEXT_DESCRIBE_H

#include "text/chunks.h"
#include "text/prompt.h"

/* How words that stand for vectors are found (struct chunk_options), and what one found is called. */
struct prompt_embeddings {
    bool (*find)(void *user, const uint32_t *ids, size_t count, struct chunk_embedding *found);
    const char *(*name)(void *user, const void *embedding);
    void *user;
};

/* LoRAs, removed tags, parts with their segments, and every different text's chunks with ids, weights and what
 * the tokens spell (a byte that is no part of a whole character as \xNN; "NAME, vector 1 of 4" where an
 * embedding stands). embeddings NULL: there are none. The caller frees it. NULL when prompt_parse or chunks_make
 * refuses the prompt.
 *
 * JSON: { "loras": [{ "name", "text_encoder", "unet", "dyn", "blocks", "start", "stop",
 *                      "arguments": ["as given"] }],
 *         "removed": ["<word:args>"],
 *         "parts": [{ "weight", "segments": [{ "end_step", "first", "last", "text": index }],
 *                     "texts": [{ "text", "tokens",
 *                                 "chunks": [{ "ids": [77], "weights": [77], "spelling": [] }] }] }] }
 * first and last are evaluations counted from 1; last < first: the segment is never used. */
char *prompt_describe(const char *text, const struct prompt_options *options, enum tinct_emphasis emphasis,
                      const struct prompt_embeddings *embeddings, bool json, struct tinct_err *err);

#endif
