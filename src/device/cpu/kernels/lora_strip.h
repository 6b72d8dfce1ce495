/* The last step of lora_merge, for a few rows of a panel: y = round(w0 + delta + a b). Both w0 and y lie far away, so these lines
 * are best finished between the products of the next rows (lora_multiply_amx.c). */
#ifndef TINCT_CPU_LORA_STRIP_H
#define TINCT_CPU_LORA_STRIP_H

#include "device/cpu/kernels/stored.h"

enum {
    MERGE_COLUMNS = 64,
    MERGE_STRIP = VEC_AMX ? 32 : 24,           /* rows: whole tiles of every kind, two of which stay near */
    LINE = 32,                                 /* elements finished at a time: 64 bytes of halves */
};

struct strip {
    const uint16_t *w0_f16;                    /* the next line's places; NULL: there is none, or it is in w0_f32 */
    const float *w0_f32, *delta, *sums;
    uint16_t *y;
    uint32_t lines;                            /* that are left */
};

/* The top bits of any tell that a sum went beyond fp16. */
struct beyond {
    uint16_t bits[LINE];
};

VEC_INLINE void finish_line(struct strip *s, struct beyond *beyond)
{
    float sums[LINE];

    for (uint32_t i = 0; i < LINE; i += VEC_WIDTH) {
        vec v = s->w0_f16 ? stored_vec(s->w0_f16, i, true) : stored_vec(s->w0_f32, i, false);
        if (s->delta) v += vec_load(s->delta + i);
        if (s->sums) v += vec_load(s->sums + i);
        vec_store(sums + i, v);
    }
    narrow_f16_far(s->y, sums, beyond->bits);
    if (s->w0_f16) __builtin_prefetch(s->w0_f16 + MERGE_STRIP * MERGE_COLUMNS);      /* of the next strip */
    if (s->w0_f16) s->w0_f16 += LINE;
    else s->w0_f32 += LINE;
    if (s->delta) s->delta += LINE;
    if (s->sums) s->sums += LINE;
    s->y += LINE;
    s->lines--;
}

VEC_INLINE void finish_lines(struct strip *s, uint32_t lines, struct beyond *beyond)
{
    for (uint32_t i = lines < s->lines ? lines : s->lines; i > 0; i--) finish_line(s, beyond);
}

#endif
