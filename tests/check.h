/* What every test program shares: cmocka, and comparisons that print the worst value and where it is. */
#ifndef TINCT_TESTS_CHECK_H
#define TINCT_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* Fails unless |got - want| <= abs_tol + rel_tol * |want| everywhere; NaN fails. Prints the worst. */
#define check_close(got, want, count, abs_tol, rel_tol) \
    check_close_(got, want, count, abs_tol, rel_tol, #got, __FILE__, __LINE__)

static inline void check_close_(const float *got, const float *want, size_t count, double abs_tol, double rel_tol,
                                const char *name, const char *file, int line)
{
    double worst = -1;
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        double over = fabs((double)got[i] - want[i]) - rel_tol * fabs((double)want[i]);
        if (!(over <= worst)) {
            worst = over;
            at = i;
            if (isnan(over)) break;
        }
    }
    if (count && !(worst <= abs_tol)) {
        print_error("%s: worst at %zu of %zu: got %.9g, want %.9g\n", name, at, count, (double)got[at],
                    (double)want[at]);
        _fail(file, line);
    }
}

/* Relative L2 error |got - want| / |want|. */
static inline double relative_l2(const float *got, const float *want, size_t count)
{
    double d = 0, w = 0;
    for (size_t i = 0; i < count; i++) {
        d += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        w += (double)want[i] * want[i];
    }
    return sqrt(d / (w > 0 ? w : 1));
}

/* Fails unless the call failed with this code and a sentence that holds these words. */
#define check_refused(ok, err, want_code, words)                                                    \
    do {                                                                                             \
        assert_false(ok);                                                                            \
        if ((err)->code != (want_code) || !strstr((err)->text, words)) {                             \
            print_error("refused with %d: %s\n wanted %d: ...%s...\n", (int)(err)->code, (err)->text, \
                        (int)(want_code), words);                                                    \
            _fail(__FILE__, __LINE__);                                                               \
        }                                                                                            \
    } while (0)

#endif
