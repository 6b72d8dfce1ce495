#include "app.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_line(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        putc(*c < 0x20 || *c == 0x7f ? '?' : *c, stderr); /* strangers' names must not steer the terminal */
    putc('\n', stderr);
}

enum exit_code app_fail(enum exit_code code, const char *advice, const char *fmt, ...)
{
    char text[1536];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fputs("tinct: ", stderr);
    put_line(text);
    if (advice && *advice) {
        fputs("       ", stderr);
        put_line(advice);
    }
    return code;
}

enum exit_code app_fail_as(const struct tinct_err *err)
{
    enum exit_code code = EXIT_INTERNAL;

    switch (err->code) {
    case TINCT_OK:
    case TINCT_ERR_INTERNAL: code = EXIT_INTERNAL; break;
    case TINCT_ERR_ARG: code = EXIT_USAGE; break;
    case TINCT_ERR_FORMAT:
    case TINCT_ERR_IO: code = EXIT_INPUT; break;
    case TINCT_ERR_OUTPUT: code = EXIT_OUTPUT; break;
    case TINCT_ERR_MEMORY:
    case TINCT_ERR_DEVICE:
    case TINCT_ERR_NAN: code = EXIT_MACHINE; break;
    case TINCT_ERR_CANCELLED: code = EXIT_INTERRUPTED; break;
    }
    return app_fail(code, err->advice, "%s", err->text);
}

enum exit_code app_print(char *text, const struct tinct_err *err)
{
    if (!text) return app_fail_as(err);
    fputs(text, stdout);
    tinct_text_free(text);
    return EXIT_DONE;
}

void app_on_log(void *most, enum tinct_log_level level, const char *line)
{
    if (level <= *(const enum tinct_log_level *)most) put_line(line);
}

const char *app_cache_dir(char *path, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool given = cache && *cache == '/'; /* the standard ignores relative ones */

    if (!given && (!home || !*home)) return NULL;
    int bytes = snprintf(path, size, "%s%s", given ? cache : home, given ? "" : "/.cache");
    if (bytes < 0 || (size_t)bytes + sizeof "/tinct" > size) return NULL;
    mkdir(path, 0700);
    strcat(path, "/tinct");
    mkdir(path, 0700);
    return access(path, R_OK | W_OK | X_OK) == 0 ? path : NULL;
}
