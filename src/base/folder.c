#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"

enum { DEEPEST = 16 };

struct walk {
    folder_tell *tell;
    void *user;
    size_t root_bytes; /* of the path it began with, to cut names */
    struct tinct_err *err;
};

char *folder_join(const char *folder, const char *name)
{
    size_t a = strlen(folder), b = strlen(name);
    char *path = malloc(a + b + 2);

    if (!path) return NULL;
    memcpy(path, folder, a);
    path[a] = '/';
    memcpy(path + a + 1, name, b + 1);
    return path;
}

static bool is_plain_name(const char *name)
{
    if (name[0] == '.' || str_utf8_prefix(name, strlen(name)) != strlen(name)) return false;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c < 0x20 || *c == 0x7f || *c == '\\') return false;
    return true;
}

static bool walk_folder(struct walk *walk, const char *path, int depth);

static bool walk_entry(struct walk *walk, const char *path, int depth)
{
    struct stat st;

    if (lstat(path, &st)) return true; /* gone meanwhile */
    if (S_ISDIR(st.st_mode)) return depth == DEEPEST || walk_folder(walk, path, depth + 1);
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) return true;
    return walk->tell(walk->user, &(struct folder_file) { path, path + walk->root_bytes + 1, (uint64_t)st.st_dev,
                                                          (uint64_t)st.st_ino, S_ISLNK(st.st_mode) }, walk->err);
}

static bool walk_folder(struct walk *walk, const char *path, int depth)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    bool ok = true;

    if (!dir && depth) return true; /* a subfolder without permission */
    if (!dir) return tinct_fail(walk->err, TINCT_ERR_IO, "%s: the folder cannot be read: %s", path, strerror(errno));
    while (ok && (entry = readdir(dir))) {
        if (!is_plain_name(entry->d_name)) continue;
        char *inner = folder_join(path, entry->d_name);
        ok = inner ? walk_entry(walk, inner, depth)
                   : tinct_fail(walk->err, TINCT_ERR_MEMORY, "%s: no memory to list it", path);
        free(inner);
    }
    closedir(dir);
    return ok;
}

bool folder_walk(const char *path, folder_tell *tell, void *user, struct tinct_err *err)
{
    struct walk walk = { .tell = tell, .user = user, .err = err };
    size_t bytes = strlen(path);
    char *root = malloc(bytes + 1);
    struct stat st;

    if (!root) return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to list it", path);
    memcpy(root, path, bytes + 1);
    while (bytes > 1 && root[bytes - 1] == '/') root[--bytes] = '\0';
    walk.root_bytes = bytes;
    bool there = stat(root, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
    bool ok = !there || walk_folder(&walk, root, 0);
    free(root);
    return ok;
}
