#include "sampler/noise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

struct noise {
    struct noise_settings settings;
    struct rng rng;
    size_t count;                     /* 4 h w */
    float *drawn;                     /* [4, h, w] */
    float *path;                      /* [h, w, 4]: the motion from path_from to path_to */
    double path_from, path_to;
};

uint64_t noise_seed(const struct noise_settings *s)
{
    return s->seed + (s->subseed_strength == 0 ? s->picture : 0);
}

uint64_t noise_subseed(const struct noise_settings *s)
{
    return s->subseed + s->picture;
}

struct noise *noise_open(const struct noise_settings *settings, struct tinct_err *err)
{
    size_t count = (size_t)NOISE_CHANNELS * settings->h * settings->w;
    struct noise *n;

    if (!(settings->subseed_strength >= 0 && settings->subseed_strength <= 1)) {
        tinct_fail(err, TINCT_ERR_ARG, "variation strength is %g: wanted 0 to 1", (double)settings->subseed_strength);
        return NULL;
    }
    n = calloc(1, sizeof *n);
    if (n) {
        *n = (struct noise) { .settings = *settings, .count = count };
        n->drawn = calloc(count, sizeof *n->drawn);
        n->path = calloc(count, sizeof *n->path);
    }
    if (!n || !n->drawn || !n->path) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the noise of a latent of %zu values", count);
        noise_close(n);
        return NULL;
    }
    rng_seed(&n->rng, settings->rng, noise_seed(settings));
    return n;
}

void noise_close(struct noise *n)
{
    if (!n) return;
    free(n->drawn);
    free(n->path);
    free(n);
}

void noise_to_nhwc(float *out, const float *in, uint32_t channels, uint32_t h, uint32_t w)
{
    size_t pixels = (size_t)h * w;

    for (uint32_t c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++) out[i * channels + c] = in[c * pixels + i];
}

/* ---- variation ---- */

/* Cosine between one column of one channel in a and in b, [h, w] each. A1111 takes its angles over
 * columns, not over the whole latent: slerp() sums over the second dimension of [4, h, w]. */
static double column_cosine(const float *a, const float *b, uint32_t h, uint32_t w)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < (size_t)h * w; i += w) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

static void blend_column(float *a, const float *b, uint32_t h, uint32_t w, double share_a, double share_b)
{
    for (size_t i = 0; i < (size_t)h * w; i += w) a[i] = (float)(share_a * a[i] + share_b * b[i]);
}

/* a becomes the noise at `share` of the arc from a to b, both [channels, h, w]. Where they nearly coincide A1111
 * goes straight, and the other way round: share 0 gives b. It is kept; they hardly differ then. */
static void blend(float *a, const float *b, const struct noise_settings *s)
{
    size_t plane = (size_t)s->h * s->w, columns = (size_t)NOISE_CHANNELS * s->w;
    double share = s->subseed_strength, mean = 0;

    for (size_t k = 0; k < columns; k++) {
        size_t at = k / s->w * plane + k % s->w;
        mean += column_cosine(a + at, b + at, s->h, s->w) / (double)columns;
    }
    for (size_t k = 0; k < columns; k++) {
        size_t at = k / s->w * plane + k % s->w;
        if (mean > 0.9995) {
            blend_column(a + at, b + at, s->h, s->w, share, 1 - share);
        } else {
            double angle = acos(column_cosine(a + at, b + at, s->h, s->w)), sine = sin(angle);
            blend_column(a + at, b + at, s->h, s->w, sin((1 - share) * angle) / sine, sin(share * angle) / sine);
        }
    }
}

/* ---- draws ---- */

void noise_first(struct noise *n, float *out)
{
    const struct noise_settings *s = &n->settings;

    rng_normal(&n->rng, n->drawn, n->count);
    if (s->subseed_strength > 0) {
        struct rng other;
        rng_seed(&other, s->rng, noise_subseed(s));
        rng_normal(&other, n->path, n->count); /* not in use yet */
        blend(n->drawn, n->path, s);
    }
    if (s->ensd) rng_seed(&n->rng, s->rng, noise_seed(s) + s->ensd);
    noise_to_nhwc(out, n->drawn, NOISE_CHANNELS, s->h, s->w);
}

void noise_between(struct noise *n, double from, double to, float *out)
{
    bool goes_on = from == n->path_from && n->path_to < n->path_from && to < n->path_to;
    double begin = goes_on ? n->path_to : from, leg = sqrt(fabs(begin - to)), whole = sqrt(fabs(from - to));

    rng_normal(&n->rng, n->drawn, n->count);
    noise_to_nhwc(out, n->drawn, NOISE_CHANNELS, n->settings.h, n->settings.w);
    for (size_t i = 0; i < n->count; i++) {
        n->path[i] = (float)(leg * out[i] + (goes_on ? n->path[i] : 0));
        if (goes_on) out[i] = (float)(n->path[i] / whole);
    }
    n->path_from = from;
    n->path_to = to;
}
