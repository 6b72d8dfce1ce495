/* Samplers of the noise as it was trained: DDIM, and the two distilled ones that
 * need a few steps only. In papers x has variance 1, x_p = sqrt(abar) x; here x is
 * the same divided by sqrt(abar), so abar = 1 / (sigma^2 + 1) and D is their x0. */
#include <math.h>

#include "sampler/walk.h"

static double abar_of(double sigma)
{
    return 1 / (sigma * sigma + 1);
}

/* x_p' = sqrt(abar') D + sqrt(1 - abar' - w^2) e + w z. Source: arXiv:2010.02502, equation 12. Every step is
 * taken, the last to t = 0, as the paper's code and diffusers do; A1111 leaves that last one out and ends at t = 1. */
bool sample_ddim(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1], a = abar_of(s), b = abar_of(next);
        double noise = w->eta * sqrt((1 - b) / (1 - a) * (1 - a / b));
        double rest = sqrt(fmax(1 - b - noise * noise, 0) / b);

        if (!walk_denoise(w, i)) return false;
        mix(w, X, rest / s, X, 1 - rest / s, D);
        walk_add_noise(w, X, s, next, noise / sqrt(b));
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

/* The distilled model gives the clean latent at once; each step adds fresh noise of the next level to it.
 * Its answer is blended with x so that it is x itself at t = 0. Source: arXiv:2310.04378; A1111. */
bool sample_lcm(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double q = 10 * w->t[i], c_skip = 0.25 / (q * q + 0.25), c_out = q / sqrt(q * q + 0.25);

        if (!walk_denoise(w, i)) return false;
        mix(w, D, c_skip, X, c_out, D);
        copy(w, X, D);
        walk_add_noise(w, X, w->sigma[i], w->sigma[i + 1], w->sigma[i + 1]);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}

/* Down to t_s = floor((1 - eta) t'), then up to t' by noise; the last step ends at t = 0 with none.
 * Source: arXiv:2402.19159, algorithm 2, eta its gamma; diffusers. */
bool sample_tcd(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        double s = w->sigma[i], next = w->sigma[i + 1];
        double down = levels_sigma(w->run->levels, floor((1 - w->eta) * w->t[i + 1]));

        if (!walk_denoise(w, i)) return false;
        mix(w, X, down / s, X, 1 - down / s, D);
        walk_add_noise(w, X, s, next, sqrt(fmax(next * next - down * down, 0)));
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}
