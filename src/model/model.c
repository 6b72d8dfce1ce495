#include "model/model.h"

#include <stdlib.h>

/* The three networks must speak of the same context and latent. */
static bool networks_agree(const struct model *m, struct tinct_err *err)
{
    if (m->unet.context != m->clip.width)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: the UNet attends to %u channels, the text encoder gives %u",
                          checkpoint_path(m->checkpoint), m->unet.context, m->clip.width);
    return true;
}

struct model *model_open(struct device *device, const struct model_options *options, struct tinct_err *err)
{
    struct model *m = calloc(1, sizeof *m);

    if (!m) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a model");
        return NULL;
    }
    m->device = device;
    m->checkpoint = checkpoint_open(options->path, options->vae_path, err);
    if (!m->checkpoint || !checkpoint_expect_sd1(m->checkpoint, err)) goto fail;
    m->weights = weights_create(device, m->checkpoint);
    if (!m->weights) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a model");
        goto fail;
    }
    clip_bind(&m->clip, m->weights, m->checkpoint);
    unet_bind(&m->unet, m->weights);
    vae_bind(&m->vae, m->weights, options->encoder);
    weights_keep_in(m->weights, options->cache_dir, options->least_kept);
    if (!weights_load(m->weights, options->threads, err) || !networks_agree(m, err)) goto fail;
    return m;
fail:
    model_close(m);
    return NULL;
}

void model_close(struct model *m)
{
    if (!m) return;
    weights_free(m->weights);
    clip_free(&m->clip);
    checkpoint_close(m->checkpoint);
    free(m);
}
