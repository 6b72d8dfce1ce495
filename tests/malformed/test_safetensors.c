/* Bad safetensors files, one per rule of the format and of our own limits: each is refused with
 * TINCT_ERR_FORMAT and one line that names the file and the rule, within a second. */
#include "check.h"
#include "temporary.h"
#include "tensor/safetensors.h"

#include <time.h>

/* A valid file of one tensor of 4 bytes, for comparison: */
#define GOOD "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
#define TENSOR(name, dtype, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static const struct bad {
    const char *header, *words;
    unsigned data; /* bytes after it */
} bad_headers[] = {
    /* the JSON as a whole */
    { "", "does not begin with '{'", 8 },
    { " " GOOD, "does not begin with '{'", 4 },
    { "\n" GOOD, "does not begin with '{'", 4 },
    { "[]", "does not begin with '{'", 8 },
    { "null", "does not begin with '{'", 8 },
    { "\xef\xbb\xbf" GOOD, "does not begin with '{'", 4 },
    { "{", "a string is missing", 8 },
    { "{,}", "a string is missing", 8 },
    { "{a:1}", "a string is missing", 8 },
    { "{'a':1}", "a string is missing", 8 },
    { "{\"a", "a string has no end", 8 },
    { "{\"a\"}", "a colon is missing", 0 },
    { GOOD "x", "something other than spaces", 4 },
    { GOOD "\n", "something other than spaces", 4 },
    { GOOD GOOD, "something other than spaces", 4 },
    { "{" TENSOR("a", "F32", "[1]", "0", "4") "", "a comma or the end", 4 },
    { "{" TENSOR("a", "F32", "[1]", "0", "4") ",}", "a string is missing", 4 },
    { "{" TENSOR("a", "F32", "[1]", "0", "4") TENSOR("b", "F32", "[1]", "4", "8") "}", "a comma or the end", 8 },
    /* strings */
    { "{" TENSOR("\xff", "F32", "[1]", "0", "4") "}", "UTF-8", 4 },
    { "{" TENSOR("\xc0\x80", "F32", "[1]", "0", "4") "}", "UTF-8", 4 },
    { "{" TENSOR("\xed\xa0\x80", "F32", "[1]", "0", "4") "}", "UTF-8", 4 },
    { "{" TENSOR("\xf4\x90\x80\x80", "F32", "[1]", "0", "4") "}", "UTF-8", 4 },
    { "{\"a\xe2\x82", "UTF-8", 0 },
    { "{" TENSOR("a\nb", "F32", "[1]", "0", "4") "}", "control character", 4 },
    { "{" TENSOR("\\x41", "F32", "[1]", "0", "4") "}", "unknown escape", 4 },
    { "{\"\\", "unknown escape", 8 },
    { "{" TENSOR("\\u12g4", "F32", "[1]", "0", "4") "}", "four hexadecimal digits", 4 },
    { "{\"\\u12", "four hexadecimal digits", 0 },
    { "{" TENSOR("\\ud800", "F32", "[1]", "0", "4") "}", "surrogate", 4 },
    { "{" TENSOR("\\udc00", "F32", "[1]", "0", "4") "}", "surrogate", 4 },
    { "{" TENSOR("\\ud800\\u0041", "F32", "[1]", "0", "4") "}", "surrogate", 4 },
    /* the description of a tensor */
    { "{\"a\":1}", "'{' is missing", 0 },
    { "{\"a\":null}", "'{' is missing", 0 },
    { "{\"a\":{}}", "dtype, shape or data_offsets is missing", 0 },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "dtype, shape or data_offsets is missing", 4 },
    { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", "dtype, shape or data_offsets is missing", 4 },
    { "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", "dtype, shape or data_offsets is missing", 4 },
    { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "dtype is given twice", 4 },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":0}}", "unknown field 'more'", 4 },
    { "{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", "a string is missing", 4 },
    { "{" TENSOR("a", "f32", "[1]", "0", "4") "}", "unknown dtype 'f32'", 4 },
    { "{" TENSOR("a", "F128", "[1]", "0", "16") "}", "unknown dtype 'F128'", 16 },
    { "{" TENSOR("a", "", "[1]", "0", "4") "}", "unknown dtype ''", 4 },
    { "{" TENSOR("a", "F32", "1", "0", "4") "}", "a shape is a list", 4 },
    { "{" TENSOR("a", "F32", "[1,]", "0", "4") "}", "whole number", 4 },
    { "{" TENSOR("a", "F32", "[1 1]", "0", "4") "}", "a comma or the end", 4 },
    { "{" TENSOR("a", "F32", "[[1]]", "0", "4") "}", "whole number", 4 },
    { "{" TENSOR("a", "F32", "[-1]", "0", "4") "}", "whole number", 4 },
    { "{" TENSOR("a", "F32", "[1.0]", "0", "4") "}", "whole number", 4 },
    { "{" TENSOR("a", "F32", "[1e0]", "0", "4") "}", "whole number", 4 },
    { "{" TENSOR("a", "F32", "[01]", "0", "4") "}", "whole number", 4 },
    { "{" TENSOR("a", "F32", "[\"1\"]", "0", "4") "}", "whole number", 4 },
    { "{" TENSOR("a", "F32", "[18446744073709551616]", "0", "4") "}", "whole number", 4 },
    { "{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", "more than 8 dimensions", 4 },
    { "{" TENSOR("a", "F32", "[1]", "0", "4,8") "}", "']' is missing", 4 },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4]}}", "',' is missing", 4 },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":4}}", "'[' is missing", 4 },
    /* sizes and places */
    { "{" TENSOR("a", "F32", "[4294967296,4294967296]", "0", "0") "}", "overflows 64 bits", 0 },
    { "{" TENSOR("a", "F32", "[4611686018427387904]", "0", "0") "}", "overflows 64 bits", 0 },
    { "{" TENSOR("a", "F64", "[2305843009213693952,8]", "0", "0") "}", "overflows 64 bits", 0 },
    { "{" TENSOR("a", "F4", "[1]", "0", "1") "}", "does not fill whole bytes", 1 },
    { "{" TENSOR("a", "F6_E2M3", "[3]", "0", "2") "}", "does not fill whole bytes", 2 },
    { "{" TENSOR("a", "F32", "[2]", "0", "4") "}", "takes 8 bytes, its offsets span 4", 4 },
    { "{" TENSOR("a", "F32", "[]", "0", "0") "}", "takes 4 bytes, its offsets span 0", 0 },
    { "{" TENSOR("a", "F32", "[0]", "0", "4") "}", "takes 0 bytes, its offsets span 4", 4 },
    { "{" TENSOR("a", "F32", "[1]", "4", "0") "}", "ends before it begins", 4 },
    { "{" TENSOR("a", "F32", "[1]", "18446744073709551612", "0") "}", "ends before it begins", 4 },
    { "{" TENSOR("a", "F32", "[1]", "4", "8") "}", "a hole lies before", 8 },
    { "{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("b", "F32", "[1]", "8", "12") "}", "'b': a hole", 12 },
    { "{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("b", "F32", "[1]", "0", "4") "}", "overlaps", 4 },
    { "{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[1]", "4", "8") "}", "overlaps", 8 },
    { "{" TENSOR("a", "U8", "[0]", "3", "3") "," TENSOR("b", "F32", "[1]", "0", "4") "}", "overlaps", 4 },
    { GOOD, "cut short: its tensors take 4 bytes, 3 are there", 3 },
    { GOOD, "1 bytes follow the last tensor", 5 },
    { "{}", "4 bytes follow the last tensor", 4 },
    { "{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("a", "F32", "[1]", "4", "8") "}", "'a': is described twice", 8 },
    { "{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("\\u0061", "F32", "[1]", "4", "8") "}", "'a': is described twice", 8 },
    /* metadata */
    { "{\"__metadata__\":[]}", "__metadata__ is an object", 0 },
    { "{\"__metadata__\":null}", "__metadata__ is an object", 0 },
    { "{\"__metadata__\":{\"a\":1}}", "a string is missing", 0 },
    { "{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", "a string is missing", 0 },
    { "{\"__metadata__\":{\"a\":\"b\",}}", "a string is missing", 0 },
    { "{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", "metadata 'a' is given twice", 0 },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", "__metadata__ is given twice", 0 },
};

/* n as the header's length, then the header, then data zeros. */
static const char *write_safetensors(const char *name, uint64_t n, const char *header, size_t size, size_t data)
{
    unsigned char bytes[2048] = { 0 };
    assert_true(8 + size + data <= sizeof bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> 8 * i);
    memcpy(bytes + 8, header, size);
    return temporary_write(name, bytes, 8 + size + data);
}

static void check_bad(const char *path, const char *words)
{
    struct tinct_err err = { 0 };
    clock_t begin = clock();
    struct safetensors *st = safetensors_open(path, &err);

    check_refused(st != NULL, &err, TINCT_ERR_FORMAT, words);
    assert_memory_equal(err.text, path, strlen(path));
    assert_null(strchr(err.text, '\n'));
    assert_true(clock() - begin < CLOCKS_PER_SEC);
}

static void every_rule_of_the_header_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        const struct bad *b = &bad_headers[i];
        size_t size = strlen(b->header);
        check_bad(write_safetensors("bad.safetensors", size, b->header, size, b->data), b->words);
    }
    check_bad(write_safetensors("bad.safetensors", 0, "", 0, 16), "does not begin with '{'");
    check_bad(write_safetensors("bad.safetensors", 2, "{\0", 2, 16), "a string is missing");
}

static void the_header_lies_within_the_file(void **state)
{
    (void)state;
    size_t size = strlen(GOOD);
    check_bad(write_safetensors("n", size + 5, GOOD, size, 4), "cut short, or not a safetensors file");
    check_bad(write_safetensors("n", 100000000, GOOD, size, 4), "cut short, or not a safetensors file");
    check_bad(write_safetensors("n", 100000001, GOOD, size, 4), "100000000 is the most");
    check_bad(write_safetensors("n", UINT64_MAX, GOOD, size, 4), "100000000 is the most");
    check_bad(write_safetensors("n", UINT64_MAX - 7, GOOD, size, 4), "100000000 is the most");
    check_bad(write_safetensors("n", UINT64_C(1) << 63, GOOD, size, 4), "100000000 is the most");
    check_bad(write_safetensors("n", size - 1, GOOD, size, 4), "a comma or the end");
}

/* A valid file of 648 bytes, cut at each of its first 512 bytes, and at its last. */
static void every_cut_is_noticed(void **state)
{
    enum { HEADER = 440, DATA = 200 };
    struct tinct_err err = { 0 };
    unsigned char bytes[8 + HEADER + DATA] = { HEADER & 255, HEADER >> 8 };
    const char *path;
    (void)state;

    memset(bytes + 8, ' ', HEADER);
    size_t used = (size_t)snprintf((char *)bytes + 8, HEADER, "{%s,%s,\"__metadata__\":{\"note\":\"%0200d\"}}",
                                   TENSOR("a", "F32", "[5,5]", "0", "100"), TENSOR("b", "F16", "[50]", "100", "200"), 0);
    bytes[8 + used] = ' ';
    path = temporary_write("whole", bytes, sizeof bytes);
    struct safetensors *st = safetensors_open(path, &err);
    if (!st) fail_msg("%s", err.text);
    safetensors_close(st);

    for (size_t size = 0; size < 512; size++) check_bad(temporary_write("cut", bytes, size), "");
    check_bad(temporary_write("cut", bytes, sizeof bytes - 1), "cut short");
}

static void other_kinds_of_files_are_named(void **state)
{
    static const struct {
        const char *head, *words, *advice;
    } kinds[] = {
        { "PK\x03\x04\x14", "PyTorch pickle", "convert" },
        { "\x80\x02\x8a\x0al\xfc", "Python pickle", "convert" },
        { "GGUF\x03", "GGUF", ".safetensors version" },
        { "\x89PNG\r\n\x1a\n", "PNG picture", "" },
        { "\xff\xd8\xff\xe0", "JPEG picture", "" },
        { "\n <!DOCTYPE html>", "web page", "fetch the file again" },
        { "<html lang=\"en\">", "web page", "fetch the file again" },
        { "version https://git-lfs.github.com/spec/v1\noid", "git-lfs pointer", "git lfs pull" },
        { "{\n  \"metadata\": {", "JSON text", "not its index" },
        { "Rar!\x1a\x07", "RAR archive", "unpack" },
        { "7z\xbc\xaf\x27\x1c", "7-zip archive", "unpack" },
        { "\x1f\x8b\x08", "gzip archive", "unpack" },
        { "\x89HDF\r\n\x1a\n", "HDF5", ".safetensors version" },
        { "", "the file is empty", "" },
    };
    struct tinct_err err;
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char bytes[64] = { 0 };
        size_t size = strlen(kinds[i].head);
        memcpy(bytes, kinds[i].head, size);
        const char *path = temporary_write("other", bytes, size ? sizeof bytes : 0);
        check_bad(path, kinds[i].words);
        safetensors_open(path, &err);
        assert_non_null(strstr(err.advice, kinds[i].advice));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_of_the_header_is_kept),
        cmocka_unit_test(the_header_lies_within_the_file),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(other_kinds_of_files_are_named),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
