/* Pairs of bf16 numbers and their dot products, where the instruction set has them (VEC_BF16). */
#ifndef TINCT_CPU_BF16_H
#define TINCT_CPU_BF16_H

#include "device/cpu/kernels/vec.h"

#if defined(__AVX512BF16__)
#define VEC_BF16 1

typedef __m512bh vec_pairs;        /* [VEC_WIDTH][2] bf16 */

/* sum[i] + a[i][0] b[i][0] + a[i][1] b[i][1] */
VEC_INLINE vec vec_dot(vec sum, vec_pairs a, vec_pairs b)
{
    return _mm512_dpbf16_ps(sum, a, b);
}

VEC_INLINE vec_pairs pairs_load(const uint16_t *p)
{
    return (vec_pairs)_mm512_loadu_si512(p);
}

VEC_INLINE vec_pairs pairs_all(const uint16_t *p)        /* the two at p, everywhere */
{
    int32_t pair;
    memcpy(&pair, p, 4);
    return (vec_pairs)_mm512_set1_epi32(pair);
}

/* The first `count` of a vector's lanes. */
VEC_INLINE __mmask16 lanes_below(uint32_t count)
{
    return count < VEC_WIDTH ? (__mmask16)((1u << count) - 1) : (__mmask16)0xffff;
}

/* count floats to bf16, to nearest even. */
VEC_INLINE void narrow_bf16(uint16_t *to, const float *from, uint32_t count)
{
    uint32_t i = 0;

    for (; i + 32 <= count; i += 32)
        _mm512_storeu_si512(to + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i)));
    for (; i < count; i += 16) {
        const __mmask16 some = lanes_below(count - i);
        __m256bh x = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(some, from + i));
        _mm256_mask_storeu_epi16(to + i, some, (__m256i)x);
    }
}

/* Two rows of VEC_WIDTH floats as pairs of bf16. */
VEC_INLINE vec_pairs pairs_of(vec even, vec odd)
{
    const __m512i zip = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                         23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return (vec_pairs)_mm512_permutexvar_epi16(zip, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

VEC_INLINE void pairs_store(uint16_t *to, vec_pairs pairs)
{
    _mm512_storeu_si512(to, (__m512i)pairs);
}

/* Those to memory. */
VEC_INLINE void pair_bf16(uint16_t *to, vec even, vec odd)
{
    pairs_store(to, pairs_of(even, odd));
}

/* The same as pair_bf16, cut off rather than rounded: too small by half a step, on average by CUT_BIAS (power.h) of what they were. */
VEC_INLINE void pair_cut(uint16_t *to, vec even, vec odd)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512i low = _mm512_srli_epi32(_mm512_castps_si512(even), 16);
    _mm512_storeu_si512(to, _mm512_ternarylogic_epi32(upper, _mm512_castps_si512(odd), low, 0xca));
}
#else
#define VEC_BF16 0
#endif

#endif
