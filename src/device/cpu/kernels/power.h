/* Powers of 2, for softmax. Coefficients: minimax fits of this project. */
#ifndef TINCT_CPU_POWER_H
#define TINCT_CPU_POWER_H

#include <stdbool.h>

#include "device/cpu/kernels/vec.h"

#define CUT_BIAS 2.81776375e-3f    /* how much smaller on average a number becomes that is cut to bf16 */

/* 2^x for x <= 127, relative error <= 2e-7. Rough, where the instruction set helps: times 1 + CUT_BIAS, relative error <= 8e-5.
 * Far below -126: 0, or 2^-126. NaN stays. */
#if defined(__AVX512DQ__)
VEC_INLINE vec power_of_2(vec x, const bool rough)
{
    enum { BELOW = 9 };            /* to the whole number below, without exceptions */
    vec f = _mm512_reduce_ps(x, BELOW), power;

    if (rough) {
        power = vec_all(7.82443807e-2f) * f + vec_all(2.26704165e-1f);
        power = power * f + vec_all(6.97794259e-1f);
        power = power * f + vec_all(1.00274277f);
    } else {
        power = vec_all(1.87757669e-3f) * f + vec_all(8.98933969e-3f);
        power = power * f + vec_all(5.58263175e-2f);
        power = power * f + vec_all(2.40153611e-1f);
        power = power * f + vec_all(6.93153083e-1f);
        power = power * f + vec_all(9.9999994e-1f);
    }
    return _mm512_scalef_ps(power, x);
}
#else
VEC_INLINE vec power_of_2(vec x, const bool rough)
{
    const vec round = vec_all(12582912.0f);        /* 1.5 2^23: adding it leaves an integer in the low bits */
    vec shifted, f, power = vec_all(1.3215983e-3f);

    (void)rough;
    x = vec_max(vec_all(-126.0f), x);
    shifted = x + round;
    f = x - (shifted - round);
    power = power * f + vec_all(9.6741142e-3f);
    power = power * f + vec_all(5.5509776e-2f);
    power = power * f + vec_all(2.4022186e-1f);
    power = power * f + vec_all(6.9314671e-1f);
    power = power * f + vec_all(1.0f);
    return (vec)((ivec)power + ((ivec)shifted << 23));
}
#endif

#endif
