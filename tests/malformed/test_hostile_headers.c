/* Headers as large as the format allows, made to cost: each is refused within a second of processor time
 * and 256 MiB of memory. Each is read by a process of its own, so that its peak is known. */
#include "check.h"
#include "temporary.h"
#include "tensor/safetensors.h"

#include <sys/resource.h>
#include <sys/wait.h>

enum { MOST = 100000000 }; /* the format's limit for a header */

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

static FILE *begin_file(const char *path)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++) fputc((int)((uint64_t)MOST >> 8 * i & 255), f);
    return f;
}

/* The header is filled up to its length with this text over and over. */
static void finish_file(FILE *f, const char *filler)
{
    static char many[1 << 16];
    size_t length = strlen(filler), filled = sizeof many / length * length;

    for (size_t i = 0; i < filled; i += length) memcpy(many + i, filler, length);
    for (long left; (left = MOST + 8 - ftell(f)) > 0;) fwrite(many, 1, (size_t)left < filled ? (size_t)left : filled, f);
    assert_int_equal(fclose(f), 0);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static void check_cheaply_refused(const char *path, const char *words)
{
    struct rusage before, after;
    int status;

    getrusage(RUSAGE_CHILDREN, &before);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct tinct_err err = { 0 };
        struct safetensors *st = safetensors_open(path, &err);
        bool refused = !st && err.code == TINCT_ERR_FORMAT && strstr(err.text, words) && strstr(err.text, path);
        if (!refused) fprintf(stderr, "%s\n", st ? "opened" : err.text);
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    getrusage(RUSAGE_CHILDREN, &after);
    double spent = seconds(after.ru_utime) + seconds(after.ru_stime) - seconds(before.ru_utime) - seconds(before.ru_stime);
    print_message("%s: %.2f s, %ld MiB at most so far\n", words, spent, after.ru_maxrss / 1024);
    if (SANITIZED) return; /* it has its own cost */
    assert_true(spent < 1.0);
    assert_true(after.ru_maxrss < 256 * 1024);
}

static void millions_of_tensors(void **state)
{
    const char *path = temporary_path("a");
    FILE *f = begin_file(path);
    (void)state;
    fputc('{', f);
    for (unsigned i = 0; ftell(f) < MOST - 100; i++)
        fprintf(f, "\"%x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", i);
    finish_file(f, " ");
    check_cheaply_refused(path, "more than 262144 tensors");
}

static void names_that_are_slow_to_sort(void **state)
{
    const char *path = temporary_path("b");
    static char same[300];
    FILE *f = begin_file(path);
    (void)state;
    memset(same, 'n', sizeof same - 1);
    fputc('{', f);
    for (unsigned i = 0; i < 262143; i++)
        fprintf(f, "\"%s%06x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", same, i * 7919 % 262143);
    fprintf(f, "\"%s%06x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", same, 0);
    finish_file(f, " ");
    check_cheaply_refused(path, "is described twice");
}

static void endless_shapes_strings_and_brackets(void **state)
{
    static const struct {
        const char *begin, *filler, *words;
    } cases[] = {
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[0", ",0", "more than 8 dimensions" },
        { "{\"", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a string has no end" },
        { "{\"", "\\ud83d\\ude00", "safetensors header" },
        { "{\"__metadata__\":", "{\"a\":", "a string is missing" },
        { "{}", " ", "follow the last tensor" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = temporary_path("c");
        FILE *f = begin_file(path);
        fputs(cases[i].begin, f);
        finish_file(f, cases[i].filler);
        assert_int_equal(truncate(path, MOST + 8 + 16), 0);
        check_cheaply_refused(path, cases[i].words);
    }
}

static void tens_of_thousands_of_metadata(void **state)
{
    const char *path = temporary_path("d");
    FILE *f = begin_file(path);
    (void)state;
    fputs("{\"__metadata__\":{", f);
    for (unsigned i = 0; ftell(f) < MOST - 100; i++) fprintf(f, "\"%x\":\"\",", i);
    finish_file(f, " ");
    check_cheaply_refused(path, "more than 65536 metadata entries");
}

static void a_sparse_terabyte(void **state)
{
    const char *path = temporary_write("e", "\x00\xe1\xf5\x05\x00\x00\x00\x00{", 9);
    (void)state;
    if (truncate(path, (off_t)1 << 40) != 0) {
        print_message("skipped: no sparse file of 1 TiB here\n");
        skip();
    }
    check_cheaply_refused(path, "a string is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(millions_of_tensors),
        cmocka_unit_test(names_that_are_slow_to_sort),
        cmocka_unit_test(endless_shapes_strings_and_brackets),
        cmocka_unit_test(tens_of_thousands_of_metadata),
        cmocka_unit_test(a_sparse_terabyte),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
