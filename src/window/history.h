/* The strip of pictures below the view: those of this run and those in the output folder, newest first. */
#ifndef TINCT_WINDOW_HISTORY_H
#define TINCT_WINDOW_HISTORY_H

#include "window/form.h"
#include "window/loader.h"
#include "window/ui.h"

struct history_entry {
    uint64_t id;
    char *path;
    uint32_t texture;               /* thumbnail; 0: not loaded */
    int w, h;
    bool asked, failed;
};

struct history {
    struct history_entry *entries;
    size_t count, room, textures;
    uint64_t next_id;
    size_t selected;                /* count: none */
    bool reveal;                    /* bring the selected one into sight */
};

/* All PNG files of the folder; NULL or one that is not there: none. */
void history_open(struct history *h, const char *folder);
void history_close(struct history *h, struct ui *ui);

/* A new one in front, with its pixels, and selected. */
void history_add(struct history *h, struct ui *ui, const char *path, const struct tinct_image *image);

/* A thumbnail that was loaded; takes nothing over. */
void history_loaded(struct history *h, struct ui *ui, const struct loader_result *result);

/* Draws it; true: a picture was clicked, and is the selected one. */
bool history_show(struct history *h, struct ui *ui, struct loader *loader, struct ui_rect r);

/* The selected moves; true where it did. */
bool history_walk(struct history *h, int by);

const char *history_path(const struct history *h);     /* of the selected; NULL: none */

#endif
