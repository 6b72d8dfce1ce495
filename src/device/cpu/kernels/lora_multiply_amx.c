/* On tiles of bf16 (amx.h). A factor is the sum of three bf16 numbers, which have all of its 24 bits, and of the nine products the
 * six largest are summed: as good as fp32's one, in less than half of its time. */
#include "device/cpu/kernels/lora_multiply.h"

#include "device/cpu/kernels.h"
#include "device/cpu/kernels/amx.h"

#if VEC_AMX

enum { NUMBERS = 3, PRODUCTS = 6, PART = 2 * TILE, WHOLE = NUMBERS * PART };     /* bf16 numbers of one number's two tiles, and of all three */

/* All of b, then all of a, each as [strip][step][number][2] tiles. */
size_t CPU_NAME(lora_multiply_room)(uint32_t ranks)
{
    return (size_t)parts(ranks, STEP) * WHOLE * sizeof(uint16_t) * (MERGE_COLUMNS / STRIP + MERGE_ROWS / STRIP);
}

static uint16_t *left_of(void *room, uint32_t ranks)
{
    return (uint16_t *)room + (size_t)parts(ranks, STEP) * WHOLE * (MERGE_COLUMNS / STRIP);
}

void CPU_NAME(lora_multiply_panel)(const float *b, uint32_t ranks, void *room)
{
    const uint32_t steps = parts(ranks, STEP);
    uint16_t *right = room;

    for (uint32_t k = 0; k < steps * STEP; k += 2)
        for (uint32_t c = 0; c < MERGE_COLUMNS; c += 16) {
            const float *from = b + (size_t)k * MERGE_COLUMNS + c;
            __m512 even = k < ranks ? _mm512_loadu_ps(from) : _mm512_setzero_ps();
            __m512 odd = k + 1 < ranks ? _mm512_loadu_ps(from + MERGE_COLUMNS) : _mm512_setzero_ps();
            uint16_t *to = right + (size_t)(c / STRIP * steps + k / STEP) * WHOLE + c % STRIP / 16 * TILE + k % STEP * 16;
            for (int i = 0; i < NUMBERS; i++, to += PART) _mm512_store_si512(to, take_pair_16(&even, &odd));
        }
}

static void load_step(uint16_t *to, const float *from)
{
    __m512 a = _mm512_loadu_ps(from), b = _mm512_loadu_ps(from + 16);

    for (int i = 0; i < NUMBERS; i++, to += PART) _mm512_store_si512(to, take_32(&a, &b));
}

/* The tiles stay as they are until lora_multiply_end: they are slow to come by. */
void CPU_NAME(lora_multiply_begin)(const float *a, uint32_t rows, uint32_t ranks, void *room)
{
    static const struct amx_config config = AMX_ALL_TILES;
    const uint32_t steps = parts(ranks, STEP);
    uint16_t *left = left_of(room, ranks);

    for (uint32_t r = 0; r < rows; r++, a += ranks)
        for (uint32_t k = 0; k < ranks; k += STEP) {
            float rest[STEP] = { 0 };
            if (ranks - k < STEP) memcpy(rest, a + k, (ranks - k) * sizeof *a);
            load_step(left + (size_t)(r / STRIP * steps + k / STEP) * WHOLE + r % STRIP * STEP, ranks - k < STEP ? rest : a + k);
        }
    _tile_loadconfig(&config);
}

void CPU_NAME(lora_multiply_end)(void)
{
    _tile_release();
}

VEC_INLINE void add_six(const uint16_t *left, const uint16_t *right, struct strip *last, uint32_t lines, struct beyond *beyond)
{
    load_left(left);
    load_right(right + 2 * PART);
    add_products();
    finish_lines(last, lines, beyond);
    load_right(right + PART);
    add_products();
    finish_lines(last, lines, beyond);
    load_left(left + PART);
    add_products();
    finish_lines(last, lines, beyond);
    load_right(right);
    add_products();
    finish_lines(last, lines, beyond);
    load_left(left + 2 * PART);
    add_products();
    finish_lines(last, lines, beyond);
    load_left(left);
    add_products();
    finish_lines(last, lines, beyond);
}

void CPU_NAME(lora_multiply)(float *sums, uint32_t first, uint32_t rows, uint32_t ranks, void *room, struct strip *last,
                             struct beyond *beyond)
{
    const size_t steps = parts(ranks, STEP);
    const uint16_t *right = room, *left = left_of(room, ranks) + first / STRIP * steps * WHOLE;
    const uint32_t lines = parts(MERGE_STRIP * MERGE_COLUMNS / LINE, (uint32_t)steps * 2 * PRODUCTS);
    struct strip s = *last;
    struct beyond b = *beyond;

    (void)rows;                        /* one strip */
    tile_fence();
    for (uint32_t c = 0; c < MERGE_COLUMNS; c += STRIP) {
        zero_sums();
        for (size_t i = 0; i < steps; i++) add_six(left + i * WHOLE, right + (c / STRIP * steps + i) * WHOLE, &s, lines, &b);
        store_sums(sums + c, MERGE_COLUMNS);
    }
    tile_fence();
    *last = s;
    *beyond = b;
}

#else
typedef int nothing_here;      /* a file must not be empty */
#endif
