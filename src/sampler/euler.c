/* Euler and Heun steps of the probability flow dx/dsigma = (x - D) / sigma, and
 * their ancestral and second-order kin. Source: arXiv:2206.00364, algorithm 2; k-diffusion. */
#include <math.h>
#include <string.h>

#include "sampler/walk.h"

/* Put some noise back before step i; returns the level that x is at then. With s_churn k-diffusion
 * draws at every step, used or not, and so does this: seeds stay comparable. */
static double churn(struct walk *w, int i)
{
    const struct sampler_run *run = w->run;
    double sigma = w->sigma[i], up = 0;

    if (!(run->s_churn > 0)) return sigma;
    if (sigma >= run->s_tmin && (run->s_tmax <= 0 || sigma <= run->s_tmax))
        up = fmin((double)run->s_churn / w->steps, sqrt(2) - 1) * sigma;
    double hat = sigma + up, scale = w->s_noise * sqrt(hat * hat - sigma * sigma);
    run->noise(run->ctx, sigma, hat, w->z);
    for (size_t k = 0; k < w->count; k++) w->x[k] += scale * w->z[k];
    return hat;
}

static bool denoise_from(struct walk *w, int i, double hat)
{
    return hat == w->sigma[i] ? walk_denoise(w, i)
                              : walk_denoise_at(w, w->x, hat, levels_t(w->run->levels, hat), w->d);
}

bool sample_euler(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = churn(w, i);
        if (!denoise_from(w, i, s)) return false;
        euler_step(w->x, w->x, w->d, s, w->sigma[i + 1] - s, w->count);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

bool sample_euler_ancestral(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1];
        struct ancestral step = ancestral_step(s, next, w->eta);

        if (!walk_denoise(w, i)) return false;
        euler_step(w->x, w->x, w->d, s, step.down - s, w->count);
        walk_add_noise(w, w->x, s, next, w->s_noise * step.up);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

bool sample_heun(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = churn(w, i), next = w->sigma[i + 1], dt = next - s;

        if (!denoise_from(w, i, s)) return false;
        euler_step(w->y, w->x, w->d, s, dt, w->count);
        if (next > 0) {
            if (!walk_denoise_at(w, w->y, next, w->t[i + 1], w->d2)) return false;
            for (size_t k = 0; k < w->count; k++)
                w->y[k] = w->x[k] + ((w->x[k] - w->d[k]) / s + (w->y[k] - w->d2[k]) / next) / 2 * dt;
        }
        memcpy(w->x, w->y, w->count * sizeof *w->x);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

/* The slope at the geometric mean of two levels, taken from x at s down to `to`. */
static bool midpoint_step(struct walk *w, double s, double to)
{
    double middle = sqrt(s * to);

    euler_step(w->y, w->x, w->d, s, middle - s, w->count);
    if (!walk_denoise_trial(w, middle)) return false;
    for (size_t k = 0; k < w->count; k++) w->x[k] += (w->y[k] - w->d2[k]) / middle * (to - s);
    return true;
}

bool sample_dpm_2(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = churn(w, i), next = w->sigma[i + 1];

        if (!denoise_from(w, i, s)) return false;
        if (next == 0)
            euler_step(w->x, w->x, w->d, s, -s, w->count);
        else if (!midpoint_step(w, s, next))
            return false;
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

bool sample_dpm_2_ancestral(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1];
        struct ancestral step = ancestral_step(s, next, w->eta);

        if (!walk_denoise(w, i)) return false;
        if (step.down == 0)
            euler_step(w->x, w->x, w->d, s, -s, w->count);
        else if (!midpoint_step(w, s, step.down))
            return false;
        walk_add_noise(w, w->x, s, next, step.down > 0 ? w->s_noise * step.up : 0);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}
