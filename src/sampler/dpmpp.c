/* DPM-Solver++, the exponential integrators in ln sigma: x' = (s'/s) x + (1 - s'/s) D
 * is exact for a constant D. Source: arXiv:2211.01095; k-diffusion. */
#include <math.h>

#include "sampler/walk.h"

/* Second order inside one step: D at the middle of ln s, then the whole step with that D. */
bool sample_dpmpp_2s_ancestral(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1];
        struct ancestral step = ancestral_step(s, next, w->eta);

        if (!walk_denoise(w, i)) return false;
        if (step.down == 0) {
            euler_step(w, X, X, D, s, -s);
        } else {
            double middle = sqrt(s * step.down), half = middle / s, whole = step.down / s;
            mix(w, Y, half, X, 1 - half, D);
            if (!walk_denoise_trial(w, middle)) return false;
            mix(w, X, whole, X, 1 - whole, D2);
        }
        walk_add_noise(w, X, s, next, w->s_noise * step.up);
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
        mix(w, Y, 1 + more, D, -more, PAST);
        mix(w, X, ratio, X, 1 - ratio, Y);
        walk_remember(w, D);
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
            copy(w, X, D);
        } else {
            double h = log(s / next), k = -expm1(-h - w->eta * h), more = 0;
            if (i > 0) more = k / 2 * h / log(w->sigma[i - 1] / s);
            mix(w, X, next / s * exp(-w->eta * h), X, k + more, D);
            mix(w, X, 1, X, -more, PAST);
            walk_add_noise(w, X, s, next, w->s_noise * next * sqrt(-expm1(-2 * w->eta * h)));
        }
        walk_remember(w, D);
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
            copy(w, X, D);
        } else {
            double middle = sqrt(s * next);
            struct ancestral half = ancestral_step(s, middle, w->eta), whole = ancestral_step(s, next, w->eta);

            mix(w, Y, half.down / s, X, 1 - half.down / s, D);
            walk_add_noise(w, Y, s, middle, w->s_noise * half.up);
            if (!walk_denoise_trial(w, middle)) return false;
            mix(w, X, whole.down / s, X, 1 - whole.down / s, D2);
            walk_add_noise(w, X, s, next, w->s_noise * whole.up);
        }
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}
