#include "text/tag_edit.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "text/prompt.h"

/* A weight as a person writes it: 0.8, 1, -0.25. */
static void add_weight(struct str *s, double weight)
{
    double hundredths = round(weight * 100.0);
    str_add_double(s, hundredths == 0.0 ? 0.0 : hundredths / 100.0);
}

static void add_arg(struct str *s, const struct prompt_arg *arg)
{
    str_addf(s, ":%s%s%s", arg->key ? arg->key : "", arg->key ? "=" : "", arg->value);
}

static bool is_weight(const struct prompt_arg *arg)
{
    return arg->key && (!strcmp(arg->key, "te") || !strcmp(arg->key, "unet"));
}

/* The tag again with one weight for both parts. Positions are name, text encoder, UNet or block weights, dyn: the third is
 * kept unless it was the UNet's weight, which a fourth needs before it. */
static void add_tag(struct str *s, const struct prompt_tag *tag, const struct prompt_lora *lora, double weight)
{
    size_t position = 0, positions = 0;

    for (size_t i = 0; i < tag->arg_count; i++) positions += !tag->args[i].key;
    str_addf(s, "<%s:%s:", tag->word, lora->name);
    add_weight(s, weight);
    for (size_t i = 0; i < tag->arg_count; i++) {
        const struct prompt_arg *arg = &tag->args[i];
        if (is_weight(arg) || (!arg->key && ++position <= 2)) continue;
        if (arg->key || position > 3 || (lora->blocks && !strcmp(lora->blocks, arg->value))) {
            add_arg(s, arg);
        } else if (positions > 3) {
            str_add(s, ":");
            add_weight(s, weight);
        }
    }
    str_add(s, ">");
}

static bool check_name(const char *name, struct tinct_err *err)
{
    bool good = *name != '\0' && !strpbrk(name, ":<>=");

    for (const unsigned char *c = (const unsigned char *)name; *c; c++) good = good && *c >= 0x20 && *c != 0x7f;
    return good || tinct_fail(err, TINCT_ERR_ARG, "\"%.60s\" cannot be written as <lora:name:weight>: rename the file without : < > =", name);
}

static void edit(struct str *s, const char *text, const struct prompt *p, const char *name, const double *weight)
{
    size_t at = 0;
    bool written = weight == NULL;

    for (size_t i = 0; i < p->lora_count; i++) {
        const struct prompt_tag *tag = &p->tags[p->loras[i].tag];
        if (strcmp(p->loras[i].name, name) != 0) continue;
        size_t end = tag->begin;
        if (written && end > at && text[end - 1] == ' ') end--;
        str_add_bytes(s, text + at, end - at);
        if (!written) add_tag(s, tag, &p->loras[i], *weight);
        written = true;
        at = tag->end;
    }
    str_add(s, text + at);
    if (written) return;
    size_t bytes = strlen(text);
    str_addf(s, "%s<lora:%s:", bytes && !strchr(" \n", text[bytes - 1]) ? " " : "", name);
    add_weight(s, *weight);
    str_add(s, ">");
}

char *tag_edit_lora(const char *text, const char *name, const double *weight, struct tinct_err *err)
{
    struct str s = { 0 };
    struct prompt p;

    if (!check_name(name, err) || !prompt_parse(&p, text, &(struct prompt_options) { .steps = 20 }, err)) return NULL;
    edit(&s, text, &p, name, weight);
    prompt_free(&p);
    return str_take(&s, err);
}
