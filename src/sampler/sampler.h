/* Samplers: from noise to a clean latent along a schedule, by asking a model at
 * each level what the clean latent would be. They know no model, no device, no guidance and
 * not a value of a latent: between two answers of the model all that a sampler does is
 * linear, so it says with which weights, and whoever holds the latents adds up.
 *
 *     struct levels levels;
 *     struct schedule schedule;
 *     enum schedule_kind kind = SCHEDULE_AUTOMATIC;
 *     const struct sampler *sampler = sampler_find("DPM++ 2M Karras", &kind, err);
 *
 *     levels_sd(&levels);
 *     if (!sampler || !sampler_schedule(&schedule, sampler, kind, &levels, 20, err)) return false;
 *     double scale = sampler_start_scale(sampler, &schedule);
 *     for (size_t i = 0; i < count; i++) place[SAMPLER_X][i] = (float)(noise[i] * scale);
 *     return sampler_run(&(struct sampler_run) { .sampler = sampler, .schedule = &schedule, .levels = &levels,
 *                        .advance = advance, .noise = draw, .ctx = me }, err);
 *
 * Weights are computed in double. Latents in fp32 are off k-diffusion's by less than 1e-5 of
 * their largest value (tests/sampler).
 *
 * Where pictures differ from A1111's of the same seed: DDIM takes the last step, from
 * t = 1 to t = 0, as its paper's code and diffusers do (A1111 leaves it out); DPM++ SDE and
 * DPM++ 2M SDE draw other noise (sampler/noise.h). TCD, which A1111 lacks, is diffusers'. */
#ifndef TINCT_SAMPLER_SAMPLER_H
#define TINCT_SAMPLER_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>

#include "sampler/levels.h"
#include "sampler/schedule.h"

struct walk; /* a run on its way, sampler/walk.h: for the samplers themselves */

struct sampler {
    const char *name;                 /* A1111's, written to recipes: "DPM++ 2M SDE" */
    const char *about;                /* a few words, for lists */
    const char *const *aliases;       /* other spellings, NULL at the end */
    bool (*sample)(struct walk *walk);
    enum schedule_kind automatic;     /* what SCHEDULE_AUTOMATIC becomes; itself: own timesteps */
    unsigned schedules;               /* bit 1 << kind of each it takes besides; SCHEDULE_CUSTOM's too */
    bool second_order;                /* two model evaluations a step (one on a last step to 0); A1111 then
                                         counts a prompt's [a:b:w] in 2 * steps evaluations */
    bool draws_noise;                 /* calls noise() where its eta is not 0 */
    bool takes_eta;
    float eta;                        /* when none is given */
    const char *eta_key;              /* the recipe's key for an eta that differs: "Eta"; NULL: takes none */
    bool uses_ensd;                   /* A1111 writes ENSD for it */
    bool discards_penultimate;        /* asks for one level more and drops the one before the last */
    bool unit_start;                  /* starts at variance sigma^2 + 1 and ends at variance 1 (DDIM's way);
                                         others start at noise * sigma */
    bool ends_at_first_level;         /* last step to t = 0 instead of to sigma 0 */
    bool thin;                        /* knows only the 50 levels of levels_thin() */
};

/* ---- finding one ---- */

enum { SAMPLER_COUNT = 14 };

/* In the order A1111 lists them; index 0..SAMPLER_COUNT - 1. */
const struct sampler *sampler_at(int index);

/* The sampler of a name in A1111's, ComfyUI's, sd.cpp's, k-diffusion's or
 * diffusers' spelling: "Euler a", "euler_ancestral", "euler_a", "sample_euler_ancestral",
 * "EulerAncestralDiscreteScheduler". Case, spaces, '_' and '-' do not count.
 *
 * Where the name carries a schedule, *kind becomes it, else it is left alone:
 * "DPM++ 2M Karras", "euler_a karras", "ddim_trailing",
 * "DPMSolverMultistepScheduler(use_karras_sigmas=True, algorithm_type=sde-dpmsolver++)"
 * (also use_exponential_sigmas, use_beta_sigmas, timestep_spacing).
 *
 * NULL with TINCT_ERR_ARG and the nearest names when it is unknown. */
const struct sampler *sampler_find(const char *name, enum schedule_kind *kind, struct tinct_err *err);

/* The schedule of a name, in the same spellings; "Automatic" is one. False with TINCT_ERR_ARG when unknown. */
bool schedule_find(enum schedule_kind *kind, const char *name, struct tinct_err *err);

/* ---- its levels ---- */

/* The levels that sampler passes in this many steps. schedule->kind says which schedule AUTOMATIC
 * became (itself for samplers with their own timesteps); schedule->steps may be above
 * steps (see schedule_make). Refused (TINCT_ERR_ARG): a schedule it does not take, naming
 * those it does; steps outside 1..1000, or above 50 for LCM and TCD. levels has 1000;
 * kind is not SCHEDULE_CUSTOM. */
bool sampler_schedule(struct schedule *schedule, const struct sampler *sampler, enum schedule_kind kind,
                      const struct levels *levels, int steps, struct tinct_err *err);

/* The same from steps + 1 sigmas of the user's; refused as in schedule_custom, and
 * for samplers that have their own timesteps only. */
bool sampler_schedule_custom(struct schedule *schedule, const struct sampler *sampler, const struct levels *levels,
                             const float *sigmas, int steps, struct tinct_err *err);

/* What unit noise is multiplied by to start: sigma[0], or sqrt(sigma[0]^2 + 1) for unit_start. */
double sampler_start_scale(const struct sampler *sampler, const struct schedule *schedule);

/* ---- running it ---- */

/* What a latent's values lie in, each as large as it. At the start SAMPLER_X holds unit noise times sampler_start_scale,
 * at the end the finished latent; the others need not hold anything at the start. */
enum {
    SAMPLER_X,                        /* after step i the latent, still with noise of schedule->sigma[i] */
    SAMPLER_D,                        /* and the D that it came from */
    SAMPLER_PLACES = 8,
    SAMPLER_NOISE = SAMPLER_PLACES,   /* what noise() drew last */
    SAMPLER_DENOISED,                 /* D, the model's estimate of the clean latent in what it was shown */
    SAMPLER_TERMS
};

/* One evaluation of the model, and what follows from it. A weight of 0 leaves out what may hold anything. */
struct sampler_advance {
    double sigma, t;                  /* the point's level, and what the network is told (an integer where the sampler asks for one) */
    double point[SAMPLER_TERMS];      /* where: point = sum of these, without D; the net sees it times level_c_in(sigma) */
    double places[SAMPLER_PLACES][SAMPLER_TERMS];   /* then place p = sum over k of places[p][k] k: all at once, of what was before */
};

/* The same in terms of the network's answer, which takes D's place: D = d.x point + d.answer answer. */
void sampler_advance_by(struct sampler_advance *advance, struct level_denoised d);

struct sampler_run {
    const struct sampler *sampler;
    const struct schedule *schedule;  /* from sampler_schedule */
    const struct levels *levels;      /* the same that made the schedule */
    const float *eta;                 /* 0..1; NULL: the sampler's own; ignored by those that take none */
    float s_noise;                    /* scale of added noise; 0 means 1; not for DDIM, LCM, TCD */
    float s_churn, s_tmin, s_tmax;    /* Euler, Heun, DPM2: noise put back while s_tmin <= sigma <= s_tmax;
                                         s_churn 0: none; s_tmax 0: no upper end. Source: arXiv:2206.00364 */

    /* Ask the model and add up. False stops the run; each callback then has set err itself. */
    bool (*advance)(void *ctx, const struct sampler_advance *advance);

    /* SAMPLER_NOISE becomes the next N(0, 1) values. They stand for the increment of one Brownian motion from level `from`
     * to level `to`, divided by sqrt(|from - to|): a source may ignore both and just draw, as A1111 does for
     * ancestral samplers. May be NULL when sampler_draws() says that none is needed. */
    bool (*noise)(void *ctx, double from, double to);

    /* After the advance that ends a step: how many are done. False stops the run. May be NULL. */
    bool (*on_step)(void *ctx, int done);
    void *ctx;
};

/* Whether this run calls noise(). */
bool sampler_draws(const struct sampler_run *run);

/* False when a callback stopped it, or eta is outside 0..1. */
bool sampler_run(const struct sampler_run *run, struct tinct_err *err);

#endif
