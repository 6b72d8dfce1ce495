/* Group normalisation and SiLU for training on a processor: forward and backward, bf16 in and out, fp32 within.
 * Built and called by norm.py. Tensors are [n, pixels, c]; gain, offset, mean, rstd [n, c]. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "bf16.h"

enum { GROUPS = 32, CHANNELS = 512 };

static void over_groups(float *mean, const double *sums, size_t c, size_t pixels)
{
    size_t size = c / GROUPS;

    for (size_t g = 0; g < GROUPS; g++) {
        double sum = 0;
        for (size_t i = 0; i < size; i++) sum += sums[g * size + i];
        for (size_t i = 0; i < size; i++) mean[g * size + i] = (float)(sum / (double)(pixels * size));
    }
}

/* Sums over pixels of a and of b, in runs of 64 so that fp32 suffices. */
#define SUM_PIXELS(a, b, sum_a, sum_b)                                      \
    do {                                                                    \
        for (size_t i = 0; i < c; i++) (sum_a)[i] = (sum_b)[i] = 0;         \
        for (size_t p0 = 0; p0 < pixels; p0 += 64) {                        \
            float run_a[CHANNELS] = { 0 }, run_b[CHANNELS] = { 0 };         \
            size_t p1 = p0 + 64 < pixels ? p0 + 64 : pixels;                \
            for (size_t p = p0; p < p1; p++)                                \
                for (size_t i = 0; i < c; i++) {                            \
                    size_t at = p * c + i;                                  \
                    float va = (a), vb = (b);                               \
                    run_a[i] += va;                                         \
                    run_b[i] += vb;                                         \
                }                                                           \
            for (size_t i = 0; i < c; i++) {                                \
                (sum_a)[i] += (double)run_a[i];                             \
                (sum_b)[i] += (double)run_b[i];                             \
            }                                                               \
        }                                                                   \
    } while (0)

/* y = act(x gain + offset) with gain = rstd w, offset = b - mean gain. */
void norm_forward(uint16_t *y, float *mean, float *rstd, const uint16_t *x, const float *w, const float *b, float eps, int silu,
                  size_t n, size_t pixels, size_t c)
{
    for (size_t k = 0; k < n; k++, x += pixels * c, y += pixels * c, mean += c, rstd += c) {
        double sum[CHANNELS], square[CHANNELS];
        float gain[CHANNELS], offset[CHANNELS], squares[CHANNELS];

        SUM_PIXELS(widen(x[at]), va * va, sum, square);
        over_groups(mean, sum, c, pixels);
        over_groups(squares, square, c, pixels);
        for (size_t i = 0; i < c; i++) {
            rstd[i] = 1.0f / sqrtf(fmaxf(squares[i] - mean[i] * mean[i], 0.0f) + eps);
            gain[i] = rstd[i] * w[i];
            offset[i] = b[i] - mean[i] * gain[i];
        }
        for (size_t p = 0; p < pixels; p++)
            for (size_t i = 0; i < c; i++) {
                float v = widen(x[p * c + i]) * gain[i] + offset[i];
                y[p * c + i] = narrow(silu ? v / (1.0f + expf(-v)) : v);
            }
    }
}

/* dx, and dw, db [c] added to, from g = dL/dy. */
void norm_backward(uint16_t *dx, float *dw, float *db, const uint16_t *g, const uint16_t *x, const float *mean, const float *rstd,
                   const float *w, const float *b, int silu, size_t n, size_t pixels, size_t c)
{
    for (size_t k = 0; k < n; k++, x += pixels * c, g += pixels * c, dx += pixels * c, mean += c, rstd += c) {
        double sum[CHANNELS], along[CHANNELS];
        float gain[CHANNELS], offset[CHANNELS], k1[CHANNELS], k2[CHANNELS];

        for (size_t i = 0; i < c; i++) {
            gain[i] = rstd[i] * w[i];
            offset[i] = b[i] - mean[i] * gain[i];
        }
        for (size_t p = 0; p < pixels; p++)
            for (size_t i = 0; i < c; i++) {
                float v = widen(x[p * c + i]) * gain[i] + offset[i], s = 1.0f / (1.0f + expf(-v));
                dx[p * c + i] = silu ? narrow(widen(g[p * c + i]) * s * (1.0f + v * (1.0f - s))) : g[p * c + i];
            }
        SUM_PIXELS(widen(dx[at]), va * widen(x[at]), sum, along);
        for (size_t i = 0; i < c; i++) {
            along[i] = (double)rstd[i] * (along[i] - (double)mean[i] * sum[i]);
            db[i] += (float)sum[i];
            dw[i] += (float)along[i];
            sum[i] *= (double)w[i];
            along[i] *= (double)w[i];
        }
        over_groups(k1, sum, c, pixels);
        over_groups(k2, along, c, pixels);
        for (size_t i = 0; i < c; i++) {         /* dx = rstd (w g - k1 - k2 (x - mean) rstd) = g gain + x k2' + k1' */
            k2[i] *= -rstd[i] * rstd[i];
            k1[i] = -rstd[i] * k1[i] - mean[i] * k2[i];
        }
        for (size_t p = 0; p < pixels; p++)
            for (size_t i = 0; i < c; i++) {
                size_t at = p * c + i;
                dx[at] = narrow(widen(dx[at]) * gain[i] + widen(x[at]) * k2[i] + k1[i]);
            }
    }
}
