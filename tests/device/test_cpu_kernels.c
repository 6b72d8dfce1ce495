/* The cpu device's kernels under every instruction set that this processor offers, against loops in double. The ops'
 * own tests (tests/ops) cover the meaning; here is what they cannot see: each set, tails of the tile in both
 * directions, block seams in k, and that bits depend on neither threads nor neighbours. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "check.h"
#include "device/gemm_case.h"

#include "device/cpu/kernels.h"
#include "device/cpu/kernels/math.h"
#include "device/device.h"
#include "tensor/convert.h"

#include "attention.h"
#include "gemm.h"

/* ---- tools ---------------------------------------------------------------- */

static struct device *open_cpu(const char *isa, int threads, enum tinct_precision precision)
{
    struct tinct_err err = { 0 };

    setenv("TINCT_CPU", isa, 1);
    struct device *d = device_open(&(struct device_options) { .name = "cpu", .threads = threads, .precision = precision },
                                   &err);
    unsetenv("TINCT_CPU");
    if (!d) print_error("%s\n", err.text);
    assert_non_null(d);
    return d;
}

static struct span span_of(struct device *d, const void *data, size_t bytes)
{
    struct span s = { buffer_create(d, bytes, NULL), 0, bytes, 0 };
    assert_non_null(s.buffer);
    if (data) assert_true(buffer_write(s.buffer, 0, data, bytes, NULL));
    return s;
}

static void run(struct device *d, const struct dispatch *dispatch)
{
    struct tinct_err err = { 0 };
    struct pass *pass = pass_begin(d);

    pass_dispatch(pass, dispatch);
    if (!pass_end(pass, &err) || !pass_run(pass, &err)) fail_msg("%s", err.text);
    pass_free(pass);
}

/* ---- gemm ------------------------------------------------------------------ */

/* got [y_count]: a result begins as 7 everywhere, so that what is not written shows. */
static void run_gemm(struct device *d, const struct gemm_case *g, float *got)
{
    const struct gemm_params *p = &g->p;
    struct span x1 = span_of(d, g->x1, g->x1_count * 4), x2 = { 0 }, x3 = { 0 }, none = { 0 };
    struct span w = span_of(d, g->packed, g->packed_count * 2), bias = span_of(d, g->bias, p->cols * 4);
    struct span per_image = span_of(d, g->per_image, (size_t)g->images * p->per_image_stride * 4);
    struct span residual = span_of(d, g->residual, g->y_count * 4);

    for (size_t i = 0; i < g->y_count; i++) got[i] = 7;
    struct span y = span_of(d, got, g->y_count * 4);
    if (p->c2) x2 = span_of(d, g->x2, g->x2_count * 4);
    if (p->c3) x3 = span_of(d, g->x3, g->x3_count * 4);
    run(d, &(struct dispatch) {
        .kernel = "gemm", .variant = "f32", .params = p, .params_size = sizeof *p, .rows = p->rows, .columns = p->cols,
        .reads = { x1, x2, w, p->flags & GEMM_BIAS ? bias : none, p->flags & GEMM_PER_IMAGE ? per_image : none,
                   p->flags & GEMM_RESIDUAL ? residual : none, x3 },
        .writes = { y } });
    assert_true(buffer_read(y.buffer, 0, got, g->y_count * 4, NULL));
    struct span all[] = { x1, x2, x3, w, bias, per_image, residual, y };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) buffer_free(all[i].buffer);
}

/* Compares columns [0, outputs) with `want`, up to the next multiple of 4 with 0, the rest with 7. */
static void check_gemm(const struct gemm_case *g, float *got, double tolerance)
{
    uint32_t outputs = g->p.act == ACT_GEGLU ? g->p.cols / 2 : g->p.cols, stride = g->p.y_stride;
    uint32_t written = (outputs + 3) / 4 * 4;

    for (uint32_t row = 0; row < g->p.rows; row++) {
        check_close(got + (size_t)row * stride, g->want + (size_t)row * stride, written, tolerance,
                    g->p.act == ACT_GEGLU ? 0.06 * tolerance : 0);     /* a product of two sums has the error of both */
        for (uint32_t i = written; i < stride; i++) assert_true(got[(size_t)row * stride + i] == 7.0f);
    }
}

/* Sums of up to 1280 products of magnitude below 1: fp32 rounding of sums that stay below 64 is 4e-6 each and averages
 * out; 5e-5 leaves room and is far below any wrong term. */
static const double gemm_tolerance = 5e-5;

/* Tiles of bf16 take operands as sums of two: each is off by up to 2^-16, and so is the product left out. 1280 products of a
 * root mean square of 1/3 are then off by 2^-16 / sqrt(3) sqrt(3 1280) / 3, of which this is four deviations. */
static const double split_tolerance = 7.5e-4;

static void gemm_equals_its_definition(void **state)
{
    (void)state;
    for (int i = 0; i < GEMM_CASES; i++) {
        struct gemm_case g = gemm_case(i);
        gemm_case_make(&g);
        float *got = malloc(g.y_count * sizeof *got);
        for (int isa = 0; isa < CPU_ISAS; isa++) {
            if (!cpu_isa_offered((enum cpu_isa)isa)) continue;
            struct device *d = open_cpu(cpu_isa_name((enum cpu_isa)isa), 2, TINCT_PRECISION_FP32);
            run_gemm(d, &g, got);
            check_gemm(&g, got, isa == CPU_AMX ? split_tolerance : gemm_tolerance);
            device_close(d);
        }
        free(got);
        gemm_case_free(&g);
    }
}

struct rounding {
    bool x, w;                 /* which operand is rounded to bf16 */
    bool own;                  /* a shortcut's likewise */
    bool split;                /* or is a sum of two bf16 numbers */
};

/* As gemm_parts.h tells why. */
static struct rounding on_dot_products(const struct gemm_params *p)
{
    bool rounds = p->kernel_h * p->kernel_w > 1 || p->out_h == 1;
    return (struct rounding) { .x = rounds, .w = rounds, .own = rounds };
}

static struct rounding on_tiles(const struct gemm_params *p)
{
    if (p->kernel_h * p->kernel_w > 1) return (struct rounding) { .x = true, .w = true, .split = p->c2 > 0 };
    if (p->out_h > 1) return (struct rounding) { .split = true };
    return (struct rounding) { .x = true, .w = p->cols != p->c1 };
}

/* With precision fast the result is that of operands rounded to bf16, with fp32 sums. */
static void rounds_its_operands_only(enum cpu_isa isa, struct rounding (*of)(const struct gemm_params *p))
{
    if (!cpu_isa_offered(isa)) {
        print_message("this processor has no %s\n", cpu_isa_name(isa));
        skip();
    }
    struct device *d = open_cpu(cpu_isa_name(isa), 2, TINCT_PRECISION_FAST);
    for (int i = 0; i < GEMM_CASES; i++) {
        struct gemm_case g = gemm_case(i), rounded = g;
        struct rounding r = of(&g.p);
        random_begin(7);
        rounded.bf16_x = r.x;
        rounded.bf16_w = r.w;
        rounded.bf16_own = r.own;
        gemm_case_make(&rounded);
        random_begin(7);
        gemm_case_make(&g);
        float *got = malloc(g.y_count * sizeof *got);
        run_gemm(d, &g, got);
        check_gemm(&rounded, got, r.split ? split_tolerance : gemm_tolerance);
        free(got);
        gemm_case_free(&g);
        gemm_case_free(&rounded);
    }
    device_close(d);
}

static void fast_gemm_on_dot_products(void **state)
{
    (void)state;
    rounds_its_operands_only(CPU_BF16, on_dot_products);
}

static void fast_gemm_on_tiles(void **state)
{
    (void)state;
    rounds_its_operands_only(CPU_AMX, on_tiles);
}

static void gemm_bits_do_not_depend_on_threads(void **state)
{
    struct gemm_case g = gemm_case_linear(1009, 192, 700, GEMM_BIAS, ACT_SILU);
    float *got[3];

    (void)state;
    gemm_case_make(&g);
    for (int i = 0; i < 3; i++) {
        struct device *d = device_open(&(struct device_options) { .name = "cpu", .threads = 1 + 3 * i }, NULL);
        got[i] = malloc(g.y_count * sizeof **got);
        run_gemm(d, &g, got[i]);
        device_close(d);
    }
    assert_memory_equal(got[0], got[1], g.y_count * sizeof **got);
    assert_memory_equal(got[0], got[2], g.y_count * sizeof **got);
    for (int i = 0; i < 3; i++) free(got[i]);
    gemm_case_free(&g);
}

/* The first rows of a product, of `images` pictures or rows of a linear layer. */
static struct gemm_case first_rows(struct gemm_case g, uint32_t images)
{
    bool picture = g.p.out_h > 1;

    if (picture) g.images = images;
    else g.p.in_w = g.p.out_w = images;
    g.p.rows = picture ? images * g.p.out_h * g.p.out_w : images;
    g.y_count = (size_t)g.p.rows * g.p.y_stride;
    return g;
}

/* A few rows' weights may take another way than those of many. */
static void gemm_bits_do_not_depend_on_rows(void **state)
{
    struct gemm_case cases[] = { gemm_case_linear(136, 136, 2080, GEMM_BIAS, ACT_SILU),
                                 gemm_case_shortcut(gemm_case_conv(9, 4, 4, 160, 328), 64, 32) };
    const uint32_t few[2][2] = { { 17, 64 }, { 1, 4 } };

    (void)state;
    for (int i = 0; i < 2; i++) {
        gemm_case_make(&cases[i]);
        float *all = malloc(cases[i].y_count * sizeof *all), *some = malloc(cases[i].y_count * sizeof *some);
        for (int kind = 0; kind < 4; kind++) {
            struct device *d = device_open(&(struct device_options) { .name = "cpu", .threads = 1 + kind % 2,
                .precision = kind / 2 ? TINCT_PRECISION_FAST : TINCT_PRECISION_FP32 }, NULL);
            run_gemm(d, &cases[i], all);
            for (int f = 0; f < 2; f++) {
                struct gemm_case g = first_rows(cases[i], few[i][f]);
                run_gemm(d, &g, some);
                assert_memory_equal(some, all, g.y_count * sizeof *all);
            }
            device_close(d);
        }
        free(all);
        free(some);
        gemm_case_free(&cases[i]);
    }
}

/* Half denormals are weights like any other, also where kernels treat fp32 denormals as zero. */
static void denormal_weights_count(void **state)
{
    struct gemm_case g = gemm_case_linear(8, 64, 32, 0, ACT_NONE);

    (void)state;
    gemm_case_make(&g);
    for (size_t i = 0; i < g.packed_count; i++) g.packed[i] = (uint16_t)((i * 7 % 1024) | (i % 3 ? 0 : 0x8000));
    for (size_t i = 0; i < g.x1_count; i++) g.x1[i] = 1024;
    for (uint32_t o = 0; o < 64; o++) {
        double sum = 0;
        for (uint32_t k = 0; k < 32; k++) sum += 1024.0 * convert_f16_to_f32(g.packed[k * 64 + o]);
        for (uint32_t row = 0; row < 8; row++) g.want[row * g.p.y_stride + o] = (float)(sum * g.p.scale);
    }
    float *got = malloc(g.y_count * sizeof *got);
    for (int isa = 0; isa < CPU_ISAS; isa++) {
        if (!cpu_isa_offered((enum cpu_isa)isa)) continue;
        struct device *d = open_cpu(cpu_isa_name((enum cpu_isa)isa), 1, TINCT_PRECISION_FP32);
        run_gemm(d, &g, got);
        check_gemm(&g, got, 1e-6);
        device_close(d);
    }
    free(got);
    gemm_case_free(&g);
}

/* ---- attention ---------------------------------------------------------------- */

static void attention_in_double(const struct attention_params *p, const float *q, const float *k, const float *v,
                                float *y)
{
    double *weight = malloc(p->k_rows * sizeof *weight);

    for (uint32_t i = 0; i < p->images * p->heads * p->q_rows; i++) {
        uint32_t row = i % p->q_rows, head = i / p->q_rows % p->heads, image = i / p->q_rows / p->heads;
        uint32_t seen = p->causal ? row + 1 : p->k_rows;
        const float *qr = q + ((size_t)image * p->q_rows + row) * p->q_stride + head * p->head_dim;
        double largest = -INFINITY, sum = 0;
        for (uint32_t j = 0; j < seen; j++) {
            const float *kr = k + ((size_t)image * p->k_rows + j) * p->k_stride + head * p->head_dim;
            weight[j] = 0;
            for (uint32_t c = 0; c < p->head_dim; c++) weight[j] += (double)qr[c] * kr[c] * p->scale;
            if (weight[j] > largest) largest = weight[j];
        }
        for (uint32_t j = 0; j < seen; j++) sum += weight[j] = exp(weight[j] - largest);
        for (uint32_t c = 0; c < p->head_dim; c++) {
            double value = 0;
            for (uint32_t j = 0; j < seen; j++)
                value += weight[j] * v[((size_t)image * p->k_rows + j) * p->v_stride + head * p->head_dim + c];
            y[((size_t)image * p->q_rows + row) * p->y_stride + head * p->head_dim + c] = (float)(value / sum);
        }
    }
    free(weight);
}

static void check_attention(uint32_t images, uint32_t heads, uint32_t dim, uint32_t q_rows, uint32_t k_rows, bool causal,
                            float spread)
{
    uint32_t c = heads * dim;
    struct attention_params p = { .images = images, .heads = heads, .head_dim = dim, .copies = 1, .q_rows = q_rows,
        .k_rows = k_rows, .q_stride = c + 4, .k_stride = 2 * c, .v_stride = 2 * c, .y_stride = c, .causal = causal,
        .scale = 1.0f / sqrtf((float)dim) };
    size_t q_count = (size_t)images * q_rows * p.q_stride, kv_count = (size_t)images * k_rows * 2 * c;
    size_t y_count = (size_t)images * q_rows * c;
    float *q = random_floats(q_count, spread), *kv = random_floats(kv_count, spread);
    float *want = malloc(y_count * sizeof *want), *got = malloc(y_count * sizeof *got);

    attention_in_double(&p, q, kv, kv + c, want);
    for (int isa = 0; isa < CPU_ISAS; isa++) {
        if (!cpu_isa_offered((enum cpu_isa)isa)) continue;
        struct device *d = open_cpu(cpu_isa_name((enum cpu_isa)isa), 2, TINCT_PRECISION_FP32);
        struct span qs = span_of(d, q, q_count * 4), ks = span_of(d, kv, kv_count * 4), vs = ks;
        struct span ys = span_of(d, NULL, y_count * 4);
        vs.offset = c * 4;
        vs.size -= c * 4;
        run(d, &(struct dispatch) { .kernel = "attention", .variant = "f32", .reads = { qs, ks, vs }, .writes = { ys },
            .params = &p, .params_size = sizeof p, .rows = q_rows, .batch = images * heads });
        assert_true(buffer_read(ys.buffer, 0, got, y_count * 4, NULL));
        /* weights below 1 that sum to 1, values below `spread`: rounding of scores of up to dim spread^2 / sqrt(dim)
         * moves a weight by that times 6e-8; operands as sums of two bf16 numbers are off by 2^-16, 256 times as much, which
         * evens out the better the more are summed */
        check_close(got, want, y_count, (isa == CPU_AMX ? 6e-5 : 2e-6) * spread * (1 + spread * spread), 0);
        buffer_free(qs.buffer), buffer_free(ks.buffer), buffer_free(ys.buffer);
        device_close(d);
    }
    free(q), free(kv), free(want), free(got);
}

static void attention_equals_its_definition(void **state)
{
    (void)state;
    check_attention(2, 8, 40, 116, 77, false, 1);
    check_attention(1, 2, 4, 13, 1, false, 1);
    check_attention(1, 3, 64, 77, 77, true, 1);
    check_attention(2, 1, 512, 130, 130, false, 1);
    check_attention(1, 1, 80, 300, 300, true, 1);
    check_attention(1, 2, 160, 64, 259, false, 6);     /* scores of several hundred: weights far apart */
}

/* ---- exp and erf ---------------------------------------------------------------- */

static void exp_and_erf_keep_their_bounds(void **state)
{
    double worst_exp = 0, worst_erf = 0;

    (void)state;
    for (int i = -8730; i <= 8830; i++)
        for (int j = 0; j < 16; j++) {
            float x = (float)i * 0.01f + (float)j * 0.000625f;
            if (x < -87.3f || x > 88.3f) continue;
            double error = fabs(fast_exp(x) / exp((double)x) - 1);
            if (error > worst_exp) worst_exp = error;
        }
    for (int i = -100000; i <= 100000; i++) {
        float x = (float)i * 6e-5f;
        double error = fabs(fast_erf(x) - erf((double)x));
        if (error > worst_erf) worst_erf = error;
    }
    print_message("exp: relative %.2g, erf: absolute %.2g\n", worst_exp, worst_erf);
    assert_true(worst_exp <= 3e-7);
    assert_true(worst_erf <= 5e-7);
    assert_true(isnan(fast_exp(NAN)) && isnan(fast_erf(NAN)) && isnan(silu(NAN)));
    assert_true(fast_exp(-INFINITY) < 2e-38f && fast_exp(0) == 1.0f && fast_erf(0) == 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_equals_its_definition),
        cmocka_unit_test(fast_gemm_on_dot_products),
        cmocka_unit_test(fast_gemm_on_tiles),
        cmocka_unit_test(gemm_bits_do_not_depend_on_threads),
        cmocka_unit_test(gemm_bits_do_not_depend_on_rows),
        cmocka_unit_test(denormal_weights_count),
        cmocka_unit_test(attention_equals_its_definition),
        cmocka_unit_test(exp_and_erf_keep_their_bounds),
    };
    return cmocka_run_group_tests_name("device/cpu_kernels", tests, NULL, NULL);
}
