/* What op_linear and op_conv2d do after their sum of products, in double, and how far fp32 may be off. */
#ifndef TINCT_TESTS_GEMM_DEFINITION_H
#define TINCT_TESTS_GEMM_DEFINITION_H

#include "ops/optest.h"

struct dot {                    /* a sum of products, and what bounds its error */
    double sum, absolute, squares;
};

static inline void dot_add(struct dot *d, double x, double w)
{
    d->sum += x * w;
    d->absolute += fabs(x * w);
    d->squares += x * w * x * w;
}

struct input_row {              /* [channels] of x at hand, as they are or normalised, */
    double *x;
    double *alike, *apart;      /* and how far off: all values by what they share, each by its own */
};

static inline struct input_row input_row_of(struct optest *t, uint32_t channels)
{
    size_t bytes = channels * sizeof(double);
    return (struct input_row) { optest_host(t, bytes), optest_host(t, bytes), optest_host(t, bytes) };
}

/* Layer norm, as in test_layer_norm.c. What is stored between two dispatches is rounded, too. */
static inline void input_row_normalise(const struct optest *t, struct input_row *r, uint32_t channels, const float *gamma,
                                       const float *beta, float eps)
{
    double mean = 0, var = 0, largest = 0;

    for (uint32_t c = 0; c < channels; c++) {
        mean += r->x[c] / channels;
        largest = fmax(largest, fabs(r->x[c]));
    }
    for (uint32_t c = 0; c < channels; c++) var += (r->x[c] - mean) * (r->x[c] - mean) / channels;
    double rstd = 1 / sqrt(var + (double)eps), mean_error = sqrt(channels) * 0x1p-24 * largest;

    for (uint32_t c = 0; c < channels; c++) {
        double scaled = (r->x[c] - mean) * rstd * gamma[c], y = scaled + beta[c];
        r->x[c] = y;
        r->alike[c] = fabs(rstd * gamma[c]) * mean_error + (sqrt(channels) / 2 + 6) * 0x1p-24 * fabs(scaled);
        r->apart[c] = optest_store(t, y) + 0x1p-24 * fabs((double)beta[c]);
    }
}

/* The row times an output's weights; *off: of its inputs, added up in one way or as squares, four deviations of them. */
static inline struct dot input_row_dot(const struct input_row *r, uint32_t channels, const float *w, double *off)
{
    struct dot d = { 0 };
    double alike = 0, apart = 0;

    for (uint32_t c = 0; c < channels; c++) {
        dot_add(&d, r->x[c], w[c]);
        alike += r->alike[c] * fabs((double)w[c]);
        apart += r->apart[c] * r->apart[c] * w[c] * w[c];
    }
    *off = alike + 4 / sqrt(3) * sqrt(apart);
    return d;
}

static inline double act_of(enum act act, double x)
{
    switch (act) {
    case OP_ACT_SILU: return x / (1 + exp(-x));
    case OP_ACT_GELU: return x * (1 + erf(x / sqrt(2))) / 2;
    case OP_ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case OP_ACT_NONE: break;
    }
    return x;
}

/* Error of act(x) where x is off by `off`: no slope is above 1.13. Vulkan's exp is good to 3 + 2 |argument| steps of
 * 2^-23, division to 2.5; the usual short erf (Abramowitz and Stegun 7.1.26) to 1.5e-7, here 2^-21 with its
 * roundings; results below 2^-126 may be flushed. */
static inline double act_off(enum act act, double x, double off)
{
    if (act == OP_ACT_NONE) return off;
    double own = act == OP_ACT_GELU ? fabs(x) * 0x1p-21 : fabs(act_of(act, x)) * (7 + 3.5 * fabs(x)) * 0x1p-23;
    return 1.13 * off + own + 0x1p-126;
}

/* Value and tolerance of act(dot + added): added is bias and per_image together, of the given sum of magnitudes. */
static inline double finish(const struct optest *t, struct dot d, double k, double added, double added_magnitude,
                            enum act act, double *off)
{
    double x = d.sum + added;
    double x_off = optest_dot(t, k, d.absolute, d.squares) + 2 * 0x1p-24 * (fabs(d.sum) + added_magnitude);

    *off = act_off(act, x, x_off);
    return act_of(act, x);
}

/* Adds the residual and the rounding of the store. */
static inline double finish_store(const struct optest *t, double value, double residual, double *off)
{
    value += residual;
    *off += 0x1p-24 * fabs(value) + optest_store(t, value);
    return value;
}

#endif
