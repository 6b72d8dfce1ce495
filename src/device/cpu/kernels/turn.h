/* Squares of numbers transposed in registers. */
#ifndef TINCT_CPU_TURN_H
#define TINCT_CPU_TURN_H

#include "device/cpu/kernels/vec.h"

/* Each four by four of four vectors: its rows become its columns. */
#if defined(__AVX2__)
#if defined(__AVX512F__)
#define OF_SET(name) _mm512_##name
#else
#define OF_SET(name) _mm256_##name
#endif
VEC_INLINE void turn_fours(vec rows[4])
{
    vec ab_low = OF_SET(unpacklo_ps)(rows[0], rows[1]), ab_high = OF_SET(unpackhi_ps)(rows[0], rows[1]);
    vec cd_low = OF_SET(unpacklo_ps)(rows[2], rows[3]), cd_high = OF_SET(unpackhi_ps)(rows[2], rows[3]);

    rows[0] = OF_SET(shuffle_ps)(ab_low, cd_low, 0x44);
    rows[1] = OF_SET(shuffle_ps)(ab_low, cd_low, 0xee);
    rows[2] = OF_SET(shuffle_ps)(ab_high, cd_high, 0x44);
    rows[3] = OF_SET(shuffle_ps)(ab_high, cd_high, 0xee);
}
#undef OF_SET
#else
VEC_INLINE void turn_fours(vec rows[4])
{
    vec a = rows[0], b = rows[1], c = rows[2], d = rows[3];
    vec ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    vec cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);

    rows[0] = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}
#endif

/* rows[j][i] = rows[i][j] */
VEC_INLINE void turn(vec rows[VEC_WIDTH])
{
    for (int i = 0; i < VEC_WIDTH; i += 4) turn_fours(rows + i);
#pragma GCC unroll 2
    for (int step = 4; step < VEC_WIDTH; step *= 2)        /* fours change places */
#pragma GCC unroll 2
        for (int first = 0; first < VEC_WIDTH; first += 2 * step)
#pragma GCC unroll 8
            for (int i = first; i < first + step; i++) {
                vec a = rows[i], b = rows[i + step];
                rows[i] = vec_even_fours(a, b);
                rows[i + step] = vec_odd_fours(a, b);
            }
}

#endif
