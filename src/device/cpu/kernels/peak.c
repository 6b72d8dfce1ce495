/* The processor's peak: multiply-adds on as many registers as the tile uses, nothing else. */
#include "device/cpu/kernels/peak.h"

#include "device/cpu/kernels/tile.h"

enum { SUMS = TILE_ROWS * TILE_VECS };

double CPU_NAME(peak_f32)(uint32_t rounds, float *sink)
{
    vec sum[SUMS], x = vec_all(1e-3f), factor = vec_all(0.999f), total = { 0 };

    for (int s = 0; s < SUMS; s++) sum[s] = vec_all((float)(s + 2));    /* alike, one would stand for all; from 1 it would stay 1 */
    for (uint32_t i = 0; i < rounds; i++) {
#pragma GCC unroll 24
        for (int s = 0; s < SUMS; s++) sum[s] = sum[s] * factor + x;
    }
    for (int s = 0; s < SUMS; s++) total += sum[s];
    *sink = total[0];
    return 2.0 * rounds * SUMS * VEC_WIDTH;
}

#if VEC_AMX
double CPU_NAME(peak_bf16)(uint32_t rounds, float *sink)
{
    static const struct amx_config config = AMX_ALL_TILES;

    _tile_loadconfig(&config);
    _tile_zero(4);                           /* zeros take as long as any number */
    _tile_zero(6);
    for (uint32_t i = 0; i < rounds / 8; i++) {
        _tile_dpbf16ps(0, 6, 4);
        _tile_dpbf16ps(1, 6, 4);
        _tile_dpbf16ps(2, 6, 4);
        _tile_dpbf16ps(3, 6, 4);
    }
    _tile_release();
    *sink = 0;
    return 4.0 * 2 * 16 * 16 * 32 * (double)(rounds / 8);
}
#elif VEC_BF16
double CPU_NAME(peak_bf16)(uint32_t rounds, float *sink)
{
    __m512 sum[SUMS], total = { 0 };
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3a833a83), factor = (__m512bh)_mm512_set1_epi32(0x3f7f3f7f);

    for (int s = 0; s < SUMS; s++) sum[s] = _mm512_set1_ps((float)s);
    for (uint32_t i = 0; i < rounds; i++) {
#pragma GCC unroll 24
        for (int s = 0; s < SUMS; s++) sum[s] = _mm512_dpbf16_ps(sum[s], x, factor);
    }
    for (int s = 0; s < SUMS; s++) total += sum[s];
    *sink = total[0];
    return 4.0 * rounds * SUMS * VEC_WIDTH;
}
#endif
