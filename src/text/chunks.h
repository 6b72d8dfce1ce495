/* A text as the encoder takes it: chunks of 75 tokens between <|startoftext|> and <|endoftext|>, each token with
 * its weight.
 *
 * A chunk that is full moves what follows its last comma to the next one, when that is at most 20 tokens; BREAK
 * begins a new chunk. Source: stable-diffusion-webui, sd_hijack_clip.py. */
#ifndef TINCT_TEXT_CHUNKS_H
#define TINCT_TEXT_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    CHUNK_TOKENS = 77,       /* with the two around */
    CHUNK_OWN = 75,
    CHUNK_COMMA_REACH = 20,
};

/* A word that stands for vectors of its own (a textual inversion). */
struct chunk_embedding {
    const void *embedding;   /* the caller's */
    uint32_t vectors;        /* positions it takes, 1..75 */
    size_t tokens;           /* ids of the text it stands for, at least 1 */
};

/* Where its vectors replace those of the token table. */
struct chunk_insert {
    uint32_t chunk, position;        /* position of the first vector, 1..75 */
    uint32_t vectors;
    const void *embedding;
};

struct chunk_options {
    enum tinct_emphasis emphasis;
    uint32_t pad;            /* id behind the first <|endoftext|>: TOKEN_END for SD1.x, 0 for SD2 and SDXL's second */
    bool (*find)(void *user, const uint32_t *ids, size_t count, struct chunk_embedding *found);
                             /* whether an embedding begins at ids[0]; the longest, if several do; may be NULL */
    void *user;
};

struct chunks {
    uint32_t count;          /* at least 1 */
    uint32_t *ids;           /* [count, 77] */
    float *weights;          /* [count, 77]; 1 for start, end and padding */
    uint32_t own_tokens;     /* of the text, padding before a BREAK included: what A1111's counter shows */
    struct chunk_insert *inserts;    /* ascending; ids under them are 0 */
    size_t insert_count;
};

/* *out is zeroed on failure. Refused as tokenize() and prompt_parse() do: invalid UTF-8, brackets too deep,
 * weights; and an embedding of more than 75 vectors. */
bool chunks_make(struct chunks *out, const char *text, const struct chunk_options *options, struct tinct_err *err);

void chunks_free(struct chunks *c);      /* { 0 } is fine */

/* Add empty chunks until there are count, as for the shorter one of two texts that must be of one length. */
bool chunks_extend(struct chunks *c, uint32_t count, const struct chunk_options *options, struct tinct_err *err);

/* Weigh the encoder's output in place: z [count * 77, width], after its final norm. Each row is multiplied by its
 * token's weight; TINCT_EMPHASIS_ORIGINAL then restores the mean of each chunk:
 *
 *     z' = w z,   z = z' mean(z) / mean(z')
 *
 * Other modes do not restore, or had no weights to begin with. A chunk whose weights are all 1 keeps its bits. Where
 * mean(z') is 0, nothing is restored. */
void chunks_weigh(const struct chunks *c, enum tinct_emphasis emphasis, float *z, size_t width);

#endif
