/* From paint's options to the window. */
#ifndef TINCT_APP_WINDOW_H
#define TINCT_APP_WINDOW_H

#include "app.h"

struct window_wishes {
    const struct tinct_options *options;    /* model: chosen first */
    const struct tinct_txt2img *picture;    /* prompt and settings that are shown first */
    int count;
    const char *models;                     /* the models folder; NULL: the usual one */
    const char *output;                     /* as -o says; NULL: the usual folder */
    float scale;                            /* 0: the screen's */
    bool seed_given, prompt_given, force, start;   /* start: paints at once */
};

/* Until the window is closed. */
enum exit_code window_show(const struct window_wishes *wishes);

#endif
