/* A model: a checkpoint's three networks with their weights on a device. */
#ifndef TINCT_MODEL_MODEL_H
#define TINCT_MODEL_MODEL_H

#include "model/clip/clip.h"
#include "model/unet/unet.h"
#include "model/vae/vae.h"

struct model_options {
    const char *path;              /* a checkpoint */
    const char *vae_path;          /* its VAE instead; may be NULL */
    bool encoder;                  /* load the VAE's encoder too, where there is one */
    int threads;                   /* for packing; 0: all cores */
    const char *cache_dir;         /* where packed weights are kept for the next start; NULL: nowhere */
    uint64_t least_kept;           /* weights of fewer bytes are not */
};

struct model {
    struct device *device;         /* the caller's */
    struct checkpoint *checkpoint;
    struct weights *weights;
    struct clip clip;
    struct unet unet;
    struct vae vae;
};

/* Refused: what the file is where it is not an SD1.x checkpoint, the first tensor that does not fit, memory. */
struct model *model_open(struct device *device, const struct model_options *options, struct tinct_err *err);
void model_close(struct model *m);                                /* NULL is fine */

#endif
