/* Random numbers against torch and A1111 (tests/golden/sampler/rng.txt) and the printed vectors. */
#include "check.h"
#include "base/rng.h"
#include "sampler/golden.h"

static void printed(enum tinct_rng kind, uint64_t seed, int skip_draws, size_t n, size_t from, const float *want,
                    size_t count, double tolerance)
{
    float got[64];
    struct rng rng;

    rng_seed(&rng, kind, seed);
    for (int i = 0; i <= skip_draws; i++) rng_normal(&rng, got, n);
    check_close(got + from, want, count, tolerance, 0);
}

static void gpu_vectors_are_as_printed(void **state)
{
    const float zero[] = { -0.924663f, -0.425344f, -2.643846f, 0.145184f,  -0.120867f, -0.579726f,
                           -0.622851f, -0.328387f, -1.074542f, -0.363144f, -1.671051f, 2.265505f };
    const float second[] = { 0.1808f, -0.5523f, 0.9238f, -0.7350f };
    const float answer[] = { 0.1940f, 2.1614f, -0.1721f, 0.8491f, -1.9244f, 0.6530f, -0.6494f, -0.8175f };
    (void)state;

    printed(TINCT_RNG_GPU, 0, 0, 12, 0, zero, 12, 1e-6); /* sd.cpp's, computed in float */
    printed(TINCT_RNG_GPU, 0, 1, 4, 0, second, 4, 5.1e-5); /* four digits printed */
    printed(TINCT_RNG_GPU, 42, 0, 8, 0, answer, 8, 5.1e-5);
}

static void cpu_vectors_are_as_printed(void **state)
{
    const float six[] = { 1.5410f, -0.2934f, -2.1788f, 0.5684f, -1.0845f, -1.3986f };
    const float sixteen[] = { -1.1258f, -1.1524f, -0.2506f, -0.4339f, 0.8487f, 0.6920f, -0.3160f, -2.1152f,
                              0.3223f,  -1.2633f, 0.3500f,  0.3081f,  0.1198f, 1.2377f, 1.1168f,  -0.2473f };
    const float tail[] = { -0.1577f, 1.4437f, 0.2660f, 0.1665f, 0.8744f,  -0.1435f, -0.1116f, -0.6136f,
                           1.2590f,  2.0050f, 0.0537f, 0.6181f, -0.4128f, -0.8411f, -2.3160f, -0.1023f };
    const float answer[] = { 1.9269f,  1.4873f, 0.9007f,  -2.1055f, 0.6784f,  -1.2345f, -0.0431f, -1.6047f,
                             -0.7521f, 1.6487f, -0.3925f, -1.4036f, -0.7279f, -0.5594f, -0.7688f, 0.7624f };
    (void)state;

    printed(TINCT_RNG_CPU, 0, 0, 6, 0, six, 6, 5.1e-5);
    printed(TINCT_RNG_CPU, 0, 0, 16, 0, sixteen, 16, 5.1e-5);
    printed(TINCT_RNG_CPU, 0, 0, 25, 9, tail, 16, 5.1e-5);
    printed(TINCT_RNG_CPU, 42, 0, 16, 0, answer, 16, 5.1e-5);
}

/* "gpu seed S" and "cpu seed 0 n N draw K"; torch computes the CPU's in float with its own approximations of log and
 * sin: up to 4e-7 for values of 3. */
static void draws_are_torchs(void **state)
{
    static struct golden g;
    size_t lines = 0;
    (void)state;

    g.file = golden_open("rng.txt");
    assert_non_null(g.file);
    while (golden_next(&g)) {
        float got[128], want[128];
        unsigned long long seed;
        size_t n;
        int draw;
        struct rng rng;

        for (size_t i = 0; i < g.count && i < 128; i++) want[i] = (float)g.values[i];
        if (sscanf(g.field[0], "gpu seed %llu", &seed) == 1) {
            rng_seed(&rng, TINCT_RNG_GPU, seed);
            rng_normal(&rng, got, g.count);
            check_close(got, want, g.count, 0, 1e-7); /* nine digits, one float each */
        } else if (sscanf(g.field[0], "cpu seed 0 n %zu draw %d", &n, &draw) == 2) {
            assert_int_equal(g.count, n);
            rng_seed(&rng, TINCT_RNG_CPU, 0);
            for (int i = 0; i <= draw; i++) rng_normal(&rng, got, n);
            check_close(got, want, n, 1e-6, 0);
        } else {
            continue;
        }
        lines++;
    }
    fclose(g.file);
    assert_int_equal(lines, 12);
}

static void only_the_low_half_of_a_cpu_seed_counts(void **state)
{
    float a[32], b[32];
    struct rng rng;
    (void)state;

    rng_seed(&rng, TINCT_RNG_CPU, 7);
    rng_normal(&rng, a, 32);
    rng_seed(&rng, TINCT_RNG_CPU, 7 + (UINT64_C(5) << 32));
    rng_normal(&rng, b, 32);
    assert_memory_equal(a, b, sizeof a);
    rng_seed(&rng, TINCT_RNG_GPU, 7);
    rng_normal(&rng, a, 32);
    rng_seed(&rng, TINCT_RNG_GPU, 7 + (UINT64_C(5) << 32));
    rng_normal(&rng, b, 32);
    assert_memory_not_equal(a, b, sizeof a);
}

static void numbers_are_normal(void **state)
{
    enum { N = 1 << 16 };
    static float z[N];
    (void)state;

    for (int kind = TINCT_RNG_GPU; kind <= TINCT_RNG_CPU; kind++) {
        double sum = 0, squares = 0;
        struct rng rng;
        rng_seed(&rng, (enum tinct_rng)kind, 99);
        rng_normal(&rng, z, N);
        for (size_t i = 0; i < N; i++) {
            assert_true(isfinite(z[i]));
            sum += z[i];
            squares += (double)z[i] * z[i];
        }
        assert_true(fabs(sum / N) < 4.0 / 256);            /* four standard errors of the mean, 1/sqrt(N) */
        assert_true(fabs(squares / N - 1) < 4 * 1.4143 / 256); /* and of the variance, sqrt(2/N) */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpu_vectors_are_as_printed),
        cmocka_unit_test(cpu_vectors_are_as_printed),
        cmocka_unit_test(draws_are_torchs),
        cmocka_unit_test(only_the_low_half_of_a_cpu_seed_counts),
        cmocka_unit_test(numbers_are_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
