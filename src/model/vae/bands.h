/* The decoder's finest level in bands of rows, where the picture's size is what memory goes into.
 *
 * Convolutions see a row beyond their band on either side; group norms take their statistics over the whole picture, in
 * the same parts of 256 pixels as ever. So every value has the bits that it has without bands: there are no seams. Kept as a
 * whole are the level's input at half the size, and two tensors of the picture's size with the finest channels: a block's
 * input, which becomes its output, and what lies between its convolutions. The widest tensor, the upsampled
 * input, is never there: it is made twice, band by band, first for the statistics. */
#ifndef TINCT_MODEL_VAE_BANDS_H
#define TINCT_MODEL_VAE_BANDS_H

#include "model/vae/vae.h"

enum { VAE_BAND_ROWS = 32 };                /* the unit: 32 rows of any width are whole parts of 256 pixels */

/* Is the level built as SD's: upsampled to, its first block narrows, the others keep their width? */
bool vae_bands_can(const struct vae_half *decoder);

/* Record: u [1, H / 2, W / 2, C], the second-finest level's output -> picture [1, H, W, 4]. */
void vae_bands_record(struct pass *pass, const struct vae_half *decoder, struct tensor picture, struct tensor u,
                      uint32_t band_rows);

#endif
