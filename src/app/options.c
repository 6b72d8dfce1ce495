#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

enum { HELP_VALUE = 1000, COLUMN = 33 };

const char *const app_precisions[] = { "default", "fp32", "fast", NULL };
const char *const app_winograds[] = { "auto", "off", NULL };

static size_t count_specs(const struct option_spec *specs)
{
    size_t count = 0;
    while (specs[count].name) count++;
    return count;
}

/* ---- help ---- */

static void print_option(const struct option_spec *s)
{
    char left[80];

    if (s->kind == OPTION_HEADING) {
        printf("\n%s\n", s->name);
        return;
    }
    int used = snprintf(left, sizeof left, "  %c%c%c --%s%s%s", s->letter ? '-' : ' ', s->letter ? s->letter : ' ',
                        s->letter ? ',' : ' ', s->name, s->argument ? " " : "", s->argument ? s->argument : "");
    printf("%s", left);
    for (const char *help = s->help, *end; help; help = *end ? end + 1 : NULL) { /* lines break at '\n' */
        end = help + strcspn(help, "\n");
        if (used >= COLUMN) {
            printf("\n");
            used = 0;
        }
        printf("%*s%.*s\n", COLUMN - used, "", (int)(end - help), help);
        used = 0;
    }
}

static void print_help(const struct verb *verb, const struct option_spec *specs)
{
    printf("tinct %s %s\n%s\n", verb->name, verb->arguments, verb->does);
    if (specs[0].kind != OPTION_HEADING) printf("\n");
    for (; specs->name; specs++) print_option(specs);
    printf("  -h, --help%*sthis help\n", COLUMN - 12, "");
}

/* ---- values ---- */

static bool refuse(const struct option_spec *s, const char *value, const char *why)
{
    char advice[200] = "";

    if (s->kind == OPTION_CHOICE)
        for (int i = 0; s->choices[i]; i++)
            snprintf(advice + strlen(advice), sizeof advice - strlen(advice), "%s%s", i ? ", " : "one of: ", s->choices[i]);
    app_fail(EXIT_USAGE, advice, "--%s %s: %s", s->name, value, why);
    return false;
}

static bool refuse_range(const struct option_spec *s, const char *value)
{
    char why[100];

    if (s->most < 1e9)
        snprintf(why, sizeof why, "must be from %g to %g", s->least, s->most);
    else
        snprintf(why, sizeof why, "must be at least %g", s->least);
    return refuse(s, value, why);
}

static bool set_int(const struct option_spec *s, const char *value)
{
    char *end, why[100];
    errno = 0;
    long number = strtol(value, &end, 10);

    if (end == value || *end) return refuse(s, value, "not a whole number");
    if (errno || (double)number < s->least || (double)number > s->most) return refuse_range(s, value);
    if (s->step && number % s->step) {
        snprintf(why, sizeof why, "not a multiple of %d; try %ld or %ld", s->step, number / s->step * s->step,
                 (number / s->step + 1) * s->step);
        return refuse(s, value, why);
    }
    *(int *)s->target = (int)number;
    return true;
}

static bool set_seed(const struct option_spec *s, const char *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);

    if (end == value || *end) return refuse(s, value, "not a whole number");
    if (errno) return refuse(s, value, "more than 63 bits");
    *(int64_t *)s->target = number;
    return true;
}

static bool set_float(const struct option_spec *s, const char *value)
{
    char *end;
    double number = strtod(value, &end);

    if (end == value || *end || !isfinite(number)) return refuse(s, value, "not a number");
    if (number < s->least || number > s->most) return refuse_range(s, value);
    *(float *)s->target = (float)number;
    return true;
}

static bool set_choice(const struct option_spec *s, const char *value)
{
    for (int i = 0; s->choices[i]; i++)
        if (strcmp(value, s->choices[i]) == 0) {
            *(int *)s->target = i;
            return true;
        }
    return refuse(s, value, "unknown");
}

static bool add_to_list(const struct option_spec *s, const char *value)
{
    struct option_list *list = s->target;

    if (list->count == OPTION_LIST_MOST) return refuse(s, value, "that is one too many");
    list->values[list->count++] = value;
    return true;
}

static bool set_option(const struct option_spec *s, const char *value)
{
    if (s->given) *s->given = true;
    switch (s->kind) {
    case OPTION_FLAG: *(bool *)s->target = true; return true;
    case OPTION_TEXT: *(const char **)s->target = value; return true;
    case OPTION_INT: return set_int(s, value);
    case OPTION_SEED: return set_seed(s, value);
    case OPTION_FLOAT: return set_float(s, value);
    case OPTION_CHOICE: return set_choice(s, value);
    case OPTION_LIST: return add_to_list(s, value);
    case OPTION_HEADING: break;
    }
    return false;
}

/* ---- parsing ---- */

static enum exit_code refuse_unknown(const struct verb *verb, const struct option_spec *specs, char *const *argv)
{
    const char *names[OPTIONS_MAX], *typed = argv[optind - 1], *nearest = NULL;
    char advice[100], name[64];
    size_t count = 0;

    if (optopt && strncmp(typed, "--", 2) != 0)
        return app_fail(EXIT_USAGE, "", "unknown option -%c; see tinct %s --help", optopt, verb->name);
    for (; specs->name; specs++)
        if (specs->kind != OPTION_HEADING) names[count++] = specs->name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(typed + 2, "="), typed + 2);
    nearest = nearest_name(name, names, count);
    snprintf(advice, sizeof advice, "did you mean --%s?", nearest ? nearest : "");
    return app_fail(EXIT_USAGE, nearest ? advice : "", "unknown option %s; see tinct %s --help", typed, verb->name);
}

static const struct option_spec *find_option(const struct option_spec *specs, int found)
{
    for (size_t i = 0; specs[i].name; i++)
        if (found == HELP_VALUE + 1 + (int)i || (specs[i].letter && found == specs[i].letter)) return &specs[i];
    return NULL;
}

bool options_parse(const struct verb *verb, const struct option_spec *specs, int argc, char **argv, int *words,
                   enum exit_code *code)
{
    struct option longs[OPTIONS_MAX + 2] = { { "help", no_argument, NULL, HELP_VALUE } };
    char shorts[2 * OPTIONS_MAX + 4] = ":h";
    size_t count = count_specs(specs), named = 1;
    int found;

    for (size_t i = 0; i < count; i++) {
        if (specs[i].kind == OPTION_HEADING) continue;
        bool takes = specs[i].kind != OPTION_FLAG;
        longs[named++] = (struct option) { specs[i].name, takes, NULL, HELP_VALUE + 1 + (int)i };
        if (specs[i].letter)
            snprintf(shorts + strlen(shorts), sizeof shorts - strlen(shorts), "%c%s", specs[i].letter, takes ? ":" : "");
    }
    *code = EXIT_USAGE;
    opterr = 0;
    optind = 1;
    while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct option_spec *s = find_option(specs, found);
        if (found == 'h' || found == HELP_VALUE) {
            print_help(verb, specs);
            *code = EXIT_DONE;
            return false;
        }
        if (found == ':') {
            app_fail(EXIT_USAGE, "", "option %s wants a value; see tinct %s --help", argv[optind - 1], verb->name);
            return false;
        }
        if (!s) {
            refuse_unknown(verb, specs, argv);
            return false;
        }
        if (!set_option(s, optarg)) return false;
    }
    *words = argc - optind;
    memmove(argv + 1, argv + optind, (size_t)*words * sizeof *argv);
    return true;
}

const char *nearest_name(const char *typed, const char *const *names, size_t count)
{
    size_t letters = strlen(typed), best;

    for (size_t i = 0; i < count && letters >= 3; i++)
        if (strncmp(typed, names[i], letters) == 0) return names[i];
    if (!nearest_names(typed, names, count, &best, 1)) return NULL;
    return edit_distance(typed, names[best]) <= letters / 3 + 1 ? names[best] : NULL; /* a third may be wrong */
}
