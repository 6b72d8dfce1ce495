/* Few rows by many weights: each weight serves so few products that to convert it, and to wait for it, takes longer than those.
 *
 * So weights do not go to a panel in the second cache first. Tiles multiply one step of k, which lies in the first cache,
 * while vectors convert the step that comes after it and memory brings those that come after that one; sums are loaded
 * and stored in between. Sums are the same bit for bit: each takes its products in the same order. */
#include "device/cpu/kernels/gemm_amx.h"

#if VEC_AMX

enum { FAR_STEPS = 2 };                /* from weights that are converted to those that memory is asked for */

struct weights {
    const uint16_t *now, *next;        /* of the chunk at hand, and of that after it; NULL: none */
    uint32_t steps;                    /* of the chunk at hand */
};

struct meanwhile {                     /* what vectors do: convert a step */
    const uint16_t *from, *far;        /* far ones are asked for */
    uint16_t *to;
    uint32_t pair, pairs;
    uint32_t visits, due;              /* so many visits, and what of the pairs is due, in 1 / visits */
};

bool CPU_NAME(amx_has_few)(const struct gemm_params *p, uint32_t rows)
{
    return rows <= FEW_ROWS && !(p->flags & (GEMM_PHASES | GEMM_WINOGRAD)) && p->kernel_h * p->kernel_w * p->c1 % STEP == 0 &&
           (p->c2 + p->c3) % STEP == 0;
}

/* The next two rows of w; those of some steps on are asked for. */
VEC_INLINE void turn_pair(struct meanwhile *f, const bool single)
{
    const uint32_t size = single ? 2 * TILE : 4 * TILE;            /* of a step */
    const uint16_t *w = f->from + (size_t)f->pair * 2 * PANEL, *far = f->far + (size_t)f->pair * 2 * PANEL;
    uint16_t *to = f->to + f->pair * STEP;

    f->pair++;
#pragma GCC unroll 4
    for (uint32_t c = 0; c < PANEL; c += 16) {
        _mm_prefetch((const char *)(far + c * 2), _MM_HINT_T1);
        store_weights(columns_at(to, size, c), widen_16(w + c), widen_16(w + c + PANEL), false, single);
    }
}

/* Their share of a few products. */
VEC_INLINE void visit(struct meanwhile *f, const bool single)
{
    for (f->due += f->pairs; f->due >= f->visits; f->due -= f->visits) turn_pair(f, single);
}

/* Step s of the chunk. */
VEC_INLINE void multiply_step(const struct amx_item *m, struct meanwhile *f, const uint16_t *weights, float *sums, uint32_t s,
                              uint32_t strips, bool add, const int products)
{
    tile_fence();
    for (uint32_t c = 0; c < strips; c++, weights += products == 1 ? 2 * TILE : 4 * TILE)
        for (uint32_t r = 0; r < m->item.rows; r += STRIP) {
            const uint16_t *inputs = m->at + (size_t)r / STRIP * m->next_strip + (size_t)s * m->next_slot;
            float *to = sums + (size_t)r * PANEL + c * STRIP;
            if (add) load_sums(to, PANEL);
            else zero_sums();
            add_step(inputs, inputs + m->next_number, weights, products, visit, f);
            store_sums(to, PANEL);
        }
    tile_fence();
}

/* Weights of the chunk's step s, or behind its last of the next chunk's; NULL: none. */
static const uint16_t *weights_at(const struct weights *w, uint32_t s)
{
    if (s < w->steps) return w->now + (size_t)s * STEP * PANEL;
    return w->next ? w->next + (size_t)(s - w->steps) * STEP * PANEL : NULL;
}

/* Sets out to convert step s to the other side. */
static struct meanwhile set_out(struct amx_item *m, const struct weights *w, uint32_t s, uint32_t visits)
{
    const uint16_t *from = weights_at(w, s), *far = weights_at(w, s + FAR_STEPS);

    m->side ^= 1;
    return (struct meanwhile) { .from = from, .far = far ? far : from, .to = m->panel[m->side], .pairs = from ? PAIRS : 0,
                                .visits = visits };
}

VEC_INLINE void multiply(struct amx_item *m, const struct weights *w, float *sums, uint32_t strips, bool add, const int products)
{
    uint32_t visits = strips * parts(m->item.rows, STRIP) * (uint32_t)products;

    if (!m->ready) {
        struct meanwhile first = set_out(m, w, 0, 1);
        visit(&first, products == 1);
    }
    for (uint32_t s = 0; s < w->steps; s++) {
        const uint16_t *weights = m->panel[m->side];
        struct meanwhile f = set_out(m, w, s + 1, visits);
        multiply_step(m, &f, weights, sums, s, strips, add || s > 0, products);
    }
}

void CPU_NAME(amx_multiply_few)(const struct cpu_args *a, struct amx_item *m, const struct amx_unit units[3], float *sums)
{
    const struct gemm_params *p = a->params;
    const struct amx_chunk *chunk = units[0].chunk, *next = units[1].chunk;
    const uint16_t *w = (const uint16_t *)a->reads[2] + (size_t)m->item.panel * p->k * PANEL;
    uint32_t strips = parts(least(p->cols - (m->item.panel + units[0].panel) * PANEL, PANEL), STRIP);
    bool goes_on = amx_alike(chunk, next);
    struct weights weights = { .now = w + ((size_t)units[0].panel * p->k + chunk->k) * PANEL, .steps = chunk->steps };

    if (goes_on) weights.next = w + ((size_t)units[1].panel * p->k + next->k) * PANEL;
    if (chunk->products == 3) multiply(m, &weights, sums, strips, chunk->k > 0, 3);
    else if (chunk->products == 2) multiply(m, &weights, sums, strips, chunk->k > 0, 2);
    else multiply(m, &weights, sums, strips, chunk->k > 0, 1);
    m->ready = goes_on;
}

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
