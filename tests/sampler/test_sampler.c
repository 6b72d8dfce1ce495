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

/* Latents, and the sums that a sampler asks for: in double, which is the definition, or in fp32 from the network's answer, as
 * devices have them. */
struct toy {
    bool fp32;
    double places[SAMPLER_TERMS][COUNT];
    int draws, evaluations, steps_told;
    int stop_at_evaluation, stop_at_step, stop_at_draw; /* 0: never */
};

static double sum(const struct toy *toy, const double *weights, int j)
{
    double exact = 0;
    float rounded = 0;

    for (int k = 0; k < SAMPLER_TERMS; k++) {
        if (weights[k] == 0) continue;               /* it may hold anything */
        exact += weights[k] * toy->places[k][j];
        rounded += (float)weights[k] * (float)toy->places[k][j];
    }
    return toy->fp32 ? rounded : exact;
}

/* make_sampler_golden.py's toy(). */
static void toy_model(const float *x, double sigma, double t, float *denoised)
{
    double c_in = 1 / sqrt(sigma * sigma + 1);

    for (int j = 0; j < COUNT; j++)
        denoised[j] = (float)(0.9 * tanh((1.3 * x[j] + 0.4 * x[(j + 1) % COUNT]) * c_in) +
                              0.25 * cos(0.7 * j + log1p(sigma)) + 0.1 * sin(t / 150));
}

static bool toy_advance(void *ctx, const struct sampler_advance *given)
{
    struct toy *toy = ctx;
    struct sampler_advance a = *given;
    float x[COUNT], d[COUNT];
    double next[SAMPLER_PLACES][COUNT];

    assert_true(a.point[SAMPLER_DENOISED] == 0);
    for (int j = 0; j < COUNT; j++) x[j] = (float)sum(toy, a.point, j);
    toy_model(x, a.sigma, a.t, d);
    if (toy->fp32) sampler_advance_by(&a, level_denoised_eps(a.sigma));
    for (int j = 0; j < COUNT; j++)
        toy->places[SAMPLER_DENOISED][j] = toy->fp32 ? (float)((x[j] - (double)d[j]) / a.sigma) : d[j];
    for (int p = 0; p < SAMPLER_PLACES; p++)
        for (int j = 0; j < COUNT; j++) next[p][j] = sum(toy, a.places[p], j);
    memcpy(toy->places, next, sizeof next);
    return ++toy->evaluations != toy->stop_at_evaluation;
}

static void toy_draw(int k, double scale, double *out)
{
    for (int j = 0; j < COUNT; j++) out[j] = (float)(scale * 1.3 * sin(12.9898 * k + 78.233 * j + 0.37 * k * j));
}

static bool toy_noise(void *ctx, double from, double to)
{
    struct toy *toy = ctx;
    (void)from;
    (void)to;
    toy_draw(++toy->draws, 1, toy->places[SAMPLER_NOISE]);
    return toy->draws != toy->stop_at_draw;
}

static bool toy_step(void *ctx, int done)
{
    struct toy *toy = ctx;
    assert_int_equal(done, ++toy->steps_told);
    for (int j = 0; j < COUNT; j++) assert_true(isfinite(toy->places[SAMPLER_X][j]) && isfinite(toy->places[SAMPLER_D][j]));
    return done != toy->stop_at_step;
}

static bool paint(struct toy *toy, const char *name, const char *schedule_name, int steps, const float *eta,
                  float churn, struct tinct_err *err)
{
    enum schedule_kind kind = SCHEDULE_AUTOMATIC;
    const struct sampler *sampler = sampler_find(name, &kind, err);
    struct schedule schedule;
    struct sampler_run run = { .sampler = sampler, .schedule = &schedule, .levels = &sd, .eta = eta,
                               .advance = toy_advance, .noise = toy_noise, .on_step = toy_step, .ctx = toy };

    assert_non_null(sampler);
    assert_true(schedule_find(&kind, schedule_name, err));
    assert_true(sampler_schedule(&schedule, sampler, kind, &sd, steps, err));
    if (churn > 0) {
        run.s_churn = churn;
        run.s_tmin = 0.5f;
        run.s_tmax = 10;
    }
    if (churn > 0 || eta) run.s_noise = 1.003f; /* as the script has it */
    for (int p = 0; p < SAMPLER_TERMS; p++)
        for (int j = 0; j < COUNT; j++) toy->places[p][j] = NAN;
    toy_draw(0, sampler_start_scale(sampler, &schedule), toy->places[SAMPLER_X]);
    bool ok = sampler_run(&run, err);
    if (ok) {
        assert_int_equal(toy->steps_told, schedule.steps);
        assert_int_equal(toy->evaluations, sampler->second_order
                                               ? 2 * schedule.steps - (schedule.sigma[schedule.steps] == 0)
                                               : schedule.steps);
        assert_true(toy->draws ? sampler_draws(&run) : !sampler_draws(&run) || schedule.steps == 1);
    }
    return ok;
}

/* Off by how much of the largest value. The bar is 1e-5; what the model sees and says are floats, 6e-8 off each time, and in fp32
 * every sum is. */
static double off(const double *got, const double *want)
{
    double worst = 0, largest = 0;
    for (int j = 0; j < COUNT; j++) {
        double d = fabs(got[j] - want[j]);
        if (!(d <= worst)) worst = d;
        if (fabs(want[j]) > largest) largest = fabs(want[j]);
    }
    return worst / largest;
}

static double worst_of_reference(bool fp32, bool covered[SAMPLER_COUNT][SCHEDULE_COUNT])
{
    static struct golden g;
    size_t lines = 0;
    double worst = 0;
    struct tinct_err err;

    g.file = golden_open("samplers.txt");
    assert_non_null(g.file);
    for (; golden_next(&g); lines++) {
        float eta = strtof(g.field[3], NULL);
        struct toy toy = { .fp32 = fp32 };
        enum schedule_kind kind = SCHEDULE_AUTOMATIC;

        assert_int_equal(g.count, COUNT);
        assert_true(paint(&toy, g.field[0], g.field[1], atoi(g.field[2]), g.field[3][0] == '-' ? NULL : &eta,
                          strtof(g.field[4], NULL), &err));
        double d = off(toy.places[SAMPLER_X], g.values);
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
    print_message("%zu runs, %s: worst relative error %.2g\n", lines, fp32 ? "fp32" : "double", worst);
    return worst;
}

static void every_sampler_is_its_reference(void **state)
{
    bool covered[SAMPLER_COUNT][SCHEDULE_COUNT] = { { false } };
    (void)state;

    assert_true(worst_of_reference(false, covered) <= 1e-5);
    for (int i = 0; i < SAMPLER_COUNT; i++)
        for (int k = SCHEDULE_UNIFORM; k < SCHEDULE_COUNT; k++)
            if ((sampler_at(i)->schedules & (1u << k)) && !covered[i][k])
                fail_msg("%s takes %s, but no reference says what it gives", sampler_at(i)->name,
                         schedule_name((enum schedule_kind)k));
}

static void fp32_is_enough(void **state)
{
    bool covered[SAMPLER_COUNT][SCHEDULE_COUNT];
    (void)state;

    assert_true(worst_of_reference(true, covered) <= 1e-5);
}

static void equal_runs_are_equal(void **state)
{
    struct tinct_err err;
    (void)state;

    for (int i = 0; i < SAMPLER_COUNT; i++) {
        struct toy a = { .fp32 = true }, b = a;
        assert_true(paint(&a, sampler_at(i)->name, "Automatic", 12, NULL, 0, &err));
        assert_true(paint(&b, sampler_at(i)->name, "Automatic", 12, NULL, 0, &err));
        assert_memory_equal(a.places[SAMPLER_X], b.places[SAMPLER_X], sizeof a.places[0]);
    }
}

static void a_thousand_steps_stay_finite(void **state)
{
    struct tinct_err err;
    (void)state;

    for (int i = 0; i < SAMPLER_COUNT; i++) {
        struct toy toy = { .fp32 = true };
        assert_true(paint(&toy, sampler_at(i)->name, "Automatic", sampler_at(i)->thin ? 50 : 1000, NULL, 0, &err));
    }
}

static void callbacks_stop_it(void **state)
{
    struct tinct_err err;
    (void)state;

    for (int i = 0; i < SAMPLER_COUNT; i++) {
        const char *name = sampler_at(i)->name;
        struct toy toy = { .stop_at_evaluation = 3 }, told = { .stop_at_step = 2 }, drawn = { .stop_at_draw = 2 };

        err.code = TINCT_OK;             /* it is the callback's to set */
        assert_false(paint(&toy, name, "Automatic", 5, NULL, 0, &err));
        assert_int_equal(toy.evaluations, 3);
        assert_false(paint(&told, name, "Automatic", 5, NULL, 0, &err));
        assert_int_equal(told.steps_told, 2);
        assert_true(paint(&drawn, name, "Automatic", 5, NULL, 0, &err) == (drawn.draws == 0));
        assert_true(drawn.draws == 0 || drawn.draws == 2);
        assert_int_equal(err.code, TINCT_OK);
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
    (void)state;

    for (size_t k = 0; k < sizeof etas / sizeof *etas; k++) {
        struct toy toy = { 0 };
        check_refused(paint(&toy, "DDIM", "Automatic", 5, &etas[k], 0, &err), &err, TINCT_ERR_ARG, "wanted 0 to 1");
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
        cmocka_unit_test(fp32_is_enough),
        cmocka_unit_test(equal_runs_are_equal),
        cmocka_unit_test(a_thousand_steps_stay_finite),
        cmocka_unit_test(callbacks_stop_it),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(an_eta_out_of_range_is_refused),
        cmocka_unit_test(automatic_is_a1111s),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
