#define _GNU_SOURCE /* renameat2, flock */
#include "base/save.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_KEPT = 200 }; /* of 255 bytes; ".", ".tmp." and the number need the rest */

/* A file on its way to its name. */
struct save {
    const char *path; /* as given, for the sentences */
    const char *name; /* its last part */
    int folder;       /* open folder, -1 for none */
    int fd;           /* the temporary file, -1 for none */
    bool overwrite;   /* of save_open */
    char temporary[NAME_KEPT + 40];
};

static bool refuse(const struct save *s, int why, struct tinct_err *err)
{
    int folder_bytes = (int)(s->name - s->path);

    switch (why) {
    case EEXIST:
        tinct_fail(err, TINCT_ERR_OUTPUT, "%s: exists already and was not overwritten", s->path);
        return tinct_advise(err, "choose another name, or allow overwriting with --force");
    case EISDIR:
        return tinct_fail(err, TINCT_ERR_OUTPUT, "%s: is a folder, not a file name", s->path);
    case ENOENT:
    case ENOTDIR:
        tinct_fail(err, TINCT_ERR_OUTPUT, "%s: cannot be written: there is no folder %.*s", s->path,
                   folder_bytes ? folder_bytes : 1, folder_bytes ? s->path : ".");
        return tinct_advise(err, "make the folder first, or choose another place");
    case EACCES:
    case EPERM:
        return tinct_fail(err, TINCT_ERR_OUTPUT, "%s: no permission to write there", s->path);
    case EROFS:
        return tinct_fail(err, TINCT_ERR_OUTPUT, "%s: cannot be written: the file system is read-only", s->path);
    case ENOSPC:
    case EDQUOT:
        tinct_fail(err, TINCT_ERR_OUTPUT, "%s: not written: no space left on the disk", s->path);
        return tinct_advise(err, "make room, or choose another place");
    default:
        return tinct_fail(err, TINCT_ERR_OUTPUT, "%s: cannot be written: %s", s->path, strerror(why));
    }
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        bytes += put;
        size -= (size_t)put;
    }
    return true;
}

static bool write_through(const struct save *s, const void *bytes, size_t size, struct tinct_err *err)
{
    int fd = open(s->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return refuse(s, errno, err);

    bool written = write_all(fd, bytes, size);
    int why = errno;
    if (close(fd) != 0 && written) {
        written = false;
        why = errno;
    }
    return written || refuse(s, why, err);
}

/* ".NAME.tmp.PID" of a process that is gone, or of nobody who still holds it: every
 * writer holds a lock on its temporary file, and numbers of processes are used again. */
static bool is_stale(int folder, const char *name)
{
    const char *mark = strstr(name, ".tmp."), *next;
    char *end;

    if (name[0] != '.' || !mark) return false;
    while ((next = strstr(mark + 1, ".tmp."))) mark = next;
    mark += strlen(".tmp.");
    long pid = *mark >= '1' && *mark <= '9' ? strtol(mark, &end, 10) : 0;
    if (pid <= 0 || *end) return false;
    if (pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno != ESRCH)) return false;

    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    struct stat st;
    bool stale = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return stale;
}

static void remove_stale(int folder)
{
    int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = own < 0 ? NULL : fdopendir(own);
    const struct dirent *entry;

    if (!list) {
        if (own >= 0) close(own);
        return;
    }
    while ((entry = readdir(list)))
        if (is_stale(folder, entry->d_name)) unlinkat(folder, entry->d_name, 0);
    closedir(list);
}

static bool open_folder(struct save *s, struct tinct_err *err)
{
    size_t bytes = (size_t)(s->name - s->path);
    char *folder = bytes ? malloc(bytes + 1) : NULL;

    if (bytes && !folder) return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to write it", s->path);
    if (bytes) {
        memcpy(folder, s->path, bytes);
        folder[bytes] = '\0';
    }
    s->folder = open(bytes ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int why = errno;
    free(folder);
    return s->folder >= 0 || refuse(s, why, err);
}

static bool open_temporary(struct save *s, struct tinct_err *err)
{
    snprintf(s->temporary, sizeof s->temporary, ".%.*s.tmp.%ld", (int)NAME_KEPT, s->name, (long)getpid());
    s->fd = openat(s->folder, s->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (s->fd < 0 && errno == EEXIST)
        return tinct_fail(err, TINCT_ERR_OUTPUT, "%s: is being written by someone else", s->path);
    if (s->fd < 0) return refuse(s, errno, err);
    flock(s->fd, LOCK_EX | LOCK_NB);
    return true;
}

static void discard(struct save *s)
{
    if (s->fd >= 0) {
        unlinkat(s->folder, s->temporary, 0);
        close(s->fd);
    }
    if (s->folder >= 0) close(s->folder);
}

/* Give the temporary file its name. Not every file system has RENAME_NOREPLACE
 * (NFS), and not every one has links (FAT). */
static bool take_name(const struct save *s, bool overwrite)
{
    if (overwrite) return renameat(s->folder, s->temporary, s->folder, s->name) == 0;
    if (renameat2(s->folder, s->temporary, s->folder, s->name, RENAME_NOREPLACE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return false;
    if (linkat(s->folder, s->temporary, s->folder, s->name, 0) != 0) return false;
    unlinkat(s->folder, s->temporary, 0);
    return true;
}

/* Sets s up, with its temporary file open; or none, and *straight, when path is a
 * device or a pipe. */
static bool save_begin(struct save *s, const char *path, bool overwrite, bool *straight, struct tinct_err *err)
{
    const char *slash = strrchr(path, '/');
    struct stat st;

    *s = (struct save) { .path = path, .name = slash ? slash + 1 : path, .folder = -1, .fd = -1 };
    *straight = false;
    if (!*path) return tinct_fail(err, TINCT_ERR_OUTPUT, "the name of the file to write is empty");
    if (!*s->name) return refuse(s, EISDIR, err);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        *straight = true;
        return !S_ISDIR(st.st_mode) || refuse(s, EISDIR, err);
    }
    if (!overwrite && lstat(path, &st) == 0) return refuse(s, EEXIST, err);
    if (!open_folder(s, err)) return false;
    remove_stale(s->folder);
    return open_temporary(s, err);
}

static bool save_finish(struct save *s, bool overwrite, struct tinct_err *err)
{
    if (fsync(s->fd) != 0) return refuse(s, errno, err);
    if (!take_name(s, overwrite)) return refuse(s, errno, err);

    int why = close(s->fd) == 0 ? 0 : errno;
    s->fd = -1; /* it has its name: nothing to discard */
    if (!why && fsync(s->folder) != 0 && errno != EINVAL) why = errno;
    return !why || refuse(s, why, err);
}

bool save_file(const char *path, const void *bytes, size_t size, bool overwrite, struct tinct_err *err)
{
    struct save s;
    bool straight, saved = false;

    if (save_begin(&s, path, overwrite, &straight, err)) {
        if (straight)
            saved = write_through(&s, bytes, size, err);
        else
            saved = write_all(s.fd, bytes, size) ? save_finish(&s, overwrite, err) : refuse(&s, errno, err);
    }
    discard(&s);
    return saved;
}

struct save *save_open(const char *path, bool overwrite, struct tinct_err *err)
{
    struct save *s = malloc(sizeof *s);
    bool straight;

    if (!s) {
        tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to write it", path);
        return NULL;
    }
    if (save_begin(s, path, overwrite, &straight, err)) {
        s->overwrite = overwrite;
        if (!straight) return s;
        tinct_fail(err, TINCT_ERR_OUTPUT, "%s: is a pipe or a device, not a file", path);
    }
    save_abandon(s);
    return NULL;
}

bool save_put(struct save *s, const void *bytes, size_t size, struct tinct_err *err)
{
    return write_all(s->fd, bytes, size) || refuse(s, errno, err);
}

bool save_close(struct save *s, struct tinct_err *err)
{
    bool saved = save_finish(s, s->overwrite, err);

    save_abandon(s);
    return saved;
}

void save_abandon(struct save *s)
{
    if (s) discard(s);
    free(s);
}

bool save_check(const char *path, bool overwrite, struct tinct_err *err)
{
    struct save s;
    bool straight, possible = save_begin(&s, path, overwrite, &straight, err);

    if (possible && straight && access(path, W_OK) != 0) possible = refuse(&s, errno, err);
    discard(&s);
    return possible;
}
