/* Euler and Heun steps of the probability flow dx/dsigma = (x - D) / sigma, and
 * their ancestral and second-order kin. Source: arXiv:2206.00364, algorithm 2; k-diffusion. */
#include <math.h>

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
    double hat = sigma + up;
    walk_draw(w, sigma, hat);
    mix(w, X, 1, X, w->s_noise * sqrt(hat * hat - sigma * sigma), NOISE);
    return hat;
}

static bool denoise_from(struct walk *w, int i, double hat)
{
    return hat == w->sigma[i] ? walk_denoise(w, i)
                              : walk_denoise_at(w, X, hat, levels_t(w->run->levels, hat), D);
}

bool sample_euler(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = churn(w, i);
        if (!denoise_from(w, i, s)) return false;
        euler_step(w, X, X, D, s, w->sigma[i + 1] - s);
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
        euler_step(w, X, X, D, s, step.down - s);
        walk_add_noise(w, X, s, next, w->s_noise * step.up);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

bool sample_heun(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = churn(w, i), next = w->sigma[i + 1], dt = next - s;

        if (!denoise_from(w, i, s)) return false;
        euler_step(w, Y, X, D, s, dt);
        if (next > 0) {
            if (!walk_denoise_at(w, Y, next, w->t[i + 1], D2)) return false;
            euler_step(w, Y, Y, D2, next, dt / 2);      /* Y is already dt below X on the first slope: half of that goes */
            mix(w, Y, 1, Y, -dt / 2 / s, X);
            mix(w, Y, 1, Y, dt / 2 / s, D);
        }
        copy(w, X, Y);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

/* The slope at the geometric mean of two levels, taken from x at s down to `to`. */
static bool midpoint_step(struct walk *w, double s, double to)
{
    double middle = sqrt(s * to);

    euler_step(w, Y, X, D, s, middle - s);
    if (!walk_denoise_trial(w, middle)) return false;
    mix(w, X, 1, X, (to - s) / middle, Y);
    mix(w, X, 1, X, (s - to) / middle, D2);
    return true;
}

bool sample_dpm_2(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = churn(w, i), next = w->sigma[i + 1];

        if (!denoise_from(w, i, s)) return false;
        if (next == 0)
            euler_step(w, X, X, D, s, -s);
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
            euler_step(w, X, X, D, s, -s);
        else if (!midpoint_step(w, s, step.down))
            return false;
        walk_add_noise(w, X, s, next, step.down > 0 ? w->s_noise * step.up : 0);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}
