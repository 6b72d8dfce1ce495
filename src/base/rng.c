#include "base/rng.h"

#include <math.h>

static const double tau = 6.283185307179586;

/* ---- Philox4x32-10 ---- */

/* Value i of a draw: counter (draw, i, 0), ten rounds, Box-Muller's sine branch on words 0 and 1. */
static float philox_normal(uint64_t seed, uint64_t draw, uint32_t i)
{
    /* numpy holds 2 pi 2^-32 as a float in A1111; taking the better constant moves results by 1e-7. */
    static const double word = 1.0 / 4294967296.0, angle = (double)6.2831855f / 4294967296.0;
    uint32_t c0 = (uint32_t)draw, c1 = (uint32_t)(draw >> 32), c2 = i, c3 = 0;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    double u = c0 * word + word / 2, v = c1 * angle + angle / 2;
    return (float)(sqrt(-2.0 * log(u)) * sin(v));
}

/* ---- mt19937 ---- */

static void mt_seed(struct rng *rng, uint32_t seed)
{
    rng->state[0] = seed;
    for (uint32_t j = 1; j < MT19937_WORDS; j++) {
        uint32_t last = rng->state[j - 1];
        rng->state[j] = 1812433253u * (last ^ (last >> 30)) + j;
    }
    rng->next = MT19937_WORDS;
}

static void mt_twist(struct rng *rng)
{
    uint32_t *s = rng->state;

    for (uint32_t j = 0; j < MT19937_WORDS; j++) {
        uint32_t y = (s[j] & 0x80000000u) | (s[(j + 1) % MT19937_WORDS] & 0x7FFFFFFFu);
        s[j] = s[(j + 397) % MT19937_WORDS] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    rng->next = 0;
}

static uint32_t mt_word(struct rng *rng)
{
    if (rng->next == MT19937_WORDS) mt_twist(rng);
    uint32_t y = rng->state[rng->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ (y >> 18);
}

static float mt_uniform(struct rng *rng)
{
    return (float)(mt_word(rng) & 0xFFFFFF) * (1.0f / 16777216.0f);
}

static double mt_uniform_double(struct rng *rng)
{
    uint64_t high = mt_word(rng), low = mt_word(rng);
    return (double)(((high << 32) | low) & ((UINT64_C(1) << 53) - 1)) * (1.0 / 9007199254740992.0);
}

/* Eight pairs of uniforms, d[j] with d[j + 8], become sixteen normal values in place. */
static void mt_box_muller(float *d)
{
    for (int j = 0; j < 8; j++) {
        double radius = sqrt(-2.0 * log(1.0 - (double)d[j])), theta = tau * d[j + 8];
        d[j] = (float)(radius * cos(theta));
        d[j + 8] = (float)(radius * sin(theta));
    }
}

static float mt_normal(struct rng *rng)
{
    if (rng->has_spare) {
        rng->has_spare = false;
        return (float)rng->spare;
    }
    double u1 = mt_uniform_double(rng), u2 = mt_uniform_double(rng);
    double radius = sqrt(-2.0 * log1p(-u2)), theta = tau * u1;
    rng->spare = radius * sin(theta);
    rng->has_spare = true;
    return (float)(radius * cos(theta));
}

static void mt_fill(struct rng *rng, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = mt_uniform(rng);
    for (size_t i = 0; i + 16 <= count; i += 16) mt_box_muller(out + i);
    if (count % 16) { /* torch draws the last sixteen afresh, over some that were done */
        float *tail = out + count - 16;
        for (int i = 0; i < 16; i++) tail[i] = mt_uniform(rng);
        mt_box_muller(tail);
    }
}

/* ---- either ---- */

void rng_seed(struct rng *rng, enum tinct_rng kind, uint64_t seed)
{
    *rng = (struct rng) { .kind = kind, .seed = seed };
    if (kind == TINCT_RNG_CPU) mt_seed(rng, (uint32_t)seed);
}

void rng_normal(struct rng *rng, float *out, size_t count)
{
    if (rng->kind == TINCT_RNG_GPU) {
        for (size_t i = 0; i < count; i++) out[i] = philox_normal(rng->seed, rng->draws, (uint32_t)i);
        rng->draws++;
    } else if (count >= 16) {
        mt_fill(rng, out, count);
    } else {
        for (size_t i = 0; i < count; i++) out[i] = mt_normal(rng);
    }
}
