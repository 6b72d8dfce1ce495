/* What gemm on tiles of bf16 works on: how an item's inputs and weights lie in a thread's memory.
 */
#ifndef TINCT_CPU_GEMM_AMX_H
#define TINCT_CPU_GEMM_AMX_H

#include "device/cpu/kernels/amx.h"
#include "device/cpu/kernels/gemm_parts.h"
#include "device/cpu/kernels/stored.h"

#if VEC_AMX

enum {
    WIDE = 64,                         /* pixels of a block's line */
    CHUNK_CHANNELS = 64,               /* of all taps at a time */
    CHUNK = 640,                       /* k at a time at most: 9 taps of 64 channels, or all of a short row, */
    SINGLE_CHUNK = 2 * CHUNK,          /* twice as many where inputs and weights are single numbers */
    CACHE = 1300 * 1024,               /* bytes of the second one that an item's inputs, sums and weights take */
    STEPS = SINGLE_CHUNK / STEP,
    PAIRS = STEP / 2,                  /* of a step: rows of w are converted in pairs */
    PANELS = 5,                        /* of a block at most */
    ITEMS = 4,                         /* for each thread; more would convert inputs more often */
    LINE_ROWS = 512,                   /* of an item that is no block, at most */
    LEAST_ROWS = 96,                   /* and at least, or weights would be converted more often than that is worth */
    FEW_ROWS = 64,                     /* whose weights do not go to a panel first */
    INPUTS = 512 * CHUNK * 2,          /* bf16 numbers: 512 rows; a block of MOST_ROWS and its border takes less */
    WHOLE = INPUTS / 2,                /* of all k at most: each panel reads them again, from half a cache beside a neighbour */
};

struct amx_block {                     /* of y's pixels, or of a phase's */
    uint32_t image, y, x, h, w;
    uint32_t pitch;                    /* rows from line to line: w and the border */
};

struct amx_chunk {                     /* of k; of a block's channels, those of x1, x2 and x3 */
    uint32_t k, end;
    uint32_t steps;
    uint32_t products;                 /* of amx.h: 3, or fewer with --precision fast */
    struct gemm_runs runs;
};

/* Panels of single numbers lie otherwise than those of two, and are not made in one go with them. */
static inline bool amx_alike(const struct amx_chunk *now, const struct amx_chunk *next)
{
    return next && (now->products == 1) == (next->products == 1);
}

struct amx_unit {                      /* a panel by a chunk; none: chunk is NULL */
    struct amx_chunk *chunk;
    uint32_t panel;                    /* of the item */
};

struct amx_item {
    uint32_t kept;                     /* whose inputs lie here whole: 1 + the block of rows; 0 at a thread's first item */
    struct gemm_item item;             /* places, one for each row; a block's border has none */
    struct amx_block block;
    uint32_t numbers;                  /* bf16 ones of an input: 2, or 1 where there are fewer than three products */
    uint32_t next_strip, next_slot, next_number;    /* of inputs: how far on */
    struct amx_chunk chunks[3];        /* of the units at hand, after it, and after that */
    uint32_t side;                     /* of the panel: weights at hand; of few rows one step's, */
    bool ready;                        /* converted while tiles multiplied the last unit */
    uint32_t pixel[STEPS];             /* that the item's first row sees in each */
    uint32_t slot[STEPS];              /* of inputs, of each */
    uint16_t *at;                      /* inputs of the chunk at hand */
    /* [STEP] of each pixel, 32 pixels of a strip one after the other; strips, slots, and high and low numbers apart */
    _Alignas(64) uint16_t inputs[INPUTS];
    _Alignas(64) uint16_t panel[2][PANEL / STRIP * STEPS * 2 * TILE];   /* [strip][step][high, low][2] tiles */
};

/* Two rows of 16 weights to a panel. They are fp16 numbers; a sum of them is rounded to as many bits as two bf16 ones have. */
VEC_INLINE void store_weights(uint16_t *to, __m512 even, __m512 odd, const bool sum, const bool single)
{
    __m512i high, low;

    if (single) high = round_pair_16(even, odd);
    else if (sum) pair_16(&high, &low, even, odd);
    else split_pair_16(&high, &low, even, odd);
    _mm512_store_si512(to, high);
    if (!single) _mm512_store_si512(to + 2 * TILE, low);
}

/* Columns from c on of a panel's pair. */
static inline uint16_t *columns_at(uint16_t *to, size_t next_strip, uint32_t c)
{
    return to + c / STRIP * next_strip + c % STRIP / 16 * TILE;
}

/* Products whose inputs lie as blocks of pixels. */
bool CPU_NAME(amx_has_blocks)(const struct gemm_params *p);
struct cpu_plan CPU_NAME(amx_plan_blocks)(const struct cpu_args *a);
void CPU_NAME(amx_begin_block)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m);

/* The chunk that begins with channel `first`: so many that its weights, or where there is more to do with them its inputs,
 * come out of the first cache. */
void CPU_NAME(amx_block_chunk)(const struct cpu_args *a, const struct amx_item *m, uint32_t first, struct amx_chunk *chunk);

/* Its inputs, and how they lie. */
void CPU_NAME(amx_load_block)(const struct cpu_args *a, struct amx_item *m, const struct amx_chunk *chunk);

/* How inputs of a chunk lie row by row, and the inputs. */
void CPU_NAME(amx_lay_out_rows)(struct amx_item *m, const struct amx_chunk *chunk);
void CPU_NAME(amx_load_rows)(const struct gemm_params *p, struct amx_item *m, const struct amx_chunk *chunk);

/* sums [item's rows][PANEL] (+)= a unit's products. Meanwhile the next one's weights are converted, and those of the one
 * after it asked for. */
void CPU_NAME(amx_multiply)(const struct cpu_args *a, struct amx_item *m, const struct amx_unit units[3], float *sums);

/* The same of few rows that do not lie as blocks, whose k are whole steps. */
bool CPU_NAME(amx_has_few)(const struct gemm_params *p, uint32_t rows);
void CPU_NAME(amx_multiply_few)(const struct cpu_args *a, struct amx_item *m, const struct amx_unit units[3], float *sums);

#endif
#endif
