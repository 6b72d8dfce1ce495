/* Linear multistep: the slopes of up to four past levels, extended over the step by
 * the polynomial through them. Source: k-diffusion's sample_lms, order 4. */
#include <math.h>

#include "sampler/walk.h"

/* Lagrange's polynomial that is 1 at level i - j and 0 at the other order - 1 levels before i, at x. */
static double lagrange(const double *sigma, int i, int j, int order, double x)
{
    double product = 1;

    for (int k = 0; k < order; k++)
        if (k != j) product *= (x - sigma[i - k]) / (sigma[i - j] - sigma[i - k]);
    return product;
}

/* Its integral from level i to the next. Two Gauss points are exact up to cubics, which is what order 4 gives. */
static double weight(const double *sigma, int i, int j, int order)
{
    double middle = (sigma[i] + sigma[i + 1]) / 2, half = (sigma[i + 1] - sigma[i]) / 2, at = half / sqrt(3);

    return half * (lagrange(sigma, i, j, order, middle - at) + lagrange(sigma, i, j, order, middle + at));
}

bool sample_lms(struct walk *w)
{
    for (int i = 0; i < w->steps; i++) {
        int order = i + 1 < WALK_PAST ? i + 1 : WALK_PAST;

        if (!walk_denoise(w, i)) return false;
        mix(w, Y, 1 / w->sigma[i], X, -1 / w->sigma[i], D);
        walk_remember(w, Y);
        for (int j = 0; j < order; j++) mix(w, X, 1, X, weight(w->sigma, i, j, order), PAST + j);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}
