#include "text/embedding.h"

#include "tensor/checkpoint.h"

#include <stdlib.h>
#include <string.h>

bool embedding_expect(const char *path, uint64_t count, uint64_t width, uint32_t wanted, struct tinct_err *err)
{
    const char *base = width <= UINT32_MAX ? checkpoint_base_of_width((uint32_t)width) : NULL;

    if (width != wanted)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: an embedding%s%s: its vectors have %llu values, the model's text encoder takes %u",
                          path, base ? " for " : "", base ? base : "", (unsigned long long)width, (unsigned)wanted);
    if (count >= 1 && count <= EMBEDDING_VECTORS) return true;
    return tinct_fail(err, TINCT_ERR_FORMAT, "%s: an embedding of %llu vectors; 1 to %d fit into a chunk of the prompt",
                      path, (unsigned long long)count, EMBEDDING_VECTORS);
}

/* ---- which tensor --------------------------------------------------------------- */

static bool refuse_kind(const struct safetensors *st, struct tinct_err *err)
{
    const char *path = file_path(safetensors_file(st));
    struct checkpoint *ck = checkpoint_open(path, NULL, NULL);
    struct checkpoint_about about = { .kind = CHECKPOINT_UNKNOWN };

    if (ck) about = checkpoint_about(ck);
    checkpoint_close(ck);
    if (about.kind == CHECKPOINT_UNKNOWN || about.kind == CHECKPOINT_EMBEDDING)
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is no embedding: it holds %u tensors, not one", path, (unsigned)safetensors_count(st));
    else
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is no embedding but of kind \"%s\"", path, about.kind_name);
    return about.kind == CHECKPOINT_LORA && tinct_advise(err, "put it into loras/ and write <lora:NAME:1> in the prompt");
}

/* The one tensor that holds vectors; NULL refused. */
static const struct safetensors_tensor *choose(const struct safetensors *st, struct tinct_err *err)
{
    static const char *const known[] = { "emb_params", "string_to_param.*" };
    const struct safetensors_tensor *l = safetensors_find(st, "clip_l"), *g = safetensors_find(st, "clip_g");

    if (l && g) {
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: an embedding for SDXL: vectors for two text encoders, the model has one",
                   file_path(safetensors_file(st)));
        return NULL;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (safetensors_find(st, known[i])) return safetensors_find(st, known[i]);
    if (safetensors_count(st) == 1) return safetensors_at(st, 0);
    refuse_kind(st, err);
    return NULL;
}

static bool read_tensor(struct embedding *out, const struct safetensors *st, const struct safetensors_tensor *t,
                        uint32_t wanted, struct tinct_err *err)
{
    const char *path = file_path(safetensors_file(st));
    uint64_t count = t->dims == 2 ? t->shape[0] : 1, width = t->dims ? t->shape[t->dims - 1] : 0;

    if (t->dims != 1 && t->dims != 2)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s has %u dimensions; an embedding has [vectors, width]", path,
                          t->name, (unsigned)t->dims);
    if (!embedding_expect(path, count, width, wanted, err)) return false;
    *out = (struct embedding) { malloc(count * width * sizeof(float)), (uint32_t)count, (uint32_t)width };
    if (!out->vectors) return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its vectors", path);
    return stored_read_f32(out->vectors, &(struct stored) {
        .file = safetensors_file(st), .name = t->name, .dtype = t->dtype, .dims = 2,
        .shape = { (uint32_t)count, (uint32_t)width, 1, 1 }, .offset = t->offset }, err);
}

bool embedding_read(struct embedding *out, const char *path, uint32_t width, struct tinct_err *err)
{
    struct safetensors *st = safetensors_open(path, err);
    const struct safetensors_tensor *t = st ? choose(st, err) : NULL;

    *out = (struct embedding) { 0 };
    bool ok = t && read_tensor(out, st, t, width, err);
    safetensors_close(st);
    if (!ok) embedding_free(out);
    return ok;
}

void embedding_free(struct embedding *e)
{
    free(e->vectors);
    *e = (struct embedding) { 0 };
}
