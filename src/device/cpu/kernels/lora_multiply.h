/* The products of lora_merge: low-rank factors to a block of a panel's rows. */
#ifndef TINCT_CPU_LORA_MULTIPLY_H
#define TINCT_CPU_LORA_MULTIPLY_H

#include "device/cpu/kernels/lora_strip.h"

enum { MERGE_ROWS = 192 };             /* of a block: whole strips */

/* Bytes of working memory that it wants, on 64 bytes. */
size_t CPU_NAME(lora_multiply_room)(uint32_t ranks);

/* a [rows, ranks], which stays where it is, is what the products that follow are of. */
void CPU_NAME(lora_multiply_begin)(const float *a, uint32_t rows, uint32_t ranks, void *room);

/* b [ranks, 64] is what they are with. */
void CPU_NAME(lora_multiply_panel)(const float *b, uint32_t ranks, void *room);

/* sums [MERGE_STRIP, 64] = rows [first, first + rows) of a b, first a multiple of MERGE_STRIP, those past `rows` may be anything.
 * Meanwhile as many lines of `last` are finished as cost no time. */
void CPU_NAME(lora_multiply)(float *sums, uint32_t first, uint32_t rows, uint32_t ranks, void *room, struct strip *last,
                             struct beyond *beyond);

/* None follow. */
void CPU_NAME(lora_multiply_end)(void);

#endif
