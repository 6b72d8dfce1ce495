/* Files read on a thread of their own: pictures, whole or as thumbnails, and what a file is. What was asked for last comes first,
 * as it is what is on the screen; a whole picture comes before thumbnails. */
#ifndef TINCT_WINDOW_LOADER_H
#define TINCT_WINDOW_LOADER_H

#include "window/form.h"

enum loader_kind { LOADER_HISTORY, LOADER_LORA, LOADER_WHOLE, LOADER_ABOUT };

struct loader_result {
    enum loader_kind kind;
    uint64_t id;                    /* as asked with */
    char path[FORM_PATH_BYTES];
    struct tinct_image image;       /* free it; rgb NULL: it cannot be read */
    char *about;                    /* LOADER_ABOUT: as tinct_describe_file says it in JSON; free with tinct_text_free; NULL: see err */
    struct tinct_err err;
};

struct loader;

struct loader *loader_start(void (*wake)(void *user), void *user);     /* NULL without memory or threads */
void loader_close(struct loader *l);                                   /* NULL is fine */

/* most: pixels of the longer side; 0: all there are. False: too much is waiting, ask again later. A new whole picture
 * replaces one that waits. */
bool loader_ask(struct loader *l, enum loader_kind kind, uint64_t id, const char *path, int most);
bool loader_take(struct loader *l, struct loader_result *out);

/* rgb [h, w, 3] at most so large, each pixel the mean of those it stands for; *w and *h change. NULL without memory. */
unsigned char *loader_reduce(const unsigned char *rgb, int *w, int *h, int most);

#endif
