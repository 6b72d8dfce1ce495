/* Element types of tensors, in files and on devices.
 *
 * Devices hold f32 and f16 (and the integers that a kernel asks for); the rest
 * occur in files only and are converted on the way in (tensor/convert.h). */
#ifndef TINCT_TENSOR_DTYPE_H
#define TINCT_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

enum dtype {
    DTYPE_F32, /* 0, so that a zeroed tensor is fp32 */
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F64,
    DTYPE_F8_E4M3, /* as OCP: no Inf, NaN is S.1111.111, largest 448 */
    DTYPE_F8_E5M2, /* as IEEE: Inf and NaN, largest 57344 */
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U64,
    DTYPE_U32,
    DTYPE_U16,
    DTYPE_U8,
    DTYPE_BOOL,
    /* Legal in a safetensors file; named and measured here, never converted. */
    DTYPE_C64,
    DTYPE_F8_E8M0,
    DTYPE_F8_E4M3FNUZ,
    DTYPE_F8_E5M2FNUZ,
    DTYPE_F6_E2M3,
    DTYPE_F6_E3M2,
    DTYPE_F4,
    DTYPE_COUNT
};

/* Bits of one element: 4, 6, 8, 16, 32 or 64. */
unsigned dtype_bits(enum dtype type);

/* Bytes of one element: 1, 2, 4 or 8; 0 for the types of 4 and 6 bits. */
size_t dtype_size(enum dtype type);

/* "f32", "f16", "bf16", "f8_e4m3" ...: as kernels' variants are called. */
const char *dtype_name(enum dtype type);

/* "F32", "F16", "BF16", "F8_E4M3" ...: as safetensors files and people write it. */
const char *dtype_file_name(enum dtype type);

/* The type of this safetensors name (length bytes, exact case); false if there is none. */
bool dtype_from_file_name(enum dtype *type, const char *name, size_t length);

#endif
