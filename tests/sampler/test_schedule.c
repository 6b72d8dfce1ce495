/* Levels and schedules against A1111's definitions (tests/golden/sampler) and against the printed table. */
#include "check.h"
#include "golden.h"
#include "sampler/sampler.h"

static struct levels sd;

static int prepare(void **state)
{
    (void)state;
    levels_sd(&sd);
    return 0;
}

static double relative(double got, double want)
{
    return fabs(got - want) / (fabs(want) > 1e-30 ? fabs(want) : 1);
}

static void levels_are_stable_diffusions(void **state)
{
    (void)state;
    assert_true(relative(sd.sigma[0], 0.029167533) < 1e-8);  /* as torch has it from abar in fp32 */
    assert_true(relative(sd.sigma[0], 0.0291672) < 2e-5);    /* as printed, from abar in double */
    assert_true(relative(sd.sigma[999], 14.6146412) < 1e-7);
    for (int i = 1; i < 1000; i++) assert_true(sd.sigma[i] > sd.sigma[i - 1]);
}

static void t_and_sigma_undo_each_other(void **state)
{
    (void)state;
    for (double t = 0; t <= 999; t += 0.37) assert_true(fabs(levels_t(&sd, levels_sigma(&sd, t)) - t) < 1e-9);
    assert_true(levels_t(&sd, 1e-6) == 0 && levels_t(&sd, 100) == 999);
    assert_true(levels_sigma(&sd, -5) == sd.sigma[0] && levels_sigma(&sd, 5000) == sd.sigma[999]);
    assert_int_equal(levels_nearest_t(&sd, sd.sigma[500] * 1.0001), 500);
}

static void a_checkpoints_own_table_is_taken_or_refused(void **state)
{
    struct levels own;
    struct tinct_err err;
    float abar[1000];
    (void)state;

    for (int i = 0; i < 1000; i++) abar[i] = (float)sd.abar[i];
    assert_true(levels_from_abar(&own, abar, 1000, &err));
    assert_memory_equal(&own, &sd, sizeof own);

    check_refused(levels_from_abar(&own, abar, 999, &err), &err, TINCT_ERR_FORMAT, "wanted 1000 values, file has 999");
    abar[7] = abar[6];
    check_refused(levels_from_abar(&own, abar, 1000, &err), &err, TINCT_ERR_FORMAT, "value 7 is");
    abar[7] = NAN;
    check_refused(levels_from_abar(&own, abar, 1000, &err), &err, TINCT_ERR_FORMAT, "value 7 is");
    abar[0] = 1;
    check_refused(levels_from_abar(&own, abar, 1000, &err), &err, TINCT_ERR_FORMAT, "value 0 is 1");
}

/* D + sigma eps = x, and v = alpha eps - s D with alpha^2 + s^2 = 1, s = alpha sigma, x = D + sigma eps. */
static void answers_turn_into_the_clean_latent(void **state)
{
    double clean[2] = { 0.5, -1.25 }, eps[2] = { 0.75, 2.0 }, sigma = 3, alpha = level_c_in(sigma);
    struct level_denoised of_eps = level_denoised_eps(sigma), of_v = level_denoised_v(sigma);
    (void)state;

    for (int i = 0; i < 2; i++) {
        double x = clean[i] + sigma * eps[i], v = alpha * eps[i] - alpha * sigma * clean[i];
        assert_true(fabs(of_eps.x * x + of_eps.answer * eps[i] - clean[i]) < 1e-14);
        assert_true(fabs(of_v.x * x + of_v.answer * v - clean[i]) < 1e-14);
    }
}

static void make(struct schedule *s, const char *name, int steps)
{
    struct tinct_err err;
    enum schedule_kind kind = SCHEDULE_AUTOMATIC;

    if (!strcmp(name, "UniPC")) {
        schedule_make_unipc(s, &sd, steps);
    } else if (!strncmp(name, "LCM ", 4)) {
        assert_true(schedule_find(&kind, name + 4, &err));
        assert_true(sampler_schedule(s, sampler_find("LCM", &kind, &err), kind, &sd, steps, &err));
    } else {
        assert_true(schedule_find(&kind, name, &err));
        schedule_make(s, kind, &sd, steps);
    }
}

/* Both sides compute in double and the file holds nine digits: 5e-9; the quantile of Beta is good to 1e-12. */
static void schedules_are_a1111s(void **state)
{
    static struct golden g;
    struct schedule s;
    size_t lines = 0;
    double worst = 0;
    (void)state;

    g.file = golden_open("schedules.txt");
    assert_non_null(g.file);
    for (; golden_next(&g); lines++) {
        make(&s, g.field[0], atoi(g.field[1]));
        if ((size_t)s.steps + 1 != g.count)
            fail_msg("%s %s: %d steps, want %zu", g.field[0], g.field[1], s.steps, g.count - 1);
        for (size_t i = 0; i < g.count; i++) {
            double off = relative(s.sigma[i], g.values[i]);
            if (off > worst) worst = off;
            if (!(off <= 1e-8))
                fail_msg("%s %s: sigma %zu is %.9g, want %.9g", g.field[0], g.field[1], i, s.sigma[i], g.values[i]);
        }
    }
    fclose(g.file);
    assert_int_equal(lines, 9 * 10 + 7 + 15);
    print_message("%zu schedules, worst relative error %.2g\n", lines, worst);
}

/* The table that A1111's own code gave for ten steps, four or five digits. */
static void ten_steps_are_as_printed(void **state)
{
    static const struct {
        const char *name;
        double sigma[11];
    } table[] = {
        { "Uniform", { 14.6146, 7.8399, 4.6092, 2.9183, 1.9502, 1.3449, .9324, .6250, .3687, .0292, 0 } },
        { "SGM Uniform", { 14.6146, 8.3072, 5.0924, 3.3251, 2.2797, 1.6156, 1.1629, .8319, .5712, .3437, 0 } },
        { "Simple", { 14.6146, 8.3028, 5.0878, 3.3211, 2.2765, 1.6129, 1.1606, .8299, .5693, .3417, 0 } },
        { "DDIM", { 8.3907, 5.1344, 3.3478, 2.2929, 1.6237, 1.1682, .8357, .5741, .3462, .0413, 0 } },
        { "Karras", { 14.6146, 9.1029, 5.4784, 3.1686, 1.7494, .9141, .4469, .2014, .0819, .0292, 0 } },
        { "Exponential", { 14.6146, 7.3249, 3.6712, 1.8400, .9222, .4622, .2317, .1161, .0582, .0292, 0 } },
        { "KL Optimal", { 14.6146, 4.5650, 2.6329, 1.7864, 1.2948, .9616, .7116, .5094, .3356, .1783, .0292 } },
        { "AYS", { 14.615, 6.1135, 3.5651, 2.3939, 1.6500, 1.1358, .7425, .4450, .1692, .0290, 0 } },
    };
    struct schedule s;
    (void)state;

    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        make(&s, table[k].name, 10);
        assert_int_equal(s.steps, 10);
        for (int i = 0; i <= 10; i++)
            if (!(fabs(s.sigma[i] - table[k].sigma[i]) <= 1e-4))
                fail_msg("%s: sigma %d is %.6f, printed %.4f", table[k].name, i, s.sigma[i], table[k].sigma[i]);
    }
}

static void the_network_is_told_the_level(void **state)
{
    struct schedule s;
    (void)state;

    for (int k = SCHEDULE_UNIFORM; k < SCHEDULE_COUNT; k++) {
        schedule_make(&s, (enum schedule_kind)k, &sd, 13);
        for (int i = 0; i < s.steps; i++) {
            double back = levels_sigma(&sd, s.t[i]);
            assert_true(relative(back, s.sigma[i]) < 6e-3); /* AYS reaches below the lowest level, 0.029 for 0.02917 */
            if (k != SCHEDULE_AYS) assert_true(relative(back, s.sigma[i]) < 1e-12);
        }
    }
    schedule_make(&s, SCHEDULE_DDIM, &sd, 20);
    for (int i = 0; i < 20; i++) assert_true(s.t[i] == 951 - 50 * i);
    schedule_make(&s, SCHEDULE_SIMPLE, &sd, 20);
    for (int i = 0; i < 20; i++) assert_true(s.t[i] == 999 - 50 * i);
}

static void every_step_count_fits_and_falls(void **state)
{
    struct schedule s;
    (void)state;

    for (int k = SCHEDULE_UNIFORM; k < SCHEDULE_COUNT; k++)
        for (int n = 1; n <= STEPS_MAX + 1; n += n < 60 ? 1 : 47) {
            schedule_make(&s, (enum schedule_kind)k, &sd, n);
            assert_true(s.steps >= 1 && s.steps <= STEPS_MAX + 1);
            for (int i = 0; i < s.steps; i++) assert_true(s.sigma[i] >= s.sigma[i + 1] && isfinite(s.sigma[i]));
        }
    for (int n = 1; n <= STEPS_MAX; n++) {
        schedule_make_unipc(&s, &sd, n);
        assert_true(s.steps >= n && s.steps <= STEPS_MAX);
    }
}

static void a_list_of_sigmas_is_taken_or_refused(void **state)
{
    const float good[] = { 10, 3, 0.5f, 0 }, rising[] = { 10, 3, 3, 0 }, zero[] = { 10, 0, 0, 0 };
    const float nan[] = { 10, NAN, 1, 0 };
    struct tinct_err err;
    struct schedule s;
    (void)state;

    assert_true(schedule_custom(&s, &sd, good, 3, &err));
    assert_int_equal(s.steps, 3);
    assert_true(s.sigma[2] == 0.5 && s.sigma[3] == 0 && s.t[3] == 0 && fabs(levels_sigma(&sd, s.t[1]) - 3) < 1e-9);
    check_refused(schedule_custom(&s, &sd, rising, 3, &err), &err, TINCT_ERR_ARG, "sigma 2 is 3");
    check_refused(schedule_custom(&s, &sd, zero, 3, &err), &err, TINCT_ERR_ARG, "sigma 1 is 0");
    check_refused(schedule_custom(&s, &sd, nan, 3, &err), &err, TINCT_ERR_ARG, "sigma 1 is nan");
    check_refused(schedule_custom(&s, &sd, good, 0, &err), &err, TINCT_ERR_ARG, "0 steps");
    check_refused(sampler_schedule_custom(&s, sampler_find("DDIM", NULL, &err), &sd, good, 3, &err), &err,
                  TINCT_ERR_ARG, "DDIM brings its own timesteps");
    assert_true(sampler_schedule_custom(&s, sampler_find("Euler", NULL, &err), &sd, good, 3, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_stable_diffusions),
        cmocka_unit_test(t_and_sigma_undo_each_other),
        cmocka_unit_test(a_checkpoints_own_table_is_taken_or_refused),
        cmocka_unit_test(answers_turn_into_the_clean_latent),
        cmocka_unit_test(schedules_are_a1111s),
        cmocka_unit_test(ten_steps_are_as_printed),
        cmocka_unit_test(the_network_is_told_the_level),
        cmocka_unit_test(every_step_count_fits_and_falls),
        cmocka_unit_test(a_list_of_sigmas_is_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
