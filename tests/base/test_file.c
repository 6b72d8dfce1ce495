#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "base/file.h"
#include "check.h"
#include "temporary.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

static void ranges_are_read_exactly(void **state)
{
    struct tinct_err err;
    char out[8] = "";
    const char *path = temporary_write("a \xc3\xa9.bin", "0123456789", 10);
    struct file *f = file_open(path, &err);
    (void)state;
    assert_non_null(f);
    assert_int_equal(file_size(f), 10);
    assert_string_equal(file_path(f), path);
    assert_true(file_read(f, out, 3, 4, &err));
    assert_string_equal(out, "3456");
    assert_true(file_read(f, out, 10, 0, &err));
    check_refused(file_read(f, out, 7, 4, &err), &err, TINCT_ERR_IO, "ends at byte 10");
    file_close(f);
    file_close(NULL);
}

static void what_cannot_be_read_is_named(void **state)
{
    struct tinct_err err;
    (void)state;
    check_refused(file_open(temporary_path("none"), &err) != NULL, &err, TINCT_ERR_IO, "/none: no such file");
    temporary_write("plain", "x", 1);
    check_refused(file_open(temporary_path("plain/below"), &err) != NULL, &err, TINCT_ERR_IO, "no such file");
    check_refused(file_open(temporary_folder, &err) != NULL, &err, TINCT_ERR_IO, "is a folder");
    check_refused(file_open(temporary_write("empty", "", 0), &err) != NULL, &err, TINCT_ERR_FORMAT, "is empty");
    assert_int_equal(mkfifo(temporary_path("pipe"), 0600), 0);
    check_refused(file_open(temporary_path("pipe"), &err) != NULL, &err, TINCT_ERR_IO, "is a pipe");
    if (geteuid() != 0) { /* nothing is forbidden to root */
        const char *path = temporary_write("secret", "x", 1);
        assert_int_equal(chmod(path, 0), 0);
        check_refused(file_open(path, &err) != NULL, &err, TINCT_ERR_IO, "no permission");
    }
}

static void a_change_is_noticed(void **state)
{
    struct tinct_err err;
    char out[8];
    struct timespec later[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000 } };
    const char *path = temporary_write("changing", "01234567", 8);
    struct file *f = file_open(path, &err);
    (void)state;
    assert_non_null(f);
    assert_true(file_unchanged(f, &err));
    assert_int_equal(utimensat(AT_FDCWD, path, later, 0), 0);
    check_refused(file_unchanged(f, &err), &err, TINCT_ERR_IO, "changed on disk");
    file_close(f);

    assert_non_null(f = file_open(path, &err));
    assert_int_equal(truncate(path, 4), 0);
    check_refused(file_unchanged(f, &err), &err, TINCT_ERR_IO, "changed on disk");
    check_refused(file_read(f, out, 0, 8, &err), &err, TINCT_ERR_IO, "ends at byte 4");
    file_close(f);
}

/* Even one that takes back the time of change. */
static void a_mark_tells_states_apart(void **state)
{
    struct timespec times[2];
    struct stat st;
    const char *path = temporary_write("marked", "01234567", 8);
    struct file *f = file_open(path, NULL);
    (void)state;
    assert_non_null(f);
    struct file_mark first = file_mark(f);
    file_close(f);
    assert_non_null(f = file_open(path, NULL));
    struct file_mark same = file_mark(f);
    file_close(f);
    assert_memory_equal(&first, &same, sizeof first);

    assert_int_equal(stat(path, &st), 0);
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    nanosleep(&(struct timespec) { .tv_nsec = 20000000 }, NULL);       /* a kernel's clock ticks in steps */
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    close(fd);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_non_null(f = file_open(path, NULL));
    struct file_mark changed = file_mark(f);
    file_close(f);
    assert_int_equal(changed.seconds, first.seconds);
    assert_int_equal(changed.nanoseconds, first.nanoseconds);
    assert_memory_not_equal(&first, &changed, sizeof first);
}

static void a_mapped_file_is_never_written(void **state)
{
    static char bytes[3 * 4096], back[3 * 4096];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i / 7);
    struct file *f = file_open(temporary_write("mapped", bytes, sizeof bytes), NULL);
    assert_non_null(f);
    char *at = mmap(NULL, 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    struct tinct_err err;
    if (!file_map(f, at, 4096, 2 * 4096, &err)) {                        /* a network's, or another's that we do not know */
        print_message("skipped: %s\n", err.text);
        file_close(f);
        skip();
    }
    assert_memory_equal(at, bytes + 4096, 2 * 4096);
    memset(at, 0, 2 * 4096);
    assert_true(file_read(f, back, 0, sizeof back, NULL));
    assert_memory_equal(back, bytes, sizeof bytes);
    check_refused(file_map(f, at, 1, 4096, &err), &err, TINCT_ERR_IO, "cannot be mapped");
    file_close(f);
    munmap(at, 2 * 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read_exactly),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_change_is_noticed),
        cmocka_unit_test(a_mark_tells_states_apart),
        cmocka_unit_test(a_mapped_file_is_never_written),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
