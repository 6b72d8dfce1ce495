#include "sampler/levels.h"

#include <math.h>

static void fill(struct levels *levels)
{
    for (int i = 0; i < levels->count; i++) {
        double abar = levels->abar[i];
        levels->sigma[i] = sqrt((1.0 - abar) / abar);
        levels->log_sigma[i] = log(levels->sigma[i]);
    }
}

void levels_sd(struct levels *levels)
{
    const double from = sqrt(0.00085), to = sqrt(0.012);
    double abar = 1.0;

    *levels = (struct levels) { .count = LEVELS_MAX, .first = 0, .stride = 1 };
    for (int i = 0; i < LEVELS_MAX; i++) {
        double root = from + (to - from) * i / (LEVELS_MAX - 1);
        abar *= 1.0 - root * root;
        levels->abar[i] = (float)abar; /* 1 - abar begins at 8.5e-4: unrounded, sigma_min would move by 1e-5 */
    }
    fill(levels);
}

bool levels_from_abar(struct levels *levels, const float *abar, size_t count, struct tinct_err *err)
{
    if (count != LEVELS_MAX)
        return tinct_fail(err, TINCT_ERR_FORMAT, "alphas_cumprod: wanted %d values, file has %zu", LEVELS_MAX, count);
    for (size_t i = 0; i < count; i++) {
        float before = i ? abar[i - 1] : 1.0f;
        if (!(abar[i] > 0.0f && abar[i] < before))
            return tinct_fail(err, TINCT_ERR_FORMAT,
                              "alphas_cumprod: value %zu is %g, wanted one between 0 and the one before, %g", i,
                              (double)abar[i], (double)before);
    }
    *levels = (struct levels) { .count = LEVELS_MAX, .first = 0, .stride = 1 };
    for (int i = 0; i < LEVELS_MAX; i++) levels->abar[i] = abar[i];
    fill(levels);
    return true;
}

void levels_thin(struct levels *thin, const struct levels *full)
{
    *thin = (struct levels) { .count = 50, .first = 19, .stride = 20 };
    for (int i = 0; i < thin->count; i++) thin->abar[i] = full->abar[thin->first + i * thin->stride];
    fill(thin);
}

/* Index of the level at or below ln sigma, so that it and the next enclose it. */
static int level_below(const struct levels *levels, double log_sigma)
{
    int low = 0, high = levels->count - 1;

    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (levels->log_sigma[middle] <= log_sigma)
            low = middle;
        else
            high = middle;
    }
    return low;
}

double levels_t(const struct levels *levels, double sigma)
{
    double log_sigma = log(sigma);
    int i = level_below(levels, log_sigma);
    double w = (log_sigma - levels->log_sigma[i]) / (levels->log_sigma[i + 1] - levels->log_sigma[i]);

    return levels->first + levels->stride * (i + fmin(fmax(w, 0.0), 1.0));
}

double levels_sigma(const struct levels *levels, double t)
{
    double at = fmin(fmax((t - levels->first) / levels->stride, 0.0), levels->count - 1);
    int i = (int)at;
    double w = at - i;

    if (w == 0.0) return levels->sigma[i];
    return exp((1.0 - w) * levels->log_sigma[i] + w * levels->log_sigma[i + 1]);
}

int levels_nearest_t(const struct levels *levels, double sigma)
{
    double log_sigma = log(sigma);
    int i = level_below(levels, log_sigma);

    if (levels->log_sigma[i + 1] - log_sigma < log_sigma - levels->log_sigma[i]) i++;
    return levels->first + i * levels->stride;
}

double level_c_in(double sigma)
{
    return 1.0 / sqrt(sigma * sigma + 1.0);
}

struct level_denoised level_denoised_eps(double sigma)
{
    return (struct level_denoised) { 1, -sigma };
}

struct level_denoised level_denoised_v(double sigma)
{
    return (struct level_denoised) { 1.0 / (sigma * sigma + 1.0), -sigma * level_c_in(sigma) };
}
