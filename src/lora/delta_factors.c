/* Deltas that are products of small factors: LoRA, LoCon, LoHa, LoKr, GLoRA. */
#include "lora/fit.h"
#include "lora/parts.h"

#include <stdlib.h>

/* ---- LoRA, LoCon -------------------------------------------------------- */

/* scale (up @ down + fixed); Tucker's core first widens down from [n, in] to [m, in, taps]. */
bool lora_delta_low_rank(float *delta, const struct lora_module *m, const struct lora_parts *p, uint32_t keep)
{
    struct lora_sizes s = lora_sizes(m->target);
    size_t rank = lora_axis_size(m, LORA_UP, 1), used = keep && keep < rank && !p->value[LORA_MID] ? keep : rank;
    const float *down = p->value[LORA_DOWN];
    float *wide = NULL;

    if (p->value[LORA_MID]) {
        if (!(wide = malloc(rank * s.in * s.taps * sizeof *wide))) return false;
        lora_spread(wide, p->value[LORA_MID], down, rank, m->rank, s.in, s.taps);
        down = wide;
    }
    lora_product(delta, p->value[LORA_UP], rank, down, s.out, used, s.in * s.taps);
    free(wide);
    for (size_t i = 0; i < s.total; i++) {
        float fixed = p->value[LORA_FIXED] ? p->value[LORA_FIXED][i] : 0;
        delta[i] = (float)(m->scale * (double)(delta[i] + fixed));
    }
    return true;
}

/* ---- LoHa --------------------------------------------------------------- */

static bool hada_factor(float *y, const struct lora_module *m, const struct lora_parts *p, enum lora_part a,
                        enum lora_part b, enum lora_part core)
{
    struct lora_sizes s = lora_sizes(m->target);
    size_t rank = lora_axis_size(m, b, 0);

    if (p->value[core])
        return lora_tucker(y, p->value[a], p->value[core], p->value[b], lora_axis_size(m, a, 0), rank, s.out, s.in,
                           s.taps);
    lora_product(y, p->value[a], rank, p->value[b], s.out, rank, s.in * s.taps);
    return true;
}

/* scale (1a @ 1b) * (2a @ 2b), element by element. */
bool lora_delta_loha(float *delta, const struct lora_module *m, const struct lora_parts *p)
{
    struct lora_sizes s = lora_sizes(m->target);
    float *second = malloc(s.total * sizeof *second);
    bool ok = second && hada_factor(delta, m, p, LORA_HADA_1A, LORA_HADA_1B, LORA_HADA_T1) &&
              hada_factor(second, m, p, LORA_HADA_2A, LORA_HADA_2B, LORA_HADA_T2);

    for (size_t i = 0; ok && i < s.total; i++) delta[i] = (float)(m->scale * (double)delta[i] * (double)second[i]);
    free(second);
    return ok;
}

/* ---- LoKr --------------------------------------------------------------- */

/* w1 [a, c] and w2 [b, d, taps], whatever they are made of; free both. */
static bool lokr_factors(float **w1, float **w2, const struct lora_module *m, const struct lora_parts *p, size_t a,
                         size_t c)
{
    struct lora_sizes s = lora_sizes(m->target);
    size_t b = s.out / a, d = s.in / c, r1 = lora_axis_size(m, LORA_LOKR_1B, 0);
    size_t r2 = lora_axis_size(m, LORA_LOKR_2B, 0);

    *w1 = malloc(a * c * sizeof **w1);
    *w2 = malloc(b * d * s.taps * sizeof **w2);
    if (!*w1 || !*w2) return false;
    if (p->value[LORA_LOKR_1])
        for (size_t i = 0; i < a * c; i++) (*w1)[i] = p->value[LORA_LOKR_1][i];
    else
        lora_product(*w1, p->value[LORA_LOKR_1A], r1, p->value[LORA_LOKR_1B], a, r1, c);
    if (p->value[LORA_LOKR_2])
        for (size_t i = 0; i < b * d * s.taps; i++) (*w2)[i] = p->value[LORA_LOKR_2][i];
    else if (p->value[LORA_LOKR_T2])
        return lora_tucker(*w2, p->value[LORA_LOKR_2A], p->value[LORA_LOKR_T2], p->value[LORA_LOKR_2B],
                           lora_axis_size(m, LORA_LOKR_2A, 0), r2, b, d, s.taps);
    else
        lora_product(*w2, p->value[LORA_LOKR_2A], r2, p->value[LORA_LOKR_2B], b, r2, d * s.taps);
    return true;
}

/* scale (w1 kron w2): row i b + p, column j d + q is w1[i, j] w2[p, q]. */
bool lora_delta_lokr(float *delta, const struct lora_module *m, const struct lora_parts *p)
{
    struct lora_sizes s = lora_sizes(m->target);
    size_t a = lora_axis_size(m, p->value[LORA_LOKR_1] ? LORA_LOKR_1 : LORA_LOKR_1A, 0);
    size_t c = lora_axis_size(m, p->value[LORA_LOKR_1] ? LORA_LOKR_1 : LORA_LOKR_1B, 1);
    size_t b = s.out / a, run = s.in / c * s.taps; /* the columns of one block, taps and all */
    float *w1 = NULL, *w2 = NULL;
    bool ok = lokr_factors(&w1, &w2, m, p, a, c);

    for (size_t row = 0; ok && row < s.out; row++)
        for (size_t j = 0; j < c; j++) {
            double factor = m->scale * (double)w1[row / b * c + j];
            for (size_t q = 0; q < run; q++)
                delta[(row * c + j) * run + q] = (float)(factor * (double)w2[row % b * run + q]);
        }
    free(w1);
    free(w2);
    return ok;
}

/* ---- GLoRA -------------------------------------------------------------- */

/* delta += (w0 @ first) @ second along the input axis; first [in, r], second [r, in]. */
static void add_through_weight(float *delta, const float *w0, const float *first, const float *second,
                               struct lora_sizes s, size_t rank, double *middle)
{
    for (size_t o = 0; o < s.out; o++) {
        const float *w = w0 + o * s.in * s.taps;
        for (size_t i = 0; i < rank * s.taps; i++) middle[i] = 0; /* [r, taps] */
        for (size_t i = 0; i < s.in; i++)
            for (size_t r = 0; r < rank; r++)
                for (size_t t = 0; t < s.taps; t++)
                    middle[r * s.taps + t] += (double)w[i * s.taps + t] * (double)first[i * rank + r];
        for (size_t j = 0; j < s.in; j++)
            for (size_t t = 0; t < s.taps; t++) {
                double sum = 0;
                for (size_t r = 0; r < rank; r++) sum += middle[r * s.taps + t] * (double)second[r * s.in + j];
                delta[(o * s.in + j) * s.taps + t] += (float)sum;
            }
    }
}

/* scale (b1 @ b2 + (w0 @ a1) @ a2); old files call each pair the other way round. */
bool lora_delta_glora(float *delta, const struct lora_module *m, const struct lora_parts *p, const float *w0)
{
    struct lora_sizes s = lora_sizes(m->target);
    bool current = lora_glora_current(m, m->target);
    const float *a1 = p->value[current ? LORA_GLORA_A1 : LORA_GLORA_A2];
    const float *a2 = p->value[current ? LORA_GLORA_A2 : LORA_GLORA_A1];
    const float *b1 = p->value[current ? LORA_GLORA_B1 : LORA_GLORA_B2];
    const float *b2 = p->value[current ? LORA_GLORA_B2 : LORA_GLORA_B1];
    double *middle = malloc(m->rank * s.taps * sizeof *middle);

    if (!middle) return false;
    lora_product(delta, b1, m->rank, b2, s.out, m->rank, s.in * s.taps);
    add_through_weight(delta, w0, a1, a2, s, m->rank, middle);
    free(middle);
    for (size_t i = 0; i < s.total; i++) delta[i] = (float)(m->scale * (double)delta[i]);
    return true;
}
