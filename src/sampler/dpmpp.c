/* DPM-Solver++, the exponential integrators in ln sigma: x' = (s'/s) x + (1 - s'/s) D
 * is exact for a constant D. Source: arXiv:2211.01095; k-diffusion. */
#include <math.h>
#include <string.h>

#include "sampler/walk.h"

/* Second order inside one step: D at the middle of ln s, then the whole step with that D. */
bool sample_dpmpp_2s_ancestral(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1];
        struct ancestral step = ancestral_step(s, next, w->eta);

        if (!walk_denoise(w, i)) return false;
        if (step.down == 0) {
            euler_step(w->x, w->x, w->d, s, -s, w->count);
        } else {
            double middle = sqrt(s * step.down), half = middle / s, whole = step.down / s;
            mix(w->y, half, w->x, 1 - half, w->d, w->count);
            if (!walk_denoise_trial(w, middle)) return false;
            mix(w->x, whole, w->x, 1 - whole, w->d2, w->count);
        }
        walk_add_noise(w, w->x, s, next, w->s_noise * step.up);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

/* Second order by the D of the step before: E = D + (D - D_old) h / (2 h_old). The first step has
 * none, and the last to 0 would extend it over an endless h: both take E = D. */
bool sample_dpmpp_2m(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1], ratio = next / s, more = 0;

        if (!walk_denoise(w, i)) return false;
        if (i > 0 && next > 0) more = log(s / next) / (2 * log(w->sigma[i - 1] / s));
        mix(w->y, 1 + more, w->d, -more, w->past[0], w->count);
        mix(w->x, ratio, w->x, 1 - ratio, w->y, w->count);
        walk_remember(w, w->d);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

/* The same for the reverse SDE, of which eta is the share of noise; the midpoint variant. */
bool sample_dpmpp_2m_sde(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1];

        if (!walk_denoise(w, i)) return false;
        if (next == 0) {
            memcpy(w->x, w->d, w->count * sizeof *w->x);
        } else {
            double h = log(s / next), k = -expm1(-h - w->eta * h), more = 0;
            if (i > 0) more = k / 2 * h / log(w->sigma[i - 1] / s);
            mix(w->x, next / s * exp(-w->eta * h), w->x, k + more, w->d, w->count);
            mix(w->x, 1, w->x, -more, w->past[0], w->count);
            walk_add_noise(w, w->x, s, next, w->s_noise * next * sqrt(-expm1(-2 * w->eta * h)));
        }
        walk_remember(w, w->d);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

/* The single-step SDE solver with its trial point in the middle of ln s (r = 1/2, so the step takes D
 * there alone). Each of the two parts goes down, and up by noise drawn from the step's start. */
bool sample_dpmpp_sde(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1];

        if (!walk_denoise(w, i)) return false;
        if (next == 0) {
            memcpy(w->x, w->d, w->count * sizeof *w->x);
        } else {
            double middle = sqrt(s * next);
            struct ancestral half = ancestral_step(s, middle, w->eta), whole = ancestral_step(s, next, w->eta);

            mix(w->y, half.down / s, w->x, 1 - half.down / s, w->d, w->count);
            walk_add_noise(w, w->y, s, middle, w->s_noise * half.up);
            if (!walk_denoise_trial(w, middle)) return false;
            mix(w->x, whole.down / s, w->x, 1 - whole.down / s, w->d2, w->count);
            walk_add_noise(w, w->x, s, next, w->s_noise * whole.up);
        }
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}
