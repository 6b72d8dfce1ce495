#define _XOPEN_SOURCE 700
#include "base/hash.h"
#include "check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/tinct-hash-XXXXXX";
static char path[256], cache[256], cache_file[300];

/* SHA-256 of "abc", FIPS 180-4's example. */
static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static const char *write_file(const char *name, const void *bytes, size_t size)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void check_digest(const unsigned char digest[HASH_BYTES], const char *want)
{
    char hex[HASH_HEX];
    hash_hex(digest, 64, hex);
    assert_string_equal(hex, want);
}

static void digests_are_the_standard_ones(void **state)
{
    unsigned char digest[HASH_BYTES];
    char short_hex[16];
    (void)state;
    hash_memory("abc", 3, digest);
    check_digest(digest, abc_hex);
    hash_hex(digest, 10, short_hex);
    assert_string_equal(short_hex, "ba7816bf8f");
    hash_hex(digest, 5, short_hex);
    assert_string_equal(short_hex, "ba781");
    hash_memory("", 0, digest);
    check_digest(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void ranges_of_files_are_hashed(void **state)
{
    struct tinct_err err;
    unsigned char got[HASH_BYTES], want[HASH_BYTES];
    size_t size = 9u << 20; /* more than two pieces */
    unsigned char *bytes = malloc(size);
    (void)state;
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    struct file *file = file_open(write_file("big", bytes, size), &err);
    assert_non_null(file);
    assert_true(hash_file(file, 5, size - 7, NULL, got, &err));
    hash_memory(bytes + 5, size - 7, want);
    assert_memory_equal(got, want, HASH_BYTES);
    assert_true(hash_file(file, 3, 0, NULL, got, &err));
    check_digest(got, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_refused(hash_file(file, 5, size, NULL, got, &err), &err, TINCT_ERR_IO, "ends at byte");
    file_close(file);
    free(bytes);
}

static bool stop_at_second(void *user, uint64_t done, uint64_t size)
{
    (void)size;
    *(uint64_t *)user = done;
    return done <= 4u << 20;
}

static void hashing_can_be_stopped(void **state)
{
    struct tinct_err err;
    unsigned char digest[HASH_BYTES];
    uint64_t done = 0;
    struct hash_watch watch = { stop_at_second, &done };
    (void)state;
    snprintf(path, sizeof path, "%s/big", folder);
    struct file *file = file_open(path, &err);
    check_refused(hash_file(file, 0, file_size(file), &watch, digest, &err), &err, TINCT_ERR_CANCELLED, "stopped");
    assert_int_equal(done, 8u << 20);
    file_close(file);
}

static void the_data_of_safetensors_is_found(void **state)
{
    struct tinct_err err;
    uint64_t offset;
    (void)state;
    struct file *file = file_open(write_file("lora", "\x02\0\0\0\0\0\0\0{}abc", 13), &err);
    assert_true(hash_safetensors_data(file, &offset, &err));
    assert_int_equal(offset, 10);
    file_close(file);
    file = file_open(write_file("cut", "\x04\0\0\0\0\0\0\0{}", 10), &err);
    check_refused(hash_safetensors_data(file, &offset, &err), &err, TINCT_ERR_FORMAT, "header should be 4");
    file_close(file);
    file = file_open(write_file("cut", "\x04", 1), &err);
    check_refused(hash_safetensors_data(file, &offset, &err), &err, TINCT_ERR_FORMAT, "too short");
    file_close(file);
}

/* The cache is believed: a line changed by hand shows whether it was asked. */
static void falsify_cache(void)
{
    FILE *f = fopen(cache_file, "r+b");
    assert_non_null(f);
    assert_int_equal(fputc('0', f), '0');
    assert_int_equal(fclose(f), 0);
}

static void files_are_hashed_once(void **state)
{
    struct tinct_err err;
    unsigned char digest[HASH_BYTES];
    char falsified[HASH_HEX];
    struct timespec later[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000 } };
    (void)state;
    memcpy(falsified, abc_hex, HASH_HEX);
    falsified[0] = '0';

    assert_true(hash_cached(cache, write_file("lora", "\x02\0\0\0\0\0\0\0{}abc", 13), 10, NULL, digest, &err));
    check_digest(digest, abc_hex);
    falsify_cache();
    assert_true(hash_cached(cache, path, 10, NULL, digest, &err));
    check_digest(digest, falsified);
    assert_true(hash_cached(cache, path, 0, NULL, digest, &err)); /* another range is another entry */
    assert_int_not_equal(digest[0], 0x0a);
    assert_true(hash_cached(NULL, path, 10, NULL, digest, &err));
    check_digest(digest, abc_hex);

    assert_int_equal(utimensat(0, path, later, 0), 0);
    assert_true(hash_cached(cache, path, 10, NULL, digest, &err));
    check_digest(digest, abc_hex);
}

static void a_broken_cache_does_no_harm(void **state)
{
    struct tinct_err err;
    unsigned char digest[HASH_BYTES];
    (void)state;
    FILE *f = fopen(cache_file, "wb");
    fputs("\n\nnonsense\nzz", f);
    fclose(f);
    write_file("abc", "abc", 3);
    assert_true(hash_cached(cache, path, 0, NULL, digest, &err));
    check_digest(digest, abc_hex);
    assert_true(hash_cached(cache, path, 0, NULL, digest, &err));
    check_digest(digest, abc_hex);
    assert_true(hash_cached("/nonexistent/folder", path, 0, NULL, digest, &err));
    check_digest(digest, abc_hex);
    check_refused(hash_cached(cache, path, 4, NULL, digest, &err), &err, TINCT_ERR_FORMAT, "ends before byte 4");
    check_refused(hash_cached(cache, "/nonexistent", 0, NULL, digest, &err), &err, TINCT_ERR_IO, "no such file");
}

static void the_cache_stays_small(void **state)
{
    struct tinct_err err;
    unsigned char digest[HASH_BYTES];
    struct stat st;
    (void)state;
    FILE *f = fopen(cache_file, "wb");
    for (int i = 0; i < 1500; i++) fprintf(f, "line %d\n", i);
    fclose(f);
    assert_true(hash_cached(cache, path, 0, NULL, digest, &err));
    f = fopen(cache_file, "rb");
    int lines = 0, c;
    while ((c = fgetc(f)) != EOF) lines += c == '\n';
    fclose(f);
    assert_int_equal(lines, 1000);
    assert_int_equal(stat(cache_file, &st), 0);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    snprintf(cache_file, sizeof cache_file, "%s/hashes", cache);
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "big", "lora", "cut", "abc" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    unlink(cache_file);
    rmdir(cache);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_the_standard_ones), cmocka_unit_test(ranges_of_files_are_hashed),
        cmocka_unit_test(hashing_can_be_stopped),        cmocka_unit_test(the_data_of_safetensors_is_found),
        cmocka_unit_test(files_are_hashed_once),         cmocka_unit_test(a_broken_cache_does_no_harm),
        cmocka_unit_test(the_cache_stays_small),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
