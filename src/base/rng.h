/* Normal random numbers as Stable Diffusion's front ends draw them, so that a
 * seed gives here the noise it gives there.
 *
 *   TINCT_RNG_GPU   Philox4x32-10 as CUDA's torch.randn, in A1111's double
 *                   precision. Every draw is its own stream: draw k of a seed
 *                   gives value i whatever the length of the draws before it.
 *   TINCT_RNG_CPU   mt19937 as torch.randn draws from a CPU generator; only
 *                   the low 32 bits of the seed count, as in torch. A draw of
 *                   16 and more values follows another rule than a shorter
 *                   one, so lengths matter: draw a picture's noise at once.
 *
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011);
 * Matsumoto and Nishimura (1998); torch's normal_fill. */
#ifndef TINCT_BASE_RNG_H
#define TINCT_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tinct.h" /* enum tinct_rng */

enum { MT19937_WORDS = 624 };

struct rng {
    enum tinct_rng kind;
    uint64_t seed;
    uint64_t draws;                   /* Philox: calls so far */
    uint32_t state[MT19937_WORDS];    /* mt19937 */
    uint32_t next;                    /* mt19937: word to give next; MT19937_WORDS: twist first */
    double spare;                     /* mt19937: second value of the last short pair */
    bool has_spare;
};

void rng_seed(struct rng *rng, enum tinct_rng kind, uint64_t seed);

/* The next count values of N(0, 1): one call here is one torch.randn there. */
void rng_normal(struct rng *rng, float *out, size_t count);

#endif
