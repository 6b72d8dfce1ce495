#include "sampler/beta.h"

#include <math.h>

/* ln I_x(a, a) for x in (0, 1/2], by the continued fraction of DLMF 8.17.22
 * summed from its end: at x = 1/2 a term adds a factor of 0.17, so 40 are more than enough. */
static double log_incomplete_beta(double x, double a)
{
    double tail = 0;

    for (int m = 20; m >= 0; m--) {
        double odd = -(a + m) * (2 * a + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double even = m * (a - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        tail = odd / (1 + tail);
        if (m > 0) tail = even / (1 + tail);
    }
    return a * log(x) + a * log1p(-x) - log(a) - (2 * lgamma(a) - lgamma(2 * a)) - log1p(tail);
}

/* Newton's method for ln I as a function of ln x, which is nearly a straight line of slope a. */
static double lower_half(double p, double a)
{
    double log_beta = 2 * lgamma(a) - lgamma(2 * a);
    double y = fmin((log(p) + log(a) + log_beta) / a, log(0.5));

    for (int i = 0; i < 40; i++) {
        double x = exp(y), log_i = log_incomplete_beta(x, a);
        double slope = exp(a * y + (a - 1) * log1p(-x) - log_beta - log_i);
        double next = fmin(y - (log_i - log(p)) / slope, log(0.5));
        if (fabs(next - y) < 1e-15) break;
        y = next;
    }
    return exp(y);
}

double beta_quantile(double p, double shape)
{
    if (p <= 0) return 0;
    if (p >= 1) return 1;
    return p <= 0.5 ? lower_half(p, shape) : 1 - lower_half(1 - p, shape);
}
