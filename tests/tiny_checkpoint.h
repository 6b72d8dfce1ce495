/* A tiny SD1.x checkpoint with random weights: the layout of the real one, a tenth of its width, about 30 MB.
 *
 * UNet 32 channels times 1, 2, 4, 4 with 8 heads and context 64; text encoder 64 wide with 2 layers and the
 * whole vocabulary; VAE 32 channels times 1, 2, 4, 4. Weights are near normal with deviation 1/sqrt(fan in),
 * so that activations keep their size; the same bytes on every machine. */
#ifndef TINCT_TESTS_TINY_CHECKPOINT_H
#define TINCT_TESTS_TINY_CHECKPOINT_H

#include <stdbool.h>

/* tensors: the list of the full-size model's tensors (tests/parity/sd15_tensors.tsv), which is scaled down.
 * False where it cannot be read or path not be written. */
bool tiny_checkpoint_write(const char *tensors, const char *path);

#endif
