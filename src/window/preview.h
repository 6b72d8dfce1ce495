/* A latent as a small picture: RGB = latent x matrix + bias, a pixel each. A model's own matrix is used as it is; else it begins
 * with the one that fits Stable Diffusion 1.5's VAE, and is fitted to whichever VAE there is with every finished picture. */
#ifndef TINCT_WINDOW_PREVIEW_H
#define TINCT_WINDOW_PREVIEW_H

#include <stdbool.h>

enum { PREVIEW_TERMS = 5 }; /* four channels and the bias */

struct preview {
    float matrix[PREVIEW_TERMS][3];                 /* to RGB in -1..1; the last row is the bias */
    bool own;                                       /* the model's: nothing is learnt */
    double xx[PREVIEW_TERMS][PREVIEW_TERMS], xy[PREVIEW_TERMS][3]; /* sums over what was seen: the normal equations */
};

/* matrix: the model's own; NULL: it has none. */
void preview_init(struct preview *p, const float matrix[PREVIEW_TERMS][3]);

/* rgb [height, width, 3] from latent [height, width, 4]. */
void preview_paint(const struct preview *p, const float *latent, int width, int height, unsigned char *rgb);

/* The matrix that fits best, in the sense of least squares, to all pictures so far and this one, [8 height, 8 width, 3]
 * decoded from latent. Nothing changes where the model has its own. */
void preview_learn(struct preview *p, const float *latent, int width, int height, const unsigned char *rgb);

#endif
