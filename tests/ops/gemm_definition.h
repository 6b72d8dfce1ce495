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
