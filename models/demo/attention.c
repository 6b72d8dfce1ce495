/* Attention for training on a processor, forward and backward: bf16 in and out, fp32 within, heads of 8 to 64 channels.
 * Built and called by attention.py. q, o and their gradients are [n, s, heads, d], k and v [n, t, heads, d].
 * Everything runs along the keys, sixteen at a time, with the channels unrolled; the scores of one query at a time exist. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bf16.h"

enum { LANES = 16, KEYS = 4096, FIRST_CACHE = 32768 };
typedef float lanes __attribute__((vector_size(64)));
typedef int32_t ilanes __attribute__((vector_size(64)));

static inline float sum(lanes v)
{
    float s = 0;

    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}

static inline lanes choose(ilanes which, lanes a, lanes b)
{
    return (lanes) ((which & (ilanes) a) | (~which & (ilanes) b));
}

/* e^x for x <= 0, relative error below 2e-6: 2^n times a polynomial of the rest. */
static inline lanes exponential(lanes x)
{
    lanes y = x * 1.44269504f;

    y = choose(y < -126.0f, (lanes) { 0 } - 126.0f, y);
    ilanes n = __builtin_convertvector(y - 0.5f, ilanes);     /* to the nearest, as y <= 0 */
    lanes r = y - __builtin_convertvector(n, lanes);
    lanes p = 1.3333558e-3f * r + 9.6181291e-3f;
    p = p * r + 5.5504109e-2f;
    p = p * r + 2.4022651e-1f;
    p = p * r + 6.9314718e-1f;
    p = p * r + 1.0f;
    return choose(x < -87.0f, (lanes) { 0 }, (lanes) ((ilanes) p + (n << 23)));
}

/* One head's keys or values [t, stride] as [d][t / 16] lanes; what is behind the last is zero. */
static void turn(lanes *out, const uint16_t *in, size_t t, size_t stride, size_t d)
{
    size_t blocks = (t + LANES - 1) / LANES;

    memset(out, 0, d * blocks * sizeof *out);
    for (size_t i = 0; i < t; i++)
        for (size_t c = 0; c < d; c++) out[c * blocks + i / LANES][i % LANES] = widen(in[i * stride + c]);
}

static void turn_back(uint16_t *out, const lanes *in, size_t t, size_t stride, size_t d)
{
    size_t blocks = (t + LANES - 1) / LANES;

    for (size_t i = 0; i < t; i++)
        for (size_t c = 0; c < d; c++) out[i * stride + c] = narrow(in[c * blocks + i / LANES][i % LANES]);
}

/* The scores of a query against block b of keys. */
#define SCORE(q, d) \
    lanes score = b + 1 == blocks ? last : (lanes) { 0 }; \
    _Pragma("GCC unroll 64") for (size_t c = 0; c < (d); c++) score += (q)[c] * k[c * blocks + b]

static inline __attribute__((always_inline)) void forward(uint16_t *o, float *lse, const uint16_t *q, const lanes *k, const lanes *v, lanes last,
                                                          size_t s, size_t blocks, size_t stride, float scale, size_t d)
{
    lanes p[KEYS / LANES];

    for (size_t i = 0; i < s; i++, q += stride, o += stride) {
        float query[64], most = -INFINITY, whole;
        lanes top = (lanes) { 0 } - 1e30f, total = { 0 }, out[64] = { 0 };

        for (size_t c = 0; c < d; c++) query[c] = widen(q[c]) * scale;
        for (size_t b = 0; b < blocks; b++) {
            SCORE(query, d);
            p[b] = score;
            top = choose(score > top, score, top);
        }
        for (int l = 0; l < LANES; l++) most = fmaxf(most, top[l]);
        for (size_t b = 0; b < blocks; b++) {
            lanes e = exponential(p[b] - most);
            total += e;
            _Pragma("GCC unroll 64") for (size_t c = 0; c < d; c++) out[c] += e * v[c * blocks + b];
        }
        whole = sum(total);
        lse[i] = most + logf(whole);
        for (size_t c = 0; c < d; c++) o[c] = narrow(sum(out[c]) / whole);
    }
}

/* A run of keys that fits the first cache, against all queries; dq is added to. */
static inline __attribute__((always_inline)) void backward(float *dq, lanes *dk, lanes *dv, const uint16_t *g, const uint16_t *o, const float *lse,
                                                           const uint16_t *q, const lanes *k, const lanes *v, lanes last, size_t s, size_t blocks,
                                                           size_t stride, float scale, size_t d)
{
    for (size_t i = 0; i < s; i++, q += stride, g += stride, o += stride, dq += d) {
        float query[64], grad[64], along = 0;
        lanes out[64] = { 0 };

        for (size_t c = 0; c < d; c++) {
            query[c] = widen(q[c]) * scale;
            grad[c] = widen(g[c]);
            along += grad[c] * widen(o[c]);
        }
        for (size_t b = 0; b < blocks; b++) {
            SCORE(query, d);
            lanes p = exponential(score - lse[i]), dp = { 0 };
            _Pragma("GCC unroll 64") for (size_t c = 0; c < d; c++) dp += grad[c] * v[c * blocks + b];
            lanes ds = p * (dp - along);
            _Pragma("GCC unroll 64") for (size_t c = 0; c < d; c++) {
                dv[c * blocks + b] += grad[c] * p;
                dk[c * blocks + b] += query[c] * ds;
                out[c] += ds * k[c * blocks + b];
            }
        }
        for (size_t c = 0; c < d; c++) dq[c] += sum(out[c]) * scale;
    }
}

static lanes mask(size_t t)
{
    lanes last = { 0 };

    for (size_t l = t % LANES; l && l < LANES; l++) last[l] = -1e30f;
    return last;
}

#define FOR_WIDTH(call) \
    switch (d) { \
    case 8: call(8); break; \
    case 16: call(16); break; \
    case 24: call(24); break; \
    default: call(d); \
    }

/* lse [n, heads, s]: logarithms of the sums of exponentials, for the backward pass. Returns 1 without memory. */
int attention_forward(uint16_t *o, float *lse, const uint16_t *q, const uint16_t *k, const uint16_t *v, size_t n, size_t s, size_t t, size_t heads, size_t d)
{
    size_t blocks = (t + LANES - 1) / LANES, stride = heads * d;
    lanes *turned = aligned_alloc(64, 2 * d * blocks * sizeof *turned), *keys = turned, *values = turned + d * blocks;
    float scale = 1.0f / sqrtf((float)d);

    if (!turned) return 1;
    for (size_t i = 0; i < n * heads; i++) {
        size_t at_s = (i / heads * s * heads + i % heads) * d, at_t = (i / heads * t * heads + i % heads) * d;
        turn(keys, k + at_t, t, stride, d);
        turn(values, v + at_t, t, stride, d);
#define FORWARD(width) forward(o + at_s, lse + i * s, q + at_s, keys, values, mask(t), s, blocks, stride, scale, width)
        FOR_WIDTH(FORWARD)
    }
    free(turned);
    return 0;
}

int attention_backward(uint16_t *dq, uint16_t *dk, uint16_t *dv, const uint16_t *g, const uint16_t *o, const float *lse, const uint16_t *q, const uint16_t *k,
                       const uint16_t *v, size_t n, size_t s, size_t t, size_t heads, size_t d)
{
    size_t run = FIRST_CACHE / (4 * d * sizeof(lanes)), stride = heads * d, each = d * run;
    lanes *keys = aligned_alloc(64, 4 * each * sizeof *keys), *values = keys + each, *dkeys = keys + 2 * each, *dvalues = keys + 3 * each;
    float *queries = malloc(s * d * sizeof *queries), scale = 1.0f / sqrtf((float)d);

    for (size_t i = 0; keys && queries && i < n * heads; i++) {
        size_t at_s = (i / heads * s * heads + i % heads) * d, at_t = (i / heads * t * heads + i % heads) * d;
        memset(queries, 0, s * d * sizeof *queries);
        for (size_t t0 = 0; t0 < t; t0 += run * LANES) {
            size_t some = t - t0 < run * LANES ? t - t0 : run * LANES, blocks = (some + LANES - 1) / LANES, at = at_t + t0 * stride;
            turn(keys, k + at, some, stride, d);
            turn(values, v + at, some, stride, d);
            memset(dkeys, 0, 2 * each * sizeof *dkeys);
#define BACKWARD(width) \
    backward(queries, dkeys, dvalues, g + at_s, o + at_s, lse + i * s, q + at_s, keys, values, mask(some), s, blocks, stride, scale, width)
            FOR_WIDTH(BACKWARD)
            turn_back(dk + at, dkeys, some, stride, d);
            turn_back(dv + at, dvalues, some, stride, d);
        }
        for (size_t j = 0; j < s; j++)
            for (size_t c = 0; c < d; c++) dq[at_s + j * stride + c] = narrow(queries[j * d + c]);
    }
    free(keys);
    free(queries);
    return !keys || !queries;
}
