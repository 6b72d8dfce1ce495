/* Painting on a thread of its own: it opens models, paints, saves, and hands pictures over. The window asks how far it is
 * and never waits for it, but in painter_close. */
#ifndef TINCT_WINDOW_PAINTER_H
#define TINCT_WINDOW_PAINTER_H

#include "window/form.h"

enum { PAINTER_DEVICE_BYTES = 160 };

struct painter_options {
    struct tinct_options open;      /* model is each job's own; strings live as long as the painter */
    bool (*path)(const void *user, char *path, size_t size, int index, int64_t seed);   /* where a picture goes */
    const void *path_user;
    bool overwrite;
    void (*wake)(void *user);       /* something changed; called on the painter's thread */
    void *wake_user;
};

enum painter_phase { PAINTER_IDLE, PAINTER_LOADING, PAINTER_PAINTING };

enum painter_purpose {
    PAINTER_KEEP,                   /* painted, saved, handed over */
    PAINTER_COMPARE,                /* not saved: what the selected picture is held against */
};

struct painter_status {
    enum painter_phase phase;
    bool stopping;
    enum painter_purpose purpose;
    int image, images, step, steps; /* of the job: 0-based, count, finished, count */
    double step_ms;                 /* smoothed; 0: not known yet */
    double began;                   /* seconds, SDL's clock: of the phase */
    char device[PAINTER_DEVICE_BYTES];   /* "" before the first model is open */
    char model[FORM_PATH_BYTES];    /* the open one; "" */
    int model_width, model_height;
    uint64_t weights_bytes;
    char message[1024], advice[512];/* the last thing that went wrong or was stopped; "" */
    bool failed;                    /* the message is of a failure */
    unsigned previews;              /* counts them */
};

struct painter_picture {
    struct tinct_image image;       /* free with tinct_image_free */
    char path[FORM_PATH_BYTES];     /* "": it was not saved */
    enum painter_purpose purpose;
    double seconds;
};

struct painter;

struct painter *painter_start(const struct painter_options *options, struct tinct_err *err);
void painter_close(struct painter *p);      /* stops what is painted within a step, waits; NULL is fine */

/* What is painted now is stopped, what waits is dropped. Copies form. */
void painter_paint(struct painter *p, const struct form *form, enum painter_purpose purpose);
/* Opens the form's model before anything is painted. */
void painter_open(struct painter *p, const struct form *form);
void painter_stop(struct painter *p);

void painter_status(struct painter *p, struct painter_status *status);

/* The latest preview, *rgb [h, w, 3] (free it); NULL where there is none. */
unsigned char *painter_preview(struct painter *p, int *w, int *h);

/* Finished pictures, oldest first; false: no more. */
bool painter_take(struct painter *p, struct painter_picture *out);

#endif
