/* The picture on the screen: fitted or enlarged, dragged about, held against another one. */
#ifndef TINCT_WINDOW_VIEW_H
#define TINCT_WINDOW_VIEW_H

#include "window/ui.h"

struct view_picture {
    uint32_t texture;           /* 0: none */
    int w, h;                   /* pixels that it stands for; a preview's texture has fewer */
    bool preview;
};

struct view {
    struct view_picture picture, other;
    float zoom;                 /* pixels of the screen for one of the picture; 0: fitted */
    float x, y;                 /* the picture's pixel in the middle of the view, from its own middle */
    bool other_held;            /* shown whole instead */
    bool split;                 /* other to the left of the divider */
    float divider;              /* 0..1 of the picture's width */
    bool dragging_divider;
};

/* Sets one of the pictures from rgb [h, w, 3] that stands for full_w x full_h. */
void view_set(struct ui *ui, struct view_picture *picture, int w, int h, const unsigned char *rgb, int full_w, int full_h);
void view_drop(struct ui *ui, struct view_picture *picture);

/* Draws and takes the mouse: the wheel zooms at the pointer, dragging moves, a double click changes between
 * fitted and 1:1. */
void view_show(struct view *view, struct ui *ui, struct ui_rect r);

void view_fit(struct view *view);
void view_toggle(struct view *view);            /* between fitted and 1:1 */
void view_zoom(struct view *view, struct ui_rect r, float by, float at_x, float at_y);
float view_scale(const struct view *view, struct ui_rect r); /* the zoom as shown */

#endif
