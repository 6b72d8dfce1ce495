/* Attention of one query and head in double, and how far fp32 may be off. */
#ifndef TINCT_TESTS_ATTENTION_DEFINITION_H
#define TINCT_TESTS_ATTENTION_DEFINITION_H

#include "ops/optest.h"

struct attended {               /* one query of one head, and the keys and values that it sees */
    double *q, *q_off;          /* [head_dim], and how far off each is, by its own */
    const float *k, *v;         /* [seen, channels], of which the first head_dim of a row are the head's */
    uint32_t seen, head_dim, channels;
    double *score, *score_off;  /* [seen]: room */
};

static inline struct attended attended_of(struct optest *t, uint32_t keys, uint32_t head_dim, uint32_t channels)
{
    return (struct attended) {
        .q = optest_host(t, head_dim * sizeof(double)), .q_off = optest_host(t, head_dim * sizeof(double)), .seen = keys,
        .head_dim = head_dim, .channels = channels, .score = optest_host(t, keys * sizeof(double)),
        .score_off = optest_host(t, keys * sizeof(double)),
    };
}

/* q . k / sqrt(d) of every key, the largest. */
static inline double attend_scores(const struct optest *t, const struct attended *a)
{
    double scale = 1 / sqrt(a->head_dim), largest = -INFINITY;

    for (uint32_t j = 0; j < a->seen; j++) {
        double dot = 0, absolute = 0, squares = 0, off = 0;
        for (uint32_t c = 0; c < a->head_dim; c++) {
            double k = a->k[(size_t)j * a->channels + c], product = a->q[c] * k;
            dot += product;
            absolute += fabs(product);
            squares += product * product;
            off += a->q_off[c] * a->q_off[c] * k * k;
        }
        a->score[j] = dot * scale;
        a->score_off[j] = (optest_dot(t, a->head_dim, absolute, squares) + sqrt(off)) * scale + 2 * 0x1p-24 * fabs(a->score[j]);
        largest = fmax(largest, a->score[j]);
    }
    return largest;
}

/* A score that is off by e makes its weight off by e, relatively, and so do the roundings of score - maximum and of
 * exp (Vulkan: 3 + 2 |argument| steps of 2^-23). The result is a quotient of two sums over the weights: each takes
 * the weights' errors, and roundings of its own of sqrt(S) 2^-24. Where products are taken in bf16 the weights are
 * rounded to 2^-9 as well, or to 2^-16 as the sum of two; matrix units take them in fp16, rounded to 2^-11 or, below
 * 2^-14, by 2^-25. */
static inline void attend(const struct optest *t, const struct attended *a, double *y, double *tolerance)
{
    bool halves = strstr(t->combination, "matrix") && a->head_dim % 8 == 0 && a->head_dim <= 160;
    double largest = attend_scores(t, a), sum = 0, weights_off = 0;

    for (uint32_t j = 0; j < a->seen; j++) {
        double below = largest - a->score[j], own = t->bf16 ? 0x1p-9 : t->split ? 0x1p-16 : 0;
        a->score_off[j] = expm1(a->score_off[j] + 0x1p-24 * below) + (3 + 2 * below) * 0x1p-23 + own;
        a->score[j] = exp(-below);
        if (halves) a->score_off[j] += fmax(0x1p-11, 0x1p-25 / fmax(a->score[j], 1e-280));
        sum += a->score[j];
    }
    for (uint32_t j = 0; j < a->seen; j++) weights_off += a->score[j] / sum * a->score_off[j];
    for (uint32_t c = 0; c < a->head_dim; c++) {
        double absolute = 0, squares = 0, off = 0;
        y[c] = 0;
        for (uint32_t j = 0; j < a->seen; j++) {
            double product = a->score[j] / sum * a->v[(size_t)j * a->channels + c];
            y[c] += product;
            absolute += fabs(product);
            squares += product * product;
            off += fabs(product) * a->score_off[j];
        }
        tolerance[c] = off + fabs(y[c]) * (weights_off + (sqrt(a->seen) + 4) * 0x1p-24) +
                       optest_dot(t, a->seen, absolute, squares) + optest_store(t, y[c]);
    }
}

#endif
