/* Failures of the Vulkan driver: each of its calls may fail once, the device may be lost, or never answer. */
#include <stdlib.h>

#include "temporary.h"
#include "vulkan_work.h"

/* Opens, works and closes with the n-th call of this kind failing; true if all went well, so there is no n-th one. */
static bool works_despite(const char *kind, int n)
{
    static float got[VALUES];
    struct tinct_err err = { 0 };
    char fault[64];
    struct work w = { 0 };
    bool waits = !strcmp(kind, "wait");

    snprintf(fault, sizeof fault, "%s:%d", kind, n);
    setenv("TINCT_VULKAN_FAULT", fault, 1);
    w.device = open_with(NULL, &err);
    unsetenv("TINCT_VULKAN_FAULT");
    if (w.device) device_keep_times(w.device, true);
    bool ok = w.device && work_of(&w, waits ? MANY_NORMS : FEW_NORMS, &err) && work_run(&w, got, &err);
    if (ok && !waits) check_result(got);
    if (!ok && err.code != TINCT_ERR_MEMORY && err.code != TINCT_ERR_DEVICE)
        fail_msg("%s: %d %s", fault, err.code, err.text);
    if (!ok && !strstr(err.text, "llvmpipe")) fail_msg("%s: %s", fault, err.text);     /* says which device */
    work_end(&w);
    if (w.device) close_clean(w.device);
    assert_int_equal(lines_logged, 0);
    return ok;
}

static void walk(const char *kind, int at_least)
{
    int n = 1;

    while (n < 200 && !works_despite(kind, n)) n++;
    if (n <= at_least || n == 200) fail_msg("%s: %d calls could fail, %d or more should", kind, n - 1, at_least);
    assert_true(works_despite(kind, 1000));      /* this process still works */
}

static void every_call_may_fail(void **state)
{
    (void)state;
    software();
    walk("device", 1);
    walk("memory", 3);
    walk("buffer", 3);
    walk("view", 3);
    walk("pipeline", 4);
    walk("record", 8);
    walk("submit", 1);
    walk("wait", 1);
    setenv("TINCT_VULKAN_STAGING", "1", 1);
    walk("memory", 4);
    walk("record", 10);
    walk("submit", 6);
    walk("wait", 1);                             /* writes are not waited for, nor what is done already */
    unsetenv("TINCT_VULKAN_STAGING");
}

static void a_lost_device_stays_lost(void **state)
{
    struct tinct_err err = { 0 };
    float got[VALUES];
    struct work w = { 0 };

    (void)state;
    setenv("TINCT_VULKAN_FAULT", "wait:1", 1);
    w.device = open_one();
    unsetenv("TINCT_VULKAN_FAULT");
    if (!work_of(&w, MANY_NORMS, &err)) fail_msg("%s", err.text);
    check_refused(work_run(&w, got, &err), &err, TINCT_ERR_DEVICE, "the device was lost (its driver reset it)");
    check_refused(work_run(&w, got, &err), &err, TINCT_ERR_DEVICE, "was lost earlier; it must be opened again");
    work_end(&w);
    close_clean(w.device);
}

/* The wait ends while the device is at work; what it works on is freed only after it. */
static void a_wait_has_an_end(void **state)
{
    struct tinct_err err = { 0 };
    float got[VALUES];
    struct work w = { .device = open_one() };

    (void)state;
    if (!work_of(&w, MANY_NORMS, &err)) fail_msg("%s", err.text);
    setenv("TINCT_VULKAN_WAIT", "0", 1);
    bool ok = work_run(&w, got, &err);
    unsetenv("TINCT_VULKAN_WAIT");
    check_refused(ok, &err, TINCT_ERR_DEVICE, "did not answer within 0 seconds");
    work_end(&w);
    close_clean(w.device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(a_lost_device_stays_lost),
        cmocka_unit_test(a_wait_has_an_end),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
