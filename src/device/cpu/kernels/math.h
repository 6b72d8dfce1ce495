/* Functions of kernels, branch-free so that the compiler vectorises loops over them. Coefficients: minimax fits of
 * this project (linear programme for exp, reweighted least squares for erf). NaN goes in, NaN comes out. */
#ifndef TINCT_CPU_MATH_H
#define TINCT_CPU_MATH_H

#include <stdint.h>
#include <string.h>

/* e^x, relative error <= 3e-7; below -87.3 (where e^x leaves the normal numbers) that of -87.3, about 1e-38;
 * above 88.3 that of 88.3. */
static inline float fast_exp(float x)
{
    const float log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const float round = 12582912.0f;            /* 1.5 2^23: adding it leaves an integer in the low bits */
    uint32_t bits;
    float shifted, n, r, p, power;

    x = x < -87.3f ? -87.3f : x;
    x = x > 88.3f ? 88.3f : x;
    shifted = x * log2e + round;
    n = shifted - round;
    r = x - n * ln2_high - n * ln2_low;
    p = 8.298639208e-3f;
    p = p * r + 4.188990965e-2f;
    p = p * r + 1.666729003e-1f;
    p = p * r + 4.999924302e-1f;
    p = p * r * r + r + 1.0f;
    memcpy(&bits, &shifted, 4);
    bits = (bits << 23) + 0x3f800000u;          /* 2^n */
    memcpy(&power, &bits, 4);
    return p * power;
}

/* erf(x), absolute error <= 5e-7: a quotient of polynomials on [0, 3.92], beyond which erf is 1 to 3e-8. */
static inline float fast_erf(float x)
{
    float u, p, q;

    x = x < -3.92f ? -3.92f : x;
    x = x > 3.92f ? 3.92f : x;
    u = x * x;
    p = 2.034751333e-6f;
    p = p * u + 2.874795465e-4f;
    p = p * u + 3.868296277e-3f;
    p = p * u + 5.306038260e-2f;
    p = p * u + 1.927632093e-1f;
    p = p * u + 1.128378987f;
    q = 3.807082248e-5f;
    q = q * u + 1.188109280e-3f;
    q = q * u + 1.517223101e-2f;
    q = q * u + 1.150842831e-1f;
    q = q * u + 5.041636229e-1f;
    q = q * u + 1.0f;
    return x * p / q;
}

static inline float silu(float x)
{
    return x / (1.0f + fast_exp(-x));
}

static inline float gelu(float x)
{
    return 0.5f * x * (1.0f + fast_erf(x * 0.707106781f));
}

static inline float quick_gelu(float x)
{
    return x / (1.0f + fast_exp(-1.702f * x));
}

#endif
