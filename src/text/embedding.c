#include "text/embedding.h"

#include "tensor/checkpoint.h"

#include <stdlib.h>
#include <string.h>

bool embedding_expect(const char *path, uint64_t count, uint64_t width, uint32_t wanted, struct tinct_err *err)
{
    const char *base = width <= UINT32_MAX ? checkpoint_base_of_width((uint32_t)width) : NULL;

    if (wanted && width != wanted)
        return tinct_fail(err, TINCT_ERR_FORMAT,
                          "%s: an embedding%s%s: its vectors have %llu values, the model's text encoder takes %u", path,
                          base ? " for " : "", base ? base : "", (unsigned long long)width, (unsigned)wanted);
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
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is no embedding: it holds %u tensors, not one", path,
                   (unsigned)safetensors_count(st));
    else
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: is no embedding but of kind \"%s\"", path, about.kind_name);
    return about.kind == CHECKPOINT_LORA &&
           tinct_advise(err, "put it into loras/ and write <lora:NAME:1> in the prompt");
}

static bool refuse_pair(const struct safetensors *st, struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_FORMAT,
                      "%s: an embedding for SDXL: vectors for two text encoders, the model has one",
                      file_path(safetensors_file(st)));
}

/* The one tensor that holds vectors; NULL refused. */
static const struct safetensors_tensor *choose(const struct safetensors *st, struct tinct_err *err)
{
    static const char *const known[] = { "emb_params", "string_to_param.*" };
    const struct safetensors_tensor *l = safetensors_find(st, "clip_l"), *g = safetensors_find(st, "clip_g");

    if (l && g) {
        refuse_pair(st, err);
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

/* ---- inside a LoRA -------------------------------------------------------------- */

static const char bundle[] = "bundle_emb.";

const char *embedding_bundled_name(const char *key, size_t *length)
{
    if (strncmp(key, bundle, sizeof bundle - 1)) return NULL;
    key += sizeof bundle - 1;
    *length = strcspn(key, ".");
    return *length && key[*length] ? key : NULL;
}

/* The vectors of that name: a pair for SDXL refuses, of several tensors the first that is named as vectors are. */
bool embedding_read_bundled(struct embedding *out, const struct safetensors *st, const char *name, size_t length,
                            uint32_t width, struct tinct_err *err)
{
    const struct safetensors_tensor *chosen = NULL;
    bool l = false, g = false;

    *out = (struct embedding) { 0 };
    for (uint32_t i = 0; i < safetensors_count(st); i++) {
        size_t own_length;
        const struct safetensors_tensor *t = safetensors_at(st, i);
        const char *own = embedding_bundled_name(t->name, &own_length);
        if (!own || own_length != length || strncmp(own, name, length)) continue;
        const char *rest = own + length + 1;
        l |= !strcmp(rest, "clip_l");
        g |= !strcmp(rest, "clip_g");
        if (!chosen || !strncmp(rest, "string_to_param.", 16) || !strcmp(rest, "emb_params")) chosen = t;
    }
    if (l && g) return refuse_pair(st, err);
    bool ok = chosen ? read_tensor(out, st, chosen, width, err)
                     : tinct_fail(err, TINCT_ERR_FORMAT, "%s: no embedding \"%.*s\" is in it",
                                  file_path(safetensors_file(st)), (int)length, name);
    if (!ok) embedding_free(out);
    return ok;
}

/* ---- a file of its own ---------------------------------------------------------- */

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
