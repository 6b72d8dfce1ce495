#include "sampler/walk.h"

#include <assert.h>
#include <math.h>
#include <string.h>

_Static_assert(PAST + WALK_PAST == SAMPLER_PLACES, "sampler.h tells how many places there are");

/* ---- sums ---- */

void mix(struct walk *w, int out, double a, int x, double b, int y)
{
    for (int k = 0; k < SAMPLER_TERMS; k++) w->now[out][k] = a * w->now[x][k] + b * w->now[y][k];
}

void copy(struct walk *w, int out, int x)
{
    mix(w, out, 1, x, 0, x);
}

void euler_step(struct walk *w, int out, int x, int d, double sigma, double dt)
{
    mix(w, out, 1 + dt / sigma, x, -dt / sigma, d);
}

void walk_remember(struct walk *w, int d)
{
    for (int k = PAST + WALK_PAST - 1; k > PAST; k--) copy(w, k, k - 1);
    copy(w, PAST, d);
}

struct ancestral ancestral_step(double from, double to, double eta)
{
    double up = fmin(to, eta * sqrt(to * to * (from * from - to * to) / (from * from)));
    return (struct ancestral) { .down = sqrt(to * to - up * up), .up = up };
}

/* ---- asking the model ---- */

/* Every place is what it is. */
static void begin(struct walk *w)
{
    memset(w->now, 0, sizeof w->now);
    for (int k = 0; k < SAMPLER_TERMS; k++) w->now[k][k] = 1;
    w->asked = w->drawn = false;
}

/* Hand over where the model is to be asked, and what follows from its answer. */
static bool advance(struct walk *w)
{
    if (w->failed) return false;
    memcpy(w->next.places, w->now, sizeof w->next.places);
    begin(w);
    return w->run->advance(w->run->ctx, &w->next);
}

bool walk_denoise_at(struct walk *w, int x, double sigma, double t, int d)
{
    if (w->asked && !advance(w)) return false;
    w->next.sigma = sigma;
    w->next.t = t;
    memcpy(w->next.point, w->now[x], sizeof w->next.point);
    copy(w, d, SAMPLER_DENOISED);
    w->asked = true;
    return !w->failed;
}

bool walk_denoise(struct walk *w, int i)
{
    return walk_denoise_at(w, X, w->sigma[i], w->t[i], D);
}

bool walk_denoise_trial(struct walk *w, double sigma)
{
    return walk_denoise_at(w, Y, sigma, levels_t(w->run->levels, sigma), D2);
}

void walk_draw(struct walk *w, double from, double to)
{
    assert(!w->drawn);
    w->drawn = true;
    if (!w->failed) w->failed = !w->run->noise(w->run->ctx, from, to);
}

void walk_add_noise(struct walk *w, int x, double from, double to, double scale)
{
    if (scale == 0) return;
    walk_draw(w, from, to);
    mix(w, x, 1, x, scale, NOISE);
}

bool walk_step_done(struct walk *w, int i)
{
    const struct sampler_run *run = w->run;

    assert(w->asked);
    if (i + 1 == w->steps && run->sampler->unit_start) mix(w, X, level_c_in(w->sigma[w->steps]), X, 0, X);
    if (!advance(w)) return false;
    return !run->on_step || run->on_step(run->ctx, i + 1);
}

void sampler_advance_by(struct sampler_advance *a, struct level_denoised d)
{
    for (int p = 0; p < SAMPLER_PLACES; p++) {
        double share = a->places[p][SAMPLER_DENOISED];
        for (int k = 0; k < SAMPLER_DENOISED; k++) a->places[p][k] += share * d.x * a->point[k];
        a->places[p][SAMPLER_DENOISED] = share * d.answer;
    }
}

/* ---- the run ---- */

bool sampler_draws(const struct sampler_run *run)
{
    float eta = run->eta ? *run->eta : run->sampler->eta;
    return run->s_churn > 0 || (run->sampler->draws_noise && (!run->sampler->takes_eta || eta > 0));
}

double sampler_start_scale(const struct sampler *sampler, const struct schedule *schedule)
{
    double sigma = schedule->sigma[0];
    return sampler->unit_start ? sqrt(sigma * sigma + 1) : sigma;
}

bool sampler_run(const struct sampler_run *run, struct tinct_err *err)
{
    const struct schedule *s = run->schedule;
    struct walk w = { .run = run, .sigma = s->sigma, .t = s->t, .steps = s->steps };

    if (run->sampler->takes_eta && run->eta && !(*run->eta >= 0 && *run->eta <= 1))
        return tinct_fail(err, TINCT_ERR_ARG, "eta is %g: wanted 0 to 1", (double)*run->eta);
    w.eta = run->eta ? *run->eta : run->sampler->eta;
    w.s_noise = run->s_noise > 0 ? run->s_noise : 1;
    begin(&w);
    return run->sampler->sample(&w);
}
