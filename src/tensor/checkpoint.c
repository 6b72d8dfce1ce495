#include "tensor/checkpoint.h"

#include "tensor/convert.h"
#include "tensor/kind.h"
#include "tensor/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct checkpoint {
    struct safetensors *main, *vae; /* vae: NULL unless it is a file of its own */
    unsigned main_levels, vae_levels;
    struct checkpoint_about about;
};

/* ---- open --------------------------------------------------------------- */

/* Resolution levels of the VAE in a file: 1 + the largest number of an up block; 4, as in SD, without one. */
static unsigned count_levels(const struct safetensors *st)
{
    static const char *const forms[] = { "%sdecoder.up.%u.block.0.norm1.weight",
                                         "%sdecoder.up_blocks.%u.resnets.0.norm1.weight" };
    static const char *const prefixes[] = { NAMES_VAE, "vae.", "" };

    for (unsigned level = 8; level-- > 0;)
        for (int p = 0; p < 3; p++)
            for (int form = 0; form < 2; form++) {
                char name[NAMES_BYTES];
                snprintf(name, sizeof name, forms[form], prefixes[p], level);
                if (safetensors_find(st, name)) return level + 1;
            }
    return 4;
}

static bool open_vae(struct checkpoint *ck, const char *path, struct tinct_err *err)
{
    if (!(ck->vae = safetensors_open(path, err))) return false;
    ck->vae_levels = count_levels(ck->vae);
    ck->about.has_vae = true;
    struct stored view;
    if (checkpoint_find(ck, NAMES_VAE "decoder.conv_in.weight", &view)) return true;
    tinct_fail(err, TINCT_ERR_FORMAT, "%s: holds no VAE decoder", path);
    return tinct_advise(err, "--vae takes a .safetensors file of a VAE, or a checkpoint that has one");
}

struct checkpoint *checkpoint_open(const char *path, const char *vae_path, struct tinct_err *err)
{
    struct checkpoint *ck = calloc(1, sizeof *ck);

    if (!ck) {
        tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to open it", path);
        return NULL;
    }
    if (!(ck->main = safetensors_open(path, err))) goto fail;
    ck->main_levels = count_levels(ck->main);
    ck->about = kind_of(ck);
    if (vae_path && !open_vae(ck, vae_path, err)) goto fail;
    return ck;
fail:
    checkpoint_close(ck);
    return NULL;
}

void checkpoint_close(struct checkpoint *ck)
{
    if (!ck) return;
    safetensors_close(ck->main);
    safetensors_close(ck->vae);
    free(ck);
}

const char *checkpoint_path(const struct checkpoint *ck)
{
    return file_path(safetensors_file(ck->main));
}

const struct safetensors *checkpoint_file(const struct checkpoint *ck)
{
    return ck->main;
}

struct checkpoint_about checkpoint_about(const struct checkpoint *ck)
{
    return ck->about;
}

bool checkpoint_expect_sd1(const struct checkpoint *ck, struct tinct_err *err)
{
    return kind_expect_sd1(&ck->about, err) || tinct_within(err, "%s", checkpoint_path(ck));
}

/* ---- look up ------------------------------------------------------------ */

struct found {
    const struct safetensors *st;            /* the file that was searched */
    const struct safetensors_tensor *tensor; /* NULL: none */
    const struct safetensors_tensor *second; /* under another spelling: which one counts is unknown */
};

static struct found look_up(const struct checkpoint *ck, const char *name)
{
    bool in_vae = ck->vae && !strncmp(name, NAMES_VAE, sizeof NAMES_VAE - 1);
    struct found found = { .st = in_vae ? ck->vae : ck->main };
    struct names names;

    names_of(&names, name, in_vae ? ck->vae_levels : ck->main_levels);
    for (unsigned i = 0; i < names.count; i++) {
        const struct safetensors_tensor *t = safetensors_find(found.st, names.spelling[i]);
        if (!t) continue;
        if (!found.tensor) found.tensor = t;
        else found.second = t;
    }
    return found;
}

/* False where it has more dimensions, or larger ones, than a view can show. */
static bool make_view(struct stored *view, const struct found *found)
{
    const struct safetensors_tensor *t = found->tensor;

    *view = (struct stored) { .file = safetensors_file(found->st), .name = t->name, .dtype = t->dtype,
                              .dims = t->dims, .shape = { 1, 1, 1, 1 }, .offset = t->offset };
    if (t->dims > STORED_DIMS) return false;
    for (uint32_t i = 0; i < t->dims; i++) {
        if (t->shape[i] > UINT32_MAX) return false;
        view->shape[i] = (uint32_t)t->shape[i];
    }
    return true;
}

bool checkpoint_find(const struct checkpoint *ck, const char *name, struct stored *view)
{
    struct found found = look_up(ck, name);
    return found.tensor && make_view(view, &found);
}

/* view takes the wanted number of dimensions where only sizes of 1 are added or dropped, and the sizes fit. */
static bool fit_shape(struct stored *view, uint32_t dims, const uint32_t *shape)
{
    for (uint32_t i = 0; i < STORED_DIMS; i++) {
        uint32_t wanted = i < dims ? shape[i] : 1;
        if (wanted && view->shape[i] != wanted) return false;
    }
    if (view->dims != dims && !(view->dims == 2 && dims == 4) && !(view->dims == 4 && dims == 2)) return false;
    view->dims = dims;
    return true;
}

static void write_shape(char *out, size_t size, uint32_t dims, const uint32_t *shape32, const uint64_t *shape64)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (uint32_t i = 0; i < dims && used < size; i++) {
        unsigned long long n = shape32 ? shape32[i] : shape64[i];
        if (n || !shape32)
            used += (size_t)snprintf(out + used, size - used, "%s%llu", i ? "," : "", n);
        else
            used += (size_t)snprintf(out + used, size - used, "%sany", i ? "," : "");
    }
    if (used < size) snprintf(out + used, size - used, "]");
}

static bool refuse_found(const struct found *found, const char *name, const char *wanted, struct tinct_err *err)
{
    const char *path = file_path(safetensors_file(found->st));
    char has[200];

    if (!found->tensor) return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: missing; wanted %s", path, name, wanted);
    if (found->second)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: is there twice, as %s and %s", path, name,
                          found->tensor->name, found->second->name);
    write_shape(has, sizeof has, found->tensor->dims, NULL, found->tensor->shape);
    return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: wanted %s, file has %s", path, name, wanted, has);
}

bool checkpoint_tensor(const struct checkpoint *ck, const char *name, uint32_t dims, const uint32_t *shape,
                       struct stored *view, struct tinct_err *err)
{
    struct found found = look_up(ck, name);
    char wanted[100];

    if (!found.tensor || found.second || !make_view(view, &found) || !fit_shape(view, dims, shape)) {
        write_shape(wanted, sizeof wanted, dims, shape, NULL);
        return refuse_found(&found, name, wanted, err);
    }
    if (!convert_takes(view->dtype))
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: is stored as %s, which tinct cannot read",
                          file_path(view->file), name, dtype_file_name(view->dtype));
    return true;
}
