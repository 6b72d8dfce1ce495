/* What samplers there are, what each takes and what it is called elsewhere. */
#include <stdlib.h>

#include "base/str.h"
#include "sampler/walk.h"

#define ALIASES(...) (const char *const[]) { __VA_ARGS__, NULL }

enum {
    ANY = (1 << SCHEDULE_UNIFORM) | (1 << SCHEDULE_KARRAS) | (1 << SCHEDULE_EXPONENTIAL) | (1 << SCHEDULE_SGM_UNIFORM) |
          (1 << SCHEDULE_SIMPLE) | (1 << SCHEDULE_DDIM) | (1 << SCHEDULE_AYS) | (1 << SCHEDULE_KL_OPTIMAL) |
          (1 << SCHEDULE_BETA) | (1 << SCHEDULE_CUSTOM),
};

/* Defaults and flags as A1111's; TCD, which it lacks, as diffusers'. */
static const struct sampler samplers[SAMPLER_COUNT] = {
    { .name = "DPM++ 2M", .about = "second order by the step before; a good first choice",
      .aliases = ALIASES("dpmpp_2m", "DPMSolverMultistep"), .sample = sample_dpmpp_2m,
      .automatic = SCHEDULE_KARRAS, .schedules = ANY },
    { .name = "DPM++ SDE", .about = "noise at every step, two evaluations",
      .aliases = ALIASES("dpmpp_sde", "dpmpp_sde_gpu", "DPMSolverSDE"), .sample = sample_dpmpp_sde,
      .automatic = SCHEDULE_KARRAS, .schedules = ANY, .second_order = true, .draws_noise = true,
      .takes_eta = true, .eta = 1, .eta_key = "Eta" },
    { .name = "DPM++ 2M SDE", .about = "noise at every step, second order by the step before",
      .aliases = ALIASES("dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpm++2m_sde_bt", "sde-dpmsolver++"),
      .sample = sample_dpmpp_2m_sde, .automatic = SCHEDULE_EXPONENTIAL, .schedules = ANY, .draws_noise = true,
      .takes_eta = true, .eta = 1, .eta_key = "Eta" },
    { .name = "DPM++ 2S a", .about = "ancestral, second order, two evaluations",
      .aliases = ALIASES("dpmpp_2s_a", "dpmpp_2s_ancestral"), .sample = sample_dpmpp_2s_ancestral,
      .automatic = SCHEDULE_KARRAS, .schedules = ANY, .second_order = true, .draws_noise = true,
      .takes_eta = true, .eta = 1, .eta_key = "Eta", .uses_ensd = true },
    { .name = "Euler a", .about = "ancestral: noise at every step",
      .aliases = ALIASES("euler_ancestral", "EulerAncestralDiscrete"), .sample = sample_euler_ancestral,
      .automatic = SCHEDULE_UNIFORM, .schedules = ANY, .draws_noise = true,
      .takes_eta = true, .eta = 1, .eta_key = "Eta", .uses_ensd = true },
    { .name = "Euler", .about = "the plainest: one slope a step",
      .aliases = ALIASES("EulerDiscrete"), .sample = sample_euler,
      .automatic = SCHEDULE_UNIFORM, .schedules = ANY },
    { .name = "LMS", .about = "the slopes of four steps",
      .aliases = ALIASES("LMSDiscrete"), .sample = sample_lms,
      .automatic = SCHEDULE_UNIFORM, .schedules = ANY },
    { .name = "Heun", .about = "mean of two slopes, two evaluations",
      .aliases = ALIASES("HeunDiscrete"), .sample = sample_heun,
      .automatic = SCHEDULE_UNIFORM, .schedules = ANY, .second_order = true },
    { .name = "DPM2", .about = "slope at the middle, two evaluations",
      .aliases = ALIASES("dpm_2", "KDPM2Discrete"), .sample = sample_dpm_2,
      .automatic = SCHEDULE_KARRAS, .schedules = ANY, .second_order = true, .discards_penultimate = true },
    { .name = "DPM2 a", .about = "ancestral, slope at the middle, two evaluations",
      .aliases = ALIASES("dpm_2_a", "dpm_2_ancestral", "KDPM2AncestralDiscrete"), .sample = sample_dpm_2_ancestral,
      .automatic = SCHEDULE_KARRAS, .schedules = ANY, .second_order = true, .discards_penultimate = true,
      .draws_noise = true, .takes_eta = true, .eta = 1, .eta_key = "Eta", .uses_ensd = true },
    { .name = "DDIM", .about = "the first fast one; eta adds noise",
      .aliases = ALIASES("DDIMScheduler"), .sample = sample_ddim, .automatic = SCHEDULE_DDIM,
      .schedules = (1 << SCHEDULE_DDIM) | (1 << SCHEDULE_SIMPLE), .draws_noise = true,
      .takes_eta = true, .eta = 0, .eta_key = "Eta DDIM", .unit_start = true, .ends_at_first_level = true },
    { .name = "UniPC", .about = "predictor and corrector of order 3",
      .aliases = ALIASES("uni_pc", "UniPCMultistep"), .sample = sample_unipc, .automatic = SCHEDULE_AUTOMATIC,
      .schedules = ANY, .unit_start = true },
    { .name = "LCM", .about = "for LCM models and LoRAs, 2 to 8 steps",
      .aliases = ALIASES("LCMScheduler"), .sample = sample_lcm, .automatic = SCHEDULE_UNIFORM,
      .schedules = (1 << SCHEDULE_UNIFORM) | (1 << SCHEDULE_SGM_UNIFORM) | (1 << SCHEDULE_SIMPLE),
      .draws_noise = true, .thin = true },
    { .name = "TCD", .about = "for TCD LoRAs, 4 to 20 steps; eta is its gamma",
      .aliases = ALIASES("TCDScheduler"), .sample = sample_tcd, .automatic = SCHEDULE_SIMPLE,
      .schedules = 1 << SCHEDULE_SIMPLE, .draws_noise = true,
      .takes_eta = true, .eta = 0.3f, .eta_key = "Eta", .unit_start = true, .ends_at_first_level = true,
      .thin = true },
};

const struct sampler *sampler_at(int index)
{
    return &samplers[index];
}

/* ---- the levels of a sampler ---- */

static bool refuse_schedule(const struct sampler *sampler, enum schedule_kind kind, struct tinct_err *err)
{
    struct str list = { 0 };

    for (int k = SCHEDULE_UNIFORM; k < SCHEDULE_COUNT; k++)
        if (sampler->schedules & (1u << k)) str_addf(&list, "%s%s", list.length ? ", " : "", schedule_name(k));
    tinct_fail(err, TINCT_ERR_ARG, "%s brings its own timesteps and does not take the schedule %s: wanted %s",
               sampler->name, schedule_name(kind), list.length ? list.bytes : "Automatic");
    str_free(&list);
    return false;
}

static bool check_steps(const struct sampler *sampler, int steps, struct tinct_err *err)
{
    if (steps < 1 || steps > STEPS_MAX)
        return tinct_fail(err, TINCT_ERR_ARG, "%d steps: wanted 1 to %d", steps, STEPS_MAX);
    if (sampler->thin && steps > 50)
        return tinct_fail(err, TINCT_ERR_ARG, "%d steps: %s knows 50 timesteps, wanted 1 to 50", steps, sampler->name);
    return true;
}

/* Drop the level before the last: DPM2 would otherwise spend two evaluations on next to no noise. */
static void discard_penultimate(struct schedule *s)
{
    s->steps--;
    s->sigma[s->steps] = s->sigma[s->steps + 1];
    s->t[s->steps] = s->t[s->steps + 1];
}

/* The network of an LCM is asked at one of its 50 timesteps, whatever lies between them. */
static bool thin_schedule(struct schedule *s, enum schedule_kind kind, const struct levels *levels, int steps,
                          struct tinct_err *err)
{
    struct levels *thin = malloc(sizeof *thin);

    if (!thin) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a schedule");
    levels_thin(thin, levels);
    schedule_make(s, kind, thin, steps);
    for (int i = 0; i < s->steps; i++) s->t[i] = levels_nearest_t(thin, s->sigma[i]);
    free(thin);
    return true;
}

bool sampler_schedule(struct schedule *schedule, const struct sampler *sampler, enum schedule_kind kind,
                      const struct levels *levels, int steps, struct tinct_err *err)
{
    if (!check_steps(sampler, steps, err)) return false;
    if (kind == SCHEDULE_AUTOMATIC) kind = sampler->automatic;
    if (kind != sampler->automatic && !(sampler->schedules & (1u << kind))) return refuse_schedule(sampler, kind, err);

    if (kind == SCHEDULE_AUTOMATIC)
        schedule_make_unipc(schedule, levels, steps);
    else if (sampler->thin) {
        if (!thin_schedule(schedule, kind, levels, steps, err)) return false;
    } else
        schedule_make(schedule, kind, levels, steps + sampler->discards_penultimate);

    if (sampler->discards_penultimate) discard_penultimate(schedule);
    if (sampler->ends_at_first_level) {
        schedule->sigma[schedule->steps] = levels->sigma[0];
        schedule->t[schedule->steps] = 0;
    }
    return true;
}

bool sampler_schedule_custom(struct schedule *schedule, const struct sampler *sampler, const struct levels *levels,
                             const float *sigmas, int steps, struct tinct_err *err)
{
    if (!(sampler->schedules & (1u << SCHEDULE_CUSTOM)))
        return tinct_fail(err, TINCT_ERR_ARG,
                          "%s brings its own timesteps and takes no list of sigmas; Euler and DPM++ 2M do",
                          sampler->name);
    return schedule_custom(schedule, levels, sigmas, steps, err);
}
