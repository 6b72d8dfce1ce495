#include "tensor/convert.h"
#include "check.h"

#include <stdlib.h>

/* ---- the definitions, in double ----------------------------------------- */

/* A small float of e exponent and m mantissa bits, IEEE-like with this bias. */
static double decode(unsigned code, int e, int m, int bias)
{
    unsigned mantissa = code & ((1u << m) - 1), exponent = code >> m & ((1u << e) - 1);
    double value = exponent ? ldexp((double)(mantissa | 1u << m), (int)exponent - bias - m)
                            : ldexp((double)mantissa, 1 - bias - m);
    return code >> (e + m) & 1 ? -value : value;
}

/* The fp16 nearest to value, ties to the even code, by looking at both neighbours. */
static uint16_t nearest_half(double value)
{
    double size = fabs(value);
    unsigned low = 0, high = 0x7c00; /* codes of increasing value; 0x7c00 stands for 65536 here */
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (decode(middle, 5, 10, 15) <= size) low = middle;
        else high = middle;
    }
    double below = size - decode(low, 5, 10, 15), above = decode(high, 5, 10, 15) - size;
    unsigned code = below < above || (below == above && low % 2 == 0) ? low : high;
    if (size >= 65536) code = 0x7c00;
    return (uint16_t)(code | (signbit(value) ? 0x8000u : 0u));
}

static void every_half_becomes_its_value(void **state)
{
    static uint16_t x[65536], back[65536];
    static float y[65536];
    (void)state;
    for (unsigned i = 0; i < 65536; i++) x[i] = (uint16_t)i;
    assert_int_equal(convert_to_f32(y, x, DTYPE_F16, 65536), CONVERT_NOT_FINITE);
    convert_to_f16(back, y, DTYPE_F32, 65536);
    for (unsigned i = 0; i < 65536; i++) {
        if ((i & 0x7c00) == 0x7c00) {
            assert_true(i & 0x3ff ? isnan(y[i]) && isnan(convert_f16_to_f32(back[i])) : isinf(y[i]) && back[i] == i);
            continue;
        }
        assert_true((double)y[i] == decode(i, 5, 10, 15) && !signbit(y[i]) == !(i & 0x8000));
        assert_int_equal(back[i], i);
    }
}

/* Each fp16 value, the middle to the next one, and one step of fp32 to either side of both. */
static void every_rounding_to_half_is_to_nearest_even(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 0x7c00; i++) {
        float here = (float)decode(i, 5, 10, 15), middle = (float)((here + decode(i + 1, 5, 10, 15)) / 2);
        float x[8] = { here, middle };
        uint16_t y[8];
        for (int k = 0; k < 2; k++) {
            x[2 + k] = nextafterf(x[k], INFINITY);
            x[4 + k] = nextafterf(x[k], -INFINITY);
        }
        x[6] = -middle;
        x[7] = -here;
        unsigned flags = convert_to_f16(y, x, DTYPE_F32, 8);
        for (int k = 0; k < 8; k++)
            if (y[k] != nearest_half((double)x[k])) fail_msg("%.9g became %04x", (double)x[k], y[k]);
        assert_int_equal(flags, i == 0x7bff ? CONVERT_TOO_LARGE : 0); /* 65520 and up */
    }
}

static void bf16_rounds_as_its_fp32(void **state)
{
    static uint16_t x[65536], y[65536];
    static float wide[65536];
    (void)state;
    for (unsigned i = 0; i < 65536; i++) x[i] = (uint16_t)i;
    assert_int_equal(convert_to_f32(wide, x, DTYPE_BF16, 65536), CONVERT_NOT_FINITE);
    assert_int_equal(convert_to_f16(y, x, DTYPE_BF16, 65536), CONVERT_NOT_FINITE | CONVERT_TOO_LARGE);
    for (unsigned i = 0; i < 65536; i++) {
        if ((i & 0x7f80) == 0x7f80) continue;
        assert_true((double)wide[i] == decode(i, 8, 7, 127));
        assert_int_equal(y[i], nearest_half((double)wide[i]));
    }
    assert_int_equal(convert_to_f16(y, x, DTYPE_BF16, 0x4770), 0); /* below 61440: all fits */
}

static void eight_bit_floats_become_their_values(void **state)
{
    uint8_t x[256];
    float y[256];
    uint16_t half[256];
    (void)state;
    for (unsigned i = 0; i < 256; i++) x[i] = (uint8_t)i;

    assert_int_equal(convert_to_f32(y, x, DTYPE_F8_E4M3, 256), CONVERT_NOT_FINITE);
    convert_to_f16(half, x, DTYPE_F8_E4M3, 256);
    for (unsigned i = 0; i < 256; i++) {
        if ((i & 0x7f) == 0x7f) assert_true(isnan(y[i]) && isnan(convert_f16_to_f32(half[i])));
        else assert_true((double)y[i] == decode(i, 4, 3, 7) && convert_f16_to_f32(half[i]) == y[i]);
    }
    assert_true(y[0x7e] == 448.0f);
    assert_int_equal(convert_to_f32(y, x, DTYPE_F8_E4M3, 0x7f), 0);

    assert_int_equal(convert_to_f32(y, x, DTYPE_F8_E5M2, 256), CONVERT_NOT_FINITE);
    for (unsigned i = 0; i < 256; i++) {
        if ((i & 0x7c) == 0x7c) assert_true(i & 3 ? isnan(y[i]) : isinf(y[i]));
        else assert_true((double)y[i] == decode(i, 5, 2, 15));
    }
    assert_int_equal(convert_to_f32(y, x, DTYPE_F8_E5M2, 0x7c), 0);
}

static void doubles_are_rounded_once(void **state)
{
    /* Through fp32 to nearest the second would become the tie and go down to even. */
    double x[] = { 1.0, 1.0 + 0x1p-11 + 0x1p-40, 1.0 + 0x1p-11, 1.0 + 0x1p-11 - 0x1p-40, -65519.999999, 0x1p-25, 0x1.000001p-25,
                   -0.0 };
    uint16_t y[8];
    float wide;
    (void)state;
    assert_int_equal(convert_to_f16(y, x, DTYPE_F64, 8), 0);
    for (int i = 0; i < 8; i++) assert_int_equal(y[i], nearest_half(x[i]));
    assert_int_equal(y[1], 0x3c01);
    assert_int_equal(y[6], 1);

    double large[] = { 1e300, -65520 }, bad[] = { INFINITY };
    assert_int_equal(convert_to_f16(y, large, DTYPE_F64, 2), CONVERT_TOO_LARGE);
    assert_int_equal(y[1], 0xfc00);
    assert_int_equal(convert_to_f16(y, bad, DTYPE_F64, 1), CONVERT_NOT_FINITE);
    assert_int_equal(convert_to_f32(&wide, large, DTYPE_F64, 1), CONVERT_TOO_LARGE);
    assert_int_equal(convert_to_f32(&wide, bad, DTYPE_F64, 1), CONVERT_NOT_FINITE);
}

static void integers_become_their_values(void **state)
{
    int64_t x[2500];
    uint16_t y[2500];
    float wide[2500];
    int8_t bytes[] = { -128, 127 };
    (void)state;
    for (int i = 0; i < 2500; i++) x[i] = i * 13 - 16000;
    assert_int_equal(convert_to_f16(y, x, DTYPE_I64, 2500), 0);
    assert_int_equal(convert_to_f32(wide, x, DTYPE_I64, 2500), 0);
    for (int i = 0; i < 2500; i++) {
        assert_int_equal(y[i], nearest_half((double)x[i]));
        assert_true((double)wide[i] == (double)x[i]);
    }
    x[2499] = 65520;
    assert_int_equal(convert_to_f16(y, x, DTYPE_I64, 2500), CONVERT_TOO_LARGE);
    convert_to_f32(wide, bytes, DTYPE_I8, 2);
    assert_true(wide[0] == -128.0f && wide[1] == 127.0f);
}

/* One bad value anywhere in rows of odd lengths is found. */
static void no_place_hides_a_bad_value(void **state)
{
    static float x[67];
    static uint16_t h[67], y[67];
    (void)state;
    for (size_t count = 1; count <= 67; count++)
        for (size_t at = 0; at < count; at++) {
            x[at] = NAN;
            h[at] = 0xfc00;
            assert_int_equal(convert_to_f16(y, x, DTYPE_F32, count), CONVERT_NOT_FINITE);
            assert_int_equal(convert_to_f16(y, h, DTYPE_F16, count), CONVERT_NOT_FINITE);
            x[at] = 1e6f;
            assert_int_equal(convert_to_f16(y, x, DTYPE_F32, count), CONVERT_TOO_LARGE);
            x[at] = 0;
            h[at] = 0;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_becomes_its_value),
        cmocka_unit_test(every_rounding_to_half_is_to_nearest_even),
        cmocka_unit_test(bf16_rounds_as_its_fp32),
        cmocka_unit_test(eight_bit_floats_become_their_values),
        cmocka_unit_test(doubles_are_rounded_once),
        cmocka_unit_test(integers_become_their_values),
        cmocka_unit_test(no_place_hides_a_bad_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
