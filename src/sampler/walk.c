#include "sampler/walk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void to_float(float *out, const double *x, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = (float)x[i];
}

bool walk_denoise_at(struct walk *w, const double *x, double sigma, double t, double *d)
{
    to_float(w->x_float, x, w->count);
    if (!w->run->denoise(w->run->ctx, w->x_float, sigma, t, w->d_float)) return false;
    for (size_t i = 0; i < w->count; i++) d[i] = w->d_float[i];
    return true;
}

bool walk_denoise(struct walk *w, int i)
{
    return walk_denoise_at(w, w->x, w->sigma[i], w->t[i], w->d);
}

bool walk_denoise_trial(struct walk *w, double sigma)
{
    return walk_denoise_at(w, w->y, sigma, levels_t(w->run->levels, sigma), w->d2);
}

void walk_add_noise(struct walk *w, double *x, double from, double to, double scale)
{
    if (scale == 0) return;
    w->run->noise(w->run->ctx, from, to, w->z);
    for (size_t i = 0; i < w->count; i++) x[i] += scale * w->z[i];
}

bool walk_step_done(struct walk *w, int i)
{
    if (!w->run->on_step) return true;
    to_float(w->x_float, w->x, w->count);
    to_float(w->d_float, w->d, w->count);
    return w->run->on_step(w->run->ctx, i + 1, w->x_float, w->d_float) ||
           tinct_fail(w->err, TINCT_ERR_CANCELLED, "cancelled after step %d of %d", i + 1, w->steps);
}

void walk_remember(struct walk *w, const double *values)
{
    double *oldest = w->past[WALK_PAST - 1];

    memmove(w->past + 1, w->past, (WALK_PAST - 1) * sizeof *w->past);
    w->past[0] = oldest;
    memcpy(oldest, values, w->count * sizeof *oldest);
}

void mix(double *out, double a, const double *x, double b, const double *y, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = a * x[i] + b * y[i];
}

void euler_step(double *out, const double *x, const double *d, double sigma, double dt, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = x[i] + (x[i] - d[i]) / sigma * dt;
}

struct ancestral ancestral_step(double from, double to, double eta)
{
    double up = fmin(to, eta * sqrt(to * to * (from * from - to * to) / (from * from)));
    return (struct ancestral) { .down = sqrt(to * to - up * up), .up = up };
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

static bool walk_open(struct walk *w, const struct sampler_run *run, struct tinct_err *err)
{
    const struct schedule *s = run->schedule;
    double *doubles = calloc(run->count, (4 + WALK_PAST) * sizeof *doubles);
    float *floats = calloc(run->count, 3 * sizeof *floats);

    *w = (struct walk) { .run = run, .sigma = s->sigma, .t = s->t, .steps = s->steps, .count = run->count, .err = err };
    w->eta = run->eta ? *run->eta : run->sampler->eta;
    w->s_noise = run->s_noise > 0 ? run->s_noise : 1;
    w->x = doubles;
    w->x_float = floats;
    if (!doubles || !floats)
        return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a latent of %zu values", run->count);
    w->d = w->x + run->count;
    w->y = w->d + run->count;
    w->d2 = w->y + run->count;
    for (size_t k = 0; k < WALK_PAST; k++) w->past[k] = w->d2 + (k + 1) * run->count;
    w->d_float = floats + run->count;
    w->z = floats + 2 * run->count;
    return true;
}

static void walk_close(struct walk *w)
{
    free(w->x);
    free(w->x_float);
}

bool sampler_run(const struct sampler_run *run, float *x, struct tinct_err *err)
{
    struct walk w;

    if (run->sampler->takes_eta && run->eta && !(*run->eta >= 0 && *run->eta <= 1))
        return tinct_fail(err, TINCT_ERR_ARG, "eta is %g: wanted 0 to 1", (double)*run->eta);

    bool ok = walk_open(&w, run, err);
    if (ok) {
        double end = w.sigma[w.steps], scale = run->sampler->unit_start ? level_c_in(end) : 1;
        for (size_t i = 0; i < w.count; i++) w.x[i] = x[i];
        ok = run->sampler->sample(&w);
        for (size_t i = 0; ok && i < w.count; i++) x[i] = (float)(w.x[i] * scale);
    }
    walk_close(&w);
    return ok;
}
