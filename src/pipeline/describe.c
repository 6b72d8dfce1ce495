/* The telling half of tinct.h: thin doors to the rooms that know. */
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "device/device.h"
#include "image/png.h"
#include "image/recipe.h"
#include "lora/card.h"
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

char *tinct_describe_prompt(const char *prompt, int steps, bool json, struct tinct_err *err)
{
    return prompt_describe(prompt, &(struct prompt_options) { .steps = steps > 0 ? steps : 20 },
                           TINCT_EMPHASIS_ORIGINAL, json, err);
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

/* A checkpoint, a LoRA with what its card says, or whatever else a safetensors file holds. */
static char *describe_model(const char *path, bool json, struct tinct_err *err)
{
    struct lora_card *card = lora_card_read(path, path, false, NULL, NULL);
    struct str triggers = { 0 };
    char *text;

    if (!card) return checkpoint_describe(path, json, NULL, err);
    for (size_t i = 0; i < card->triggers.count; i++)
        str_addf(&triggers, "%s%s", i ? ", " : "", card->triggers.words[i]);
    text = checkpoint_describe(path, json, &(struct describe_lora) {
        .type = card->about.type, .base = card->base, .modules = card->about.modules,
        .rank_min = card->about.rank_min, .rank_max = card->about.rank_max,
        .alpha_min = card->about.alpha_min, .alpha_max = card->about.alpha_max,
        .triggers = triggers.bytes ? triggers.bytes : "", .hint = card->hint ? card->hint : "",
    }, err);
    str_free(&triggers);
    lora_card_free(card);
    return text;
}

char *tinct_describe_file(const char *path, bool json, struct tinct_err *err)
{
    struct file *file = file_open(path, err);
    unsigned char head[8];

    if (!file) return NULL;
    bool picture = file_size(file) >= sizeof head && file_read(file, head, 0, sizeof head, err) &&
                   png_claimed(head, sizeof head);
    file_close(file);
    return picture ? describe_picture(path, json, err) : describe_model(path, json, err);
}

void tinct_text_free(char *text)
{
    free(text);
}
