/* Packed weights kept for the next start: used where they are sound, never where they are not, and never changed. */
#define _GNU_SOURCE /* mount, flock */
#include "temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "model/merge.h"
#include "model/model.h"
#include "model/packed.h"
#include "tiny_checkpoint.h"

static char tiny[512], cache[512], folder[560];

struct opened {
    struct device *device;
    struct model *model;
};

static struct opened open_on(const char *device, const char *cache_dir)
{
    struct tinct_err err;
    struct opened o = { .device = device_open(&(struct device_options) { .name = device, .threads = 2 }, &err) };

    if (!o.device) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    o.model = model_open(o.device, &(struct model_options) { .path = tiny, .threads = 2, .cache_dir = cache_dir }, &err);
    if (!o.model) fail_msg("%s", err.text);
    return o;
}

static void close_all(struct opened o)
{
    model_close(o.model);
    device_close(o.device);
}

/* All of a model's weights; free it. */
static unsigned char *copy_of(const struct model *m, size_t *size)
{
    unsigned char *copy = malloc(weights_bytes(m->weights)), *at = copy;

    assert_non_null(copy);
    for (uint32_t i = 0; i < weights_count(m->weights); i++) {
        struct tensor place = weights_entry(m->weights, i).place;
        assert_true(buffer_read(place.buffer, place.offset, at, tensor_bytes(place), NULL));
        at += tensor_bytes(place);
    }
    *size = (size_t)(at - copy);
    return copy;
}

static bool is_mapped(void)
{
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) found = found || (strstr(line, folder) && strstr(line, ".packed"));
    fclose(maps);
    return found;
}

/* The files in the folder of packed weights; the last one's path. */
static int files(char path[1024])
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    int count = 0;

    while (list && (entry = readdir(list))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (path) snprintf(path, 1024, "%s/%s", folder, entry->d_name);
        count++;
    }
    if (list) closedir(list);
    return count;
}

static void empty_cache(void)
{
    char path[1024];

    while (files(path)) assert_true(unlink(path) == 0 || rmdir(path) == 0);
    rmdir(folder);
    rmdir(cache);
}

static void keep_one(char path[1024])
{
    empty_cache();
    close_all(open_on("cpu", cache));
    assert_int_equal(files(path), 1);
}

/* Opens it, and says whether it came out of the cache; its weights must be the checkpoint's either way. */
static bool opens_mapped(void)
{
    size_t size, want_size;
    struct opened plain = open_on("cpu", NULL), o = open_on("cpu", cache);
    unsigned char *want = copy_of(plain.model, &want_size), *got = copy_of(o.model, &size);
    bool mapped = is_mapped();

    assert_int_equal(size, want_size);
    assert_memory_equal(got, want, size);
    assert_string_equal(weights_note(o.model->weights), "");
    free(want);
    free(got);
    close_all(plain);
    close_all(o);
    assert_false(is_mapped());
    return mapped;
}

/* A term's delta, of one row of the tensor that user is. */
static bool add_ones(void *user, float *out, const float *w0, struct tinct_err *err)
{
    const struct stored *s = user;

    (void)w0, (void)err;
    for (uint64_t i = 0; i < stored_count(s) / s->shape[0]; i++) out[i] = 1;
    return true;
}

static void the_second_start_maps(void **state)
{
    char path[1024], again[1024];
    struct stat before, after;

    (void)state;
    keep_one(path);
    assert_int_equal(stat(path, &before), 0);
    assert_true(opens_mapped());
    assert_true(opens_mapped());
    assert_int_equal(files(again), 1);
    assert_string_equal(again, path);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);       /* not written again */
}

static void what_changes_weights_does_not_reach_the_file(void **state)
{
    static unsigned char zeros[100000];
    char path[1024];

    (void)state;
    keep_one(path);
    struct opened o = open_on("cpu", cache), other = open_on("cpu", cache);
    assert_true(is_mapped());
    size_t size, same;
    unsigned char *before = copy_of(other.model, &size);
    for (uint32_t i = 0; i < weights_count(o.model->weights); i += 7) {
        struct tensor place = weights_entry(o.model->weights, i).place;
        uint64_t bytes = tensor_bytes(place) < sizeof zeros ? tensor_bytes(place) : sizeof zeros;
        if (i % 2) buffer_own(place.buffer, place.offset, bytes);
        assert_true(buffer_write(place.buffer, place.offset, zeros, bytes, NULL));
    }
    unsigned char *after = copy_of(other.model, &same);
    assert_int_equal(size, same);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
    close_all(o);
    close_all(other);
    assert_true(opens_mapped());
}

static void change(const char *path, off_t at, size_t size)
{
    unsigned char bytes[64];
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, size, at), size);
    for (size_t i = 0; i < size; i++) bytes[i] ^= 0x10;
    assert_int_equal(pwrite(fd, bytes, size, at), size);
    close(fd);
}

static void what_is_not_sound_is_written_again(void **state)
{
    char path[1024];
    struct stat st;

    (void)state;
    keep_one(path);
    assert_int_equal(stat(path, &st), 0);
    /* magic, key, sizes, sums, the first and the last weight; some of them a single bit */
    const off_t places[] = { 0, 20, 48, 56, 64, 200, 4096 + 100, st.st_size / 2, st.st_size - 5000 };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        change(path, places[i], 1);
        assert_false(opens_mapped());
        assert_true(opens_mapped());
    }
    const off_t sizes[] = { 0, 10, 4096, st.st_size - 1, st.st_size - 4096, st.st_size + 4096 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        assert_false(opens_mapped());
        assert_true(opens_mapped());
    }
    assert_int_equal(files(NULL), 1);
}

static void what_is_no_file_is_left_alone(void **state)
{
    char path[1024];

    (void)state;
    keep_one(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    struct opened o = open_on("cpu", cache);
    assert_false(is_mapped());
    assert_non_null(strstr(weights_note(o.model->weights), "not kept for the next start"));
    close_all(o);
}

static void a_changed_checkpoint_has_a_file_of_its_own(void **state)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000, .tv_nsec = 5 } };
    char path[1024];
    struct stat st;

    (void)state;
    keep_one(path);
    assert_int_equal(stat(tiny, &st), 0);
    assert_int_equal(utimensat(AT_FDCWD, tiny, times, 0), 0);
    assert_false(opens_mapped());
    assert_int_equal(files(NULL), 2);
    assert_true(opens_mapped());

    /* The same size and time of change, other values: as fine-tunes out of one archive. */
    change(tiny, st.st_size / 2 / 4096 * 4096, 64);
    assert_int_equal(utimensat(AT_FDCWD, tiny, times, 0), 0);
    assert_false(opens_mapped());
    assert_int_equal(files(NULL), 3);
    change(tiny, st.st_size / 2 / 4096 * 4096, 64);
}

static void few_are_kept(void **state)
{
    char path[1024], name[700];

    (void)state;
    empty_cache();
    assert_int_equal(mkdir(cache, 0700), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    for (int i = 0; i < 6; i++) {
        const struct timespec times[2] = { { .tv_sec = 1000 + i }, { .tv_sec = 1000 + i } };
        snprintf(name, sizeof name, "%s/%032d.packed", folder, i);
        FILE *f = fopen(name, "w");
        assert_non_null(f);
        fclose(f);
        assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
    }
    snprintf(name, sizeof name, "%s/somebody's", folder);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fclose(f);
    close_all(open_on("cpu", cache));
    assert_int_equal(files(path), PACKED_KEPT + 1);
    assert_int_equal(access(name, F_OK), 0);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%s/%032d.packed", folder, i);
        assert_int_equal(access(name, F_OK) == 0, i >= 3);
    }
    assert_true(opens_mapped());
}

static void who_is_second_to_write_does_without(void **state)
{
    char path[1024];

    (void)state;
    keep_one(path);
    assert_int_equal(unlink(path), 0);
    int lock = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    assert_false(opens_mapped());
    assert_int_equal(files(NULL), 0);
    close(lock);
    assert_false(opens_mapped());
    assert_true(opens_mapped());
}

static void several_processes_start_at_once(void **state)
{
    pid_t pids[4];

    (void)state;
    empty_cache();
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i]) continue;
        execl("/proc/self/exe", "packed", "--start", tiny, cache, (char *)NULL);
        _exit(9);
    }
    for (int i = 0; i < 4; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(files(NULL), 1);
    assert_true(opens_mapped());
}

static void a_full_disk_is_noted(void **state)
{
    (void)state;
    empty_cache();
    assert_int_equal(mkdir(cache, 0700), 0);
    if (mount("tmpfs", cache, "tmpfs", 0, "size=1m") != 0) {
        print_message("skipped: a 1 MiB file system cannot be mounted here (needs root)\n");
        skip();
    }
    struct opened o = open_on("cpu", cache);
    char note[1024];
    snprintf(note, sizeof note, "%s", weights_note(o.model->weights));
    close_all(o);
    int left = files(NULL);
    assert_int_equal(umount(cache), 0);
    assert_non_null(strstr(note, "not kept for the next start"));
    assert_non_null(strstr(note, "MiB wanted"));
    assert_int_equal(left, 0);
}

static void a_write_that_fails_is_noted_and_leaves_nothing(void **state)
{
    struct rlimit before, small;

    (void)state;
    empty_cache();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1 << 20;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct opened o = open_on("cpu", cache);
    weights_settle(o.model->weights);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_non_null(strstr(weights_note(o.model->weights), "not kept for the next start"));
    assert_int_equal(files(NULL), 0);
    close_all(o);
    assert_false(opens_mapped());
    assert_true(opens_mapped());
}

static struct merge *start_merge(const struct model *m)
{
    struct merge *merge = merge_create(m->weights, &(struct merge_options) { .threads = 2 });
    assert_non_null(merge);
    return merge;
}

/* One added to every weight but each `but`th; 1: to none. */
static void add_to_all_but(struct merge *merge, const struct model *m, uint32_t but)
{
    struct tinct_err err;

    merge_begin(merge);
    for (uint32_t i = 0; i < weights_count(m->weights); i++) {
        struct weights_entry e = weights_entry(m->weights, i);
        struct merge_term term = { .key = 1, .delta = add_ones, .user = (void *)&e.job->recipe.parts[0] };
        if (e.job->form == PACK_WEIGHT && i % but && !merge_add(merge, e.names[0], 0, 1, &term, &err)) fail_msg("%s", err.text);
    }
    if (!merge_apply(merge, NULL, &err)) fail_msg("%s", err.text);
}

/* Written while the first start paints: a change waits for it, so the file has the weights as they were. */
static void a_change_waits_for_the_file(void **state)
{
    (void)state;
    empty_cache();
    struct opened o = open_on("cpu", cache);
    struct merge *merge = start_merge(o.model);
    add_to_all_but(merge, o.model, 1000000);
    assert_int_equal(files(NULL), 1);
    merge_free(merge);
    close_all(o);
    assert_true(opens_mapped());
}

static void expect_same(const struct model *one, const struct model *other)
{
    size_t size, same;
    unsigned char *a = copy_of(one, &size), *b = copy_of(other, &same);

    assert_int_equal(size, same);
    assert_memory_equal(a, b, size);
    free(a);
    free(b);
}

/* Pristine weights come out of the file where there is one, also when it has just been written. */
static void changes_are_the_same_with_and_without_a_file(void **state)
{
    (void)state;
    empty_cache();
    struct opened plain = open_on("cpu", NULL);
    struct merge *without = start_merge(plain.model);
    for (int i = 0; i < 2; i++) {                            /* packed and kept, then mapped */
        struct opened o = open_on("cpu", cache);
        struct merge *with = start_merge(o.model);
        assert_int_equal(is_mapped(), i == 1);
        for (uint32_t but = 1; but < 4; but++) {
            add_to_all_but(with, o.model, but % 3 + 1);      /* some go, some stay, then all go */
            add_to_all_but(without, plain.model, but % 3 + 1);
            assert_true(weights_kept(o.model->weights) && !weights_kept(plain.model->weights));
            expect_same(o.model, plain.model);
        }
        merge_free(with);
        close_all(o);
    }
    merge_free(without);
    close_all(plain);
}

static void other_memory_keeps_none(void **state)
{
    (void)state;
    empty_cache();
    struct opened o = open_on("llvmpipe", cache);
    close_all(o);
    assert_int_equal(files(NULL), 0);
}

static int prepare(void **state)
{
    if (temporary_make(state)) return -1;
    snprintf(tiny, sizeof tiny, "%s", temporary_path("tiny.safetensors"));
    snprintf(cache, sizeof cache, "%s", temporary_path("cache"));
    snprintf(folder, sizeof folder, "%s/weights", cache);
    return tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", tiny) ? 0 : -1;
}

static int clean(void **state)
{
    empty_cache();
    return temporary_remove(state);
}

/* One of several_processes_start_at_once: 0 when it has a model. */
static int start(const char *path, const char *cache_dir)
{
    struct device *device = device_open(&(struct device_options) { .name = "cpu", .threads = 1 }, NULL);
    struct model *m = model_open(device, &(struct model_options) { .path = path, .threads = 1, .cache_dir = cache_dir }, NULL);
    bool ok = m && !*weights_note(m->weights);

    model_close(m);
    device_close(device);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_start_maps),
        cmocka_unit_test(what_changes_weights_does_not_reach_the_file),
        cmocka_unit_test(what_is_not_sound_is_written_again),
        cmocka_unit_test(what_is_no_file_is_left_alone),
        cmocka_unit_test(a_changed_checkpoint_has_a_file_of_its_own),
        cmocka_unit_test(few_are_kept),
        cmocka_unit_test(who_is_second_to_write_does_without),
        cmocka_unit_test(several_processes_start_at_once),
        cmocka_unit_test(a_full_disk_is_noted),
        cmocka_unit_test(a_write_that_fails_is_noted_and_leaves_nothing),
        cmocka_unit_test(a_change_waits_for_the_file),
        cmocka_unit_test(changes_are_the_same_with_and_without_a_file),
        cmocka_unit_test(other_memory_keeps_none),
    };
    if (argc > 3 && !strcmp(argv[1], "--start")) return start(argv[2], argv[3]);
    return cmocka_run_group_tests_name("packed", tests, prepare, clean);
}
