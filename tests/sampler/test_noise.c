/* A picture's noise in A1111's order (tests/golden/sampler/rng.txt), variations, ENSD, batches. */
#include "check.h"
#include "golden.h"
#include "sampler/noise.h"

enum { SIDE = 64, VALUES = 4 * SIDE * SIDE, EVERY = 97 };

static float latent[VALUES], other[VALUES];

static struct noise_settings settings(enum tinct_rng rng, uint64_t seed)
{
    return (struct noise_settings) { .rng = rng, .seed = seed, .h = SIDE, .w = SIDE };
}

/* out = the first draw and then `more` after it. */
static void draw(const struct noise_settings *s, int more, float *out)
{
    struct tinct_err err;
    struct noise *noise = noise_open(s, &err);

    assert_non_null(noise);
    noise_first(noise, out);
    for (int i = 0; i < more; i++) noise_between(noise, 10 - i, 9 - i, out);
    noise_close(noise);
}

static bool golden_find(struct golden *g, const char *what)
{
    g->file = golden_open("rng.txt");
    assert_non_null(g->file);
    while (golden_next(g))
        if (!strcmp(g->field[0], what)) {
            fclose(g->file);
            return true;
        }
    fclose(g->file);
    fail_msg("rng.txt has no line %s", what);
    return false;
}

static void check_golden(const float *x, const char *what, double tolerance)
{
    static struct golden g;
    float got[VALUES / EVERY + 1], want[VALUES / EVERY + 1];
    size_t n = 0;

    if (!golden_find(&g, what)) return;
    for (size_t i = 0; i < VALUES; i += EVERY, n++) {
        got[n] = x[i];
        want[n] = (float)g.values[n];
    }
    assert_int_equal(g.count, n);
    check_close(got, want, n, tolerance, 0);
}

static void the_first_latent_of_seed_42_is_a1111s(void **state)
{
    static struct golden g;
    struct noise_settings gpu = settings(TINCT_RNG_GPU, 42), cpu = settings(TINCT_RNG_CPU, 42);
    unsigned long long hash = 0xCBF29CE484222325u;
    char text[32];
    (void)state;

    draw(&gpu, 0, latent);
    check_golden(latent, "gpu 0", 1e-7);
    for (size_t i = 0; i < VALUES; i++) {
        unsigned char bytes[4];
        memcpy(bytes, &latent[i], 4);
        for (int b = 0; b < 4; b++) hash = (hash ^ bytes[b]) * 0x100000001B3u;
    }
    snprintf(text, sizeof text, "%016llx\n", hash & 0xFFFFFFFFFFFFFFFFu);
    if (golden_find(&g, "gpu hash")) assert_string_equal(text, g.field[1]); /* every bit, in NHWC */

    draw(&cpu, 0, latent);
    check_golden(latent, "cpu 0", 1e-6); /* torch's log and sin are its own, in float */
}

static void ancestral_draws_go_on_from_there(void **state)
{
    struct noise_settings gpu = settings(TINCT_RNG_GPU, 42), cpu = settings(TINCT_RNG_CPU, 42);
    (void)state;

    draw(&gpu, 1, latent);
    check_golden(latent, "gpu 1", 1e-7);
    draw(&cpu, 1, latent);
    check_golden(latent, "cpu 1", 1e-6);
}

static void ensd_restarts_after_the_first_draw(void **state)
{
    struct noise_settings s = settings(TINCT_RNG_GPU, 42);
    (void)state;

    s.ensd = 31337;
    draw(&s, 0, latent);
    check_golden(latent, "gpu 0", 1e-7);
    draw(&s, 1, latent);
    check_golden(latent, "gpu ensd 31337", 1e-7);
}

static void variations_are_a1111s(void **state)
{
    struct noise_settings s = settings(TINCT_RNG_GPU, 42);
    struct tinct_err err;
    (void)state;

    s.subseed = 1234;
    s.subseed_strength = 0.3f;
    draw(&s, 0, latent);
    check_golden(latent, "gpu variation 1234 0.3", 1e-6); /* the strength is a float: 0.3 is off by 1e-8, times x */
    draw(&s, 1, latent);
    check_golden(latent, "gpu 1", 1e-7); /* later draws are the seed's own */

    s.subseed_strength = 1;
    draw(&s, 0, latent);
    s = settings(TINCT_RNG_GPU, 1234);
    draw(&s, 0, other);
    check_close(latent, other, VALUES, 1e-6, 0);

    s = settings(TINCT_RNG_GPU, 42);
    s.subseed = 42;
    s.subseed_strength = 0.5f;
    draw(&s, 0, latent); /* both the same: the straight line, and nothing divided by sin 0 */
    check_golden(latent, "gpu 0", 1e-6);

    s.subseed_strength = 1.5f;
    check_refused(noise_open(&s, &err), &err, TINCT_ERR_ARG, "variation strength is 1.5: wanted 0 to 1");
}

static void picture_i_is_the_next_seed(void **state)
{
    struct noise_settings s = settings(TINCT_RNG_GPU, 40), alone = settings(TINCT_RNG_GPU, 42);
    (void)state;

    s.picture = 2;
    draw(&s, 0, latent);
    draw(&alone, 0, other);
    assert_memory_equal(latent, other, sizeof latent);

    s.subseed = 7;
    s.subseed_strength = 0.1f;
    assert_int_equal(noise_seed(&s), 40); /* with a variation the seed stays */
    assert_int_equal(noise_subseed(&s), 9);
}

/* Two draws from one level belong to one motion: the second holds the first, cov(W1, W2) = its length. */
static void draws_from_one_level_belong_together(void **state)
{
    struct noise_settings s = settings(TINCT_RNG_GPU, 5);
    struct tinct_err err;
    struct noise *noise = noise_open(&s, &err);
    double a = 0, b = 0, ab = 0, next = 0;
    static float z1[VALUES], z2[VALUES], z3[VALUES];
    (void)state;

    assert_non_null(noise);
    noise_first(noise, z1);
    noise_between(noise, 8, 4, z1);
    noise_between(noise, 8, 2, z2);
    noise_between(noise, 2, 1, z3);
    noise_close(noise);
    for (size_t i = 0; i < VALUES; i++) {
        a += (double)z1[i] * z1[i] / VALUES;
        b += (double)z2[i] * z2[i] / VALUES;
        ab += (double)z1[i] * z2[i] / VALUES;
        next += (double)z2[i] * z3[i] / VALUES;
    }
    assert_true(fabs(a - 1) < 0.045 && fabs(b - 1) < 0.045); /* four standard errors, 4 sqrt(2 / 16384) */
    assert_true(fabs(ab - sqrt(4.0 / 6.0)) < 0.045);
    assert_true(fabs(next) < 0.032);
}

static void channels_become_the_last_dimension(void **state)
{
    const float chw[12] = { 0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15 }; /* [2, 2, 3] */
    const float want[12] = { 0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15 };
    float got[12];
    (void)state;

    noise_to_nhwc(got, chw, 2, 2, 3);
    assert_memory_equal(got, want, sizeof want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_latent_of_seed_42_is_a1111s),
        cmocka_unit_test(ancestral_draws_go_on_from_there),
        cmocka_unit_test(ensd_restarts_after_the_first_draw),
        cmocka_unit_test(variations_are_a1111s),
        cmocka_unit_test(picture_i_is_the_next_seed),
        cmocka_unit_test(draws_from_one_level_belong_together),
        cmocka_unit_test(channels_become_the_last_dimension),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
