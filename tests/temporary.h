/* A folder of its own for a test program's files, gone when the program ends. */
#ifndef TINCT_TESTS_TEMPORARY_H
#define TINCT_TESTS_TEMPORARY_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

static char temporary_folder[] = "/tmp/tinct-test-XXXXXX";

/* As a cmocka group's setup and teardown. Files lie directly in the folder. */
static inline int temporary_make(void **state)
{
    (void)state;
    return mkdtemp(temporary_folder) ? 0 : -1;
}

/* The path of a name in the folder; the last four results stay valid. */
static inline const char *temporary_path(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn = (turn + 1) % 4];
    snprintf(path, sizeof paths[0], "%s/%s", temporary_folder, name);
    return path;
}

static inline int temporary_remove(void **state)
{
    DIR *folder = opendir(temporary_folder);
    struct dirent *entry;

    (void)state;
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.' || (entry->d_name[1] && entry->d_name[1] != '.'))
            unlink(temporary_path(entry->d_name));
    if (folder) closedir(folder);
    return rmdir(temporary_folder);
}

static inline const char *temporary_write(const char *name, const void *bytes, size_t size)
{
    const char *path = temporary_path(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

#endif
