#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char default_folder[] = "out";

static bool is_folder(const char *path)
{
    struct stat st;
    size_t bytes = strlen(path);
    return (bytes && path[bytes - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static enum exit_code check_ending(const char *pattern)
{
    static const char *const others[] = { ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jxl" };
    const char *dot = strrchr(pattern, '.');

    for (size_t i = 0; dot && i < sizeof others / sizeof *others; i++)
        if (strcasecmp(dot, others[i]) == 0)
            return app_fail(EXIT_USAGE, "let the name end in .png", "-o %s: only PNG is written", pattern);
    return EXIT_DONE;
}

enum exit_code output_check(const char *pattern, int pictures)
{
    bool varies = false;

    if (!pattern) {
        if (mkdir(default_folder, 0777) != 0 && errno != EEXIST)
            return app_fail(EXIT_OUTPUT, "name another place with -o PATH", "%s: the folder cannot be made: %s",
                            default_folder, strerror(errno));
        return EXIT_DONE;
    }
    if (!*pattern) return app_fail(EXIT_USAGE, "", "-o: the name is empty");
    for (const char *c = strchr(pattern, '%'); c; c = strchr(c + 2, '%')) {
        if (!c[1] || !strchr("si%", c[1]))
            return app_fail(EXIT_USAGE, "%s is the seed, %i the index, %% a percent sign", "-o %s: unknown %%%c", pattern,
                            c[1] ? c[1] : ' ');
        varies |= c[1] != '%';
    }
    if (pictures > 1 && !varies && !output_is_numbered(pattern))
        return app_fail(EXIT_USAGE, "put %s (seed) or %i (index) into it, or name a folder",
                        "-o %s: one name for %d pictures", pattern, pictures);
    return check_ending(pattern);
}

bool output_is_numbered(const char *pattern)
{
    return !pattern || is_folder(pattern);
}

/* One more than the highest number that a name in the folder begins with. */
static unsigned long next_number(const char *folder)
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    unsigned long highest = 0;

    while (list && (entry = readdir(list))) {
        size_t digits = strspn(entry->d_name, "0123456789");
        unsigned long number = digits >= 5 && digits <= 9 ? strtoul(entry->d_name, NULL, 10) : 0;
        if (number > highest && entry->d_name[digits] == '-') highest = number;
    }
    if (list) closedir(list);
    return highest + 1;
}

static bool numbered_path(char *path, size_t size, const char *folder, int64_t seed)
{
    size_t bytes = strlen(folder);
    const char *slash = bytes && folder[bytes - 1] == '/' ? "" : "/";
    int used = snprintf(path, size, "%s%s%05lu-%" PRId64 ".png", folder, slash, next_number(folder), seed);
    return used >= 0 && (size_t)used < size;
}

bool output_path(char *path, size_t size, const char *pattern, int index, int64_t seed)
{
    char number[24];

    if (output_is_numbered(pattern)) return numbered_path(path, size, pattern ? pattern : default_folder, seed);
    for (; *pattern; pattern++) {
        number[0] = *pattern;
        number[1] = '\0';
        if (*pattern == '%') {
            pattern++;
            if (*pattern == 's') snprintf(number, sizeof number, "%" PRId64, seed);
            if (*pattern == 'i') snprintf(number, sizeof number, "%d", index);
        }
        size_t bytes = strlen(number);
        if (bytes >= size) return false;
        memcpy(path, number, bytes + 1);
        path += bytes;
        size -= bytes;
    }
    return true;
}
