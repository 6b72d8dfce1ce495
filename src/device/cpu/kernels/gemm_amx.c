/* gemm on tiles of bf16 with fp32 sums (AMX), for both precisions. Storage stays f32.
 *
 * A weight is the sum of two bf16 numbers, high and low: 16 bits, of which fp16 has 11, so nothing is lost. With
 * --precision fast an input is rounded to bf16 and meets both. Else an input is two bf16 numbers too, good to 2^-17, and
 * three of the four products are summed; the fourth, low by low, is smaller than that again. A tile takes 16 times the
 * multiply-adds of a vector register's, so that three products are still several times as fast as fp32's one.
 *
 * A block's inputs and a panel's weights lie as tiles of 1 KiB in the thread's memory: inputs as 16 rows of 32 k, weights as
 * 16 pairs of k by 16 columns. Two by two tiles of sums stay in registers for a whole block. */
#include "device/cpu/kernels/gemm_parts.h"

#if VEC_AMX

enum {
    BLOCK = 320,               /* of k: 32 columns of weights stay in the first cache */
    PANELS = 5,
    STEP = 32,                 /* k of a tile */
    STRIP = 32,                /* rows, and columns, of two tiles */
    TILE = 16 * STEP,          /* bf16 numbers of one */
    STEPS = BLOCK / STEP,
};

struct memory {
    struct gemm_item item;
    _Alignas(64) uint16_t inputs[MOST_ROWS / STRIP * STEPS * 2 * 2 * TILE];    /* [strip][step][low, high][2] tiles */
    _Alignas(64) uint16_t panel[PANEL / STRIP * STEPS * 2 * 2 * TILE];         /* [strip][step][low, high][2] tiles */
    _Alignas(64) float weights[BLOCK * PANEL];
    _Alignas(64) float row[BLOCK];
};

static struct cpu_plan plan(const struct cpu_args *a)
{
    return CPU_NAME(gemm_plan)(a, (struct gemm_limits) { MOST_ROWS, PANELS, STRIP, sizeof(struct memory) });
}

/* ---- tiles of inputs --------------------------------------------------------- */

/* 32 floats to bf16, and what is missing to bf16 again. */
VEC_INLINE void split_32(uint16_t *high, uint16_t *low, const float *from, bool exact)
{
    __m512 a = _mm512_loadu_ps(from), b = _mm512_loadu_ps(from + 16);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a);

    _mm512_store_si512(high, both);
    if (!exact) return;
    __m512i first = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(both)), 16);
    __m512i second = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1)), 16);
    a -= _mm512_castsi512_ps(first);
    b -= _mm512_castsi512_ps(second);
    _mm512_store_si512(low, (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

/* `length` floats, a multiple of STEP, of row r: to the tiles from step `step` on. */
VEC_INLINE void load_run(struct memory *m, uint32_t steps, uint32_t r, uint32_t step, const float *from, uint32_t length,
                         bool exact)
{
    uint32_t parts = exact ? 2 : 1, tile = r % STRIP / 16;
    uint16_t *to = m->inputs + ((size_t)(r / STRIP * steps + step) * parts * 2 + tile) * TILE + r % 16 * STEP;

    for (uint32_t i = 0; i < length; i += STEP, to += parts * 2 * TILE)
        split_32(to + (parts - 1) * 2 * TILE, to, from + i, exact);
}

/* Runs that begin and end on whole steps go straight to their tiles, others by way of a whole row. */
VEC_INLINE void load_inputs(const struct gemm_params *p, struct memory *m, uint32_t length, bool exact)
{
    const struct gemm_item *it = &m->item;
    uint32_t steps = parts(length, STEP), odd = 0;

    for (uint32_t i = 0; i < it->run_count; i++) odd |= it->runs[i].length % STEP;
    if (odd) memset(m->row, 0, sizeof m->row);
    for (uint32_t r = 0; r < it->rows; r++) {
        for (uint32_t i = 0, k = 0; i < it->run_count; k += it->runs[i++].length) {
            const float *from = CPU_NAME(gemm_pixel)(p, it, &it->runs[i], &it->places[r]);
            if (odd) memcpy(m->row + k, from, it->runs[i].length * sizeof *from);
            else load_run(m, steps, r, k / STEP, from, it->runs[i].length, exact);
        }
        if (odd) load_run(m, steps, r, 0, m->row, steps * STEP, exact);
    }
}

/* ---- tiles of weights --------------------------------------------------------- */

/* Two rows of 16 floats to pairs of bf16: high takes the first 16 bits, low those of the rest, rounded. */
VEC_INLINE void pair_16(uint16_t *high, uint16_t *low, const float *even, const float *odd)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u), half = _mm512_set1_epi32(0x8000);
    __m512 a = _mm512_loadu_ps(even), b = _mm512_loadu_ps(odd);
    __m512i a_high = _mm512_and_si512(_mm512_castps_si512(a), upper);
    __m512i b_high = _mm512_and_si512(_mm512_castps_si512(b), upper);

    _mm512_store_si512(high, _mm512_or_si512(_mm512_srli_epi32(a_high, 16), b_high));
    a -= _mm512_castsi512_ps(a_high);
    b -= _mm512_castsi512_ps(b_high);
    __m512i a_low = _mm512_add_epi32(_mm512_castps_si512(a), half);
    __m512i b_low = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(b), half), upper);
    _mm512_store_si512(low, _mm512_or_si512(_mm512_srli_epi32(a_low, 16), b_low));
}

static void load_panel(const struct cpu_args *a, struct memory *m, uint32_t panel, uint32_t length)
{
    uint32_t steps = parts(length, STEP);

    CPU_NAME(gemm_weights)(a, &m->item, panel, length, PANEL, m->weights);
    memset(m->weights + (size_t)length * PANEL, 0, (size_t)(steps * STEP - length) * PANEL * sizeof *m->weights);
    for (uint32_t k = 0; k < steps * STEP; k += 2)
        for (uint32_t c = 0; c < PANEL; c += 16) {
            uint16_t *to = m->panel + ((size_t)(c / STRIP * steps + k / STEP) * 4 + c % STRIP / 16) * TILE + k % STEP * 16;
            const float *from = m->weights + (size_t)k * PANEL + c;
            pair_16(to + 2 * TILE, to, from, from + PANEL);
        }
}

/* ---- products --------------------------------------------------------------- */

/* The sums of 32 rows by 32 columns stand in registers 0 to 3; 4 and 5 are weights, 6 and 7 inputs. */
VEC_INLINE void load_two_weights(const uint16_t *from)
{
    _tile_loadd(4, from, 64);
    _tile_loadd(5, from + TILE, 64);
}

VEC_INLINE void load_two_inputs(const uint16_t *from)
{
    _tile_loadd(6, from, 64);
    _tile_loadd(7, from + TILE, 64);
}

VEC_INLINE void add_four_products(void)
{
    _tile_dpbf16ps(0, 6, 4);
    _tile_dpbf16ps(1, 6, 5);
    _tile_dpbf16ps(2, 7, 4);
    _tile_dpbf16ps(3, 7, 5);
}

VEC_INLINE void load_sums(const float *sums)
{
    const size_t row = PANEL * sizeof *sums;
    _tile_loadd(0, sums, row);
    _tile_loadd(1, sums + 16, row);
    _tile_loadd(2, sums + 16 * PANEL, row);
    _tile_loadd(3, sums + 16 * PANEL + 16, row);
}

VEC_INLINE void store_sums(float *sums)
{
    const size_t row = PANEL * sizeof *sums;
    _tile_stored(0, sums, row);
    _tile_stored(1, sums + 16, row);
    _tile_stored(2, sums + 16 * PANEL, row);
    _tile_stored(3, sums + 16 * PANEL + 16, row);
}

VEC_INLINE void multiply_strip(const uint16_t *inputs, const uint16_t *weights, uint32_t steps, float *sums, bool add,
                               bool exact)
{
    if (add) {
        load_sums(sums);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (uint32_t s = 0; s < steps; s++, weights += 4 * TILE) {
        load_two_inputs(inputs + (exact ? 2 * TILE : 0));      /* high */
        load_two_weights(weights);
        add_four_products();
        load_two_weights(weights + 2 * TILE);                  /* high */
        add_four_products();
        if (exact) {
            load_two_inputs(inputs);
            add_four_products();
        }
        inputs += (exact ? 4 : 2) * TILE;
    }
    store_sums(sums);
}

VEC_INLINE void multiply_panel(struct memory *m, uint32_t panel, uint32_t steps, bool add, bool exact)
{
    struct gemm_item *it = &m->item;
    float *sums = it->sums + (size_t)panel * it->room * PANEL;

    __asm__ volatile("" ::: "memory");     /* what the tiles are loaded from has been stored */
    for (uint32_t c = 0; c < PANEL / STRIP; c++)
        for (uint32_t r = 0; r < it->rows; r += STRIP)
            multiply_strip(m->inputs + (size_t)r / STRIP * steps * (exact ? 4 : 2) * TILE,
                           m->panel + (size_t)c * steps * 4 * TILE, steps, sums + (size_t)r * PANEL + c * STRIP, add, exact);
    __asm__ volatile("" ::: "memory");
}

VEC_INLINE void run(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t index, struct memory *m, bool exact)
{
    static const struct amx_config config = AMX_ALL_TILES;
    struct gemm_item *it = &m->item;

    CPU_NAME(gemm_begin)(a, plan, index, BLOCK, it);
    _tile_loadconfig(&config);
    for (uint32_t k = 0; k < it->k; k += it->block) {
        uint32_t length = least(it->k - k, it->block);
        CPU_NAME(gemm_block)(a, it, k, length);
        load_inputs(a->params, m, length, exact);
        for (uint32_t panel = 0; panel < it->panels; panel++) {
            load_panel(a, m, panel, length);
            multiply_panel(m, panel, parts(length, STEP), k > 0, exact);
            if (k + length == it->k) CPU_NAME(gemm_store)(a, it, panel, 0, it->rows);
        }
    }
    _tile_release();
}

static void run_exact(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    run(a, plan, item, memory, true);
}

static void run_fast(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    run(a, plan, item, memory, false);
}

const struct cpu_kernel CPU_NAME(gemm_amx) = { "gemm", "f32", false, plan, run_exact };
const struct cpu_kernel CPU_NAME(gemm_amx_fast) = { "gemm", "f32", true, plan, run_fast };

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
