/* An embedding (textual inversion): vectors that stand for a word of the prompt.
 *
 *   .safetensors   one tensor [n, C] or [C], whatever its name (diffusers calls it by the word, A1111
 *                  "emb_params"); "string_to_param.*"; or clip_l and clip_g, SDXL's pair
 *   in a LoRA      the same under "bundle_emb.NAME."
 *   a picture      whose text "sd-ti-embedding" A1111 wrote: JSON in base64
 *
 * Pickles (.pt, .bin) are not opened. Source: spec/lora.md 3.6. */
#ifndef TINCT_TEXT_EMBEDDING_H
#define TINCT_TEXT_EMBEDDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { EMBEDDING_VECTORS = 75 };  /* that fit into a chunk */

struct embedding {
    float *vectors;      /* [count, width] */
    uint32_t count;      /* 1..75 */
    uint32_t width;      /* of the text encoder it was made for: 768 SD1.x, 1024 SD2.x */
};

/* Read a .safetensors file for a text encoder of this width; 0: of any. Refused as safetensors_open does; with
 * TINCT_ERR_FORMAT, naming path and what it is: made for another width, several tensors, a LoRA or
 * a checkpoint, more than 75 vectors, NaN or Inf. *out is zeroed on failure; free it with embedding_free. */
bool embedding_read(struct embedding *out, const char *path, uint32_t width, struct tinct_err *err);

/* The same out of a picture's text. path is for sentences. At most 1 MiB. */
bool embedding_decode(struct embedding *out, const char *path, const char *base64, uint32_t width,
                      struct tinct_err *err);

/* The one that came bundled with a LoRA as "bundle_emb.NAME. ...": length letters of name, of an open file. */
struct safetensors;
bool embedding_read_bundled(struct embedding *out, const struct safetensors *st, const char *name, size_t length,
                            uint32_t width, struct tinct_err *err);

/* NAME in "bundle_emb.NAME.anything" and its length; NULL for any other key. */
const char *embedding_bundled_name(const char *key, size_t *length);

void embedding_free(struct embedding *e); /* { 0 } is fine */

/* Refuses a width or count that cannot be used; for the files of this room. */
bool embedding_expect(const char *path, uint64_t count, uint64_t width, uint32_t wanted, struct tinct_err *err);

#endif
