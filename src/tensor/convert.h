/* Element types of files to the two that devices hold, rounding to nearest even.
 *
 * Taken: F32, F16, BF16, F64, F8_E4M3, F8_E5M2, I64, and the smaller integers and
 * BOOL. x is aligned to its element; y and x do not overlap. Nothing is changed in
 * silence: what the result cannot show comes back as flags, or-ed over all values. */
#ifndef TINCT_TENSOR_CONVERT_H
#define TINCT_TENSOR_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/dtype.h"

enum {
    CONVERT_NOT_FINITE = 1, /* NaN or Inf came in, and went out */
    CONVERT_TOO_LARGE = 2,  /* a finite value became Inf: 65520 and up in fp16 */
};

/* Whether convert_to_* take this type. */
bool convert_takes(enum dtype type);

/* y [count] fp32 from x [count] of type. */
unsigned convert_to_f32(float *y, const void *x, enum dtype type, size_t count);

/* y [count] fp16 from x [count] of type. F16 is copied. */
unsigned convert_to_f16(uint16_t *y, const void *x, enum dtype type, size_t count);

/* One value each way, for tests and small things. */
float convert_f16_to_f32(uint16_t half);
uint16_t convert_f32_to_f16(float value);

#endif
