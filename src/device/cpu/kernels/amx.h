/* Tiles of bf16, for gemm and attention: numbers as sums of two bf16 ones, and products of 32 rows by 32 columns.
 *
 *   sums[r][c] (+)= sum_k left[r][k] right[k][c]
 *
 * A tile has 16 rows of 64 bytes. Left operands are tiles of 16 rows by 32 k, right ones of 16 pairs of k by 16 columns. Both are
 * high and low numbers, of which so many products are summed: three, all but low by low; two, without the left one's low
 * numbers; one, without the right one's either. What is left out is never read. */
#ifndef TINCT_CPU_AMX_H
#define TINCT_CPU_AMX_H

#include <stdbool.h>

#include "device/cpu/kernels/bf16.h"

#if VEC_AMX

enum {
    STEP = 32,                         /* k of a tile */
    STRIP = 32,                        /* rows, and columns, of two tiles */
    TILE = 16 * STEP,                  /* bf16 numbers of one */
};

/* ---- conversion --------------------------------------------------------------- */

/* 32 floats rounded to bf16; a and b become what is missing. */
VEC_INLINE __m512i take_32(__m512 *a, __m512 *b)
{
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(*b, *a);

    *a -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(both)), 16));
    *b -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1)), 16));
    return both;
}

VEC_INLINE __m512 widen_16(const uint16_t *from)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
}

/* 16 elements of a row, from element i on. */
VEC_INLINE __m512 load_16(const void *from, size_t i, const bool f16)
{
    return f16 ? widen_16((const uint16_t *)from + i) : _mm512_loadu_ps((const float *)from + i);
}

/* 32 elements to bf16, and what is missing to bf16 again. */
VEC_INLINE void split_32(uint16_t *high, uint16_t *low, const void *from, const bool f16, const bool exact)
{
    __m512 a = load_16(from, 0, f16), b = load_16(from, 16, f16);

    _mm512_store_si512(high, take_32(&a, &b));
    if (exact) _mm512_store_si512(low, take_32(&a, &b));
}

/* The first 16 bits of two rows of 16 floats, in pairs; even and odd become the rest. */
VEC_INLINE __m512i take_pair_16(__m512 *even, __m512 *odd)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512i first = _mm512_and_si512(_mm512_castps_si512(*even), upper);
    __m512i second = _mm512_and_si512(_mm512_castps_si512(*odd), upper);

    *even -= _mm512_castsi512_ps(first);
    *odd -= _mm512_castsi512_ps(second);
    return _mm512_or_si512(_mm512_srli_epi32(first, 16), second);
}

/* Two rows of 16 floats to pairs of bf16: high takes the first 16 bits, low those of the rest, rounded. */
VEC_INLINE void pair_16(__m512i *high, __m512i *low, __m512 even, __m512 odd)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u), half = _mm512_set1_epi32(0x8000);

    *high = take_pair_16(&even, &odd);
    __m512i even_low = _mm512_add_epi32(_mm512_castps_si512(even), half);
    __m512i odd_low = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(odd), half), upper);
    *low = _mm512_or_si512(_mm512_srli_epi32(even_low, 16), odd_low);
}

/* Of fp16 numbers, whose 11 bits are those of two bf16 ones. */
VEC_INLINE void split_pair_16(__m512i *high, __m512i *low, __m512 even, __m512 odd)
{
    *high = take_pair_16(&even, &odd);
    *low = _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(even), 16), _mm512_castps_si512(odd));
}

/* Two rows of 16 floats to pairs of bf16, rounded. */
VEC_INLINE __m512i round_pair_16(__m512 even, __m512 odd)
{
    static const uint16_t in_turn[32] = { 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                          8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(in_turn), (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

/* ---- products: sums in registers 0 to 3, the right operand in 4 and 5, the left in 6 and 7 ------------ */

VEC_INLINE void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* row: floats from row to row. */
VEC_INLINE void load_sums(const float *sums, size_t row)
{
    _tile_loadd(0, sums, row * 4);
    _tile_loadd(1, sums + 16, row * 4);
    _tile_loadd(2, sums + 16 * row, row * 4);
    _tile_loadd(3, sums + 16 * row + 16, row * 4);
}

VEC_INLINE void store_sums(float *sums, size_t row)
{
    _tile_stored(0, sums, row * 4);
    _tile_stored(1, sums + 16, row * 4);
    _tile_stored(2, sums + 16 * row, row * 4);
    _tile_stored(3, sums + 16 * row + 16, row * 4);
}

VEC_INLINE void load_left(const uint16_t *tiles)
{
    _tile_loadd(6, tiles, 64);
    _tile_loadd(7, tiles + TILE, 64);
}

VEC_INLINE void load_right(const uint16_t *tiles)
{
    _tile_loadd(4, tiles, 64);
    _tile_loadd(5, tiles + TILE, 64);
}

VEC_INLINE void add_products(void)
{
    _tile_dpbf16ps(0, 6, 4);
    _tile_dpbf16ps(1, 6, 5);
    _tile_dpbf16ps(2, 7, 4);
    _tile_dpbf16ps(3, 7, 5);
}

struct meanwhile;                      /* what vectors do beside tiles: each user's own */

/* One step of 32 k: two tiles of the left operand's high and low numbers each, [high, low][2] of the right's. Before each
 * four products `visit` gives vectors their share, of right operands that are single numbers or not. */
VEC_INLINE void add_step(const uint16_t *high, const uint16_t *low, const uint16_t *right, const int products,
                         void (*const visit)(struct meanwhile *, bool single), struct meanwhile *w)
{
    load_left(high);
    if (products > 1) {
        load_right(right + 2 * TILE);
        visit(w, false);
        add_products();
    }
    load_right(right);
    visit(w, products == 1);
    add_products();
    if (products < 3) return;
    load_left(low);
    visit(w, false);
    add_products();
}

/* The compiler does not know that tiles read and write memory: stores stay on their side of this. */
VEC_INLINE void tile_fence(void)
{
    __asm__ volatile("" ::: "memory");
}

#endif
#endif
