/* What every gemm core shares: how the work is cut, where a row finds its inputs, and the epilogue (shaders/gemm.h).
 *
 * An item is a block of rows by one or a few panels of 64 columns, and takes k in blocks. Those are cut evenly by k
 * alone: an element's bits depend on its own operands, not on rows, items or threads. */
#ifndef TINCT_CPU_GEMM_PARTS_H
#define TINCT_CPU_GEMM_PARTS_H

#include "device/cpu/kernels.h"
#include "device/cpu/kernels/stored.h"
#include "device/cpu/kernels/tile.h"
#include "device/cpu/kernels/vec.h"

#include "gemm.h"

enum {
    PANEL = TILE_HALVES,       /* columns */
    K_BLOCK = 640,
    MOST_ROWS = 544,           /* of an item */
    MOST_SUMS = MOST_ROWS * 5 * PANEL,
    SUM_ROWS = 32,             /* a panel's sums have room for a multiple of these */
    MOST_RUNS = K_BLOCK / 4,
    MOST_TAPS = 4,             /* of w, whose sum a tap's weights are */
};

#define GEMM_NO_ROW UINT32_MAX /* where a sum that nobody wants goes */

struct gemm_place {            /* what row's first tap sees */
    int32_t y, x;              /* of the seen input */
    uint32_t first;            /* pixel of its image */
    uint32_t image;
    uint32_t out;              /* row of y, or GEMM_NO_ROW */
};

struct gemm_run {              /* part of k inside one tap and one source */
    bool own;                  /* of x2 or x3: a row sees itself */
    int32_t ky, kx;
    const void *x;             /* that source from the first channel on */
    uint32_t stride, length;
    uint32_t w[MOST_TAPS];     /* first rows of w to be summed */
    uint32_t w_count;
};

struct gemm_runs {                     /* of a block of k */
    uint32_t count;
    struct gemm_run run[MOST_RUNS];
};

struct gemm_item {
    uint32_t first, rows;              /* rows of y, or of a phase of it */
    uint32_t phase;                    /* 2 (oy % 2) + ox % 2 */
    uint32_t kernel_w;
    uint32_t seen_h, seen_w, shift;    /* pixels that taps see, and how far to shift them to a source pixel */
    uint32_t panel, panels;
    uint32_t k, taps_k;                /* all of k that has inputs, and that of taps */
    uint32_t block, own_block;         /* rows of w in a block of taps, and of the rest: no block has both */
    bool f16;                          /* inputs and y are f16 */
    struct gemm_place places[MOST_ROWS];
    uint32_t room;                     /* rows of a panel's sums: rows, up to a multiple of SUM_ROWS */
    _Alignas(64) float sums[MOST_SUMS];     /* [panel][room][column] */
};

/* How many bf16 products stand for one in fp32 with --precision fast: 1 of rounded inputs and weights, 2 of rounded inputs,
 * 3 where nothing may be rounded. Most of the work is in 3x3 convolutions and in a transformer's wide layers: those round
 * both. A 1x1 convolution takes all that a block is given past that block, as it is: where it is off, everything is.
 * Square layers stand between. SD1.5's UNet is then off by 8.8e-3 and its text by 5.3e-3; the UNet by 9.6e-3 if its 1x1
 * convolutions round, by 1.2e-2 if all do. This tells of the taps: a shortcut is a 1x1 convolution. Winograd takes a quarter
 * of the products in fp32, which is faster than all in bf16.
 *
 * Without tiles two products take as long as one in fp32, but Winograd leaves room for square layers to round: 9.1e-3 and
 * 5.9e-3, 1.03e-2 if square 1x1 convolutions do as well. */
static inline uint32_t gemm_fast_products(const struct gemm_params *p)
{
    bool square = p->cols == p->c1, picture = p->out_h > 1;

    if (p->flags & GEMM_WINOGRAD) return 3;
    if (p->kernel_h * p->kernel_w > 1) return 1;
    if (picture) return 3;
    return square && VEC_AMX ? 2 : 1;
}

/* n cut into as few parts of at most `most` as there must be, as even as multiples of `unit` allow. */
static inline uint32_t even_part(uint32_t n, uint32_t most, uint32_t unit)
{
    uint32_t part = parts(n, parts(n, most));
    return parts(part, unit) * unit;
}

struct gemm_limits {
    uint32_t rows, panels;     /* the most of one item: rows <= MOST_ROWS, and all its sums <= MOST_SUMS */
    uint32_t unit;             /* rows come in multiples of */
    uint32_t items;            /* wanted for each thread, so that threads finish together */
    size_t memory;             /* bytes that a thread needs */
};

/* How `sets` products of all rows by all panels are cut: items as large as they may be, smaller while there are too few for the
 * threads. */
struct cpu_plan CPU_NAME(gemm_cut)(const struct cpu_args *a, uint32_t sets, uint32_t all, uint32_t panels,
                                   struct gemm_limits most);

/* The same of a dispatch's phases. */
struct cpu_plan CPU_NAME(gemm_plan)(const struct cpu_args *a, struct gemm_limits most);

/* most: rows of w in a block, at most K_BLOCK and a multiple of 32. */
void CPU_NAME(gemm_begin)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, uint32_t most,
                          struct gemm_item *it);

/* How long the block is that begins with k. */
static inline uint32_t gemm_length(const struct gemm_item *it, uint32_t k)
{
    return k < it->taps_k ? least(it->taps_k - k, it->block) : least(it->k - k, it->own_block);
}

/* Finds the runs of k in [k, k + length). */
void CPU_NAME(gemm_block)(const struct cpu_args *a, const struct gemm_item *it, uint32_t k, uint32_t length,
                          struct gemm_runs *runs);

/* The run of x2 or x3 that begins with channel c of both and has `most` of them at most. */
void CPU_NAME(gemm_own_run)(const struct cpu_args *a, const struct gemm_item *it, struct gemm_run *run, uint32_t c,
                            uint32_t most);

/* The rows of w that a run begins with: channel c of its tap, or of those of a 3x3 kernel that its weights are a sum of. */
void CPU_NAME(gemm_run_weights)(const struct gemm_params *p, const struct gemm_item *it, struct gemm_run *run, uint32_t c);

/* The first of a run's channels that a row sees, or zeros. */
const void *CPU_NAME(gemm_pixel)(const struct gemm_params *p, const struct gemm_item *it, const struct gemm_run *run,
                                 const struct gemm_place *place);

/* Where w's panel begins that is the item's number `panel`. */
static inline const uint16_t *gemm_panel(const struct cpu_args *a, const struct gemm_item *it, uint32_t panel)
{
    const struct gemm_params *p = a->params;
    return (const uint16_t *)a->reads[2] + (size_t)(it->panel + panel) * p->k * PANEL;
}

/* That panel's weights from k on, where each is a row of w alone; NULL where it is a sum of some. */
static inline const uint16_t *gemm_block_weights(const struct cpu_args *a, const struct gemm_item *it, uint32_t panel, uint32_t k)
{
    const struct gemm_params *p = a->params;
    return p->flags & GEMM_PHASES ? NULL : gemm_panel(a, it, panel) + (size_t)k * PANEL;
}

/* Columns [c, c + VEC_WIDTH) of row i of a run: the sum of its rows of w, whose panel begins at w. */
VEC_INLINE vec gemm_weight(const struct gemm_run *run, const uint16_t *w, uint32_t i, uint32_t c)
{
    vec sum = stored_vec(w, (size_t)(run->w[0] + i) * PANEL + c, true);

    for (uint32_t tap = 1; tap < run->w_count; tap++) sum += stored_vec(w, (size_t)(run->w[tap] + i) * PANEL + c, true);
    return sum;
}

/* Row i of a run's weights is at hand: those far enough behind it come nearer, or each row would wait for memory. */
VEC_INLINE void gemm_fetch_weights(const struct gemm_run *run, const uint16_t *w, uint32_t i)
{
    for (uint32_t tap = 0; tap < run->w_count; tap++)
        for (uint32_t c = 0; c < PANEL; c += CACHE_LINE / sizeof *w)
            __builtin_prefetch(w + (size_t)(run->w[tap] + i + TILE_AHEAD) * PANEL + c);
}

/* What gemm_store will read and write for these rows comes nearer meanwhile. */
void CPU_NAME(gemm_fetch)(const struct cpu_args *a, const struct gemm_item *it, uint32_t panel, uint32_t first, uint32_t end);

/* Rows [first, end) of a panel to y: bias, per_image, activation, residual. sums: [item's rows][PANEL]; panel: of w. */
void CPU_NAME(gemm_store)(const struct cpu_args *a, const struct gemm_item *it, const float *sums, uint32_t panel, uint32_t first,
                          uint32_t end);

#endif
