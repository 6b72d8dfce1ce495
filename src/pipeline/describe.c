/* The telling half of tinct.h: thin doors to the rooms that know. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "device/device.h"
#include "image/png.h"
#include "image/recipe.h"
#include "lora/card.h"
#include "pipeline/embeddings.h"
#include "sampler/list.h"
#include "tensor/describe.h"
#include "text/describe.h"

enum { MAX_DEVICES = 32 };

static const char *kind_word(enum device_kind kind)
{
    static const char *const words[] = { [DEVICE_CPU] = "processor", [DEVICE_GPU] = "GPU", [DEVICE_SOFTWARE] = "software driver" };
    return words[kind];
}

/* The one that is used when none is named. */
static int automatic(const struct device_info *infos, int count)
{
    for (int i = 0; i < count; i++)
        if (infos[i].kind == DEVICE_GPU) return i;
    return 0;
}

static char *devices_json(const struct device_info *infos, int count, struct tinct_err *err)
{
    struct json_writer w = { 0 };

    json_begin(&w, NULL, JSON_ARRAY);
    for (int i = 0; i < count; i++) {
        json_begin(&w, NULL, JSON_OBJECT);
        json_put_integer(&w, "index", i);
        json_put_string(&w, "backend", infos[i].backend);
        json_put_string(&w, "name", infos[i].name);
        json_put_string(&w, "detail", infos[i].detail);
        json_put_string(&w, "kind", kind_word(infos[i].kind));
        json_put_integer(&w, "memory_bytes", (int64_t)infos[i].memory_bytes);
        json_put_bool(&w, "automatic", i == automatic(infos, count));
        json_end(&w);
    }
    json_end(&w);
    return json_finish(&w, err);
}

char *tinct_describe_devices(bool json, struct tinct_err *err)
{
    struct device_info infos[MAX_DEVICES];
    int count = device_list(infos, MAX_DEVICES);
    struct str s = { 0 };

    if (json) return devices_json(infos, count, err);
    for (int i = 0; i < count; i++)
        str_addf(&s, "%c %d  %-7s %s (%s, %s, %.1f GiB)\n", i == automatic(infos, count) ? '*' : ' ', i,
                 infos[i].backend, infos[i].name, kind_word(infos[i].kind), infos[i].detail,
                 (double)infos[i].memory_bytes / (1024.0 * 1024.0 * 1024.0));
    str_add(&s, "* is used when --device names none; a software driver only by name.\n");
    return str_take(&s, err);
}

char *tinct_describe_samplers(bool json, struct tinct_err *err)
{
    return samplers_describe(json, err);
}

char *tinct_describe_prompt(const char *prompt, int steps, struct tinct_embeddings *embeddings, bool json, struct tinct_err *err)
{
    struct prompt_embeddings known = { embeddings_find, embeddings_name, embeddings };

    return prompt_describe(prompt, &(struct prompt_options) { .steps = steps > 0 ? steps : 20 },
                           TINCT_EMPHASIS_ORIGINAL, embeddings ? &known : NULL, json, err);
}

/* ---- files --------------------------------------------------------------------- */

static char *picture_json(const char *path, const struct png *png, const struct recipe *recipe, struct tinct_err *err)
{
    struct json_writer w = { 0 };

    json_begin(&w, NULL, JSON_OBJECT);
    json_put_string(&w, "file", path);
    json_put_string(&w, "kind", "picture");
    json_put_integer(&w, "width", png->width);
    json_put_integer(&w, "height", png->height);
    json_put_string(&w, "program", recipe->program);
    json_put_string(&w, "recipe", recipe->text);
    json_end(&w);
    return json_finish(&w, err);
}

static char *describe_picture(const char *path, bool json, struct tinct_err *err)
{
    struct png png;
    struct str s = { 0 };
    char *text;

    if (!png_read(path, false, &png, err)) return NULL;
    struct recipe recipe = recipe_find(&png);
    if (json) {
        text = picture_json(path, &png, &recipe, err);
    } else {
        str_addf(&s, "%s: a picture, %dx%d", path, png.width, png.height);
        if (recipe.program) str_addf(&s, ", painted by %s", recipe.program);
        if (recipe.kind == RECIPE_INFOTEXT) str_addf(&s, "\n%s\n", recipe.text);
        else if (recipe.kind == RECIPE_FOREIGN) str_addf(&s, "; its %s is not read\n", recipe.holds);
        else str_add(&s, ", without a recipe\n");
        text = str_take(&s, err);
    }
    png_free(&png);
    return text;
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

/* A checkpoint, a LoRA with its card, or whatever else a safetensors file holds. */
static char *describe_model(const char *path, bool json, struct tinct_err *err)
{
    struct lora_card *card = lora_card_read(path, path, true, NULL, NULL);
    struct str triggers = { 0 };
    char *text;

    if (!card) return checkpoint_describe(path, json, NULL, err);
    for (size_t i = 0; i < card->triggers.count; i++)
        str_addf(&triggers, "%s%s", i ? ", " : "", card->triggers.words[i]);
    text = checkpoint_describe(path, json, &(struct describe_lora) {
        .type = card->about.type, .base = card->base, .modules = card->about.modules,
        .rank_min = card->about.rank_min, .rank_max = card->about.rank_max,
        .alpha_min = card->about.alpha_min, .alpha_max = card->about.alpha_max,
        .weight = card->weight, .weight_told = card->weight_told, .alias = card->alias,
        .triggers = text_of(triggers.bytes), .negative = text_of(card->negative), .hint = text_of(card->hint),
        .description = text_of(card->description), .notes = text_of(card->notes), .preview = text_of(card->preview),
        .autov2 = card->autov2, .autov3 = card->autov3,
    }, err);
    str_free(&triggers);
    lora_card_free(card);
    return text;
}

/* What sort of picture begins with these bytes, PNG aside; NULL: none that is known. */
static const char *picture_kind(const unsigned char *head, size_t size)
{
    static const struct {
        const char *magic, *kind;
        unsigned char at, bytes;
    } kinds[] = {
        { "\xff\xd8\xff", "JPEG", 0, 3 }, { "WEBP", "WebP", 8, 4 },     { "GIF8", "GIF", 0, 4 },
        { "ftypavif", "AVIF", 4, 8 },     { "ftypheic", "HEIC", 4, 8 }, { "II*\0", "TIFF", 0, 4 },
        { "MM\0*", "TIFF", 0, 4 },        { "BM", "BMP", 0, 2 },
    };

    if (size > 8 && head[8] == '{') return NULL; /* a safetensors file whose header's length reads so */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((size_t)kinds[i].at + kinds[i].bytes <= size && !memcmp(head + kinds[i].at, kinds[i].magic, kinds[i].bytes))
            return kinds[i].kind;
    return NULL;
}

/* A picture in a format that is known by name only. */
static char *describe_other_picture(const char *path, const char *format, bool json, struct tinct_err *err)
{
    struct json_writer w = { 0 };
    struct str s = { 0 };

    if (json) {
        json_begin(&w, NULL, JSON_OBJECT);
        json_put_string(&w, "file", path);
        json_put_string(&w, "kind", "picture");
        json_put_string(&w, "format", format);
        json_end(&w);
        return json_finish(&w, err);
    }
    str_add_printable(&s, path, 4096);
    str_addf(&s, ": a %s picture; recipes are read from PNG pictures alone\n", format);
    return str_take(&s, err);
}

char *tinct_describe_file(const char *path, bool json, struct tinct_err *err)
{
    struct file *file = file_open(path, err);
    unsigned char head[16];
    size_t size = file && file_size(file) < sizeof head ? (size_t)file_size(file) : sizeof head;

    if (!file) return NULL;
    bool read = file_read(file, head, 0, size, err);
    file_close(file);
    if (!read) return NULL;
    if (png_claimed(head, size)) return describe_picture(path, json, err);
    const char *other = picture_kind(head, size);
    return other ? describe_other_picture(path, other, json, err) : describe_model(path, json, err);
}

void tinct_text_free(char *text)
{
    free(text);
}
