/* Reading tests/golden/sampler/: lines of fields divided by '|', the last one numbers. */
#ifndef TINCT_TESTS_SAMPLER_GOLDEN_H
#define TINCT_TESTS_SAMPLER_GOLDEN_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOLDEN_LINE = 1 << 15, GOLDEN_VALUES = 1100, GOLDEN_FIELDS = 6 };

struct golden {
    FILE *file;
    char line[GOLDEN_LINE];
    char *field[GOLDEN_FIELDS];
    double values[GOLDEN_VALUES]; /* of the last field */
    size_t fields, count;
};

static inline bool golden_next(struct golden *g)
{
    do {
        if (!fgets(g->line, sizeof g->line, g->file)) return false;
    } while (g->line[0] == '#');
    g->fields = g->count = 0;
    for (char *at = g->line; at; at = strchr(at, '|')) {
        if (at != g->line) *at++ = '\0';
        g->field[g->fields++] = at;
    }
    for (char *at = g->field[g->fields - 1], *end; g->count < GOLDEN_VALUES; at = end) {
        g->values[g->count] = strtod(at, &end);
        if (end == at) break;
        g->count++;
    }
    return true;
}

static inline FILE *golden_open(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/golden/sampler/%s", TESTS_DIR, name);
    return fopen(path, "r");
}

#endif
