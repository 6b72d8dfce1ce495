#include "tensor/safetensors.h"
#include "check.h"
#include "temporary.h"

static struct safetensors *open_text(const char *header, size_t data, struct tinct_err *err)
{
    unsigned char bytes[4096] = { 0 };
    size_t n = strlen(header);
    bytes[0] = (unsigned char)n;
    bytes[1] = (unsigned char)(n >> 8);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++) bytes[8 + n + i] = (unsigned char)i;
    return safetensors_open(temporary_write("file.safetensors", bytes, 8 + n + data), err);
}

static void tensors_are_found_in_any_order(void **state)
{
    static const char header[] =
        "{\"z\" : {\"data_offsets\":[8, 14],\"shape\":[3,1],\"dtype\":\"F16\"},\n"
        "\t\"__metadata__\":{\"b\":\"2\",\"a\":\"\\u00e9\\ud83d\\ude00\\n\\\"\\u0000\"},"
        "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[2,0],\"data_offsets\":[14,14]},"
        "\"four bits\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[14,16]}}   ";
    struct tinct_err err = { 0 };
    struct safetensors *st = open_text(header, 16, &err);
    const struct safetensors_tensor *t;
    unsigned char byte;
    (void)state;

    if (!st) fail_msg("%s", err.text);
    assert_int_equal(safetensors_count(st), 4);
    assert_string_equal(safetensors_at(st, 0)->name, "scalar");
    assert_string_equal(safetensors_at(st, 1)->name, "z");
    t = safetensors_find(st, "z");
    assert_ptr_equal(t, safetensors_at(st, 1));
    assert_int_equal(t->dims, 2);
    assert_int_equal(t->shape[0], 3);
    assert_int_equal(t->shape[1], 1);
    assert_int_equal(t->dtype, DTYPE_F16);
    assert_int_equal(t->bytes, 6);
    assert_true(file_read(safetensors_file(st), &byte, t->offset, 1, &err));
    assert_int_equal(byte, 8);
    assert_int_equal(safetensors_find(st, "scalar")->dims, 0);
    assert_int_equal(safetensors_find(st, "empty")->bytes, 0);
    assert_int_equal(safetensors_find(st, "empty")->shape[1], 0);
    assert_int_equal(safetensors_find(st, "four bits")->bytes, 2);
    assert_null(safetensors_find(st, "Z"));
    assert_null(safetensors_find(st, ""));

    assert_int_equal(safetensors_metadata_count(st), 2);
    assert_string_equal(safetensors_metadata_at(st, 0).key, "a");
    assert_string_equal(safetensors_metadata(st, "a"), "\xc3\xa9\xf0\x9f\x98\x80\n\"\xef\xbf\xbd");
    assert_string_equal(safetensors_metadata(st, "b"), "2");
    assert_null(safetensors_metadata(st, "c"));
    safetensors_close(st);
    safetensors_close(NULL);
}

static void a_file_without_tensors_is_legal(void **state)
{
    struct tinct_err err = { 0 };
    struct safetensors *st = open_text("{}", 0, &err);
    (void)state;
    if (!st) fail_msg("%s", err.text);
    assert_int_equal(safetensors_count(st), 0);
    assert_null(safetensors_find(st, "a"));
    assert_null(safetensors_metadata(st, "a"));
    safetensors_close(st);
}

static void a_missing_file_is_named(void **state)
{
    struct tinct_err err;
    (void)state;
    check_refused(safetensors_open(temporary_path("none.safetensors"), &err) != NULL, &err, TINCT_ERR_IO,
                  "none.safetensors: no such file");
    check_refused(safetensors_open(temporary_folder, &err) != NULL, &err, TINCT_ERR_IO, "is a folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found_in_any_order),
        cmocka_unit_test(a_file_without_tensors_is_legal),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
