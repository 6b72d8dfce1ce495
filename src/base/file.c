#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    int fd;
    uint64_t size;
    struct timespec changed;
    char path[];
};

static bool refuse_open(const char *path, int why, struct tinct_err *err)
{
    switch (why) {
    case ENOENT:
    case ENOTDIR:
        return tinct_fail(err, TINCT_ERR_IO, "%s: no such file", path);
    case EACCES:
    case EPERM:
        return tinct_fail(err, TINCT_ERR_IO, "%s: no permission to read it", path);
    default:
        return tinct_fail(err, TINCT_ERR_IO, "%s: cannot be opened: %s", path, strerror(why));
    }
}

static bool check_kind(const char *path, const struct stat *st, struct tinct_err *err)
{
    if (S_ISDIR(st->st_mode)) return tinct_fail(err, TINCT_ERR_IO, "%s: is a folder, not a file", path);
    if (!S_ISREG(st->st_mode)) return tinct_fail(err, TINCT_ERR_IO, "%s: is a pipe or a device, not a file", path);
    if (st->st_size == 0) return tinct_fail(err, TINCT_ERR_FORMAT, "%s: the file is empty", path);
    return true;
}

struct file *file_open(const char *path, struct tinct_err *err)
{
    size_t path_bytes = strlen(path) + 1;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not hang us */
    if (fd < 0) {
        refuse_open(path, errno, err);
        return NULL;
    }
    if (fstat(fd, &st) != 0) {
        refuse_open(path, errno, err);
        close(fd);
        return NULL;
    }
    struct file *file = check_kind(path, &st, err) ? malloc(sizeof *file + path_bytes) : NULL;
    if (!file) {
        if (S_ISREG(st.st_mode) && st.st_size) tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to open it", path);
        close(fd);
        return NULL;
    }
    file->fd = fd;
    file->size = (uint64_t)st.st_size;
    file->changed = st.st_mtim;
    memcpy(file->path, path, path_bytes);
    return file;
}

void file_close(struct file *file)
{
    if (!file) return;
    close(file->fd);
    free(file);
}

uint64_t file_size(const struct file *file)
{
    return file->size;
}

const char *file_path(const struct file *file)
{
    return file->path;
}

bool file_read(const struct file *file, void *out, uint64_t offset, size_t size, struct tinct_err *err)
{
    char *to = out;

    while (size) {
        ssize_t got = pread(file->fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return tinct_fail(err, TINCT_ERR_IO, "%s: reading failed: %s", file->path, strerror(errno));
        if (got == 0)
            return tinct_fail(err, TINCT_ERR_IO, "%s: ends at byte %llu, but %zu more were expected", file->path,
                              (unsigned long long)offset, size);
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

bool file_unchanged(const struct file *file, struct tinct_err *err)
{
    struct stat st;

    if (fstat(file->fd, &st) == 0 && (uint64_t)st.st_size == file->size &&
        st.st_mtim.tv_sec == file->changed.tv_sec && st.st_mtim.tv_nsec == file->changed.tv_nsec)
        return true;
    tinct_fail(err, TINCT_ERR_IO, "%s: changed on disk since it was opened", file->path);
    return tinct_advise(err, "open the model again when the file is complete");
}

void file_expect(const struct file *file, uint64_t offset, uint64_t size)
{
    (void)posix_fadvise(file->fd, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
}
