#include "base/nearest.h"

#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Damerau and Levenshtein's table, of which three rows are kept: row[0] is the one being filled. */
size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][NEAREST_LETTERS + 1], *row[3] = { rows[0], rows[1], rows[2] };
    size_t na = strnlen(a, NEAREST_LETTERS), nb = strnlen(b, NEAREST_LETTERS);

    for (size_t j = 0; j <= nb; j++) row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *spent = row[2];
        row[2] = row[1];
        row[1] = row[0];
        row[0] = spent;
        row[0][0] = i;
        for (size_t j = 1; j <= nb; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            size_t d = least(least(row[0][j - 1], row[1][j]) + 1, row[1][j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2])) d = least(d, row[2][j - 2] + 1);
            row[0][j] = d;
        }
    }
    return row[0][nb];
}

size_t nearest_names(const char *name, const char *const *names, size_t count, size_t *best, size_t most)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(name, names[i]), at = found;
        while (at > 0 && distance < edit_distance(name, names[best[at - 1]])) at--;
        if (at >= most) continue;
        if (found < most) found++;
        for (size_t k = found - 1; k > at; k--) best[k] = best[k - 1];
        best[at] = i;
    }
    return found;
}
