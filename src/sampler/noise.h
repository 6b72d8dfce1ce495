/* The noise of one picture, drawn as A1111 draws it: channel by channel, row by
 * row, then laid out NHWC. Whoever has the same seed has the same noise.
 *
 *   first draw    the start, from the seed; blended with the variation seed's
 *   then          one draw per ancestral step from the same generator, which
 *                 ENSD, where it is not zero, restarts at seed + ENSD
 *
 * ComfyUI draws a whole batch at once on the CPU generator; its pictures after
 * the first are not reproduced. A1111's SDE samplers (DPM++ SDE, 2M SDE) draw
 * from a Brownian tree over other seeds: with them the look is the same, the
 * picture is not. Source: A1111's rng.py. */
#ifndef TINCT_SAMPLER_NOISE_H
#define TINCT_SAMPLER_NOISE_H

#include <stdint.h>

#include "base/err.h"

enum { NOISE_CHANNELS = 4 };

struct noise_settings {
    enum tinct_rng rng;
    uint64_t seed;                    /* as the user gave it */
    uint64_t subseed;                 /* variation seed */
    float subseed_strength;           /* 0: none .. 1: the subseed's noise alone */
    uint32_t ensd;                    /* eta noise seed delta; NovelAI's is 31337 */
    uint32_t picture;                 /* which of a batch, from 0: it takes seed + picture, or with a
                                         variation the same seed and subseed + picture */
    uint32_t h, w;                    /* of the latent */
};

/* The seed and variation seed this picture takes, for its recipe. */
uint64_t noise_seed(const struct noise_settings *settings);
uint64_t noise_subseed(const struct noise_settings *settings);

struct noise;

/* NULL with TINCT_ERR_ARG (strength outside 0..1) or TINCT_ERR_MEMORY. */
struct noise *noise_open(const struct noise_settings *settings, struct tinct_err *err);
void noise_close(struct noise *noise); /* NULL is fine */

/* out[h, w, 4] = the first draw, N(0, 1). To be called once, before any other, also where the start comes from
 * elsewhere: later draws depend on it. */
void noise_first(struct noise *noise, float *out);

/* out[h, w, 4] = the next draw. from and to are the levels it stands between: draws from the
 * same `from`, each reaching further down than the one before, belong to one Brownian motion (DPM++ SDE takes two
 * such); any other is independent. */
void noise_between(struct noise *noise, double from, double to, float *out);

/* out[h, w, channels] from in[channels, h, w]: how A1111's and torch's latents lie. */
void noise_to_nhwc(float *out, const float *in, uint32_t channels, uint32_t h, uint32_t w);

#endif
