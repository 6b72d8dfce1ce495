/* UniPC on the data prediction, order 3, B(h) = h ("bh1"): a predictor through the past
 * three D, and a corrector that takes the step again once D at its end is known, at no
 * further evaluation. In ln sigma, h = ln(s / s'), all of it is in x and D alone.
 * Source: arXiv:2302.04867; settings as A1111's. */
#include <math.h>

#include "sampler/walk.h"

enum { ORDER = 3 };

/* Solve the n x n system r c = b, by elimination; r and b are used up. */
static void solve(double r[ORDER][ORDER], double *b, int n, double *c)
{
    for (int i = 0; i < n; i++) {
        int pivot = i;
        for (int k = i + 1; k < n; k++)
            if (fabs(r[k][i]) > fabs(r[pivot][i])) pivot = k;
        for (int j = i; j < n; j++) {
            double v = r[i][j];
            r[i][j] = r[pivot][j];
            r[pivot][j] = v;
        }
        double v = b[i];
        b[i] = b[pivot];
        b[pivot] = v;
        for (int k = i + 1; k < n; k++) {
            double f = r[k][i] / r[i][i];
            for (int j = i; j < n; j++) r[k][j] -= f * r[i][j];
            b[k] -= f * b[i];
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        c[i] = b[i];
        for (int j = i + 1; j < n; j++) c[i] -= r[i][j] * c[j];
        c[i] /= r[i][i];
    }
}

/* Weights c[n] for the differences at ratios[n] of the step h (1: its end), so that the first
 * n terms of D's expansion come out right: sum_k ratios[k]^i c[k] = (i + 1)! phi_(i+2)(-h) / B. */
static void weights(const double *ratios, int n, double h, double *c)
{
    double r[ORDER][ORDER], b[ORDER], hh = -h, phi = expm1(hh) / hh - 1, factorial = 1;

    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n; k++) r[i][k] = pow(ratios[k], i);
        b[i] = phi * factorial / hh;
        factorial *= i + 2;
        phi = phi / hh - 1 / factorial;
    }
    solve(r, b, n, c);
}

/* X = the step from Y at level i to level i + 1, of `order`; PAST is D at level i, PAST + 1 the one before ...
 * The corrector knows D at level i + 1, which is in the place D. */
static void step(struct walk *w, int i, int order, bool corrector)
{
    const double *sigma = w->sigma;
    double ratio = sigma[i + 1] / sigma[i], h, ratios[ORDER], c[ORDER];
    int terms = corrector ? order : order - 1;

    if (sigma[i + 1] == 0) { /* an endless h: what the limit leaves */
        copy(w, X, PAST);
        return;
    }
    h = log(sigma[i] / sigma[i + 1]);
    for (int k = 1; k < order; k++) ratios[k - 1] = log(sigma[i] / sigma[i - k]) / h;
    ratios[order - 1] = 1;
    if (corrector ? order == 1 : order == 2)
        c[0] = 0.5; /* the paper's shortcut, kept by every implementation */
    else if (terms > 0)
        weights(ratios, terms, h, c);

    mix(w, X, ratio, Y, 1 - ratio, PAST);
    for (int k = 0; k < terms; k++) {
        double share = h * c[k] / ratios[k];        /* of the difference between an end and D at level i */
        mix(w, X, 1, X, share, k == order - 1 ? D : PAST + k + 1);
        mix(w, X, 1, X, -share, PAST);
    }
}

/* Y keeps x at the level before, from which the corrector takes the step again. */
bool sample_unipc(struct walk *w)
{
    int order = 0;

    for (int i = 0; i < w->steps; i++) {
        if (!walk_denoise(w, i)) return false;
        if (i > 0) step(w, i - 1, order, true);
        walk_remember(w, D);
        copy(w, Y, X);

        order = i + 1 < ORDER ? i + 1 : ORDER;
        if (order > w->steps - i) order = w->steps - i;
        step(w, i, order, false);
        if (!walk_step_done(w, i)) return false;
    }
    return true;
}
