/* Which program painted a picture, told by the texts in its PNG, and whether its recipe
 * can be read: ours, A1111's and all that write like it. */
#ifndef TINCT_IMAGE_RECIPE_H
#define TINCT_IMAGE_RECIPE_H

#include "image/png.h"

enum recipe_kind {
    RECIPE_NONE,     /* no text that we know */
    RECIPE_INFOTEXT, /* read it with infotext_read */
    RECIPE_FOREIGN,  /* known, not read */
};

struct recipe {
    enum recipe_kind kind;
    const char *program; /* "ComfyUI", "A1111's web UI", ...; NULL for RECIPE_NONE */
    const char *holds;   /* what a foreign one is: "workflow"; NULL otherwise */
    const char *text;    /* the infotext; lives as long as png; NULL otherwise */
};

struct recipe recipe_find(const struct png *png);

#endif
