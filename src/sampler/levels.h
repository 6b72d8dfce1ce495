/* The noise levels a model was trained at, and what a network's answer means at
 * each. sigma is the noise's standard deviation beside a picture of variance 1
 * (x = picture + sigma noise); t is the number the network is told.
 *
 *   abar      share of the picture in a training example, falling with t
 *   sigma     sqrt((1 - abar) / abar), rising with t
 *
 * Between two levels t and sigma are exchanged by linear interpolation in
 * ln sigma, as k-diffusion does (its quantize option off). */
#ifndef TINCT_SAMPLER_LEVELS_H
#define TINCT_SAMPLER_LEVELS_H

#include <stddef.h>

#include "base/err.h"

enum { LEVELS_MAX = 1000 };

struct levels {
    int count;                        /* 1000; 50 for levels_thin()'s */
    int first, stride;                /* t of level i is first + i * stride: 0 and 1; 19 and 20 */
    double abar[LEVELS_MAX];
    double sigma[LEVELS_MAX];
    double log_sigma[LEVELS_MAX];
};

/* Stable Diffusion's: sqrt(beta) linear from sqrt(.00085) to sqrt(.012) over
 * 1000 levels, abar rounded to fp32 as checkpoints hold it. sigma goes from
 * 0.0291675 (0.0291672 if abar were not rounded) to 14.6146415. */
void levels_sd(struct levels *levels);

/* From a checkpoint's alphas_cumprod. Refused (TINCT_ERR_FORMAT) unless there
 * are 1000 values inside (0, 1), each below the one before. A table stored in
 * fp16 is refused by that rule, since its first values coincide; take levels_sd(). */
bool levels_from_abar(struct levels *levels, const float *abar, size_t count, struct tinct_err *err);

/* The 50 levels t = 19, 39, ... 999 that LCM and TCD models were distilled at;
 * full has 1000. Source: arXiv:2310.04378. */
void levels_thin(struct levels *thin, const struct levels *full);

/* t of any sigma > 0, clamped to the first and last level; and sigma of any t,
 * clamped likewise. Inside, each undoes the other. */
double levels_t(const struct levels *levels, double sigma);
double levels_sigma(const struct levels *levels, double t);

/* t of the level nearest to sigma > 0 in ln sigma. */
int levels_nearest_t(const struct levels *levels, double sigma);

/* ---- what the network's answer means ---- */

/* Networks are shown x * c_in = x / sqrt(sigma^2 + 1), which has variance 1. */
double level_c_in(double sigma);

/* D, the estimate of the clean latent, is a sum of both: D = x * of x + answer * of the answer. */
struct level_denoised {
    double x, answer;
};

/* D = x - sigma eps: models that predict the noise (SD1, SDXL). */
struct level_denoised level_denoised_eps(double sigma);

/* D = x / (sigma^2 + 1) - v sigma / sqrt(sigma^2 + 1): models that predict v (SD2 768). Source: arXiv:2202.00512. */
struct level_denoised level_denoised_v(double sigma);

#endif
