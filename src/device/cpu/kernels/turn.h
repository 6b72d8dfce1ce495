/* Squares of numbers transposed in registers. */
#ifndef TINCT_CPU_TURN_H
#define TINCT_CPU_TURN_H

#include "device/cpu/kernels/vec.h"

/* rows[j][i] = rows[i][j] */
#if defined(__AVX512F__)
VEC_INLINE void turn(vec rows[VEC_WIDTH])
{
    vec t[VEC_WIDTH];

    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        rows[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        rows[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        rows[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        rows[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {              /* quarters of four rows each */
        t[i] = vec_even_fours(rows[i], rows[i + 4]);
        t[i + 4] = vec_odd_fours(rows[i], rows[i + 4]);
        t[i + 8] = vec_even_fours(rows[i + 8], rows[i + 12]);
        t[i + 12] = vec_odd_fours(rows[i + 8], rows[i + 12]);
    }
    for (int i = 0; i < 4; i++) {
        rows[i] = vec_even_fours(t[i], t[i + 8]);
        rows[i + 4] = vec_even_fours(t[i + 4], t[i + 12]);
        rows[i + 8] = vec_odd_fours(t[i], t[i + 8]);
        rows[i + 12] = vec_odd_fours(t[i + 4], t[i + 12]);
    }
}
#elif defined(__AVX2__)
VEC_INLINE void turn(vec rows[VEC_WIDTH])
{
    vec t[VEC_WIDTH];

    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        rows[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        rows[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        rows[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        rows[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {              /* halves of four rows each */
        vec low = rows[i], high = rows[i + 4];
        rows[i] = vec_even_fours(low, high);
        rows[i + 4] = vec_odd_fours(low, high);
    }
}
#else
VEC_INLINE void turn(vec rows[VEC_WIDTH])
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

#endif
