#include "base/file.h"
#include "check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/tinct-file-XXXXXX";
static char path[256];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *write_bytes(const char *name, const void *bytes, size_t size)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void ranges_are_read_exactly(void **state)
{
    struct tinct_err err;
    char out[8] = "";
    struct file *f = file_open(write_bytes("a \xc3\xa9.bin", "0123456789", 10), &err);
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
    check_refused(file_open(in_folder("none"), &err) != NULL, &err, TINCT_ERR_IO, "/none: no such file");
    write_bytes("plain", "x", 1);
    check_refused(file_open(in_folder("plain/below"), &err) != NULL, &err, TINCT_ERR_IO, "no such file");
    check_refused(file_open(folder, &err) != NULL, &err, TINCT_ERR_IO, "is a folder");
    check_refused(file_open(write_bytes("empty", "", 0), &err) != NULL, &err, TINCT_ERR_FORMAT, "is empty");
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    check_refused(file_open(path, &err) != NULL, &err, TINCT_ERR_IO, "is a pipe");
    if (geteuid() != 0) { /* nothing is forbidden to root */
        write_bytes("secret", "x", 1);
        assert_int_equal(chmod(path, 0), 0);
        check_refused(file_open(path, &err) != NULL, &err, TINCT_ERR_IO, "no permission");
    }
}

static void a_change_is_noticed(void **state)
{
    struct tinct_err err;
    char out[8];
    struct timespec later[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000 } };
    struct file *f = file_open(write_bytes("changing", "01234567", 8), &err);
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

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "a \xc3\xa9.bin", "plain", "empty", "pipe", "secret", "changing" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read_exactly),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_change_is_noticed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
