#include "pipeline/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "image/infotext.h"

enum { AUTOV2_DIGITS = 10 };

/* The file's name without folders and ending. */
static char *stem(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    size_t length = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    char *copy = malloc(length + 1);

    if (copy) {
        memcpy(copy, name, length);
        copy[length] = '\0';
    }
    return copy;
}

/* AutoV2 of a file, computed for the first picture and kept. "" without a file or where it cannot be read. */
static const char *model_hash(struct tinct *t, const char *path, char out[HASH_HEX])
{
    unsigned char digest[HASH_BYTES];
    struct tinct_err err;

    if (path && !out[0]) {
        if (hash_cached(t->cache_dir, path, 0, NULL, digest, &err)) hash_hex(digest, AUTOV2_DIGITS, out);
        else context_log(t, TINCT_LOG_WARN, "no hash in the recipe: %s", err.text);
    }
    return out[0] ? out : NULL;
}

static void add_extra(struct infotext *info, struct infotext_pair *extras, const char *key, const char *value)
{
    if (!value || !*value) return;
    extras[info->extra_count++] = (struct infotext_pair) { key, value };
    info->extras = extras;
}

char *recipe_write(struct tinct *t, const struct tinct_txt2img *p, const struct lora_stack *loras, const char *embeddings,
                   const struct sampler *sampler, enum schedule_kind kind, struct tinct_err *err)
{
    struct infotext info = INFOTEXT_EMPTY;
    struct infotext_pair extras[4];
    struct str eta_text = { 0 };
    char *model = stem(t->about.model), *vae = t->vae_path ? stem(t->vae_path) : NULL;

    info.prompt = p->prompt;
    info.negative = p->negative;
    info.steps = p->steps;
    info.sampler = sampler->name;
    info.scheduler = schedule_name(kind);
    info.cfg_scale = p->guidance;
    info.seed = p->seed;
    info.width = p->width;
    info.height = p->height;
    info.model_hash = model_hash(t, t->about.model, t->model_hash);
    info.model = model;
    info.vae_hash = model_hash(t, t->vae_path, t->vae_hash);
    info.vae = vae;
    info.clip_skip = p->clip_skip;
    if (p->subseed_strength > 0.0f) {
        info.variation_seed = p->subseed;
        info.variation_strength = p->subseed_strength;
    }
    info.ensd = sampler->uses_ensd ? (int64_t)p->ensd : 0;
    info.rng = p->rng == TINCT_RNG_CPU ? "CPU" : "GPU";
    info.version = "tinct " TINCT_VERSION;
    if (p->eta && sampler->eta_key && *p->eta != sampler->eta) {
        str_add_float(&eta_text, *p->eta);
        add_extra(&info, extras, sampler->eta_key, eta_text.bytes);
    }
    add_extra(&info, extras, "Lora hashes", lora_stack_hashes(loras));
    add_extra(&info, extras, "TI hashes", embeddings);
    add_extra(&info, extras, "Networks not found", lora_stack_not_found(loras));
    char *text = infotext_write(&info, err);
    str_free(&eta_text);
    free(model);
    free(vae);
    return text;
}
