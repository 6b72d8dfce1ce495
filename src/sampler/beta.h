/* The quantile of a symmetric beta distribution, which the Beta schedule walks along. */
#ifndef TINCT_SAMPLER_BETA_H
#define TINCT_SAMPLER_BETA_H

/* The x in [0, 1] below which a share p in [0, 1] of Beta(shape, shape) lies, to
 * 1e-12; shape in (0, 2]. Equals scipy.stats.beta.ppf(p, shape, shape). */
double beta_quantile(double p, double shape);

#endif
