/* GEGLU for training on a processor: forward and backward, bf16 in and out, fp32 within.
 * Built and called by geglu.py. in [rows, 2 inner], values then gates; out [rows, inner] = value gelu(gate). */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "bf16.h"

static inline float below(float x)          /* the normal distribution's share below x */
{
    return 0.5f + 0.5f * erff(x * 0.70710678f);
}

void geglu_forward(uint16_t *out, const uint16_t *in, size_t rows, size_t inner)
{
    for (size_t r = 0; r < rows; r++, in += 2 * inner, out += inner)
        for (size_t i = 0; i < inner; i++) {
            float gate = widen(in[inner + i]);
            out[i] = narrow(widen(in[i]) * gate * below(gate));
        }
}

/* din from g = dL/dout. */
void geglu_backward(uint16_t *din, const uint16_t *g, const uint16_t *in, size_t rows, size_t inner)
{
    for (size_t r = 0; r < rows; r++, in += 2 * inner, din += 2 * inner, g += inner)
        for (size_t i = 0; i < inner; i++) {
            float d = widen(g[i]), gate = widen(in[inner + i]), share = below(gate);
            float density = 0.39894228f * expf(-0.5f * gate * gate);
            din[i] = narrow(d * gate * share);
            din[inner + i] = narrow(d * widen(in[i]) * (share + gate * density));
        }
}
