#include "tensor/dtype.h"

#include <string.h>

static const struct {
    const char *name, *file_name;
    unsigned bits;
} types[DTYPE_COUNT] = {
    [DTYPE_F32] = { "f32", "F32", 32 },
    [DTYPE_F16] = { "f16", "F16", 16 },
    [DTYPE_BF16] = { "bf16", "BF16", 16 },
    [DTYPE_F64] = { "f64", "F64", 64 },
    [DTYPE_F8_E4M3] = { "f8_e4m3", "F8_E4M3", 8 },
    [DTYPE_F8_E5M2] = { "f8_e5m2", "F8_E5M2", 8 },
    [DTYPE_I64] = { "i64", "I64", 64 },
    [DTYPE_I32] = { "i32", "I32", 32 },
    [DTYPE_I16] = { "i16", "I16", 16 },
    [DTYPE_I8] = { "i8", "I8", 8 },
    [DTYPE_U64] = { "u64", "U64", 64 },
    [DTYPE_U32] = { "u32", "U32", 32 },
    [DTYPE_U16] = { "u16", "U16", 16 },
    [DTYPE_U8] = { "u8", "U8", 8 },
    [DTYPE_BOOL] = { "bool", "BOOL", 8 },
    [DTYPE_C64] = { "c64", "C64", 64 },
    [DTYPE_F8_E8M0] = { "f8_e8m0", "F8_E8M0", 8 },
    [DTYPE_F8_E4M3FNUZ] = { "f8_e4m3fnuz", "F8_E4M3FNUZ", 8 },
    [DTYPE_F8_E5M2FNUZ] = { "f8_e5m2fnuz", "F8_E5M2FNUZ", 8 },
    [DTYPE_F6_E2M3] = { "f6_e2m3", "F6_E2M3", 6 },
    [DTYPE_F6_E3M2] = { "f6_e3m2", "F6_E3M2", 6 },
    [DTYPE_F4] = { "f4", "F4", 4 },
};

unsigned dtype_bits(enum dtype type)
{
    return types[type].bits;
}

size_t dtype_size(enum dtype type)
{
    return types[type].bits % 8 ? 0 : types[type].bits / 8;
}

const char *dtype_name(enum dtype type)
{
    return types[type].name;
}

const char *dtype_file_name(enum dtype type)
{
    return types[type].file_name;
}

bool dtype_from_file_name(enum dtype *type, const char *name, size_t length)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strlen(types[i].file_name) == length && !memcmp(types[i].file_name, name, length)) {
            *type = (enum dtype)i;
            return true;
        }
    return false;
}
