/* Recipes the other way: from a picture, or a text, to what tinct_txt2img takes; and the pixels beside it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/str.h"
#include "image/infotext.h"
#include "image/photo.h"
#include "image/png.h"
#include "image/recipe.h"
#include "tinct.h"

struct read_recipe {
    struct tinct_recipe recipe; /* first: the caller holds its address */
    struct infotext info;
    float eta;
};

static const char *const emphasis_words[] = { "Original", "No norm", "Ignore", "None" }; /* in enum tinct_emphasis's order */

static void read_extras(struct read_recipe *r)
{
    static const char *const eta_keys[] = { "Eta", "Eta DDIM" };
    struct tinct_txt2img *p = &r->recipe.picture;
    const char *emphasis = infotext_extra(&r->info, "Emphasis");
    double eta;

    p->lora_hashes = infotext_extra(&r->info, "Lora hashes");
    p->embedding_hashes = infotext_extra(&r->info, "TI hashes");
    for (int i = 0; i < 2; i++) {
        const char *text = infotext_extra(&r->info, eta_keys[i]);
        if (!text || !str_to_double(text, &eta)) continue;
        r->eta = (float)eta;
        p->eta = &r->eta;
    }
    for (int i = 0; emphasis && i < 4; i++)
        if (strcmp(emphasis, emphasis_words[i]) == 0) p->emphasis = (enum tinct_emphasis)i;
}

static float or_zero(float value)
{
    return isnan(value) ? 0.0f : value;
}

struct tinct_recipe *tinct_recipe_parse(const char *text, struct tinct_err *err)
{
    struct read_recipe *r = calloc(1, sizeof *r);

    if (!r) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a recipe");
        return NULL;
    }
    if (!infotext_read(text, strlen(text), &r->info, err)) {
        free(r);
        return NULL;
    }
    const struct infotext *info = &r->info;
    r->recipe.picture = (struct tinct_txt2img) {
        .prompt = info->prompt ? info->prompt : "",
        .negative = info->negative ? info->negative : "",
        .width = info->width,
        .height = info->height,
        .steps = info->steps,
        .guidance = or_zero(info->cfg_scale),
        .seed = info->seed,
        .sampler = info->sampler,
        .scheduler = info->scheduler && strcmp(info->scheduler, "Automatic") != 0 ? info->scheduler : NULL,
        .clip_skip = info->clip_skip,
        .rng = info->rng && strcmp(info->rng, "CPU") == 0 ? TINCT_RNG_CPU : TINCT_RNG_GPU,
        .ensd = (uint32_t)info->ensd,
        .subseed = info->variation_seed,
        .subseed_strength = or_zero(info->variation_strength),
    };
    read_extras(r);
    r->recipe.model = info->model;
    r->recipe.model_hash = info->model_hash;
    r->recipe.program = info->version;
    return &r->recipe;
}

void tinct_recipe_free(struct tinct_recipe *recipe)
{
    if (!recipe) return;
    infotext_free(&((struct read_recipe *)recipe)->info);
    free(recipe);
}

struct tinct_recipe *tinct_recipe_read(const char *path, struct tinct_err *err)
{
    struct tinct_recipe *r = NULL;
    struct png png;

    if (!png_read(path, false, &png, err)) return NULL;
    struct recipe found = recipe_find(&png);
    if (found.kind == RECIPE_INFOTEXT)
        r = tinct_recipe_parse(found.text, err);
    else if (found.kind == RECIPE_FOREIGN)
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: painted by %s, whose %s is not read", path, found.program, found.holds);
    else
        tinct_fail(err, TINCT_ERR_FORMAT, "%s: a picture without a recipe", path);
    png_free(&png);
    return r;
}

bool tinct_model_hash(const char *path, const char *cache_dir, char hash[TINCT_MODEL_HASH_BYTES], struct tinct_err *err)
{
    unsigned char digest[HASH_BYTES];
    char hex[HASH_HEX];

    *hash = '\0';
    if (!hash_cached(cache_dir, path, 0, NULL, digest, err)) return false;
    hash_hex(digest, TINCT_MODEL_HASH_BYTES - 1, hex);
    memcpy(hash, hex, TINCT_MODEL_HASH_BYTES);
    return true;
}

/* By its first bytes; false too where they cannot be read, which png_read then tells. */
static bool is_photo(const char *path)
{
    unsigned char head[12];
    struct file *file = file_open(path, NULL);
    bool read = file && file_size(file) >= sizeof head && file_read(file, head, 0, sizeof head, NULL);

    file_close(file);
    return read && (jpeg_claimed(head, sizeof head) || webp_claimed(head, sizeof head));
}

static bool load_photo(const char *path, struct tinct_image *out, struct tinct_err *err)
{
    struct photo photo;

    if (!photo_read(path, &photo, err)) return false;
    out->width = photo.width;
    out->height = photo.height;
    out->rgb = photo.rgb;
    return true;
}

bool tinct_image_load(const char *path, struct tinct_image *out, struct tinct_err *err)
{
    struct infotext info;
    struct png png;

    *out = (struct tinct_image) { .seed = -1 };
    if (is_photo(path)) return load_photo(path, out, err);
    if (!png_read(path, true, &png, err)) return false;
    struct recipe found = recipe_find(&png);
    if (found.kind == RECIPE_INFOTEXT && infotext_read(found.text, strlen(found.text), &info, NULL)) {
        out->seed = info.seed;
        infotext_free(&info);
        if ((out->infotext = malloc(strlen(found.text) + 1))) strcpy(out->infotext, found.text);
    }
    out->width = png.width;
    out->height = png.height;
    out->rgb = png.rgb;
    png.rgb = NULL;
    png_free(&png);
    return true;
}
