/* Every sampler with every schedule it takes, on a toy model of 24 values, against
 * k-diffusion, diffusers and A1111's formulas (tests/golden/sampler). */
#include "check.h"
#include "golden.h"
#include "sampler/sampler.h"

enum { COUNT = 24 };

static struct levels sd;

static int prepare(void **state)
{
    (void)state;
    levels_sd(&sd);
    return 0;
}

struct toy {
    int draws, evaluations, steps_told;
    int stop_at_evaluation, stop_at_step; /* 0: never */
    const struct schedule *schedule;
};

/* make_sampler_golden.py's toy(). */
static bool toy_denoise(void *ctx, const float *x, double sigma, double t, float *denoised)
{
    struct toy *toy = ctx;
    double c_in = 1 / sqrt(sigma * sigma + 1);

    for (int j = 0; j < COUNT; j++)
        denoised[j] = (float)(0.9 * tanh((1.3 * x[j] + 0.4 * x[(j + 1) % COUNT]) * c_in) +
                              0.25 * cos(0.7 * j + log1p(sigma)) + 0.1 * sin(t / 150));
    return ++toy->evaluations != toy->stop_at_evaluation;
}

static void toy_draw(int k, double scale, float *out)
{
    for (int j = 0; j < COUNT; j++) out[j] = (float)(scale * 1.3 * sin(12.9898 * k + 78.233 * j + 0.37 * k * j));
}

static void toy_noise(void *ctx, double from, double to, float *out)
{
    struct toy *toy = ctx;
    (void)from;
    (void)to;
    toy_draw(++toy->draws, 1, out);
}

static bool toy_step(void *ctx, int done, const float *x, const float *denoised)
{
    struct toy *toy = ctx;
    assert_int_equal(done, ++toy->steps_told);
    for (int j = 0; j < COUNT; j++) assert_true(isfinite(x[j]) && isfinite(denoised[j]));
    return done != toy->stop_at_step;
}

static bool paint(float *x, struct toy *toy, const char *name, const char *schedule_name, int steps, const float *eta,
                  float churn, struct tinct_err *err)
{
    enum schedule_kind kind = SCHEDULE_AUTOMATIC;
    const struct sampler *sampler = sampler_find(name, &kind, err);
    struct schedule schedule;
    struct sampler_run run = { .sampler = sampler, .schedule = &schedule, .levels = &sd, .count = COUNT, .eta = eta,
                               .denoise = toy_denoise, .noise = toy_noise, .on_step = toy_step, .ctx = toy };

    assert_non_null(sampler);
    assert_true(schedule_find(&kind, schedule_name, err));
    assert_true(sampler_schedule(&schedule, sampler, kind, &sd, steps, err));
    if (churn > 0) {
        run.s_churn = churn;
        run.s_tmin = 0.5f;
        run.s_tmax = 10;
    }
    if (churn > 0 || eta) run.s_noise = 1.003f; /* as the script has it */
    toy_draw(0, sampler_start_scale(sampler, &schedule), x);
    bool ok = sampler_run(&run, x, err);
    if (ok) {
        assert_int_equal(toy->steps_told, schedule.steps);
        assert_int_equal(toy->evaluations, sampler->second_order
                                               ? 2 * schedule.steps - (schedule.sigma[schedule.steps] == 0)
                                               : schedule.steps);
        assert_true(toy->draws ? sampler_draws(&run) : !sampler_draws(&run) || schedule.steps == 1);
    }
    return ok;
}

/* Off by how much of the largest value. The bar is 1e-5; x and D pass through floats on the way, 6e-8 each time. */
static double off(const float *got, const double *want)
{
    double worst = 0, largest = 0;
    for (int j = 0; j < COUNT; j++) {
        double d = fabs(got[j] - want[j]);
        if (!(d <= worst)) worst = d;
        if (fabs(want[j]) > largest) largest = fabs(want[j]);
    }
    return worst / largest;
}

static void every_sampler_is_its_reference(void **state)
{
    static struct golden g;
    bool covered[SAMPLER_COUNT][SCHEDULE_COUNT] = { { false } };
    size_t lines = 0;
    double worst = 0;
    struct tinct_err err;
    (void)state;

    g.file = golden_open("samplers.txt");
    assert_non_null(g.file);
    for (; golden_next(&g); lines++) {
        float x[COUNT], eta = strtof(g.field[3], NULL);
        struct toy toy = { 0 };
        enum schedule_kind kind = SCHEDULE_AUTOMATIC;

        assert_int_equal(g.count, COUNT);
        assert_true(paint(x, &toy, g.field[0], g.field[1], atoi(g.field[2]), g.field[3][0] == '-' ? NULL : &eta,
                          strtof(g.field[4], NULL), &err));
        double d = off(x, g.values);
        if (!(d <= worst)) worst = d;
        if (!(d <= 1e-5)) {
            print_error("%s, %s, %s steps, eta %s, churn %s: off by %.2g\n", g.field[0], g.field[1], g.field[2],
                        g.field[3], g.field[4], d);
            fail();
        }
        assert_true(schedule_find(&kind, g.field[1], &err));
        for (int i = 0; i < SAMPLER_COUNT; i++)
            if (!strcmp(sampler_at(i)->name, g.field[0])) covered[i][kind] = true;
    }
    fclose(g.file);
    print_message("%zu runs, worst relative error %.2g\n", lines, worst);

    for (int i = 0; i < SAMPLER_COUNT; i++)
        for (int k = SCHEDULE_UNIFORM; k < SCHEDULE_COUNT; k++)
            if ((sampler_at(i)->schedules & (1u << k)) && !covered[i][k])
                fail_msg("%s takes %s, but no reference says what it gives", sampler_at(i)->name,
                         schedule_name((enum schedule_kind)k));
}

static void equal_runs_are_equal(void **state)
{
    struct tinct_err err;
    (void)state;

    for (int i = 0; i < SAMPLER_COUNT; i++) {
        float x[COUNT], again[COUNT];
        struct toy a = { 0 }, b = { 0 };
        assert_true(paint(x, &a, sampler_at(i)->name, "Automatic", 12, NULL, 0, &err));
        assert_true(paint(again, &b, sampler_at(i)->name, "Automatic", 12, NULL, 0, &err));
        assert_memory_equal(x, again, sizeof x);
    }
}

static void a_thousand_steps_stay_finite(void **state)
{
    struct tinct_err err;
    (void)state;

    for (int i = 0; i < SAMPLER_COUNT; i++) {
        float x[COUNT];
        struct toy toy = { 0 };
        assert_true(paint(x, &toy, sampler_at(i)->name, "Automatic", sampler_at(i)->thin ? 50 : 1000, NULL, 0, &err));
    }
}

static void callbacks_stop_it(void **state)
{
    struct tinct_err err;
    (void)state;

    for (int i = 0; i < SAMPLER_COUNT; i++) {
        float x[COUNT], start[COUNT];
        enum schedule_kind kind = SCHEDULE_AUTOMATIC;
        struct schedule s;
        struct toy toy = { .stop_at_evaluation = 3 }, told = { .stop_at_step = 2 };

        assert_true(sampler_schedule(&s, sampler_at(i), kind, &sd, 5, &err));
        toy_draw(0, sampler_start_scale(sampler_at(i), &s), start);

        err.code = TINCT_OK;
        assert_false(paint(x, &toy, sampler_at(i)->name, "Automatic", 5, NULL, 0, &err));
        assert_int_equal(err.code, TINCT_OK); /* the callback's to set */
        assert_int_equal(toy.evaluations, 3);
        assert_memory_equal(x, start, sizeof x);

        check_refused(paint(x, &told, sampler_at(i)->name, "Automatic", 5, NULL, 0, &err), &err, TINCT_ERR_CANCELLED,
                      "cancelled after step 2 of 5");
    }
}

static void what_does_not_go_together_is_refused(void **state)
{
    struct schedule s;
    struct tinct_err err;
    (void)state;

    check_refused(sampler_schedule(&s, sampler_find("DDIM", NULL, &err), SCHEDULE_KARRAS, &sd, 20, &err), &err,
                  TINCT_ERR_ARG,
                  "DDIM brings its own timesteps and does not take the schedule Karras: wanted Simple, DDIM");
    check_refused(sampler_schedule(&s, sampler_find("LCM", NULL, &err), SCHEDULE_BETA, &sd, 4, &err), &err,
                  TINCT_ERR_ARG, "wanted Uniform, SGM Uniform, Simple");
    check_refused(sampler_schedule(&s, sampler_find("TCD", NULL, &err), SCHEDULE_UNIFORM, &sd, 4, &err), &err,
                  TINCT_ERR_ARG, "wanted Simple");
    check_refused(sampler_schedule(&s, sampler_find("LCM", NULL, &err), SCHEDULE_AUTOMATIC, &sd, 51, &err), &err,
                  TINCT_ERR_ARG, "51 steps: LCM knows 50 timesteps");
    check_refused(sampler_schedule(&s, sampler_find("Euler", NULL, &err), SCHEDULE_AUTOMATIC, &sd, 0, &err), &err,
                  TINCT_ERR_ARG, "0 steps: wanted 1 to 1000");
    check_refused(sampler_schedule(&s, sampler_find("Euler", NULL, &err), SCHEDULE_AUTOMATIC, &sd, 1001, &err), &err,
                  TINCT_ERR_ARG, "1001 steps: wanted 1 to 1000");
}

static void an_eta_out_of_range_is_refused(void **state)
{
    const float etas[] = { -0.1f, 1.5f, NAN };
    struct tinct_err err;
    float x[COUNT];
    (void)state;

    for (size_t k = 0; k < sizeof etas / sizeof *etas; k++) {
        struct toy toy = { 0 };
        check_refused(paint(x, &toy, "DDIM", "Automatic", 5, &etas[k], 0, &err), &err, TINCT_ERR_ARG, "wanted 0 to 1");
    }
}

static void automatic_is_a1111s(void **state)
{
    static const struct {
        const char *name;
        enum schedule_kind kind;
    } table[] = { { "DPM++ 2M", SCHEDULE_KARRAS },    { "DPM++ SDE", SCHEDULE_KARRAS },
                  { "DPM++ 2S a", SCHEDULE_KARRAS },  { "DPM2", SCHEDULE_KARRAS },
                  { "DPM2 a", SCHEDULE_KARRAS },      { "DPM++ 2M SDE", SCHEDULE_EXPONENTIAL },
                  { "Euler", SCHEDULE_UNIFORM },      { "Euler a", SCHEDULE_UNIFORM },
                  { "Heun", SCHEDULE_UNIFORM },       { "LMS", SCHEDULE_UNIFORM },
                  { "UniPC", SCHEDULE_AUTOMATIC } };
    struct tinct_err err;
    struct schedule s;
    (void)state;

    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        assert_true(sampler_schedule(&s, sampler_find(table[k].name, NULL, &err), SCHEDULE_AUTOMATIC, &sd, 10, &err));
        assert_int_equal(s.kind, table[k].kind);
        assert_int_equal(s.steps, 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sampler_is_its_reference),
        cmocka_unit_test(equal_runs_are_equal),
        cmocka_unit_test(a_thousand_steps_stay_finite),
        cmocka_unit_test(callbacks_stop_it),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(an_eta_out_of_range_is_refused),
        cmocka_unit_test(automatic_is_a1111s),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
