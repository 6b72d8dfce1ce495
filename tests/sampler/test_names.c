/* The spellings of four front ends, and what "tinct samplers" tells. */
#include <stdlib.h>

#include "check.h"
#include "base/json.h"
#include "sampler/list.h"
#include "sampler/sampler.h"

enum { NONE = -1 }; /* the name carries no schedule */

static void every_spelling_is_known(void **state)
{
    static const struct {
        const char *spelling, *name;
        int schedule;
    } table[] = {
        { "Euler", "Euler", NONE }, { "k_euler", "Euler", NONE }, { "EulerDiscreteScheduler", "Euler", NONE },
        { "Euler a", "Euler a", NONE }, { "euler_a", "Euler a", NONE }, { "euler_ancestral", "Euler a", NONE },
        { "k_euler_a", "Euler a", NONE }, { "sample_euler_ancestral", "Euler a", NONE },
        { "EulerAncestralDiscreteScheduler", "Euler a", NONE }, { "EULER A", "Euler a", NONE },
        { "heun", "Heun", NONE }, { "HeunDiscreteScheduler", "Heun", NONE },
        { "dpm_2", "DPM2", NONE }, { "dpm2", "DPM2", NONE }, { "KDPM2DiscreteScheduler", "DPM2", NONE },
        { "dpm_2_ancestral", "DPM2 a", NONE }, { "DPM2 a Karras", "DPM2 a", SCHEDULE_KARRAS },
        { "KDPM2AncestralDiscreteScheduler", "DPM2 a", NONE },
        { "lms", "LMS", NONE }, { "LMS Karras", "LMS", SCHEDULE_KARRAS }, { "k_lms_ka", "LMS", SCHEDULE_KARRAS },
        { "dpmpp_2s_ancestral", "DPM++ 2S a", NONE }, { "dpm++2s_a", "DPM++ 2S a", NONE },
        { "dpmpp_2m", "DPM++ 2M", NONE }, { "dpm++2m", "DPM++ 2M", NONE },
        { "k_dpmpp_2m_ka", "DPM++ 2M", SCHEDULE_KARRAS },
        { "DPM++ 2M Karras", "DPM++ 2M", SCHEDULE_KARRAS }, { "DPMSolverMultistepScheduler", "DPM++ 2M", NONE },
        { "dpmpp_2m_sde", "DPM++ 2M SDE", NONE }, { "dpmpp_2m_sde_gpu", "DPM++ 2M SDE", NONE },
        { "DPM++ 2M SDE Exponential", "DPM++ 2M SDE", SCHEDULE_EXPONENTIAL }, { "dpm++2m_sde", "DPM++ 2M SDE", NONE },
        { "DPM++ SDE Karras", "DPM++ SDE", SCHEDULE_KARRAS }, { "dpmpp_sde", "DPM++ SDE", NONE },
        { "DPMSolverSDEScheduler", "DPM++ SDE", NONE },
        { "ddim", "DDIM", NONE }, { "DDIMScheduler", "DDIM", NONE }, { "ddim_trailing", "DDIM", SCHEDULE_SIMPLE },
        { "uni_pc", "UniPC", NONE }, { "UniPCMultistepScheduler", "UniPC", NONE },
        { "lcm", "LCM", NONE }, { "k_lcm", "LCM", NONE }, { "LCMScheduler", "LCM", NONE }, { "tcd", "TCD", NONE },
        { "euler_a karras", "Euler a", SCHEDULE_KARRAS }, { "euler sgm_uniform", "Euler", SCHEDULE_SGM_UNIFORM },
        { "Euler Align Your Steps", "Euler", SCHEDULE_AYS }, { "Euler a automatic", "Euler a", SCHEDULE_AUTOMATIC },
        { "DPMSolverMultistepScheduler(use_karras_sigmas=True)", "DPM++ 2M", SCHEDULE_KARRAS },
        { "DPMSolverMultistepScheduler(use_karras_sigmas=True, algorithm_type=\"sde-dpmsolver++\")",
          "DPM++ 2M SDE", SCHEDULE_KARRAS },
        { "DPMSolverMultistep algorithm_type=dpmsolver++, use_beta_sigmas=true", "DPM++ 2M", SCHEDULE_BETA },
        { "EulerDiscreteScheduler(timestep_spacing='trailing', use_karras_sigmas=False)", "Euler", SCHEDULE_SIMPLE },
    };
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tinct_err err = { .text = "" };
        enum schedule_kind kind = SCHEDULE_COUNT;
        const struct sampler *s = sampler_find(table[i].spelling, &kind, &err);
        if (!s) fail_msg("%s", err.text);
        if (strcmp(s->name, table[i].name)) fail_msg("%s is %s", table[i].spelling, s->name);
        assert_int_equal((int)kind, table[i].schedule == NONE ? SCHEDULE_COUNT : table[i].schedule);
    }
}

static void schedules_have_their_spellings(void **state)
{
    static const struct {
        const char *spelling;
        enum schedule_kind kind;
    } table[] = {
        { "Automatic", SCHEDULE_AUTOMATIC }, { "normal", SCHEDULE_UNIFORM }, { "discrete", SCHEDULE_UNIFORM },
        { "karras", SCHEDULE_KARRAS }, { "exponential", SCHEDULE_EXPONENTIAL }, { "SGM Uniform", SCHEDULE_SGM_UNIFORM },
        { "sgm_uniform", SCHEDULE_SGM_UNIFORM }, { "SGMUniform", SCHEDULE_SGM_UNIFORM }, { "simple", SCHEDULE_SIMPLE },
        { "ddim_uniform", SCHEDULE_DDIM }, { "DDIM", SCHEDULE_DDIM }, { "ays", SCHEDULE_AYS },
        { "align_your_steps", SCHEDULE_AYS }, { "kl_optimal", SCHEDULE_KL_OPTIMAL }, { "beta", SCHEDULE_BETA },
    };
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tinct_err err;
        enum schedule_kind kind = SCHEDULE_COUNT;
        assert_true(schedule_find(&kind, table[i].spelling, &err));
        assert_int_equal(kind, table[i].kind);
    }
}

static void unknown_names_are_told_the_nearest(void **state)
{
    enum schedule_kind kind = SCHEDULE_AYS;
    struct tinct_err err;
    static char endless[1 << 20];
    (void)state;

    check_refused(sampler_find("eulr", &kind, &err), &err, TINCT_ERR_ARG,
                  "unknown sampler \"eulr\"; nearest are Euler");
    check_refused(sampler_find("dpmpp_2m_karas", &kind, &err), &err, TINCT_ERR_ARG, "nearest are DPM++ 2M");
    check_refused(sampler_find("", &kind, &err), &err, TINCT_ERR_ARG, "unknown sampler \"\"");
    check_refused(sampler_find("Karras", &kind, &err), &err, TINCT_ERR_ARG, "unknown sampler");
    assert_string_equal(err.advice, "\"tinct samplers\" lists them all");
    check_refused(schedule_find(&kind, "karas", &err), &err, TINCT_ERR_ARG,
                  "unknown schedule \"karas\"; nearest are Karras");
    check_refused(sampler_find("EulerDiscreteScheduler(solver_order=3)", &kind, &err), &err, TINCT_ERR_ARG,
                  "sampler option \"solver_order=3\": wanted use_karras_sigmas");
    check_refused(sampler_find("EulerDiscreteScheduler(use_karras_sigmas=True, 3)", &kind, &err), &err, TINCT_ERR_ARG,
                  "sampler option \"3\"");

    memset(endless, 'e', sizeof endless - 1);
    check_refused(sampler_find(endless, &kind, &err), &err, TINCT_ERR_ARG, "eee...\"; nearest are");
    check_refused(schedule_find(&kind, endless, &err), &err, TINCT_ERR_ARG, "eee...\"; nearest are");
    memset(endless, '\xC3', sizeof endless - 1);
    check_refused(sampler_find(endless, &kind, &err), &err, TINCT_ERR_ARG, "unknown sampler");
}

static void every_own_name_finds_itself(void **state)
{
    struct tinct_err err;
    (void)state;

    for (int i = 0; i < SAMPLER_COUNT; i++) {
        enum schedule_kind kind = SCHEDULE_COUNT;
        assert_ptr_equal(sampler_find(sampler_at(i)->name, &kind, &err), sampler_at(i));
        for (const char *const *a = sampler_at(i)->aliases; *a; a++)
            assert_ptr_equal(sampler_find(*a, &kind, &err), sampler_at(i));
        assert_int_equal(kind, SCHEDULE_COUNT);
    }
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        enum schedule_kind kind = SCHEDULE_COUNT;
        assert_true(schedule_find(&kind, schedule_name((enum schedule_kind)k), &err));
        assert_int_equal(kind, k);
    }
}

static void the_list_names_all_of_them(void **state)
{
    struct tinct_err err;
    char *text = samplers_describe(false, &err), *json = samplers_describe(true, &err);
    struct json *root;
    (void)state;

    assert_non_null(text);
    assert_non_null(json);
    for (int i = 0; i < SAMPLER_COUNT; i++) assert_non_null(strstr(text, sampler_at(i)->name));
    assert_non_null(strstr(text, "SGM Uniform, Simple; for LCM models"));

    root = json_parse(json, strlen(json), &err);
    assert_non_null(root);
    assert_int_equal(json_count(json_member(root, "samplers")), SAMPLER_COUNT);
    assert_int_equal(json_count(json_member(root, "schedules")), SCHEDULE_COUNT);
    const struct json *first = json_first(json_member(root, "samplers"));
    assert_string_equal(json_to_string(json_member(first, "name")), "DPM++ 2M");
    assert_int_equal(json_kind(json_member(first, "eta")), JSON_NULL);
    assert_int_equal(json_count(json_member(first, "schedules")), SCHEDULE_COUNT - 1);
    json_free(root);
    free(json);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_is_known),
        cmocka_unit_test(schedules_have_their_spellings),
        cmocka_unit_test(unknown_names_are_told_the_nearest),
        cmocka_unit_test(every_own_name_finds_itself),
        cmocka_unit_test(the_list_names_all_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
