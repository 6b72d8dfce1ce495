/* Rows of activations as they are stored: f32, or f16 where the device stores halves (cpu_args.f16). */
#ifndef TINCT_CPU_STORED_H
#define TINCT_CPU_STORED_H

#include <stdbool.h>

#include "device/cpu/kernels/vec.h"

enum { HALVES = 16 };              /* that are converted at a time: rows of floats have room for a multiple of them */

static inline uint32_t row_room(uint32_t count)
{
    return (count + HALVES - 1) / HALVES * HALVES;
}

static inline size_t stored_size(bool f16)
{
    return f16 ? sizeof(uint16_t) : sizeof(float);
}

/* The element `index` on. */
static inline const void *stored_at(const void *from, size_t index, bool f16)
{
    return (const char *)from + index * stored_size(f16);
}

static inline void *stored_place(void *to, size_t index, bool f16)
{
    return (char *)to + index * stored_size(f16);
}

/* VEC_WIDTH elements from element `index` on. */
VEC_INLINE vec stored_vec(const void *from, size_t index, const bool f16)
{
    float v[VEC_WIDTH];

    if (!f16) return vec_load((const float *)from + index);
    widen_f16(v, (const uint16_t *)from + index, VEC_WIDTH);
    return vec_load(v);
}

VEC_INLINE void widen_row(float *to, const uint16_t *from, uint32_t count)
{
    uint32_t whole = count / HALVES * HALVES;
    uint16_t rest[HALVES] = { 0 };

    widen_f16(to, from, whole);
    if (whole == count) return;
    memcpy(rest, from + whole, (count - whole) * sizeof *rest);
    widen_f16(to + whole, rest, HALVES);
}

/* from has room for a multiple of HALVES. */
VEC_INLINE void narrow_row(uint16_t *to, const float *from, uint32_t count)
{
    uint32_t whole = count / HALVES * HALVES;
    uint16_t rest[HALVES];

    narrow_f16(to, from, whole);
    if (whole == count) return;
    narrow_f16(rest, from + whole, HALVES);
    memcpy(to + whole, rest, (count - whole) * sizeof *rest);
}

/* count elements as floats: where they are, or widened to room. */
VEC_INLINE const float *row_read(const void *row, bool f16, uint32_t count, float *room)
{
    if (!f16) return row;
    widen_row(room, row, count);
    return room;
}

/* Where a row's floats are to be written, for row_written to store them: the row itself, or room. */
VEC_INLINE float *row_to_write(void *row, bool f16, float *room)
{
    return f16 ? room : row;
}

VEC_INLINE void row_written(void *row, bool f16, uint32_t count, const float *room)
{
    if (f16) narrow_row(row, room, count);
}

#endif
