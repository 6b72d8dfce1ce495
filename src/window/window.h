/* tinct window: write, paint, watch, tune, paint again. It uses tinct.h for all that is about pictures. */
#ifndef TINCT_WINDOW_WINDOW_H
#define TINCT_WINDOW_WINDOW_H

#include "window/form.h"

struct window_options {
    struct tinct_options open;          /* device, precision, folders; model and vae too */
    struct tinct_txt2img picture;       /* what is not 0 or NULL replaces the remembered settings; seed negative: not given */
    int count;                          /* of a batch; 0: not given */
    bool seed_given;                    /* the seed is kept for all that is painted */
    bool prompt_given;                  /* else the remembered prompts are shown */
    bool start;                         /* paints at once, exactly this: remembered settings do not count */
    const char *const *models;          /* paths that can be chosen */
    size_t model_count;
    const char *lora_dir, *models_dir;  /* where LoRAs are; NULL: nowhere */
    const char *output_dir;             /* whose pictures the history shows; NULL: none */
    const char *config_dir;             /* where settings are kept; NULL: they are not */
    const char *trace;                  /* a file that tells tests what is where; NULL: none */
    float scale;                        /* 0: the screen's */
    bool overwrite;
    bool (*path)(const void *user, char *path, size_t size, int index, int64_t seed);   /* where a picture goes */
    const void *path_user;
    void (*saved)(const char *path);    /* a picture is on the disk; may be NULL */
};

/* Until it is closed. False: it could not be opened. */
bool window_run(const struct window_options *options, struct tinct_err *err);

/* The same in pieces, for programs that measure it. */
struct window;
struct window *window_open(const struct window_options *options, struct tinct_err *err);
bool window_frame(struct window *w);    /* waits for something to show, shows it; false: to be closed */
void window_close(struct window *w);

#endif
