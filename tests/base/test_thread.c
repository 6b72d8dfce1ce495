#include "base/thread.h"
#include "check.h"

enum { COUNT = 10007 };

static void count_up(void *ctx, uint32_t index)
{
    unsigned *hits = ctx;
    hits[index]++; /* each index belongs to one call only, so no lock */
}

static void every_index_runs_once(void **state)
{
    static const int threads[] = { 0, 1, 2, 7 };
    (void)state;
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        static unsigned hits[COUNT];
        memset(hits, 0, sizeof hits);
        thread_for(COUNT, threads[t], count_up, hits);
        for (int i = 0; i < COUNT; i++) assert_int_equal(hits[i], 1);
    }
    thread_for(0, 4, count_up, NULL);
}

static void default_is_a_number_of_cores(void **state)
{
    (void)state;
    assert_in_range(thread_default_count(), 1, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_runs_once),
        cmocka_unit_test(default_is_a_number_of_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
