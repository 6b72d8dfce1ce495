#include "check.h"
#include "base/nearest.h"

static void distances_are_damerau_levenshteins(void **state)
{
    (void)state;
    assert_int_equal(edit_distance("", ""), 0);
    assert_int_equal(edit_distance("", "abc"), 3);
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
    assert_int_equal(edit_distance("sitting", "kitten"), 3);
    assert_int_equal(edit_distance("Euler", "eulER"), 0);
    assert_int_equal(edit_distance("eluer", "euler"), 1); /* neighbours swapped */
    assert_int_equal(edit_distance("ca", "abc"), 3);      /* a swapped pair is not cut open again */
}

static void long_names_are_cut(void **state)
{
    static char a[1 << 20], b[1 << 20];
    (void)state;
    memset(a, 'x', sizeof a - 1);
    memset(b, 'x', sizeof b - 1);
    b[NEAREST_LETTERS + 5] = 'y';
    assert_int_equal(edit_distance(a, b), 0);
    assert_int_equal(edit_distance(a, ""), NEAREST_LETTERS);
}

static void the_nearest_come_first(void **state)
{
    static const char *const names[] = { "arcane", "anime", "watercolour", "arcana", "Arcade" };
    size_t best[3];
    (void)state;

    assert_int_equal(nearest_names("arcan", names, 5, best, 3), 3);
    assert_int_equal(best[0], 0); /* as near as arcana, and before it in the list */
    assert_int_equal(best[1], 3);
    assert_int_equal(best[2], 4);
    assert_int_equal(nearest_names("watercolor", names, 5, best, 1), 1);
    assert_int_equal(best[0], 2);
    assert_int_equal(nearest_names("x", names, 0, best, 3), 0);
    assert_int_equal(nearest_names("x", names, 2, best, 3), 2);
    assert_int_equal(nearest_names("x", names, 2, best, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_are_damerau_levenshteins),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(the_nearest_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
