#include "sampler/list.h"

#include <math.h>

#include "base/json.h"
#include "base/str.h"
#include "sampler/sampler.h"

static bool takes(const struct sampler *s, int kind)
{
    return (s->schedules & (1u << kind)) || kind == (int)s->automatic;
}

static void put_strings(struct json_writer *w, const char *name, const char *const *strings)
{
    json_begin(w, name, JSON_ARRAY);
    for (; *strings; strings++) json_put_string(w, NULL, *strings);
    json_end(w);
}

static void put_sampler(struct json_writer *w, const struct sampler *s)
{
    json_begin(w, NULL, JSON_OBJECT);
    json_put_string(w, "name", s->name);
    json_put_string(w, "about", s->about);
    put_strings(w, "aliases", s->aliases);
    json_put_string(w, "automatic", schedule_name(s->automatic));
    json_begin(w, "schedules", JSON_ARRAY);
    for (int k = SCHEDULE_UNIFORM; k < SCHEDULE_COUNT; k++)
        if (takes(s, k)) json_put_string(w, NULL, schedule_name((enum schedule_kind)k));
    json_end(w);
    if (s->takes_eta)
        json_put_double(w, "eta", round(s->eta * 100.0) / 100.0); /* 0.3, not 0.30000001 */
    else
        json_put_string(w, "eta", NULL);
    json_put_bool(w, "draws_noise", s->draws_noise);
    json_put_integer(w, "evaluations", s->second_order ? 2 : 1);
    json_end(w);
}

static char *describe_json(struct tinct_err *err)
{
    struct json_writer w = { 0 };

    json_begin(&w, NULL, JSON_OBJECT);
    json_begin(&w, "samplers", JSON_ARRAY);
    for (int i = 0; i < SAMPLER_COUNT; i++) put_sampler(&w, sampler_at(i));
    json_end(&w);
    json_begin(&w, "schedules", JSON_ARRAY);
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        json_begin(&w, NULL, JSON_OBJECT);
        json_put_string(&w, "name", schedule_name((enum schedule_kind)k));
        json_put_string(&w, "about", schedule_about((enum schedule_kind)k));
        put_strings(&w, "aliases", schedule_aliases((enum schedule_kind)k));
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    return json_finish(&w, err);
}

/* "all", or the few it takes. */
static void add_schedules(struct str *out, const struct sampler *s)
{
    int taken = 0, named = 0;

    for (int k = SCHEDULE_UNIFORM; k < SCHEDULE_COUNT; k++) taken += takes(s, k);
    if (taken == SCHEDULE_COUNT - SCHEDULE_UNIFORM) {
        str_add(out, "all");
        return;
    }
    for (int k = SCHEDULE_UNIFORM; k < SCHEDULE_COUNT; k++)
        if (takes(s, k)) str_addf(out, "%s%s", named++ ? ", " : "", schedule_name((enum schedule_kind)k));
}

char *samplers_describe(bool json, struct tinct_err *err)
{
    struct str out = { 0 };

    if (json) return describe_json(err);
    str_addf(&out, "%-14s %-12s %-4s %s\n", "sampler", "automatic", "eta", "schedules it takes; what it is");
    for (int i = 0; i < SAMPLER_COUNT; i++) {
        const struct sampler *s = sampler_at(i);
        str_addf(&out, "%-14s %-12s ", s->name,
                 s->automatic == SCHEDULE_AUTOMATIC ? "its own" : schedule_name(s->automatic));
        if (s->takes_eta)
            str_addf(&out, "%-4.1f ", (double)s->eta);
        else
            str_add(&out, "-    ");
        add_schedules(&out, s);
        str_addf(&out, "; %s\n", s->about);
    }
    str_addf(&out, "\n%-17s\n", "schedule");
    for (int k = 0; k < SCHEDULE_COUNT; k++)
        str_addf(&out, "%-17s %s\n", schedule_name((enum schedule_kind)k), schedule_about((enum schedule_kind)k));
    return str_take(&out, err);
}
