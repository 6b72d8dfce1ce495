/* Options of a verb: a table that is parsed and from which its help is printed. */
#ifndef TINCT_APP_OPTIONS_H
#define TINCT_APP_OPTIONS_H

#include <stdint.h>

#include "app.h"

enum option_kind {
    OPTION_HEADING, /* only a line in the help: .name */
    OPTION_FLAG,    /* bool */
    OPTION_TEXT,    /* const char * */
    OPTION_INT,     /* int in least..most, a multiple of step */
    OPTION_SEED,    /* int64_t */
    OPTION_FLOAT,   /* float in least..most */
    OPTION_CHOICE,  /* int, the place of the word in choices */
    OPTION_LIST,    /* struct option_list: may be given more than once */
};

enum { OPTION_LIST_MOST = 64 };

/* Choices that several verbs take. */
extern const char *const app_precisions[]; /* in enum tinct_precision's order */
extern const char *const app_winograds[];  /* 1: off */
struct option_list {
    const char *values[OPTION_LIST_MOST];
    int count;
};

struct option_spec {
    enum option_kind kind;
    const char *name;     /* without the dashes */
    char letter;          /* or 0 */
    const char *argument; /* as the help shows it */
    const char *help;
    void *target;
    double least, most;
    int step;                   /* 0: any */
    const char *const *choices; /* ends with NULL */
    bool *given;                /* or NULL */
};

enum { OPTIONS_MAX = 48 };

/* Parses argv[1..] against specs (ended by .name == NULL) and leaves the other words in order at the front
 * of argv + 1, *words of them. True: go on. False: *code is what the program ends with (help was
 * printed, or a refusal). */
bool options_parse(const struct verb *verb, const struct option_spec *specs, int argc, char **argv, int *words,
                   enum exit_code *code);

/* The one of count names that was probably meant: that begins so, or is near; NULL when none is. */
const char *nearest_name(const char *typed, const char *const *names, size_t count);

#endif
