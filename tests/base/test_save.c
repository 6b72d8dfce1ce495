#define _GNU_SOURCE /* mount */
#include "base/save.h"
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/tinct-save-XXXXXX";
static char path[512];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static size_t files_in(const char *where)
{
    DIR *list = opendir(where);
    const struct dirent *entry;
    size_t count = 0;
    assert_non_null(list);
    while ((entry = readdir(list))) count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(list);
    return count;
}

static void check_content(const char *name, const char *want)
{
    char got[64] = "";
    FILE *f = fopen(in_folder(name), "rb");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, sizeof got, f), strlen(want));
    assert_string_equal(got, want);
    fclose(f);
}

static void touch(const char *name)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

static void files_are_written_whole(void **state)
{
    struct tinct_err err;
    (void)state;
    assert_true(save_check(in_folder("a"), false, &err));
    assert_int_equal(files_in(folder), 0);
    assert_true(save_file(in_folder("a"), "one", 3, false, &err));
    check_content("a", "one");
    check_refused(save_file(in_folder("a"), "two", 3, false, &err), &err, TINCT_ERR_OUTPUT, "/a: exists already");
    assert_non_null(strstr(err.advice, "--force"));
    check_refused(save_check(path, false, &err), &err, TINCT_ERR_OUTPUT, "exists already");
    check_content("a", "one");
    assert_true(save_check(path, true, &err));
    assert_true(save_file(path, "two", 3, true, &err));
    check_content("a", "two");
    assert_true(save_file(path, "", 0, true, &err));
    check_content("a", "");
    assert_int_equal(files_in(folder), 1);
    unlink(path);
}

static void names_may_be_plain_or_long(void **state)
{
    struct tinct_err err;
    char name[256], before[512];
    (void)state;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_true(save_file(name, "x", 1, false, &err));
    assert_true(save_file("plain", "x", 1, false, &err));
    assert_int_equal(files_in("."), 2);
    unlink(name);
    unlink("plain");
    assert_int_equal(chdir(before), 0);
}

static void what_cannot_be_written_is_told(void **state)
{
    struct tinct_err err;
    (void)state;
    check_refused(save_file(in_folder("none/a"), "x", 1, false, &err), &err, TINCT_ERR_OUTPUT, "there is no folder");
    check_refused(save_check(path, false, &err), &err, TINCT_ERR_OUTPUT, "there is no folder");
    check_refused(save_file(folder, "x", 1, true, &err), &err, TINCT_ERR_OUTPUT, "is a folder");
    check_refused(save_file("/tmp/", "x", 1, true, &err), &err, TINCT_ERR_OUTPUT, "is a folder");
    check_refused(save_file("", "x", 1, true, &err), &err, TINCT_ERR_OUTPUT, "empty");
    touch("plain");
    check_refused(save_file(in_folder("plain/a"), "x", 1, false, &err), &err, TINCT_ERR_OUTPUT, "there is no folder");
    unlink(in_folder("plain"));
    if (geteuid() != 0) { /* nothing is forbidden to root */
        assert_int_equal(mkdir(in_folder("shut"), 0500), 0);
        check_refused(save_file(in_folder("shut/a"), "x", 1, false, &err), &err, TINCT_ERR_OUTPUT, "no permission");
        rmdir(in_folder("shut"));
    }
    assert_int_equal(files_in(folder), 0);
}

static void devices_are_written_straight_through(void **state)
{
    struct tinct_err err;
    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        print_message("skipped: no /dev/full\n");
        skip();
    }
    check_refused(save_file("/dev/full", "x", 1, true, &err), &err, TINCT_ERR_OUTPUT, "no space left");
    assert_true(save_check("/dev/full", false, &err));
    assert_true(save_file("/dev/null", "x", 1, false, &err));
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void a_file_may_come_in_pieces(void **state)
{
    struct tinct_err err;
    char name[600];
    (void)state;
    snprintf(name, sizeof name, "%s", in_folder("pieces"));
    struct save *s = save_open(name, false, &err);
    assert_non_null(s);
    assert_true(save_put(s, "one ", 4, &err));
    assert_int_not_equal(access(name, F_OK), 0);         /* not before it is whole */
    assert_true(save_put(s, "two", 3, &err));
    assert_true(save_close(s, &err));
    check_content("pieces", "one two");

    check_refused(save_open(name, false, &err) != NULL, &err, TINCT_ERR_OUTPUT, "exists already");
    assert_non_null(s = save_open(name, true, &err));
    assert_true(save_put(s, "three", 5, &err));
    save_abandon(s);
    save_abandon(NULL);
    check_content("pieces", "one two");
    assert_int_equal(files_in(folder), 1);
    unlink(name);
    check_refused(save_open("/dev/null", true, &err) != NULL, &err, TINCT_ERR_OUTPUT, "is a pipe or a device");
    check_refused(save_open(in_folder("none/a"), true, &err) != NULL, &err, TINCT_ERR_OUTPUT, "there is no folder");
}

static void a_full_disk_leaves_nothing(void **state)
{
    struct tinct_err err;
    static char megabytes[2 << 20];
    (void)state;
    assert_int_equal(mkdir(in_folder("small"), 0700), 0);
    if (mount("tmpfs", path, "tmpfs", 0, "size=1m") != 0) {
        rmdir(path);
        print_message("skipped: a 1 MiB file system cannot be mounted here (needs root)\n");
        skip();
    }
    bool saved = save_file(in_folder("small/a"), megabytes, sizeof megabytes, false, &err);
    size_t left = files_in(in_folder("small"));
    bool small_saved = save_file(in_folder("small/b"), "x", 1, false, &err);
    bool read_only = mount(NULL, in_folder("small"), NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0;
    struct tinct_err shut;
    bool shut_saved = save_file(in_folder("small/c"), "x", 1, false, &shut);
    umount(in_folder("small"));
    rmdir(in_folder("small"));
    assert_true(small_saved);
    assert_false(saved);
    assert_int_equal(left, 0);
    if (read_only) check_refused(shut_saved, &shut, TINCT_ERR_OUTPUT, "read-only");
}

static void leftovers_of_the_dead_are_removed(void **state)
{
    struct tinct_err err;
    char name[64];
    pid_t dead = fork();
    (void)state;
    assert_true(dead >= 0);
    if (dead == 0) _exit(0);
    assert_int_equal(waitpid(dead, NULL, 0), dead);

    snprintf(name, sizeof name, ".a.tmp.%ld", (long)dead);
    touch(name);
    snprintf(name, sizeof name, ".b.tmp.c.tmp.%ld", (long)dead);
    touch(name);
    snprintf(name, sizeof name, ".a.tmp.%ld", (long)getpid()); /* this number was another's once */
    touch(name);
    snprintf(name, sizeof name, ".alive.tmp.%ld", (long)getppid());
    touch(name);
    touch(".notes.tmp.12x");
    touch(".tmp.");
    touch("a.tmp.99999999");
    assert_true(save_file(in_folder("a"), "x", 1, false, &err));
    assert_int_equal(files_in(folder), 5);

    unlink(in_folder("a"));
    unlink(in_folder(name));
    unlink(in_folder(".notes.tmp.12x"));
    unlink(in_folder(".tmp."));
    unlink(in_folder("a.tmp.99999999"));
    assert_int_equal(files_in(folder), 0);
}

/* Killed at any moment, the name holds a whole file and the next write cleans up. */
static void a_killed_writer_tears_nothing(void **state)
{
    struct tinct_err err;
    struct stat st;
    static char bytes[256 << 10];
    (void)state;
    assert_true(save_file(in_folder("a"), bytes, sizeof bytes, true, &err));
    for (unsigned i = 0; i < 50; i++) {
        pid_t writer = fork();
        assert_true(writer >= 0);
        if (writer == 0)
            for (;;) save_file(path, bytes, sizeof bytes, true, NULL);
        nanosleep(&(struct timespec) { .tv_nsec = 200000 + (long)(i * 7919u % 3000u) * 1000 }, NULL);
        kill(writer, SIGKILL);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, sizeof bytes);
    }
    assert_true(save_file(path, "x", 1, true, &err));
    assert_int_equal(files_in(folder), 1);
    unlink(path);
}

/* Many at once want a name that must not be overwritten: one gets it. */
static void a_race_has_one_winner(void **state)
{
    enum { WRITERS = 8 };
    pid_t writers[WRITERS];
    int winners = 0;
    (void)state;
    in_folder("raced");
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        assert_true(writers[i] >= 0);
        if (writers[i] == 0) _exit(save_file(path, "x", 1, false, NULL) ? 0 : 1);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        winners += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    assert_int_equal(winners, 1);
    assert_int_equal(files_in(folder), 1);
    unlink(path);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_written_whole),
        cmocka_unit_test(names_may_be_plain_or_long),
        cmocka_unit_test(what_cannot_be_written_is_told),
        cmocka_unit_test(devices_are_written_straight_through),
        cmocka_unit_test(a_file_may_come_in_pieces),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(leftovers_of_the_dead_are_removed),
        cmocka_unit_test(a_killed_writer_tears_nothing),
        cmocka_unit_test(a_race_has_one_winner),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
