#include "pipeline/denoise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sampler/levels.h"

/* Evaluate the parts listed in which [n], all of the same number of tokens: eps [n, h, w, 4]. */
static bool evaluate(struct tinct *t, const struct guidance *g, const uint32_t *which, uint32_t n, uint32_t h, uint32_t w,
                     const float *scaled, double timestep, float *eps, struct tinct_err *err)
{
    uint32_t tokens = g->part[which[0]].tokens;
    size_t latent = (size_t)h * w * UNET_LATENT, context = (size_t)tokens * t->model->unet.context;
    struct unet_run *run = context_run(t, (struct run_size) { n, h, w, tokens }, err);
    float *x = malloc(latent * n * sizeof *x), *z = malloc(context * n * sizeof *z);
    bool ok = run && x && z;

    if (run && !ok) tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a step");
    for (uint32_t i = 0; ok && i < n; i++) {
        memcpy(x + i * latent, scaled, latent * sizeof *x);
        memcpy(z + i * context, g->part[which[i]].z, context * sizeof *z);
    }
    if (ok && t->serials[0] != g->serial) {           /* context_run puts its run first */
        ok = unet_run_context(run, z, err) && unet_run_times(run, g->times, g->time_count, err);
        t->serials[0] = ok ? g->serial : 0;
    }
    ok = ok && unet_run_step(run, eps, x, timestep, err);
    free(x);
    free(z);
    return ok;
}

/* D of every part, [count, h, w, 4], from first on. */
static bool evaluate_all(struct tinct *t, const struct guidance *g, uint32_t first, uint32_t h, uint32_t w,
                         const float *scaled, double timestep, float *eps, struct tinct_err *err)
{
    size_t latent = (size_t)h * w * UNET_LATENT;
    bool done[GUIDANCE_PARTS] = { false };
    float *group = malloc(latent * g->count * sizeof *group);
    bool ok = group != NULL || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a step");

    for (uint32_t i = first; ok && i < g->count; i++) {
        uint32_t which[GUIDANCE_PARTS], n = 0;
        if (done[i]) continue;
        for (uint32_t k = i; k < g->count; k++)
            if (!done[k] && g->part[k].tokens == g->part[i].tokens) {
                which[n++] = k;
                done[k] = true;
            }
        ok = evaluate(t, g, which, n, h, w, scaled, timestep, group, err);
        for (uint32_t k = 0; ok && k < n; k++) memcpy(eps + which[k] * latent, group + k * latent, latent * sizeof *eps);
    }
    free(group);
    return ok;
}

/* Guidance is linear in the network's answer, so it is applied there: p = p_u + sum_i weight_i scale (p_i - p_u). */
static void combine(const struct guidance *g, uint32_t first, const float *answers, float *combined, size_t latent)
{
    for (size_t i = 0; i < latent; i++) {
        double base = answers[first * latent + i], sum = base;
        for (uint32_t k = first + 1; k < g->count; k++)
            sum += (double)g->part[k].weight * g->scale * (answers[k * latent + i] - base);
        combined[i] = (float)sum;
    }
}

static bool all_finite(const float *x, size_t count, struct tinct_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return tinct_fail(err, TINCT_ERR_NAN, "the UNet gave a value that is not a number");
    return true;
}

bool denoise(struct tinct *t, const struct guidance *g, uint32_t h, uint32_t w, const float *x, double sigma,
             double timestep, float *denoised, struct tinct_err *err)
{
    size_t latent = (size_t)h * w * UNET_LATENT;
    bool unguided = g->scale == 1.0f && g->count == 2 && g->part[1].weight == 1.0f;
    uint32_t first = unguided ? 1 : 0;
    float *answers = malloc(latent * g->count * sizeof *answers), *scaled = malloc(latent * sizeof *scaled);
    bool ok = (answers && scaled) || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a step");
    double c_in = level_c_in(sigma);

    for (size_t i = 0; ok && i < latent; i++) scaled[i] = (float)(x[i] * c_in);
    ok = ok && evaluate_all(t, g, first, h, w, scaled, timestep, answers, err);
    if (ok) {
        combine(g, first, answers, scaled, latent);
        level_denoised_eps(denoised, x, scaled, sigma, latent);
        ok = all_finite(denoised, latent, err);
    }
    free(answers);
    free(scaled);
    return ok;
}
