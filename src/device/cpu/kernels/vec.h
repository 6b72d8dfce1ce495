/* The instruction set's vectors, written once: the only place that knows which set a file is compiled for.
 * GCC's vector types; a wider set is a larger VEC_WIDTH. */
#ifndef TINCT_CPU_VEC_H
#define TINCT_CPU_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define CPU_PASTE_(isa, name) cpu_##isa##_##name
#define CPU_PASTE(isa, name) CPU_PASTE_(isa, name)
#define CPU_NAME(name) CPU_PASTE(CPU_ISA, name)   /* a kernel's symbol in this instruction set */

#if defined(__AVX512F__)
enum { VEC_WIDTH = 16, VEC_REGISTERS = 32 };
#elif defined(__AVX2__)
enum { VEC_WIDTH = 8, VEC_REGISTERS = 16 };
#elif defined(__aarch64__)
enum { VEC_WIDTH = 4, VEC_REGISTERS = 32 };
#else
enum { VEC_WIDTH = 4, VEC_REGISTERS = 16 };
#endif

typedef float vec __attribute__((vector_size(VEC_WIDTH * 4)));
typedef float vec_unaligned __attribute__((vector_size(VEC_WIDTH * 4), aligned(4), may_alias));

typedef int32_t ivec __attribute__((vector_size(VEC_WIDTH * 4)));
typedef float vec4_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

#define VEC_INLINE static inline __attribute__((always_inline))

VEC_INLINE vec vec_load(const float *p)
{
    return *(const vec_unaligned *)p;
}

VEC_INLINE void vec_store(float *p, vec v)
{
    *(vec_unaligned *)p = v;
}

enum { CACHE_LINE = 64 };
enum { FAR_BYTES = 16 << 20 };     /* of a tensor, from which on it does not wait in a cache */

/* To memory at once, past the caches: for what nobody reads soon. p on a whole vector. Threads see it after vec_stored. */
VEC_INLINE void vec_store_far(float *p, vec v)
{
#if defined(__AVX512F__)
    _mm512_stream_ps(p, v);
#elif defined(__AVX2__)
    _mm256_stream_ps(p, v);
#elif defined(__SSE2__)
    _mm_stream_ps(p, v);
#else
    *(vec *)p = v;
#endif
}

VEC_INLINE void vec_stored(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

VEC_INLINE vec vec_all(float x)
{
    return x - (vec) { 0 };
}

/* The larger of each; of a NaN and b: b. */
VEC_INLINE vec vec_max(vec a, vec b)
{
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
    return _mm_max_ps(a, b);
#else
    ivec larger = (ivec)(a > b);
    return (vec)((larger & (ivec)a) | (~larger & (ivec)b));
#endif
}

/* Of the fours in a, then b: the first, third ..., and the second, fourth ... */
VEC_INLINE vec vec_even_fours(vec a, vec b)
{
#if defined(__AVX512F__)
    return _mm512_shuffle_f32x4(a, b, 0x88);
#elif defined(__AVX2__)
    return _mm256_permute2f128_ps(a, b, 0x20);
#else
    (void)b;
    return a;
#endif
}

VEC_INLINE vec vec_odd_fours(vec a, vec b)
{
#if defined(__AVX512F__)
    return _mm512_shuffle_f32x4(a, b, 0xdd);
#elif defined(__AVX2__)
    return _mm256_permute2f128_ps(a, b, 0x31);
#else
    (void)a;
    return b;
#endif
}

#if defined(__AMX_BF16__) || defined(__AMXBF16__)    /* clang before 15 */
#define VEC_AMX 1

struct amx_config {            /* as the processor reads it */
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Eight tiles of 16 rows of 64 bytes. */
#define AMX_ALL_TILES { .palette = 1, .row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 }, \
                        .rows = { 16, 16, 16, 16, 16, 16, 16, 16 } }
#else
#define VEC_AMX 0
#endif

/* count halves, a multiple of 16 or VEC_WIDTH, to floats; half denormals keep their value even where denormals count as zero. */
#if defined(__AVX512F__)
VEC_INLINE void widen_f16(float *to, const uint16_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 16)
        _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(from + i))));
}
#elif defined(__F16C__)
VEC_INLINE void widen_f16(float *to, const uint16_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
}
#elif defined(__aarch64__)
VEC_INLINE void widen_f16(float *to, const uint16_t *from, uint32_t count)
{
    const __fp16 *h = (const __fp16 *)from;
    for (uint32_t i = 0; i < count; i++) to[i] = h[i];
}
#else
VEC_INLINE void widen_f16(float *to, const uint16_t *from, uint32_t count)
{
    const float least_normal = 0x1p-14f;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t magnitude = (uint32_t)(from[i] & 0x7fff) << 13, exponent = magnitude & 0x0f800000;
        uint32_t sign = (uint32_t)(from[i] & 0x8000) << 16;
        uint32_t bits = magnitude + (exponent == 0x0f800000 ? 0x70000000u : exponent ? 0x38000000u : 0x38800000u);
        float value;
        memcpy(&value, &bits, 4);
        value -= exponent ? 0.0f : least_normal;    /* a denormal was read as 2^-14 (1 + m) */
        memcpy(&bits, &value, 4);
        bits |= sign;
        memcpy(to + i, &bits, 4);
    }
}
#endif

/* count floats, a multiple of 16, to halves: to the nearest, ties to even; 65520 and up to Inf. */
#if defined(__AVX512F__)
VEC_INLINE void narrow_f16(uint16_t *to, const float *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 16)
        _mm256_storeu_si256((__m256i *)(to + i), _mm512_cvtps_ph(_mm512_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__F16C__)
VEC_INLINE void narrow_f16(uint16_t *to, const float *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 8)
        _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__aarch64__)
VEC_INLINE void narrow_f16(uint16_t *to, const float *from, uint32_t count)
{
    __fp16 *h = (__fp16 *)to;
    for (uint32_t i = 0; i < count; i++) h[i] = (__fp16)from[i];
}
#else
VEC_INLINE void narrow_f16(uint16_t *to, const float *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits, size, normal, small;
        float v;
        memcpy(&bits, from + i, 4);
        size = bits & 0x7fffffff;
        normal = (size + 0xfff + (size >> 13 & 1) - 0x38000000u) >> 13;
        memcpy(&v, &size, 4);
        v = (size < 0x38800000u ? v : 0.0f) + 0.5f;     /* below 2^-14 halves have steps of 2^-24, as floats from 0.5 on */
        memcpy(&small, &v, 4);
        small -= 0x3f000000u;
        to[i] = (uint16_t)((bits >> 16 & 0x8000) | (size > 0x7f800000u ? 0x7e00 : size >= 0x477ff000u ? 0x7c00
                                                    : size < 0x38800000u ? small : normal));
    }
}
#endif

/* 32 floats to halves alike, past the caches (vec_store_far): to on 64 bytes. Gives to each of `beyond` the top bit, if one of these was
 * Inf or none. */
VEC_INLINE void narrow_f16_far(uint16_t *to, const float *from, uint16_t beyond[32])
{
    const uint16_t size = 0x7fff, to_top_bit = 0x8000 - 0x7c00;
#if defined(__AVX512BW__)
    __m256i low = _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT);
    __m256i high = _mm512_cvtps_ph(_mm512_loadu_ps(from + 16), _MM_FROUND_TO_NEAREST_INT);
    __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    __m512i sizes = _mm512_and_si512(both, _mm512_set1_epi16((short)size));
    __m512i top = _mm512_add_epi16(sizes, _mm512_set1_epi16((short)to_top_bit));

    _mm512_storeu_si512(beyond, _mm512_or_si512(_mm512_loadu_si512(beyond), top));
    _mm512_stream_si512((__m512i *)to, both);
#else
    uint16_t near[32];

    narrow_f16(near, from, 32);
    for (int i = 0; i < 32; i++) beyond[i] |= (uint16_t)((near[i] & size) + to_top_bit);
    memcpy(to, near, sizeof near);
#endif
}

#endif
