#include "base/file.h"
#include "check.h"
#include "temporary.h"

#include <fcntl.h>
#include <sys/stat.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read_exactly),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_change_is_noticed),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
