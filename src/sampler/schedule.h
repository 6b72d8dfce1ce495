/* Schedules: which noise levels a picture passes on its way from noise to clean.
 * Definitions and names are A1111's; a schedule depends on the levels and the
 * number of steps alone. Most callers want sampler_schedule() (sampler.h), which
 * knows what each sampler needs besides. */
#ifndef TINCT_SAMPLER_SCHEDULE_H
#define TINCT_SAMPLER_SCHEDULE_H

#include "sampler/levels.h"

enum { STEPS_MAX = 1000 };

enum schedule_kind {
    SCHEDULE_AUTOMATIC,    /* the sampler's own choice, or its own timesteps */
    SCHEDULE_UNIFORM,      /* t evenly from 999 to 0, both in */
    SCHEDULE_KARRAS,       /* evenly in sigma^(1/7) */
    SCHEDULE_EXPONENTIAL,  /* evenly in ln sigma */
    SCHEDULE_SGM_UNIFORM,  /* t evenly from 999 to 0, 0 left out */
    SCHEDULE_SIMPLE,       /* every 1000/n-th level, from the top */
    SCHEDULE_DDIM,         /* t = 1, 1 + k, 1 + 2k ... with k = floor(1000/n) */
    SCHEDULE_AYS,          /* Align Your Steps' eleven SD1.5 levels, interpolated in ln sigma */
    SCHEDULE_KL_OPTIMAL,   /* evenly in atan sigma; ends at the lowest level, not at 0 */
    SCHEDULE_BETA,         /* quantiles of Beta(0.6, 0.6) over the range of sigma */
    SCHEDULE_COUNT,
    SCHEDULE_CUSTOM = SCHEDULE_COUNT /* levels handed in by the user */
};

struct schedule {
    enum schedule_kind kind;
    int steps;                        /* 1..STEPS_MAX + 1; model evaluations of a first-order sampler */
    double sigma[STEPS_MAX + 2];      /* [steps + 1], falling; the last is where the picture ends, mostly 0 */
    double t[STEPS_MAX + 2];          /* [steps + 1], what the network is told at each; 0 where sigma is 0 */
};

/* A1111's label, such as "SGM Uniform" or "DDIM"; "Custom" for SCHEDULE_CUSTOM. */
const char *schedule_name(enum schedule_kind kind);

/* What each does, in a few words, for lists. */
const char *schedule_about(enum schedule_kind kind);

/* Other spellings (ComfyUI's, sd.cpp's, diffusers'), NULL at the end. */
const char *const *schedule_aliases(enum schedule_kind kind);

/* n = steps levels and the end. Two things to know: DDIM gives ceil(999 / floor(1000/n))
 * steps, which is n where n divides 1000 (20 gives 20, 30 gives 31); and AYS with one
 * step starts at 14.615 (A1111's interpolation would start it at 0.029, where no
 * noise is left to remove).
 *
 * kind is neither AUTOMATIC nor CUSTOM; steps is 1..STEPS_MAX + 1 (a sampler that
 * discards the penultimate level asks for one more). */
void schedule_make(struct schedule *s, enum schedule_kind kind, const struct levels *levels, int steps);

/* UniPC's own: t evenly from 999 to 0 in m = ceil(1000 / floor(1000/steps)) steps, both
 * ends in, ln abar interpolated linearly between levels (not ln sigma); ends at level 0.
 * Source: A1111, which takes m from DDIM's timesteps. */
void schedule_make_unipc(struct schedule *s, const struct levels *levels, int steps);

/* From steps + 1 sigmas of the user's. Refused (TINCT_ERR_ARG) unless steps is 1..STEPS_MAX
 * and they are finite, falling, above 0 up to the last, which may be 0. */
bool schedule_custom(struct schedule *s, const struct levels *levels, const float *sigmas, int steps,
                     struct tinct_err *err);

#endif
