/* The build's own step that makes KHR's cooperative matrices of NV's (cmake/khr_matrix.h), on modules made by hand and on
 * the one that the program holds. */
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "device/vulkan/vk.h"
#include "khr_matrix.h"
#include "temporary.h"

enum { UINT = 1, HALF, FLOAT, SCOPE_A, SCOPE_B, SCOPE_SUM, SIXTEEN, BY_ROWS, BY_COLUMNS, BOOL, TYPE_A, TYPE_B, TYPE_SUM,
       A, B, SUM, PRODUCT, POINTER, STRIDE, LENGTH, BOUND };
#define OP(length, opcode) ((uint32_t)(length) << 16 | (opcode))

static const uint32_t head[] = { 0x07230203, 0x00010300, 0, BOUND, 0 };
static const uint32_t before_types[] = {
    OP(2, 17), 5357, OP(2, 17), 1,                                       /* capabilities: matrices of NV, Shader */
    OP(8, 10), 0x5f565053, 0x635f564e, 0x65706f6f, 0x69746172, 0x6d5f6576, 0x69727461, 0x00000078,
    OP(4, 71), SCOPE_A, 1, 100, OP(4, 71), SCOPE_B, 1, 101, OP(4, 71), SCOPE_SUM, 1, 102,
    OP(4, 21), UINT, 32, 0, OP(3, 22), HALF, 16, OP(3, 22), FLOAT, 32, OP(2, 20), BOOL,
    OP(4, 50), UINT, SCOPE_A, 3, OP(4, 50), UINT, SCOPE_B, 3, OP(4, 50), UINT, SCOPE_SUM, 3,
    OP(4, 43), UINT, SIXTEEN, 16, OP(3, 42), BOOL, BY_ROWS, OP(3, 41), BOOL, BY_COLUMNS,
};
static const uint32_t types[] = { OP(6, 5358), TYPE_A, HALF, SCOPE_A, SIXTEEN, SIXTEEN, OP(6, 5358), TYPE_B, HALF, SCOPE_B,
                                  SIXTEEN, SIXTEEN, OP(6, 5358), TYPE_SUM, FLOAT, SCOPE_SUM, SIXTEEN, SIXTEEN };
static const uint32_t body[] = {
    OP(7, 5359), TYPE_A, A, POINTER, STRIDE, BY_ROWS, 0x20,              /* a memory operand */
    OP(6, 5359), TYPE_B, B, POINTER, STRIDE, BY_COLUMNS,
    OP(6, 5361), TYPE_SUM, PRODUCT, A, B, SUM,
    OP(5, 5360), POINTER, PRODUCT, STRIDE, BY_ROWS,
    OP(4, 5362), UINT, LENGTH, TYPE_SUM,
};

struct module {
    uint32_t words[200];
    size_t count;
};

static void add(struct module *m, const uint32_t *words, size_t bytes)
{
    memcpy(m->words + m->count, words, bytes);
    m->count += bytes / sizeof *words;
}

static struct module whole(void)
{
    struct module m = { .count = 0 };
    add(&m, head, sizeof head);
    add(&m, before_types, sizeof before_types);
    add(&m, types, sizeof types);
    add(&m, body, sizeof body);
    return m;
}

/* The nth instruction with this opcode, or NULL. */
static const uint32_t *find(const uint32_t *words, size_t count, uint32_t opcode, int nth)
{
    for (size_t i = 5; i < count; i += words[i] >> 16)
        if ((words[i] & 0xffff) == opcode && nth-- == 0) return words + i;
    return NULL;
}

static void check_words(const uint32_t *at, const uint32_t *want, uint32_t count)
{
    assert_non_null(at);
    assert_int_equal(at[0] >> 16, count);
    for (uint32_t i = 1; i < count; i++) assert_int_equal(at[i], want[i - 1]);
}

static void every_instruction_becomes_khrs(void **state)
{
    const uint32_t zero = BOUND, one = BOUND + 1, two = BOUND + 2, subgroup = BOUND + 3;
    struct module m = whole();
    const char *why = NULL;
    size_t count;
    uint32_t *out = khr_matrix_rewrite(m.words, m.count, &count, &why);

    (void)state;
    if (!out) fail_msg("%s", why);
    assert_int_equal(out[3], BOUND + 4);
    assert_int_equal(find(out, count, 17, 0)[1], 6022);
    assert_int_equal(find(out, count, 17, 1)[1], 1);
    assert_string_equal((const char *)(find(out, count, 10, 0) + 1), "SPV_KHR_cooperative_matrix");
    check_words(find(out, count, 43, 1), (uint32_t[]) { UINT, zero, 0 }, 4);
    check_words(find(out, count, 43, 4), (uint32_t[]) { UINT, subgroup, 3 }, 4);
    assert_true(find(out, count, 43, 4) < find(out, count, 4456, 0));
    check_words(find(out, count, 4456, 0), (uint32_t[]) { TYPE_A, HALF, subgroup, SIXTEEN, SIXTEEN, zero }, 7);
    check_words(find(out, count, 4456, 1), (uint32_t[]) { TYPE_B, HALF, subgroup, SIXTEEN, SIXTEEN, one }, 7);
    check_words(find(out, count, 4456, 2), (uint32_t[]) { TYPE_SUM, FLOAT, subgroup, SIXTEEN, SIXTEEN, two }, 7);
    check_words(find(out, count, 4457, 0), (uint32_t[]) { TYPE_A, A, POINTER, zero, STRIDE, 0x20 }, 7);
    check_words(find(out, count, 4457, 1), (uint32_t[]) { TYPE_B, B, POINTER, one, STRIDE }, 6);
    check_words(find(out, count, 4459, 0), (uint32_t[]) { TYPE_SUM, PRODUCT, A, B, SUM }, 6);
    check_words(find(out, count, 4458, 0), (uint32_t[]) { POINTER, PRODUCT, zero, STRIDE }, 5);
    check_words(find(out, count, 4460, 0), (uint32_t[]) { UINT, LENGTH, TYPE_SUM }, 4);
    for (uint32_t opcode = 5358; opcode <= 5362; opcode++) assert_null(find(out, count, opcode, 0));
    free(out);
}

static void a_module_without_matrices_stays(void **state)
{
    struct module m = { .count = 0 };
    const char *why = NULL;
    size_t count;

    (void)state;
    add(&m, head, sizeof head);
    add(&m, before_types + 2, 2 * sizeof *before_types);
    uint32_t *out = khr_matrix_rewrite(m.words, m.count, &count, &why);
    assert_non_null(out);
    assert_int_equal(count, m.count);
    assert_memory_equal(out, m.words, count * sizeof *out);
    free(out);
}

static void check_no(const struct module *m, const char *words)
{
    const char *why = NULL;
    size_t count;
    uint32_t *out = khr_matrix_rewrite(m->words, m->count, &count, &why);

    free(out);
    assert_null(out);
    if (!why || !strstr(why, words)) fail_msg("told: %s", why ? why : "nothing");
}

static void what_it_cannot_know_is_refused(void **state)
{
    struct module m = whole();
    const size_t type_at = (sizeof head + sizeof before_types) / 4, body_at = type_at + sizeof types / 4;

    (void)state;
    m.words[0] = 0x03022307;
    check_no(&m, "no SPIR-V module");
    m = whole();
    m.count = 3;
    check_no(&m, "no SPIR-V module");
    m = whole();
    m.words[3] = 0;
    check_no(&m, "bound of ids");
    m = whole();
    m.count--;
    check_no(&m, "ends beyond the module");
    m = whole();
    m.words[type_at] = OP(0, 5358);
    check_no(&m, "ends beyond the module");
    m = whole();
    add(&m, (uint32_t[]) { OP(3, 5360), POINTER, PRODUCT }, 12);
    check_no(&m, "too short");
    m = whole();
    m.words[type_at + 3] = SIXTEEN;
    check_no(&m, "100, 101 or 102");
    m.words[type_at + 3] = BOUND + 1000;
    check_no(&m, "100, 101 or 102");
    m = whole();
    m.words[body_at + 5] = SIXTEEN;
    check_no(&m, "no plain true or false");
}

/* ---- what the program holds --------------------------------------------------------- */

static const struct vk_module *module_of(const char *name)
{
    for (size_t i = 0; i < vk_module_count; i++)
        if (!strcmp(vk_modules[i].name, name)) return &vk_modules[i];
    fail_msg("no module %s", name);
    return NULL;
}

static int uses(const struct vk_module *m, uint32_t opcode)
{
    int n = 0;
    while (find(m->words, m->bytes / 4, opcode, n)) n++;
    return n;
}

static void check_forms(const char *nv_name, const char *khr_name)
{
    const struct vk_module *nv = module_of(nv_name), *khr = module_of(khr_name);

    assert_int_equal(uses(khr, 4456), 3);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(uses(khr, 4456 + i), uses(nv, 5358 + i));
        assert_int_equal(uses(khr, 5358 + i), 0);
    }
    assert_true(uses(khr, 4459) > 0);
}

static void the_programs_modules_are_the_same_in_both_forms(void **state)
{
    (void)state;
    check_forms("gemm_matrix.f16.nv", "gemm_matrix.f16.khr");
    check_forms("attention_matrix.f16.nv", "attention_matrix.f16.khr");
}

static const char *written(const struct vk_module *m, const char *name)
{
    const char *path = temporary_path(name);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(m->words, 1, m->bytes, f), m->bytes);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* spirv-val's verdict on a module, its words in told. */
static int validate(const char *module, char *told, size_t room)
{
    const char *program = getenv("TINCT_TEST_SPIRV_VAL");
    char command[600];

    snprintf(command, sizeof command, "%s --target-env vulkan1.3 %s 2>&1", program ? program : "spirv-val",
             written(module_of(module), "module.spv"));
    FILE *f = popen(command, "r");
    assert_non_null(f);
    told[fread(told, 1, room - 1, f)] = '\0';
    return pclose(f);
}

/* Debian 12's validator knows NV's matrices and none of KHR's; TINCT_TEST_SPIRV_VAL names another. */
static void check_valid(const char *module)
{
    char told[400];
    int status = validate(module, told, sizeof told);

    if (status == 0) return;
    if (strstr(told, "not found") || strstr(told, "Invalid capability operand: 6022") || strstr(told, "Invalid opcode: 4456")) {
        print_message("skipped: %s: this machine's spirv-val (spirv-tools) cannot tell: %s", module, told);
        skip();
    }
    fail_msg("%s: %s", module, told);
}

static void nvs_form_is_valid(void **state)
{
    (void)state;
    check_valid("gemm_matrix.f16.nv");
    check_valid("attention_matrix.f16.nv");
}

static void khrs_form_is_valid(void **state)
{
    (void)state;
    check_valid("gemm_matrix.f16.khr");
    check_valid("attention_matrix.f16.khr");
}

static void the_form_by_hand_is_valid(void **state)
{
    (void)state;
    check_valid("gemm_matrix.f16.plain");
    check_valid("attention_matrix.f16.plain");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_becomes_khrs),
        cmocka_unit_test(a_module_without_matrices_stays),
        cmocka_unit_test(what_it_cannot_know_is_refused),
        cmocka_unit_test(the_programs_modules_are_the_same_in_both_forms),
        cmocka_unit_test(nvs_form_is_valid),
        cmocka_unit_test(khrs_form_is_valid),
        cmocka_unit_test(the_form_by_hand_is_valid),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
