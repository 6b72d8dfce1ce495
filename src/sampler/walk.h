/* A sampler's run on its way, and the few things every sampler does. Private to this room.
 *
 * Nothing is computed here: each place is a sum of what the places held when the model was last asked, of the noise and
 * of D, and only its weights are known. With the model's next answer, or at the end of a step, they go to the run's advance(). */
#ifndef TINCT_SAMPLER_WALK_H
#define TINCT_SAMPLER_WALK_H

#include "sampler/sampler.h"

enum {
    X = SAMPLER_X,                    /* the state */
    D = SAMPLER_D,                    /* D at X */
    Y, D2,                            /* a trial point, or what else a method needs, and D there */
    PAST,                             /* WALK_PAST places: what a multistep method remembers, latest first */
    WALK_PAST = 4,
    NOISE = SAMPLER_NOISE,
};

struct walk {
    const struct sampler_run *run;
    const double *sigma, *t;          /* [steps + 1] */
    int steps;
    double eta, s_noise;
    double now[SAMPLER_TERMS][SAMPLER_TERMS];   /* every place, the noise and D as sums of themselves at the last advance */
    struct sampler_advance next;      /* where the model is to be asked, if it is */
    bool asked, drawn;                /* it is; there is noise that was not used yet */
    bool failed;                      /* the noise could not be drawn */
};

/* D becomes D(X) at step i's level, D2 becomes D(Y) at any other. False: the run is stopped. */
bool walk_denoise(struct walk *w, int i);
bool walk_denoise_at(struct walk *w, int x, double sigma, double t, int d);
bool walk_denoise_trial(struct walk *w, double sigma);

/* NOISE becomes the noise between two levels. Once between two calls of walk_denoise or walk_step_done. */
void walk_draw(struct walk *w, double from, double to);

/* x += scale * (the noise between two levels); draws nothing where scale is 0. */
void walk_add_noise(struct walk *w, int x, double from, double to, double scale);

/* After step i, when X holds the result: tells on_step. False: it wants no more. */
bool walk_step_done(struct walk *w, int i);

/* Put d (or what the method keeps) in front of PAST; the oldest falls out. */
void walk_remember(struct walk *w, int d);

/* out = a x + b y; out may be either. */
void mix(struct walk *w, int out, double a, int x, double b, int y);
void copy(struct walk *w, int out, int x);

/* out = x + dt (x - d) / sigma, the Euler step; out may be x. */
void euler_step(struct walk *w, int out, int x, int d, double sigma, double dt);

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
