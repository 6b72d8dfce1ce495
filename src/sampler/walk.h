/* A sampler's run on its way, and the few things every sampler does. Private to this room. */
#ifndef TINCT_SAMPLER_WALK_H
#define TINCT_SAMPLER_WALK_H

#include "sampler/sampler.h"

enum { WALK_PAST = 4 };

struct walk {
    const struct sampler_run *run;
    const double *sigma, *t;          /* [steps + 1] */
    int steps;
    size_t count;
    double eta, s_noise;
    double *x;                        /* [count], the state */
    double *d;                        /* [count], D at x */
    double *y, *d2;                   /* [count], a trial point and D there */
    double *past[WALK_PAST];          /* [count] each: what a multistep method remembers, latest first */
    float *x_float, *d_float, *z;     /* [count] each, what callbacks see */
    struct tinct_err *err;
};

/* d = D(x) at step i's level, and d2 = D(y) at any other. False: the callback stopped the run. */
bool walk_denoise(struct walk *w, int i);
bool walk_denoise_at(struct walk *w, const double *x, double sigma, double t, double *d);
bool walk_denoise_trial(struct walk *w, double sigma);

/* x += scale * (the noise between two levels); draws nothing where scale is 0. */
void walk_add_noise(struct walk *w, double *x, double from, double to, double scale);

/* After step i, when x holds the result: tells on_step. False: it wants no more. */
bool walk_step_done(struct walk *w, int i);

/* Put d (or what the method keeps) in front of past; the oldest falls out. */
void walk_remember(struct walk *w, const double *values);

/* out = a x + b y; out may be either. */
void mix(double *out, double a, const double *x, double b, const double *y, size_t count);

/* x += dt (x - d) / sigma, the Euler step, written to out: out may be x. */
void euler_step(double *out, const double *x, const double *d, double sigma, double dt, size_t count);

/* How far down an ancestral step goes, and how much noise brings it up to level `to` again. */
struct ancestral {
    double down, up;
};
struct ancestral ancestral_step(double from, double to, double eta);

/* ---- the samplers, one rule each ---- */
bool sample_euler(struct walk *w);
bool sample_euler_ancestral(struct walk *w);
bool sample_heun(struct walk *w);
bool sample_dpm_2(struct walk *w);
bool sample_dpm_2_ancestral(struct walk *w);
bool sample_lms(struct walk *w);
bool sample_dpmpp_2s_ancestral(struct walk *w);
bool sample_dpmpp_2m(struct walk *w);
bool sample_dpmpp_2m_sde(struct walk *w);
bool sample_dpmpp_sde(struct walk *w);
bool sample_ddim(struct walk *w);
bool sample_unipc(struct walk *w);
bool sample_lcm(struct walk *w);
bool sample_tcd(struct walk *w);

#endif
