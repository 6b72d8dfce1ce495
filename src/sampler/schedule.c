#include "sampler/schedule.h"

#include <math.h>

#include "sampler/beta.h"

#define ALIASES(...) { __VA_ARGS__, NULL }

static const struct {
    const char *name, *about, *aliases[4];
} schedules[SCHEDULE_COUNT + 1] = {
    [SCHEDULE_AUTOMATIC] = { "Automatic", "what the sampler does best with, or its own timesteps",
                           ALIASES("auto", "default") },
    [SCHEDULE_UNIFORM] = { "Uniform", "evenly in timesteps, both ends in",
                           ALIASES("normal", "discrete", "linspace") },
    [SCHEDULE_KARRAS] = { "Karras", "evenly in sigma^(1/7): more steps at little noise",
                           ALIASES("ka") },
    [SCHEDULE_EXPONENTIAL] = { "Exponential", "evenly in ln sigma",
                           ALIASES("exp") },
    [SCHEDULE_SGM_UNIFORM] = { "SGM Uniform", "evenly in timesteps, the last left out",
                           { NULL } },
    [SCHEDULE_SIMPLE] = { "Simple", "every n-th level from the top; trailing timesteps",
                           ALIASES("trailing") },
    [SCHEDULE_DDIM] = { "DDIM", "every n-th level from the bottom; leading timesteps",
                           ALIASES("ddim_uniform", "leading") },
    [SCHEDULE_AYS] = { "Align Your Steps", "NVIDIA's levels for SD1.5, interpolated",
                           ALIASES("ays") },
    [SCHEDULE_KL_OPTIMAL] = { "KL Optimal", "evenly in atan sigma, ends at the lowest level",
                           { NULL } },
    [SCHEDULE_BETA] = { "Beta", "quantiles of the beta distribution (0.6, 0.6)",
                           { NULL } },
    [SCHEDULE_CUSTOM] = { "Custom", "levels given by the user",
                           { NULL } },
};

const char *schedule_name(enum schedule_kind kind)
{
    return schedules[kind].name;
}

const char *schedule_about(enum schedule_kind kind)
{
    return schedules[kind].about;
}

const char *const *schedule_aliases(enum schedule_kind kind)
{
    return schedules[kind].aliases;
}

/* ---- one more level at the end of a schedule ---- */

static void put_sigma(struct schedule *s, const struct levels *levels, double sigma)
{
    s->sigma[s->steps] = sigma;
    s->t[s->steps++] = levels_t(levels, sigma);
}

static void put_t(struct schedule *s, const struct levels *levels, double t)
{
    s->sigma[s->steps] = levels_sigma(levels, t);
    s->t[s->steps++] = t;
}

/* Where the picture ends: steps counts the levels before it. */
static void end_at(struct schedule *s, double sigma, double t)
{
    s->sigma[s->steps] = sigma;
    s->t[s->steps] = t;
}

static double lowest(const struct levels *levels)
{
    return levels->sigma[0];
}

static double highest(const struct levels *levels)
{
    return levels->sigma[levels->count - 1];
}

/* Point i of n from a to b, both in; a when n is 1. */
static double along(double a, double b, int i, int n)
{
    return n > 1 ? a + (b - a) * i / (n - 1) : a;
}

/* ---- the definitions ---- */

/* n of `points` timesteps between the ends: all of them for Uniform, all but the last for SGM Uniform. */
static void uniform(struct schedule *s, const struct levels *levels, int n, int points)
{
    double top = levels->first + levels->stride * (levels->count - 1);

    for (int i = 0; i < n; i++) put_t(s, levels, along(top, levels->first, i, points));
}

/* arXiv:2206.00364, equation 5. */
static void karras(struct schedule *s, const struct levels *levels, int n)
{
    const double rho = 7;
    double from = pow(highest(levels), 1 / rho), to = pow(lowest(levels), 1 / rho);

    for (int i = 0; i < n; i++) put_sigma(s, levels, pow(along(from, to, i, n), rho));
}

static void exponential(struct schedule *s, const struct levels *levels, int n)
{
    for (int i = 0; i < n; i++) put_sigma(s, levels, exp(along(log(highest(levels)), log(lowest(levels)), i, n)));
}

static void simple(struct schedule *s, const struct levels *levels, int n)
{
    double stride = (double)levels->count / n;

    for (int i = 0; i < n; i++)
        put_t(s, levels, levels->first + levels->stride * (levels->count - 1 - (int)(i * stride)));
}

static void ddim(struct schedule *s, const struct levels *levels, int n)
{
    int stride = levels->count / n > 1 ? levels->count / n : 1;
    int top = (levels->count - 2) / stride;

    for (int i = top; i >= 0; i--) put_t(s, levels, levels->first + levels->stride * (1 + i * stride));
}

/* research.nvidia.com/labs/toronto-ai/AlignYourSteps; A1111 has them rounded to three places. */
static void align_your_steps(struct schedule *s, const struct levels *levels, int n)
{
    static const double anchors[] = { 14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029 };
    const int last = sizeof anchors / sizeof *anchors - 1;

    for (int i = 0; i < n; i++) {
        double at = along(0, last, i, n);
        int k = at < last ? (int)at : last - 1;
        double w = at - k;
        put_sigma(s, levels, exp((1 - w) * log(anchors[k]) + w * log(anchors[k + 1])));
    }
}

static void kl_optimal(struct schedule *s, const struct levels *levels, int n)
{
    for (int i = 0; i < n; i++) {
        double share = (double)i / n;
        put_sigma(s, levels, tan(share * atan(lowest(levels)) + (1 - share) * atan(highest(levels))));
    }
}

/* arXiv:2407.12173, as A1111 reads it: the quantile is a place between the sigmas, not between the timesteps. */
static void beta(struct schedule *s, const struct levels *levels, int n)
{
    for (int i = 0; i < n; i++) {
        double share = beta_quantile(along(1, 0, i, n), 0.6);
        put_sigma(s, levels, lowest(levels) + share * (highest(levels) - lowest(levels)));
    }
}

void schedule_make(struct schedule *s, enum schedule_kind kind, const struct levels *levels, int steps)
{
    s->kind = kind;
    s->steps = 0;
    switch (kind) {
    case SCHEDULE_KARRAS: karras(s, levels, steps); break;
    case SCHEDULE_EXPONENTIAL: exponential(s, levels, steps); break;
    case SCHEDULE_SGM_UNIFORM: uniform(s, levels, steps, steps + 1); break;
    case SCHEDULE_SIMPLE: simple(s, levels, steps); break;
    case SCHEDULE_DDIM: ddim(s, levels, steps); break;
    case SCHEDULE_AYS: align_your_steps(s, levels, steps); break;
    case SCHEDULE_KL_OPTIMAL: kl_optimal(s, levels, steps); break;
    case SCHEDULE_BETA: beta(s, levels, steps); break;
    default: uniform(s, levels, steps, steps); break;
    }
    if (kind == SCHEDULE_KL_OPTIMAL)
        end_at(s, lowest(levels), levels->first);
    else
        end_at(s, 0, 0);
}

void schedule_make_unipc(struct schedule *s, const struct levels *levels, int steps)
{
    int top = levels->count - 1, stride = levels->count / steps > 1 ? levels->count / steps : 1;
    int m = top / stride + 1;

    s->kind = SCHEDULE_AUTOMATIC;
    s->steps = m;
    for (int i = 0; i <= m; i++) {
        double t = along(top, 0, i, m + 1), w = t - floor(t);
        int low = (int)t, high = low < top ? low + 1 : top;
        double abar = exp((1 - w) * log(levels->abar[low]) + w * log(levels->abar[high]));
        s->t[i] = t;
        s->sigma[i] = sqrt((1 - abar) / abar);
    }
}

bool schedule_custom(struct schedule *s, const struct levels *levels, const float *sigmas, int steps,
                     struct tinct_err *err)
{
    if (steps < 1 || steps > STEPS_MAX)
        return tinct_fail(err, TINCT_ERR_ARG, "%d steps: wanted 1 to %d", steps, STEPS_MAX);
    for (int i = 0; i <= steps; i++) {
        bool falls = i == 0 || sigmas[i] < sigmas[i - 1];
        bool above = sigmas[i] > 0.0f || (sigmas[i] == 0.0f && i == steps);
        if (!isfinite(sigmas[i]) || !falls || !above)
            return tinct_fail(err, TINCT_ERR_ARG,
                              "sigma %d is %g: wanted finite values, each below the one before, above 0 up to the last",
                              i, (double)sigmas[i]);
    }
    s->kind = SCHEDULE_CUSTOM;
    s->steps = 0;
    for (int i = 0; i < steps; i++) put_sigma(s, levels, sigmas[i]);
    end_at(s, sigmas[steps], sigmas[steps] > 0.0f ? levels_t(levels, sigmas[steps]) : 0);
    return true;
}
