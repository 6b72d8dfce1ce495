/* attention with bf16 products and fp32 sums (--precision fast), for processors with bf16 dot products (attention_lanes.h).
 *
 * Queries, keys and values are rounded to bf16, a block's keys and values once for all groups of an item. Queries are pairs of
 * channels, values and weights pairs of keys. A lane's base is far beyond its largest score, so that it is raised seldom: weights
 * may be as small as they like. */
#include "device/cpu/kernels/attention_lanes.h"
#include "device/cpu/kernels/power.h"
#include "device/cpu/kernels/tile_bf16.h"

#if VEC_BF16

enum { SLACK = 32 };               /* a lane's base is 2^SLACK beyond its largest score when it was set */

static uint32_t value_stride(uint32_t head_dim)
{
    return parts(head_dim, VEC_WIDTH) * VEC_WIDTH;
}

/* Scores [KEYS][LANES], keys [KEYS][head_dim] and values [KEYS / 2][value_stride][2] in bf16. */
static size_t floats(uint32_t head_dim)
{
    return (size_t)KEYS * LANES + (size_t)KEYS / 2 * (head_dim + value_stride(head_dim));
}

static uint16_t *keys_at(float *memory)
{
    return (uint16_t *)(void *)(memory + KEYS * LANES);
}

static uint16_t *values_at(float *memory, uint32_t head_dim)
{
    return keys_at(memory) + KEYS * head_dim;
}

/* Queries to pairs of channels [head_dim / 2][LANES][2], where they are. */
static void pair_queries(const struct attention_params *p, struct group *g)
{
    for (uint32_t c = 0; c < p->head_dim; c += 2)
        for (uint32_t i = 0; i < LANES; i += VEC_WIDTH) {
            const float *at = g->queries + c * LANES + i;
            pair_bf16((uint16_t *)(void *)(g->queries + c / 2 * LANES + i), vec_load(at), vec_load(at + LANES));
        }
}

/* A block's keys and values to bf16; a last key alone makes pairs with zeros. */
static void convert(const struct attention_params *p, const struct block *b, float *memory)
{
    uint32_t d = p->head_dim;
    uint16_t *keys = keys_at(memory), *values = values_at(memory, d);

    for (uint32_t j = 0; j < b->keys; j++) narrow_bf16(keys + j * d, b->k + (size_t)j * p->k_stride, d);
    for (uint32_t j = 0; j < b->keys; j += 2)
        for (uint32_t c = 0; c < d; c += VEC_WIDTH) {
            const float *at = b->v + (size_t)j * p->v_stride + c;
            const __mmask16 some = lanes_below(d - c), next = j + 1 < b->keys ? some : 0;
            pair_bf16(values + 2 * (j / 2 * value_stride(d) + c), _mm512_maskz_loadu_ps(some, at),
                      _mm512_maskz_loadu_ps(next, at + p->v_stride));
        }
}

static void score(const struct attention_params *p, const struct block *b, const struct group *g, float *memory)
{
    uint32_t d = p->head_dim;

    CPU_NAME(tile_bf16)(keys_at(memory), d / 2, 1, d, (const uint16_t *)(const void *)g->queries, memory, false, b->keys,
                        g->vecs);
    if (p->causal) mask_scores(memory, g, b);
}

static void largest_scores(const struct block *b, const struct group *g, const float *scores, vec largest[TILE_VECS])
{
    for (uint32_t v = 0; v < g->vecs; v++) largest[v] = vec_all(-INFINITY);
    for (uint32_t j = 0; j < b->keys; j++)
        for (uint32_t v = 0; v < g->vecs; v++) largest[v] = vec_max(vec_load(scores + j * LANES + v * VEC_WIDTH), largest[v]);
}

static __mmask16 two_or_more(vec sum)      /* or no number: of sums of what is not below 0 */
{
    return _mm512_test_epi32_mask(_mm512_castps_si512(sum), _mm512_set1_epi32(0x40000000));
}

static void set_bases(const struct block *b, const struct group *g, const float *scores)
{
    vec largest[TILE_VECS];

    largest_scores(b, g, scores, largest);
    for (uint32_t v = 0; v < g->vecs; v++) vec_store(g->base + v * VEC_WIDTH, largest[v] + vec_all(SLACK));
}

/* Where a lane's weights summed up to 2 or more, or to no number, its base is raised: what was summed becomes as much smaller. */
static void raise_bases(const struct attention_params *p, const struct block *b, const struct group *g, const float *scores,
                        const vec sum[TILE_VECS])
{
    vec largest[TILE_VECS];

    largest_scores(b, g, scores, largest);
    for (uint32_t v = 0; v < g->vecs; v++) {
        uint32_t at = v * VEC_WIDTH;
        vec base = vec_load(g->base + at), raised = _mm512_mask_add_ps(base, two_or_more(sum[v]), largest[v], vec_all(SLACK));
        vec down = power_of_2(base - raised, false);
        vec_store(g->base + at, raised);
        vec_store(g->weight + at, vec_load(g->weight + at) * down);
        for (uint32_t c = 0; c < p->head_dim && b->key > 0; c++)
            vec_store(g->sums + c * LANES + at, vec_load(g->sums + c * LANES + at) * down);
    }
}

/* Scores to weights relative to the bases, as pairs of keys, in place. */
VEC_INLINE void soften_fixed(const struct group *g, float *scores, uint32_t keys, vec sum[TILE_VECS], const int vecs)
{
    vec base[TILE_VECS], all[TILE_VECS] = { 0 };

#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) base[v] = vec_load(g->base + v * VEC_WIDTH);
    for (uint32_t j = 0; j < keys; j += 2)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const float *at = scores + j * LANES + v * VEC_WIDTH;
            vec even = power_of_2(vec_load(at) - base[v], true);
            vec odd = j + 1 < keys ? power_of_2(vec_load(at + LANES) - base[v], true) : (vec) { 0 };
            pair_cut((uint16_t *)(void *)(scores + j / 2 * LANES + v * VEC_WIDTH), even, odd);
            all[v] += even + odd;
        }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) sum[v] = all[v];
}

/* Gives whether some lane's weights summed up to 2 or more. */
static bool soften(const struct group *g, float *scores, uint32_t keys, vec sum[TILE_VECS])
{
    uint32_t large = 0;

    switch (g->vecs) {
    case 1: soften_fixed(g, scores, keys, sum, 1); break;
    case 2: soften_fixed(g, scores, keys, sum, 2); break;
    case 3: soften_fixed(g, scores, keys, sum, 3); break;
    case 4: soften_fixed(g, scores, keys, sum, 4); break;
    }
    for (uint32_t v = 0; v < g->vecs; v++) large |= two_or_more(sum[v]);
    return large;
}

static void add_weights(const struct group *g, const vec sum[TILE_VECS])
{
    for (uint32_t v = 0; v < g->vecs; v++) {
        float *weight = g->weight + v * VEC_WIDTH;
        vec_store(weight, vec_load(weight) + sum[v] * vec_all(1 / (1 + CUT_BIAS)));
    }
}

/* sums [head_dim][LANES] += v^T weights */
static void add_values(const struct attention_params *p, const struct block *b, const struct group *g, float *memory)
{
    uint32_t d = p->head_dim;

    CPU_NAME(tile_bf16)(values_at(memory, d), 1, value_stride(d), parts(b->keys, 2) * 2, (const uint16_t *)(const void *)memory,
                        g->sums, b->key > 0, d, g->vecs);
}

static void take(const struct attention_params *p, const struct block *b, const struct group *g, float *memory)
{
    vec sum[TILE_VECS];

    score(p, b, g, memory);
    if (b->key == 0) set_bases(b, g, memory);
    if (soften(g, memory, b->keys, sum)) {
        score(p, b, g, memory);
        raise_bases(p, b, g, memory, sum);
        soften(g, memory, b->keys, sum);
    }
    add_weights(g, sum);
    add_values(p, b, g, memory);
}

static const struct lanes_core core = { .floats = floats, .turned = pair_queries, .begin = convert, .take = take };

static struct cpu_plan plan(const struct cpu_args *a)
{
    return CPU_NAME(attention_lanes_plan)(a, &core);
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    CPU_NAME(attention_lanes_run)(a, plan, item, memory, &core);
}

const struct cpu_kernel CPU_NAME(attention_bf16) = { "attention", "f32", true, plan, run_item };

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
