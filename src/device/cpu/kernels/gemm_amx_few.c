/* Few rows by many weights: each weight serves so few products that to convert it, and to wait for it, takes longer than those.
 *
 * So weights do not go to a panel in the second cache first. Tiles multiply one step of k, which lies in the first cache,
 * while vectors convert the step that comes after it and memory brings those that come after that one; sums are loaded
 * and stored in between. Sums are the same bit for bit: each takes its products in the same order. */
#include "device/cpu/kernels/gemm_amx.h"

#if VEC_AMX

enum {
    PAIRS = STEP / 2,                  /* rows of w are converted in pairs */
    FAR_STEPS = 2,                     /* from weights that are converted to those that memory is asked for */
};

bool CPU_NAME(amx_has_few)(const struct gemm_params *p, uint32_t rows)
{
    return rows <= FEW_ROWS && !(p->flags & (GEMM_PHASES | GEMM_WINOGRAD)) && p->kernel_h * p->kernel_w * p->c1 % STEP == 0 &&
           (p->c2 + p->c3) % STEP == 0;
}

/* Weights are fp16 numbers, whose 11 bits are those of two bf16 ones. */
VEC_INLINE void split_pair_16(__m512i *high, __m512i *low, __m512 even, __m512 odd)
{
    *high = take_pair_16(&even, &odd);
    *low = _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(even), 16), _mm512_castps_si512(odd));
}

/* The next two rows of w; those of some steps on are asked for. */
VEC_INLINE void turn_pair(struct amx_few *f, const bool single)
{
    const uint32_t size = single ? 2 * TILE : 4 * TILE;            /* of a step */
    const uint16_t *w = f->from + (size_t)f->pair * 2 * PANEL, *far = f->far + (size_t)f->pair * 2 * PANEL;
    uint16_t *to = f->to + f->pair * STEP;

    f->pair++;
#pragma GCC unroll 4
    for (uint32_t c = 0; c < PANEL; c += 16) {
        uint16_t *at = to + c / STRIP * size + c % STRIP / 16 * TILE;
        __m512 even = widen_16(w + c), odd = widen_16(w + c + PANEL);
        __m512i high, low;
        _mm_prefetch((const char *)(far + c * 2), _MM_HINT_T1);
        if (single) high = round_pair_16(even, odd);
        else split_pair_16(&high, &low, even, odd);
        _mm512_store_si512(at, high);
        if (!single) _mm512_store_si512(at + 2 * TILE, low);
    }
}

/* Their share of a few products. */
VEC_INLINE void turn_some(struct amx_few *f, const bool single)
{
    for (f->due += f->pairs; f->due >= f->visits; f->due -= f->visits) turn_pair(f, single);
}

/* add_step, and so many weights meanwhile. */
VEC_INLINE void add_and_turn(struct amx_few *f, const uint16_t *high, const uint16_t *low, const uint16_t *right, const int products)
{
    load_left(high);
    if (products > 1) {
        load_right(right + 2 * TILE);
        turn_some(f, false);
        add_products();
    }
    load_right(right);
    turn_some(f, products == 1);
    add_products();
    if (products < 3) return;
    load_left(low);
    turn_some(f, false);
    add_products();
}

/* Step s of the chunk. */
VEC_INLINE void multiply_step(struct amx_item *m, struct amx_few *f, const uint16_t *weights, float *sums, uint32_t s,
                              uint32_t strips, bool add, const int products)
{
    tile_fence();
    for (uint32_t c = 0; c < strips; c++, weights += products == 1 ? 2 * TILE : 4 * TILE)
        for (uint32_t r = 0; r < m->item.rows; r += STRIP) {
            const uint16_t *inputs = m->chunk + (size_t)r / STRIP * m->next_strip + (size_t)s * m->next_slot;
            float *to = sums + (size_t)r * PANEL + c * STRIP;
            if (add) load_sums(to, PANEL);
            else zero_sums();
            add_and_turn(f, inputs, inputs + m->next_number, weights, products);
            store_sums(to, PANEL);
        }
    tile_fence();
}

/* Weights of the chunk's step s, or behind its last of the next chunk's. */
static const uint16_t *weights_at(const struct amx_few *f, const struct amx_item *m, uint32_t s)
{
    return s < m->steps ? f->now + (size_t)s * STEP * PANEL : f->next + (size_t)(s - m->steps) * STEP * PANEL;
}

/* Sets out to convert step s. */
static void turn_from(struct amx_few *f, struct amx_item *m, uint32_t s, uint32_t visits)
{
    f->from = weights_at(f, m, s);
    f->far = weights_at(f, m, s + FAR_STEPS);
    f->slot ^= 1;
    f->to = m->panel + f->slot * PANEL / STRIP * 4 * TILE;
    f->pair = f->due = 0;
    f->pairs = s < m->steps || f->next != f->now ? PAIRS : 0;
    f->visits = visits;
}

VEC_INLINE void add_few(struct amx_item *m, float *sums, uint32_t strips, bool add, const int products)
{
    struct amx_few *f = &m->few;
    uint32_t visits = strips * parts(m->item.rows, STRIP) * (uint32_t)products;

    if (f->ready != f->now) {
        turn_from(f, m, 0, 1);
        turn_some(f, products == 1);
    }
    for (uint32_t s = 0; s < m->steps; s++) {
        const uint16_t *weights = f->to;
        turn_from(f, m, s + 1, visits);
        multiply_step(m, f, weights, sums, s, strips, add || s > 0, products);
    }
    f->ready = f->next;
}

void CPU_NAME(amx_add_few)(struct amx_item *m, uint32_t panel, uint32_t columns, bool add)
{
    float *sums = m->item.sums + (size_t)panel * m->item.room * PANEL;
    uint32_t strips = parts(columns, STRIP);

    if (m->products == 3) add_few(m, sums, strips, add, 3);
    else if (m->products == 2) add_few(m, sums, strips, add, 2);
    else add_few(m, sums, strips, add, 1);
}

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
