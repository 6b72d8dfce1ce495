#define _GNU_SOURCE /* flock, gettid */
#include "model/packed.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/hash.h"
#include "base/save.h"
#include "base/str.h"
#include "base/thread.h"

enum {
    PAGE = 4096,
    HUGE_PAGE = 2 << 20,           /* arenas begin on one, so that the system can map them in such */
    PIECE = 1 << 20,               /* bytes that have a sum of their own */
    NAME_DIGITS = 32,
    MOST_FILES = 8,                /* that weights come out of */
};

static const char ending[] = ".packed";

struct header {                    /* of the file; then sums [pieces], zeros, and as the last of header_bytes the sum of it all */
    char magic[16];
    unsigned char key[HASH_BYTES];
    uint64_t file_bytes, pieces;
};

struct packed {
    char *folder, *path;
    const uint64_t *sizes;         /* of the arenas */
    uint32_t arenas;
    struct header header;
    uint64_t header_bytes;         /* whole huge pages */
    struct file *file;             /* once it is sound */
    int lock;                      /* on the folder, while writing; -1 */
    struct save *save;             /* while it is written */
    struct buffer *const *from;
    pthread_t writer;
    bool writing;
    struct tinct_err err;          /* of the writer; code TINCT_OK: none */
};

/* ---- the key ------------------------------------------------------------ */

#define ADD(s, value) str_add_bytes(s, &(value), sizeof(value))

/* What tells this state of a file from all others, without reading it all. */
static bool add_file(struct str *key, const struct file *file)
{
    struct file_mark mark = file_mark(file);
    unsigned char header[HASH_BYTES];
    uint64_t data;

    if (!hash_safetensors_data(file, &data, NULL) || !hash_file(file, 0, data, NULL, header, NULL)) return false;
    ADD(key, mark);
    ADD(key, header);
    return true;
}

/* The file's number among those that were met; a new one is added to the key. MOST_FILES: too many, or unreadable. */
static uint32_t number_of(struct str *key, const struct file *files[MOST_FILES], const struct file *file)
{
    uint32_t i = 0;

    while (i < MOST_FILES && files[i] && files[i] != file) i++;
    if (i == MOST_FILES || files[i]) return i;
    files[i] = file;
    return add_file(key, file) ? i : MOST_FILES;
}

static bool add_place(struct str *key, const struct file *files[MOST_FILES], const struct packed_place *place)
{
    const struct pack_recipe *r = &place->job->recipe;
    uint64_t numbers[] = { place->job->form, r->part_count, r->geglu, r->stacked, r->channels, place->arena, place->offset, place->bytes };

    ADD(key, numbers);
    for (uint32_t i = 0; i < r->part_count; i++) {
        const struct stored *part = &r->parts[i];
        uint32_t file = number_of(key, files, part->file);
        uint64_t stored[] = { file, part->dtype, part->dims, part->shape[0], part->shape[1], part->shape[2],
                              part->shape[3], part->offset };
        if (file == MOST_FILES) return false;
        ADD(key, stored);
    }
    return true;
}

static bool compute_key(unsigned char digest[HASH_BYTES], const struct packed_place *places, uint32_t count)
{
    const struct file *files[MOST_FILES] = { NULL };
    const uint32_t bytes_in_order = 0x01020304;
    struct str key = { 0 };
    bool ok = true;

    str_add(&key, "tinct " TINCT_VERSION ", packed weights 2");
    ADD(&key, bytes_in_order);
    for (uint32_t i = 0; ok && i < count; i++) ok = add_place(&key, files, &places[i]);
    ok = ok && !key.failed;
    if (ok) hash_memory(key.bytes, key.length, digest);
    str_free(&key);
    return ok;
}

/* ---- layout -------------------------------------------------------------- */

static uint64_t whole(uint64_t bytes, uint64_t page)
{
    return (bytes + page - 1) / page * page;
}

/* Where an arena begins in the file. */
static uint64_t arena_at(const struct packed *p, uint32_t arena)
{
    uint64_t at = p->header_bytes;

    for (uint32_t i = 0; i < arena; i++) at = whole(at + p->sizes[i], HUGE_PAGE);
    return at;
}

/* Where it ends there: the next one's beginning, or the file's end. */
static uint64_t arena_end(const struct packed *p, uint32_t arena)
{
    return arena + 1 < p->arenas ? arena_at(p, arena + 1) : whole(arena_at(p, arena) + p->sizes[arena], PAGE);
}

static void lay_out(struct packed *p)
{
    struct header *h = &p->header;

    memcpy(h->magic, "tinct weights 2\n", sizeof h->magic);
    for (uint32_t i = 0; i < p->arenas; i++) h->pieces += (p->sizes[i] + PIECE - 1) / PIECE;
    p->header_bytes = whole(sizeof *h + (h->pieces + 1) * sizeof(uint64_t), HUGE_PAGE);
    h->file_bytes = p->arenas ? arena_end(p, p->arenas - 1) : p->header_bytes;
}

struct packed *packed_create(const char *cache_dir, const struct packed_place *places, uint32_t count,
                             const uint64_t *sizes, uint32_t arenas)
{
    struct packed *p = calloc(1, sizeof *p);
    char name[NAME_DIGITS + sizeof ending];

    if (!p) return NULL;
    p->lock = -1;
    p->sizes = sizes;
    p->arenas = arenas;
    lay_out(p);
    p->folder = folder_join(cache_dir, "weights");
    if (!p->folder || !compute_key(p->header.key, places, count)) goto fail;
    hash_hex(p->header.key, NAME_DIGITS, name);
    memcpy(name + NAME_DIGITS, ending, sizeof ending);
    if (!(p->path = folder_join(p->folder, name))) goto fail;
    mkdir(cache_dir, 0700);
    mkdir(p->folder, 0700);
    return p;
fail:
    packed_free(p);
    return NULL;
}

void packed_free(struct packed *p)
{
    if (!p) return;
    packed_settle(p, NULL);
    if (p->lock >= 0) close(p->lock);
    file_close(p->file);
    free(p->folder);
    free(p->path);
    free(p);
}

/* ---- sums ---------------------------------------------------------------- */

/* Of values and of their order: eight times a sum, and a sum of the sums on the way. */
static uint64_t sum_of(const unsigned char *bytes, size_t size)
{
    enum { LANES = 8 };
    uint64_t a[LANES] = { 0 }, b[LANES] = { 0 }, sum = size;
    size_t i = 0;

    for (; i + sizeof a <= size; i += sizeof a) {
        uint64_t v[LANES];
        memcpy(v, bytes + i, sizeof v);
        for (int lane = 0; lane < LANES; lane++) {
            a[lane] += v[lane];
            b[lane] += a[lane];
        }
    }
    for (; i < size; i++) sum = sum * 31 + bytes[i];
    for (int lane = 0; lane < LANES; lane++) sum = (sum * 31 + a[lane]) * 31 + b[lane];
    return sum;
}

struct summing {
    const unsigned char *bytes;
    uint64_t size;
    uint64_t *sums;                /* written, or compared */
    bool compare;
    atomic_bool differs;
};

static void sum_piece(void *ctx, uint32_t index)
{
    struct summing *s = ctx;
    uint64_t at = (uint64_t)index * PIECE, left = s->size - at;
    uint64_t sum = sum_of(s->bytes + at, left < PIECE ? (size_t)left : PIECE);

    if (!s->compare) s->sums[index] = sum;
    else if (s->sums[index] != sum) atomic_store(&s->differs, true);
}

static bool sum_arenas(const struct packed *p, struct buffer *const *arenas, int threads, uint64_t *sums, bool compare)
{
    for (uint32_t i = 0; i < p->arenas; i++) {
        struct summing s = { buffer_map(arenas[i]), p->sizes[i], sums, compare, false };
        uint32_t pieces = (uint32_t)((p->sizes[i] + PIECE - 1) / PIECE);
        thread_for(pieces, threads, sum_piece, &s);
        if (atomic_load(&s.differs)) return false;
        sums += pieces;
    }
    return true;
}

/* ---- reading --------------------------------------------------------------- */

/* The header's pages, with the sums; NULL: not what they should be. Free it. */
static unsigned char *read_header(const struct packed *p, const struct file *file)
{
    size_t summed = p->header_bytes - sizeof(uint64_t);
    unsigned char *bytes = malloc(p->header_bytes);
    uint64_t sum;

    if (bytes && file_size(file) == p->header.file_bytes && file_read(file, bytes, 0, p->header_bytes, NULL)) {
        memcpy(&sum, bytes + summed, sizeof sum);
        if (!memcmp(bytes, &p->header, sizeof p->header) && sum == sum_of(bytes, summed)) return bytes;
    }
    free(bytes);
    return NULL;
}

static bool map_arenas(const struct packed *p, const struct file *file, struct device *device, struct buffer **arenas)
{
    for (uint32_t i = 0; i < p->arenas; i++)
        if (!(arenas[i] = buffer_of_file(device, file, arena_at(p, i), p->sizes[i]))) return false;
    return true;
}

bool packed_map(struct packed *p, struct device *device, int threads, struct buffer **arenas)
{
    struct file *file = file_open(p->path, NULL);
    unsigned char *header = file ? read_header(p, file) : NULL;
    bool ok = header && map_arenas(p, file, device, arenas) &&
              sum_arenas(p, arenas, threads, (uint64_t *)(void *)(header + sizeof p->header), true);

    free(header);
    for (uint32_t i = 0; !ok && i < p->arenas; i++) {
        buffer_free(arenas[i]);
        arenas[i] = NULL;
    }
    if (ok) {
        utimensat(AT_FDCWD, p->path, NULL, 0);      /* used just now */
        p->file = file;
    } else file_close(file);
    return ok;
}

bool packed_there(const struct packed *p)
{
    return p->file != NULL;
}

struct buffer *packed_arena(const struct packed *p, struct device *device, uint32_t arena)
{
    return buffer_of_file(device, p->file, arena_at(p, arena), p->sizes[arena]);
}

bool packed_read(const struct packed *p, void *out, uint32_t arena, uint64_t offset, size_t size, struct tinct_err *err)
{
    return file_read(p->file, out, arena_at(p, arena) + offset, size, err);
}

/* ---- making room ------------------------------------------------------------ */

struct kept {
    char name[NAME_DIGITS + sizeof ending];
    struct timespec used;
};

static bool is_ours(const char *name)
{
    return strspn(name, "0123456789abcdef") == NAME_DIGITS && !strcmp(name + NAME_DIGITS, ending);
}

static bool is_older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* The number of our files in the folder, and the longest unused of them. */
static int list_kept(int folder, struct kept *oldest)
{
    int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
    DIR *list = own < 0 ? NULL : fdopendir(own);
    const struct dirent *entry;
    struct stat st;

    if (!list && own >= 0) close(own);
    while (list && (entry = readdir(list))) {
        if (!is_ours(entry->d_name) || fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (count++ && !is_older(&st.st_mtim, &oldest->used)) continue;
        memcpy(oldest->name, entry->d_name, sizeof oldest->name);
        oldest->used = st.st_mtim;
    }
    if (list) closedir(list);
    return count;
}

static bool make_room(const struct packed *p, struct tinct_err *err)
{
    struct kept oldest;
    struct statvfs disk;
    const double mib = 1024.0 * 1024.0;

    unlink(p->path);                                     /* there, but of no use */
    while (list_kept(p->lock, &oldest) >= PACKED_KEPT)
        if (unlinkat(p->lock, oldest.name, 0) != 0) break;
    if (fstatvfs(p->lock, &disk) != 0) return true;
    double free_bytes = (double)disk.f_bavail * (double)disk.f_frsize, wanted = 2.0 * (double)p->header.file_bytes;
    if (free_bytes >= wanted) return true;
    return tinct_fail(err, TINCT_ERR_OUTPUT, "%s: %.0f MiB are free, %.0f MiB wanted", p->folder, free_bytes / mib,
                      wanted / mib);
}

/* ---- writing ------------------------------------------------------------------ */

static bool put_header(const struct packed *p, struct tinct_err *err)
{
    size_t summed = p->header_bytes - sizeof(uint64_t);
    unsigned char *bytes = calloc(1, p->header_bytes);

    if (!bytes) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to keep packed weights");
    memcpy(bytes, &p->header, sizeof p->header);
    sum_arenas(p, p->from, 1, (uint64_t *)(void *)(bytes + sizeof p->header), false);
    uint64_t sum = sum_of(bytes, summed);
    memcpy(bytes + summed, &sum, sizeof sum);
    bool ok = save_put(p->save, bytes, p->header_bytes, err);
    free(bytes);
    return ok;
}

static bool put_zeros(const struct packed *p, uint64_t count, struct tinct_err *err)
{
    static const unsigned char zeros[PAGE];

    for (; count > PAGE; count -= PAGE)
        if (!save_put(p->save, zeros, PAGE, err)) return false;
    return save_put(p->save, zeros, (size_t)count, err);
}

static bool put_arenas(const struct packed *p, struct tinct_err *err)
{
    for (uint32_t i = 0; i < p->arenas; i++)
        if (!save_put(p->save, buffer_map(p->from[i]), p->sizes[i], err) ||
            !put_zeros(p, arena_end(p, i) - arena_at(p, i) - p->sizes[i], err))
            return false;
    return true;
}

static void *write_file(void *user)
{
    const int behind_painting = 10;
    struct packed *p = user;

    setpriority(PRIO_PROCESS, (id_t)gettid(), behind_painting);      /* on Linux, of this thread alone */
    if (put_header(p, &p->err) && put_arenas(p, &p->err)) save_close(p->save, &p->err);
    else save_abandon(p->save);
    return NULL;
}

bool packed_keep(struct packed *p, struct buffer *const *arenas, struct tinct_err *err)
{
    p->lock = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->lock >= 0 && flock(p->lock, LOCK_EX | LOCK_NB) != 0) return true;
    if (p->lock >= 0 && !make_room(p, err)) return false;
    p->from = arenas;
    p->save = save_open(p->path, true, err);
    if (!p->save) return false;
    p->writing = pthread_create(&p->writer, NULL, write_file, p) == 0;
    if (p->writing) return true;
    save_abandon(p->save);
    return tinct_fail(err, TINCT_ERR_MEMORY, "no thread to write them");
}

bool packed_settle(struct packed *p, struct tinct_err *err)
{
    if (!p->writing) return true;
    pthread_join(p->writer, NULL);
    p->writing = false;
    if (p->lock >= 0) close(p->lock);
    p->lock = -1;
    if (p->err.code == TINCT_OK) p->file = file_open(p->path, NULL);
    else if (err) *err = p->err;
    return p->err.code == TINCT_OK;
}
