/* The products of lora_merge: low-rank factors to a block of a panel's rows. */
#ifndef TINCT_CPU_LORA_MULTIPLY_H
#define TINCT_CPU_LORA_MULTIPLY_H

#include "device/cpu/kernels/vec.h"

enum { MERGE_COLUMNS = 64, MERGE_ROWS = 192 };      /* of a block; whole tiles of every kind */

/* Bytes of working memory that it wants, on 64 bytes. */
size_t CPU_NAME(lora_multiply_room)(uint32_t ranks);

/* a [rows, ranks], which stays where it is, is what the products that follow are of. */
void CPU_NAME(lora_multiply_begin)(const float *a, uint32_t rows, uint32_t ranks, void *room);

/* sums [rows, 64] += a b, b [ranks, 64]. There is room for MERGE_ROWS rows of sums; those past `rows` may be
 * overwritten. */
void CPU_NAME(lora_multiply)(float *sums, const float *b, uint32_t rows, uint32_t ranks, void *room);

#endif
