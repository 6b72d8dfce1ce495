/* Block weights: another strength for each block of the UNet, as sd-webui-lora-block-weight writes them.
 *
 *     <lora:name:1:lbw=OUTD>      a preset
 *     <lora:name:1:lbw=1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1>
 *
 * A list has 12, 17, 20 or 26 numbers: BASE (the text encoder), then blocks from input to output. Blocks that
 * a shorter list does not speak of get 0; layers in no block (time_embed, label_emb, out) get 1.
 * Source: spec/lora.md 3.3. */
#ifndef TINCT_LORA_BLOCKS_H
#define TINCT_LORA_BLOCKS_H

#include "base/str.h"
#include "lora/targets.h"

enum { LORA_BLOCKS = 26 };  /* BASE, IN00..IN11, M00, OUT00..OUT11 */

struct lora_blocks {
    float weight[LORA_BLOCKS];
};

/* text: a preset's name or a list. Refused with TINCT_ERR_ARG: another count of numbers, an item that is no finite
 * number (R, U and X too: random ones and those of x=), a preset that is not known, with their names. */
bool lora_blocks_read(struct lora_blocks *blocks, const char *text, struct tinct_err *err);

/* What the strength is multiplied by in this layer. */
float lora_blocks_at(const struct lora_blocks *blocks, const struct lora_target *target);

/* "BASE 1, IN01 1, ...": all 26, for a log. */
void lora_blocks_tell(const struct lora_blocks *blocks, struct str *out);

#endif
