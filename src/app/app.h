/* What the command line's files share: exit codes, the one way to fail, the verbs. The program
 * paints through tinct.h and nothing else, so it is the library's first test. */
#ifndef TINCT_APP_APP_H
#define TINCT_APP_APP_H

#include <stdbool.h>
#include <stddef.h>

#include "tinct.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_INTERNAL = 1,
    EXIT_USAGE = 2,        /* an option or a parameter */
    EXIT_INPUT = 3,        /* a file that was to be read */
    EXIT_MACHINE = 4,      /* device, memory, driver; a model that gives NaN on them */
    EXIT_OUTPUT = 5,       /* the result could not be written */
    EXIT_INTERRUPTED = 130,
};

/* The one line "tinct: ..." on stderr, and a second one when there is advice (NULL or "": none).
 * Gives code back: return app_fail(EXIT_USAGE, ...). */
enum exit_code app_fail(enum exit_code code, const char *advice, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* The same for what the library says, with the code that belongs to its own. */
enum exit_code app_fail_as(const struct tinct_err *err);

/* Prints a text of the library to stdout and frees it; NULL: fails with err. */
enum exit_code app_print(char *text, const struct tinct_err *err);

/* Where warnings go, and with -v everything: on_log's user is a const enum tinct_log_level *, the last
 * level that is printed. */
void app_on_log(void *most, enum tinct_log_level level, const char *line);

/* The user's cache folder, made when it is missing, into path; NULL when there is none. */
const char *app_cache_dir(char *path, size_t size);

struct verb {
    const char *name;
    const char *arguments; /* as in "tinct info FILE" */
    const char *does;      /* one line */
    enum exit_code (*run)(const struct verb *verb, int argc, char **argv); /* argv[0] is the verb */
};

enum exit_code paint_run(const struct verb *verb, int argc, char **argv);
enum exit_code loras_run(const struct verb *verb, int argc, char **argv);
enum exit_code info_run(const struct verb *verb, int argc, char **argv);
enum exit_code prompt_run(const struct verb *verb, int argc, char **argv);
enum exit_code devices_run(const struct verb *verb, int argc, char **argv);
enum exit_code samplers_run(const struct verb *verb, int argc, char **argv);
enum exit_code bench_run(const struct verb *verb, int argc, char **argv);

#endif
