/* The many names of samplers and schedules. All are compared folded: lower case,
 * '+' as 'p', without spaces, '_', '-' and quotes. */
#include <string.h>

#include "base/nearest.h"
#include "base/str.h"
#include "sampler/sampler.h"

enum { NAME_ROOM = 64, SHOWN_BYTES = 60, NEAREST = 3, CANDIDATES = 96 };

/* size bytes of name, folded, into out; false when that does not fit: no name is so long. */
static bool fold(char out[NAME_ROOM], const char *name, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (strchr(" _-\"'", c)) continue;
        if (n + 1 == NAME_ROOM) return false;
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        out[n++] = c == '+' ? 'p' : c;
    }
    out[n] = '\0';
    return true;
}

static bool folds_to(const char *folded, const char *name)
{
    char other[NAME_ROOM];
    return fold(other, name, strlen(name)) && !strcmp(folded, other);
}

/* ---- schedules ---- */

static bool schedule_of(enum schedule_kind *kind, const char *folded)
{
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        bool is = folds_to(folded, schedule_name((enum schedule_kind)k));
        for (const char *const *a = schedule_aliases((enum schedule_kind)k); !is && *a; a++) is = folds_to(folded, *a);
        if (is) {
            *kind = (enum schedule_kind)k;
            return true;
        }
    }
    return false;
}

/* ---- samplers ---- */

static const struct sampler *sampler_of(const char *folded)
{
    for (int i = 0; i < SAMPLER_COUNT; i++) {
        const struct sampler *s = sampler_at(i);
        if (folds_to(folded, s->name)) return s;
        for (const char *const *a = s->aliases; *a; a++)
            if (folds_to(folded, *a)) return s;
    }
    return NULL;
}

/* A folded name as it stands, without a "k" or "sample" in front or a "scheduler" behind it,
 * and with the name of a schedule at its end. */
static const struct sampler *sampler_and_schedule(const char *folded, enum schedule_kind *kind)
{
    static const char *const fronts[] = { "", "k", "sample" };
    size_t length = strlen(folded);

    for (size_t f = 0; f < sizeof fronts / sizeof *fronts; f++) {
        size_t skip = strlen(fronts[f]);
        if (strncmp(folded, fronts[f], skip)) continue;
        for (size_t end = length; end > skip; end--) {
            char head[NAME_ROOM];
            enum schedule_kind tail;
            const struct sampler *s;
            bool plain = end == length || !strcmp(folded + end, "scheduler");

            memcpy(head, folded + skip, end - skip);
            head[end - skip] = '\0';
            s = sampler_of(head);
            if (!s || (!plain && !schedule_of(&tail, folded + end))) continue;
            if (!plain) *kind = tail;
            return s;
        }
    }
    return NULL;
}

/* ---- diffusers' options ---- */

static const struct sampler *refuse_option(const char *option, size_t size, struct tinct_err *err)
{
    tinct_fail(err, TINCT_ERR_ARG,
               "sampler option \"%.*s\": wanted use_karras_sigmas, use_exponential_sigmas or use_beta_sigmas = True, "
               "timestep_spacing = linspace, leading or trailing, algorithm_type = dpmsolver++ or sde-dpmsolver++",
               (int)(size < SHOWN_BYTES ? size : SHOWN_BYTES), option);
    return NULL;
}

/* One "key=value" of size bytes; returns the sampler that it makes of s. */
static const struct sampler *apply_option(const struct sampler *s, enum schedule_kind *kind, const char *option,
                                          size_t size, struct tinct_err *err)
{
    static const struct {
        const char *text;
        enum schedule_kind kind;
    } schedules[] = { { "usekarrassigmas=true", SCHEDULE_KARRAS },
                      { "useexponentialsigmas=true", SCHEDULE_EXPONENTIAL },
                      { "usebetasigmas=true", SCHEDULE_BETA },
                      { "timestepspacing=linspace", SCHEDULE_UNIFORM },
                      { "timestepspacing=leading", SCHEDULE_DDIM },
                      { "timestepspacing=trailing", SCHEDULE_SIMPLE } };
    static const char *const nothing[] = { "usekarrassigmas=false", "useexponentialsigmas=false",
                                           "usebetasigmas=false", "algorithmtype=dpmsolverpp" };
    char folded[NAME_ROOM];

    if (!fold(folded, option, size)) return refuse_option(option, size, err);
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++)
        if (!strcmp(folded, schedules[i].text)) {
            *kind = schedules[i].kind;
            return s;
        }
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        if (!strcmp(folded, nothing[i])) return s;
    if (!strcmp(folded, "algorithmtype=sdedpmsolverpp")) return sampler_of("dpmpp2msde");
    return refuse_option(option, size, err);
}

/* "(key=value, key=value)", also without the brackets. */
static const struct sampler *apply_options(const struct sampler *s, enum schedule_kind *kind, const char *options,
                                           struct tinct_err *err)
{
    static const char gaps[] = "(), ;";

    for (const char *o = options + strspn(options, gaps); s && *o;) {
        size_t size = strcspn(o, ",;)");
        if (!memchr(o, '=', size)) return refuse_option(o, size, err);
        s = apply_option(s, kind, o, size, err);
        o += size;
        o += strspn(o, gaps);
    }
    return s;
}

/* ---- finding ---- */

/* "X, Y and Z" out of names whose folded forms are nearest; owner[i] is which of shown[] candidate i speaks for. */
static void add_nearest(struct str *out, const char *folded, const char *const *candidates, const int *owner,
                        size_t count, const char *const *shown)
{
    size_t best[CANDIDATES], found = nearest_names(folded, candidates, count, best, count), n = 0;
    int picked[NEAREST];

    for (size_t i = 0; i < found && n < NEAREST; i++) {
        bool twice = false;
        for (size_t k = 0; k < n; k++) twice = twice || picked[k] == owner[best[i]];
        if (!twice) picked[n++] = owner[best[i]];
    }
    for (size_t k = 0; k < n; k++)
        str_addf(out, "%s%s", k == 0 ? "" : k + 1 == n ? " and " : ", ", shown[picked[k]]);
}

static void refuse(struct tinct_err *err, const char *what, const char *name, const struct str *nearest)
{
    size_t size = strlen(name);

    tinct_fail(err, TINCT_ERR_ARG, "unknown %s \"%.*s%s\"; nearest are %s", what,
               (int)str_utf8_prefix(name, size < SHOWN_BYTES ? size : SHOWN_BYTES), name,
               size > SHOWN_BYTES ? "..." : "", nearest->length ? nearest->bytes : "none");
    tinct_advise(err, "\"tinct samplers\" lists them all");
}

/* Folded forms of every name, in room; returns how many. */
struct candidates {
    char room[CANDIDATES][NAME_ROOM];
    const char *folded[CANDIDATES], *shown[CANDIDATES];
    int owner[CANDIDATES];
    size_t count;
};

static void add_candidate(struct candidates *c, const char *name, int owner)
{
    if (c->count == CANDIDATES || !fold(c->room[c->count], name, strlen(name))) return;
    c->folded[c->count] = c->room[c->count];
    c->owner[c->count++] = owner;
}

static const struct sampler *unknown_sampler(const char *name, struct tinct_err *err)
{
    struct candidates c = { .count = 0 };
    struct str nearest = { 0 };
    char folded[NAME_ROOM];

    for (int i = 0; i < SAMPLER_COUNT; i++) {
        c.shown[i] = sampler_at(i)->name;
        add_candidate(&c, sampler_at(i)->name, i);
        for (const char *const *a = sampler_at(i)->aliases; *a; a++) add_candidate(&c, *a, i);
    }
    if (!fold(folded, name, strlen(name))) folded[NAME_ROOM - 1] = '\0';
    add_nearest(&nearest, folded, c.folded, c.owner, c.count, c.shown);
    refuse(err, "sampler", name, &nearest);
    str_free(&nearest);
    return NULL;
}

const struct sampler *sampler_find(const char *name, enum schedule_kind *kind, struct tinct_err *err)
{
    const char *equals = strchr(name, '=');
    size_t head = strcspn(name, equals ? "(, " : "");
    char folded[NAME_ROOM];
    const struct sampler *s = fold(folded, name, head) ? sampler_and_schedule(folded, kind) : NULL;

    if (!s) return unknown_sampler(name, err);
    return apply_options(s, kind, name + head, err);
}

bool schedule_find(enum schedule_kind *kind, const char *name, struct tinct_err *err)
{
    struct candidates c = { .count = 0 };
    struct str nearest = { 0 };
    char folded[NAME_ROOM];

    if (fold(folded, name, strlen(name)) && schedule_of(kind, folded)) return true;
    folded[NAME_ROOM - 1] = '\0';
    for (int k = 0; k < SCHEDULE_COUNT; k++) {
        c.shown[k] = schedule_name((enum schedule_kind)k);
        add_candidate(&c, c.shown[k], k);
        for (const char *const *a = schedule_aliases((enum schedule_kind)k); *a; a++) add_candidate(&c, *a, k);
    }
    add_nearest(&nearest, folded, c.folded, c.owner, c.count, c.shown);
    refuse(err, "schedule", name, &nearest);
    str_free(&nearest);
    return false;
}
