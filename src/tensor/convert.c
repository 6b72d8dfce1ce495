/* Every loop here is plain arithmetic on whole rows without a branch, so that the
 * compiler vectorises it. Types without a direct way to fp16 go through fp32 in
 * short runs; that is exact for the values fp16 can hold, except from F64. */
#include "tensor/convert.h"

#include <math.h>
#include <string.h>

/* The same loops built for wider vectors, chosen when the program starts. Sanitizers run before that choice can. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define WIDE
#endif

enum { RUN = 1024 }; /* values per run through fp32: 4 KiB, in L1 */

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t half_of(uint32_t bits)
{
    uint32_t a = bits & 0x7fffffff;
    uint32_t normal = (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13;
    uint32_t tiny = bits_of(float_of(a) + 0.5f) - 0x3f000000; /* 0.5f's last place counts fp16's smallest value */
    uint32_t h = a < 0x38800000 ? tiny : normal;

    h = a >= 0x47800000 ? 0x7c00 : h;
    h = a > 0x7f800000 ? 0x7e00 : h;
    return (uint16_t)(h | (bits >> 16 & 0x8000));
}

static inline float float_of_half(uint32_t half)
{
    uint32_t a = (half & 0x7fff) << 13, exponent = a & 0x0f800000;
    uint32_t normal = a + 0x38000000, huge = normal + 0x38000000;
    uint32_t tiny = bits_of(float_of(a + 0x38800000) - float_of(0x38800000));
    uint32_t f = exponent == 0 ? tiny : exponent == 0x0f800000 ? huge : normal;
    return float_of(f | (half & 0x8000) << 16);
}

float convert_f16_to_f32(uint16_t half)
{
    return float_of_half(half);
}

uint16_t convert_f32_to_f16(float value)
{
    return half_of(bits_of(value));
}

/* ---- to fp32 ------------------------------------------------------------ */

WIDE static unsigned f32_from_f32(float *restrict y, const float *restrict x, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t u = bits_of(x[i]);
        y[i] = x[i];
        bad |= (u & 0x7f800000) == 0x7f800000;
    }
    return bad ? CONVERT_NOT_FINITE : 0;
}

WIDE static unsigned f32_from_f16(float *restrict y, const uint16_t *restrict x, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t h = x[i];
        y[i] = float_of_half(h);
        bad |= (h & 0x7c00) == 0x7c00;
    }
    return bad ? CONVERT_NOT_FINITE : 0;
}

WIDE static unsigned f32_from_bf16(float *restrict y, const uint16_t *restrict x, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t u = (uint32_t)x[i] << 16;
        y[i] = float_of(u);
        bad |= (u & 0x7f800000) == 0x7f800000;
    }
    return bad ? CONVERT_NOT_FINITE : 0;
}

static unsigned f32_from_f64(float *restrict y, const double *restrict x, size_t count)
{
    unsigned flags = 0;
    for (size_t i = 0; i < count; i++) {
        y[i] = (float)x[i];
        if (!isfinite(x[i])) flags |= CONVERT_NOT_FINITE;
        else if (!isfinite(y[i])) flags |= CONVERT_TOO_LARGE;
    }
    return flags;
}

/* S.EEEE.MMM, bias 7, no Inf; the one NaN is all ones. Moved into fp16's places it is 2^8 too small. */
WIDE static unsigned f32_from_e4m3(float *restrict y, const uint8_t *restrict x, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t v = x[i], nan = (v & 0x7f) == 0x7f;
        float value = float_of_half((v & 0x80) << 8 | (v & 0x7f) << 7) * 256.0f;
        y[i] = nan ? float_of(0x7fc00000) : value;
        bad |= nan;
    }
    return bad ? CONVERT_NOT_FINITE : 0;
}

/* The upper byte of an fp16. */
WIDE static unsigned f32_from_e5m2(float *restrict y, const uint8_t *restrict x, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t h = (uint32_t)x[i] << 8;
        y[i] = float_of_half(h);
        bad |= (h & 0x7c00) == 0x7c00;
    }
    return bad ? CONVERT_NOT_FINITE : 0;
}

#define FROM_INTEGER(name, type)                                                            \
    static unsigned name(float *restrict y, const type *restrict x, size_t count)           \
    {                                                                                       \
        for (size_t i = 0; i < count; i++) y[i] = (float)x[i];                              \
        return 0;                                                                           \
    }
FROM_INTEGER(f32_from_i64, int64_t)
FROM_INTEGER(f32_from_i32, int32_t)
FROM_INTEGER(f32_from_i16, int16_t)
FROM_INTEGER(f32_from_i8, int8_t)
FROM_INTEGER(f32_from_u8, uint8_t)

bool convert_takes(enum dtype type)
{
    switch (type) {
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
    case DTYPE_F64:
    case DTYPE_F8_E4M3:
    case DTYPE_F8_E5M2:
    case DTYPE_I64:
    case DTYPE_I32:
    case DTYPE_I16:
    case DTYPE_I8:
    case DTYPE_U8:
    case DTYPE_BOOL:
        return true;
    default:
        return false;
    }
}

unsigned convert_to_f32(float *y, const void *x, enum dtype type, size_t count)
{
    switch (type) {
    case DTYPE_F32: return f32_from_f32(y, x, count);
    case DTYPE_F16: return f32_from_f16(y, x, count);
    case DTYPE_BF16: return f32_from_bf16(y, x, count);
    case DTYPE_F64: return f32_from_f64(y, x, count);
    case DTYPE_F8_E4M3: return f32_from_e4m3(y, x, count);
    case DTYPE_F8_E5M2: return f32_from_e5m2(y, x, count);
    case DTYPE_I64: return f32_from_i64(y, x, count);
    case DTYPE_I32: return f32_from_i32(y, x, count);
    case DTYPE_I16: return f32_from_i16(y, x, count);
    case DTYPE_I8: return f32_from_i8(y, x, count);
    default: return f32_from_u8(y, x, count); /* U8 and BOOL: convert_takes has no other */
    }
}

/* ---- to fp16 ------------------------------------------------------------ */

WIDE static unsigned f16_from_f16(uint16_t *restrict y, const uint16_t *restrict x, size_t count)
{
    uint16_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        y[i] = x[i];
        bad |= (x[i] & 0x7c00) == 0x7c00;
    }
    return bad ? CONVERT_NOT_FINITE : 0;
}

#define F16_FROM(name, type, bits)                                                          \
    WIDE static unsigned name(uint16_t *restrict y, const type *restrict x, size_t count)   \
    {                                                                                       \
        uint32_t bad = 0, large = 0;                                                        \
        for (size_t i = 0; i < count; i++) {                                                \
            uint32_t u = (bits), a = u & 0x7fffffff;                                        \
            y[i] = half_of(u);                                                              \
            bad |= a >= 0x7f800000;                                                         \
            large |= (a >= 0x477ff000) & (a < 0x7f800000);                                  \
        }                                                                                   \
        return (bad ? CONVERT_NOT_FINITE : 0u) | (large ? CONVERT_TOO_LARGE : 0u);          \
    }
F16_FROM(f16_from_f32, float, bits_of(x[i]))
F16_FROM(f16_from_bf16, uint16_t, (uint32_t)x[i] << 16)

/* fp32 rounded toward zero, the last bit set where anything was cut off: rounding
 * this to nearest fp16 is the same as rounding the double once. */
static void odd_from_f64(float *restrict y, const double *restrict x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float near = (float)x[i];
        uint32_t u = bits_of(near);
        if (isfinite(x[i]) && (double)near != x[i]) u = (u - (fabs((double)near) > fabs(x[i]))) | 1;
        y[i] = float_of(u);
    }
}

unsigned convert_to_f16(uint16_t *y, const void *x, enum dtype type, size_t count)
{
    if (type == DTYPE_F16) return f16_from_f16(y, x, count);
    if (type == DTYPE_F32) return f16_from_f32(y, x, count);
    if (type == DTYPE_BF16) return f16_from_bf16(y, x, count);

    unsigned flags = 0;
    for (size_t i = 0; i < count; i += RUN) {
        float run[RUN];
        size_t n = count - i < RUN ? count - i : RUN;
        if (type == DTYPE_F64)
            odd_from_f64(run, (const double *)x + i, n);
        else
            convert_to_f32(run, (const char *)x + i * dtype_size(type), type, n);
        flags |= f16_from_f32(y + i, run, n);
    }
    return flags;
}
