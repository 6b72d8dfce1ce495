/* What the window remembers from one time to the next: a text of "name = value" lines in the user's config folder. */
#ifndef TINCT_WINDOW_SETTINGS_H
#define TINCT_WINDOW_SETTINGS_H

#include "window/form.h"
#include "window/ui.h"

struct settings {
    struct form form;               /* the caller's texts; form_init it first */
    struct ui_place place;
    bool automatic;
    int tab;
};

/* Whatever the file tells that makes sense; the rest stays. No file is fine. */
void settings_read(struct settings *s, const char *folder);

/* Whole or not at all: to a temporary name, synced, then renamed. False when that failed, the old one is there then. */
bool settings_write(const struct settings *s, const char *folder);

#endif
