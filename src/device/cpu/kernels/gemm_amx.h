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
    CHUNK = 640,                       /* k at a time: 9 taps of 64 channels, or all of a short row, */
    SINGLE_CHUNK = 2 * CHUNK,          /* twice as many where inputs and weights are single numbers */
    STEPS = SINGLE_CHUNK / STEP,
    PANELS = 5,                        /* of a block at most */
    ITEMS = 4,                         /* for each thread; more would convert inputs more often */
    LINE_ROWS = 512,                   /* of an item that is no block, at most */
    LEAST_ROWS = 96,                   /* and at least, or weights would be converted more often than that is worth */
    FEW_ROWS = 64,                     /* whose weights are converted while tiles multiply */
    INPUTS = 512 * CHUNK * 2,          /* bf16 numbers: 512 rows; a block of MOST_ROWS and its border takes less */
};

struct amx_block {                     /* of y's pixels, or of a phase's */
    uint32_t image, y, x, h, w;
    uint32_t pitch;                    /* rows from line to line: w and the border */
};

struct amx_ahead {                     /* weights that come after those at hand: the next row of */
    const uint16_t *next;              /* their panel */
    uint32_t run, row;
    int32_t shift;                     /* rows of w from the runs at hand on to those that come */
    uint32_t rows, visits, due;        /* so many rows in so many steps, and what of them is due, in 1 / visits */
};

struct amx_few {                       /* weights that are converted while tiles multiply others */
    bool rows;                         /* few of them */
    const uint16_t *now, *next;        /* weights of the chunk at hand, and of that after it: the same where there is none */
    const uint16_t *ready;             /* whose first step lies in the panel, */
    uint32_t slot;                     /* in one of two places */
    const uint16_t *from, *far;        /* to be converted, and to be asked for */
    uint16_t *to;
    uint32_t pair, pairs;              /* of rows of w: the next one, and all */
    uint32_t visits, due;              /* so many pairs in so many visits, and what of them is due, in 1 / visits */
};

struct amx_item {
    uint32_t kept;                     /* whose inputs lie here whole: 1 + the block of rows; 0 at a thread's first item */
    struct gemm_item item;             /* runs and places, one for each row; a block's border has none */
    struct amx_block block;
    uint32_t products;                 /* of amx.h: 3, or fewer with --precision fast */
    uint32_t numbers;                  /* bf16 ones of an input: 2, or 1 where there are fewer than three products */
    uint32_t next_step;                /* of the panel: tiles of high numbers, and of low ones where there are several products */
    uint32_t next_strip, next_slot, next_number;    /* of inputs: how far on */
    struct amx_ahead ahead;
    struct amx_few few;
    uint32_t steps;                    /* of the chunk at hand */
    uint32_t pixel[STEPS];             /* that the item's first row sees in each */
    uint32_t slot[STEPS];              /* of inputs, of each */
    uint16_t *chunk;                   /* inputs of the chunk at hand */
    /* [STEP] of each pixel, 32 pixels of a strip one after the other; strips, slots, and high and low numbers apart */
    _Alignas(64) uint16_t inputs[INPUTS];
    _Alignas(64) uint16_t panel[PANEL / STRIP * STEPS * 2 * TILE];   /* [strip][step][high, low][2] tiles */
};

/* Products whose inputs lie as blocks of pixels. */
bool CPU_NAME(amx_has_blocks)(const struct gemm_params *p);
struct cpu_plan CPU_NAME(amx_plan_blocks)(const struct cpu_args *a);
void CPU_NAME(amx_begin_block)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct amx_item *m);

/* Inputs and runs of the chunk that begins with channel `first`; gives its channels: so many that its weights, or where
 * there is more to do with them its inputs, come out of the first cache. */
uint32_t CPU_NAME(amx_load_channels)(const struct cpu_args *a, struct amx_item *m, uint32_t first);

/* How inputs of `length` k lie, row by row. */
void CPU_NAME(amx_lay_out_rows)(struct amx_item *m, uint32_t length);

/* Inputs of the runs that gemm_block found, row by row. */
void CPU_NAME(amx_load_rows)(const struct gemm_params *p, struct amx_item *m);

/* The runs' weights in one of the item's panels. */
void CPU_NAME(amx_load_panel)(const struct cpu_args *a, struct amx_item *m, uint32_t panel);

/* Products of few rows that do not lie as blocks, whose k are whole steps. */
bool CPU_NAME(amx_has_few)(const struct gemm_params *p, uint32_t rows);

/* Sums of one of the item's panels (+)= the chunk at hand by m->few.now. */
void CPU_NAME(amx_add_few)(struct amx_item *m, uint32_t panel, uint32_t columns, bool add);

#endif
#endif
