#include "ops/optest.h"

/* y [channels] of one row, and how far fp32 may be off.
 *
 * The mean of C values of size m comes with a random walk of C roundings of 2^-24 of the sum so far: sqrt(C) 2^-24 m is
 * three deviations of it where they are added one by one, ten where 16 lanes share them. The variance's and the
 * last products' relative errors are a few steps of 2^-24; Vulkan's inversesqrt alone may take 2. */
static void definition(const struct optest *t, double *y, double *tolerance, const float *x, const float *gamma,
                       const float *beta, double eps, uint32_t channels)
{
    double mean = 0, var = 0, largest = 0;

    for (uint32_t c = 0; c < channels; c++) mean += x[c];
    mean /= channels;
    for (uint32_t c = 0; c < channels; c++) {
        var += (x[c] - mean) * (x[c] - mean);
        largest = fmax(largest, fabs((double)x[c]));
    }
    var /= channels;
    double rstd = 1 / sqrt(var + eps), mean_error = sqrt(channels) * 0x1p-24 * largest;

    for (uint32_t c = 0; c < channels; c++) {
        double scaled = (x[c] - mean) * rstd * gamma[c];
        y[c] = scaled + beta[c];
        tolerance[c] = fabs(rstd * gamma[c]) * mean_error + (sqrt(channels) / 2 + 6) * 0x1p-24 * fabs(scaled) +
                       optest_store(t, y[c]) + 0x1p-24 * fabs(beta[c]);
    }
}

static struct norm random_norm(struct optest *t, uint32_t channels, const float **gamma, const float **beta)
{
    *gamma = optest_random_f32(t, channels, 1, 0.5f);
    *beta = optest_random_f32(t, channels, 0, 1);
    return (struct norm) { optest_vector(t, channels, *gamma), optest_vector(t, channels, *beta) };
}

static void compare(struct optest *t, const float *got, const float *x, const float *gamma, const float *beta,
                    double eps, uint32_t rows, uint32_t channels)
{
    uint32_t samples = optest_samples(rows, 50.0 * channels);
    size_t count = (size_t)samples * channels;
    double *want = optest_host(t, count * sizeof *want), *tolerance = optest_host(t, count * sizeof *tolerance);
    float *part = optest_host(t, count * sizeof *part);

    optest_all_written(t, got, (size_t)rows * channels);
    for (uint32_t i = 0; i < samples; i++) {
        size_t row = optest_sample(t, i, samples, rows), at = (size_t)i * channels;
        definition(t, want + at, tolerance + at, x + row * channels, gamma, beta, eps, channels);
        memcpy(part + at, got + row * channels, channels * sizeof *got);
    }
    optest_close(t, part, want, tolerance, samples, channels);
}

enum place { APART, IN_PLACE };

static void layer_norm_of(struct optest *t, uint32_t rows, uint32_t channels, float mean, float spread, enum place place)
{
    const float eps = 1e-5f, *gamma, *beta;
    const uint32_t shape[] = { rows, channels };
    float *x = optest_random(t, (size_t)rows * channels, mean, spread);
    struct norm norm = random_norm(t, channels, &gamma, &beta);
    struct tensor xt = optest_tensor(t, t->dtype, 2, shape, x);
    struct tensor yt = place == IN_PLACE ? xt : optest_tensor(t, t->dtype, 2, shape, NULL);

    op_layer_norm(optest_pass(t), yt, xt, &norm, eps);
    optest_run(t);
    compare(t, optest_read(t, yt), x, gamma, beta, eps, rows, channels);
}

static void unet_tokens(struct optest *t) { layer_norm_of(t, 4096, 320, 0, 2, APART); }
static void clip_tokens(struct optest *t) { layer_norm_of(t, 77, 768, 0, 2, APART); }
static void widest(struct optest *t) { layer_norm_of(t, 64, 1280, 0, 2, IN_PLACE); }
static void odd_sizes(struct optest *t) { layer_norm_of(t, 13 * 37, 20, 0, 1, APART); }
static void in_place(struct optest *t) { layer_norm_of(t, 13 * 37, 52, 0.5f, 1, IN_PLACE); }
static void smallest(struct optest *t) { layer_norm_of(t, 1, 4, 0, 1, APART); }
static void mean_of_1000(struct optest *t) { layer_norm_of(t, 130, 320, 1000, 1, APART); }
static void large_values(struct optest *t) { layer_norm_of(t, 33, 644, 0, 30000, APART); }
static void beyond_65535_groups(struct optest *t) { layer_norm_of(t, 2 * 65535 + 77, 4, 0, 1, APART); }

static void beyond_128_mib(struct optest *t)
{
    uint32_t channels = t->dtype == DTYPE_F32 ? 1280 : 2560;
    layer_norm_of(t, (128 << 20) / 5120 + 41, channels, 0, 1, IN_PLACE);
}

static void constant_rows(struct optest *t)      /* variance 0: eps alone keeps it finite, and y is beta */
{
    enum { ROWS = 3, CHANNELS = 320 };
    const float *gamma, *beta;
    float *x = optest_host(t, ROWS * CHANNELS * sizeof *x);
    struct norm norm = random_norm(t, CHANNELS, &gamma, &beta);

    for (int i = 0; i < ROWS * CHANNELS; i++) x[i] = 2.5f;
    struct tensor xt = optest_tensor(t, t->dtype, 2, (uint32_t[]) { ROWS, CHANNELS }, x);
    op_layer_norm(optest_pass(t), xt, xt, &norm, 1e-5f);
    optest_run(t);
    compare(t, optest_read(t, xt), x, gamma, beta, 1e-5, ROWS, CHANNELS);
}

static void refusals(struct optest *t)
{
    const float *gamma, *beta;
    struct norm norm = random_norm(t, 320, &gamma, &beta), wrong = norm;
    struct tensor x = optest_tensor(t, t->dtype, 2, (uint32_t[]) { 5, 320 }, NULL);
    struct tensor other = optest_tensor(t, t->dtype, 2, (uint32_t[]) { 4, 320 }, NULL);
    struct tensor wide = optest_columns(t, t->dtype, 2, (uint32_t[]) { 5, 320 }, 0, 640, NULL);

    op_layer_norm(optest_pass(t), other, x, &norm, 1e-5f);
    optest_refused(t, "layer_norm: y and x differ");

    wrong.gamma = optest_vector(t, 316, NULL);
    op_layer_norm(optest_pass(t), x, x, &wrong, 1e-5f);
    optest_refused(t, "layer_norm: gamma and beta must hold 320 values");

    op_layer_norm(optest_pass(t), wide, wide, &norm, 1e-5f);
    optest_refused(t, "layer_norm: rows must be dense");
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "4096x320", unet_tokens },
        { "77x768", clip_tokens },
        { "64x1280 in place", widest },
        { "13x37 rows of 20", odd_sizes },
        { "in place", in_place },
        { "one row of 4", smallest },
        { "mean of 1000", mean_of_1000 },
        { "values of 30000", large_values },
        { "constant rows", constant_rows },
        { "beyond 65535 groups", beyond_65535_groups },
        { "beyond 128 MiB", beyond_128_mib },
        { "refusals", refusals },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
