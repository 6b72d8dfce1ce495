#define _DEFAULT_SOURCE /* statfs, MAP_NORESERVE */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct file {
    int fd;
    uint64_t size, inode;
    struct timespec changed, status;
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
    file->inode = (uint64_t)st.st_ino;
    file->changed = st.st_mtim;
    file->status = st.st_ctim;
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

struct file_mark file_mark(const struct file *file)
{
    return (struct file_mark) { file->size, file->inode, file->changed.tv_sec, file->changed.tv_nsec,
                                file->status.tv_sec, file->status.tv_nsec };
}

/* File systems whose files no other machine can cut, by their numbers in statfs(2). */
static bool is_local(int fd)
{
    static const unsigned local[] = { 0xEF53u /* ext */, 0x58465342u /* xfs */, 0x9123683Eu /* btrfs */,
                                      0xF2F52010u /* f2fs */, 0x2FC12FC1u /* zfs */, 0x01021994u /* tmpfs */,
                                      0x794C7630u /* overlay */ };
    struct statfs fs;

    if (fstatfs(fd, &fs) != 0) return false;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if ((unsigned)fs.f_type == local[i]) return true;
    return false;
}

bool file_map(const struct file *file, void *at, uint64_t offset, uint64_t size, struct tinct_err *err)
{
    if (!is_local(file->fd))
        return tinct_fail(err, TINCT_ERR_IO, "%s: lies on a file system that may take it away", file->path);
    if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file->fd, (off_t)offset) == at)
        return true;
    return tinct_fail(err, TINCT_ERR_IO, "%s: cannot be mapped: %s", file->path, strerror(errno));
}
