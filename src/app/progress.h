/* What is seen while a picture is painted: one line on stderr that is drawn over and over, only where
 * that is a terminal. NO_COLOR and TERM=dumb are respected. */
#ifndef TINCT_APP_PROGRESS_H
#define TINCT_APP_PROGRESS_H

#include <stdio.h>

#include "app.h"

struct progress {
    bool shown, coloured;
    int pictures;      /* of this run */
    double step_ms;    /* a running mean; 0 before the first */
};

struct progress progress_start(int pictures, bool quiet);

/* A transient line, such as "loading the model"; drawn over by the next. */
void progress_say(const struct progress *p, const char *text);

/* picture counts from 0. */
void progress_step(struct progress *p, int picture, const struct tinct_progress *step);

/* Takes the line away. */
void progress_clear(const struct progress *p);

/* The line itself, for tests: "2/4  12/20 [=====>   ]  1.84 it/s  0:05 left", at most width columns. */
void progress_line(char *out, size_t size, int width, const struct progress *p, int picture, int step, int steps);

#endif
