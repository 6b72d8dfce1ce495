/* <word:arg:arg>: extra networks, as A1111's extra_networks.py takes them out of a prompt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/grammar.h"
#include "text/unicode.h"

/* Where a tag that begins at text[at] == '<' has its first ':' and its '>'; false when none begins there. The
 * last of the size bytes is a '>', so that no search runs to the end in vain. */
static bool find_tag(const char *text, size_t size, size_t at, size_t *colon, size_t *close)
{
    size_t next = at + 1, i = at + 1;

    while (next < size && unicode_is_word(unicode_next(text, &next))) i = next;
    if (i == at + 1 || i >= size || text[i] != ':') return false;
    const char *end = memchr(text + i, '>', size - i);
    if (end == text + i + 1) return false;
    *colon = i;
    *close = (size_t)(end - text);
    return true;
}

/* Split a tag in place, from behind its word's colon to its end: items at ':', an item at its only '='. */
static void split_args(struct prompt_arg *args, size_t count, char *item)
{
    for (size_t i = 0; i < count; i++) {
        char *next = strchr(item, ':');
        if (next) *next++ = '\0';
        char *equals = strchr(item, '=');
        args[i] = (struct prompt_arg) { NULL, item };
        if (equals && !strchr(equals + 1, '=')) {
            *equals = '\0';
            args[i] = (struct prompt_arg) { item, equals + 1 };
        }
        item = next;
    }
}

/* The strings of all tags, their arguments, and the arrays. */
struct store {
    char *text;                  /* the prompt with NULs in its tags */
    struct prompt_arg *args;
};

static bool make_store(struct prompt *p, const char *text, size_t size)
{
    size_t brackets = 0, colons = 0;

    for (size_t i = 0; i < size; i++) {
        brackets += text[i] == '<';
        colons += text[i] == ':';
    }
    struct store *s = calloc(1, sizeof *s);
    p->store = s;
    if (!s) return false;
    s->text = malloc(size + 1);
    s->args = calloc(colons + 1, sizeof *s->args);
    p->tags = calloc(brackets + 1, sizeof *p->tags);
    p->loras = calloc(PROMPT_MAX_LORAS, sizeof *p->loras);
    if (s->text) memcpy(s->text, text, size + 1);
    return s->text && s->args && p->tags && p->loras;
}

static void add_tag(struct prompt *p, size_t *args_used, size_t begin, size_t colon, size_t close)
{
    struct store *s = p->store;
    struct prompt_tag *tag = &p->tags[p->tag_count++];
    struct prompt_arg *args = s->args + *args_used;
    size_t count = 1;

    for (size_t i = colon + 1; i < close; i++) count += s->text[i] == ':';
    s->text[colon] = s->text[close] = '\0';
    split_args(args, count, s->text + colon + 1);
    *tag = (struct prompt_tag) { s->text + begin + 1, args, count, begin, close + 1 };
    *args_used += count;
}

static const char *positional(const struct prompt_tag *tag, size_t index)
{
    for (size_t i = 0; i < tag->arg_count; i++)
        if (!tag->args[i].key && !index--) return tag->args[i].value;
    return NULL;
}

static const char *named(const struct prompt_tag *tag, const char *key)
{
    const char *value = NULL;        /* the last one counts */
    for (size_t i = 0; i < tag->arg_count; i++)
        if (tag->args[i].key && !strcmp(tag->args[i].key, key)) value = tag->args[i].value;
    return value;
}

static bool read_weight(const char *value, const char *name, const char *part, double *weight, struct tinct_err *err)
{
    char what[160];
    snprintf(what, sizeof what, "the %s weight of <lora:%.100s>", part, name);
    return number_read_weight(value, strlen(value), what, weight, err);
}

/* A third position that is no number names block weights, as the block weight extension has it. */
static bool read_weights(struct prompt_lora *l, const struct prompt_tag *tag, struct tinct_err *err)
{
    const char *second = positional(tag, 1), *third = positional(tag, 2);
    const char *te = named(tag, "te"), *unet = named(tag, "unet");
    double number;

    l->te = 1;
    if (!te) te = second;
    if (te && !read_weight(te, l->name, "text encoder", &l->te, err)) return false;
    l->unet = l->te;
    if (third && !number_read(third, strlen(third), &number)) {
        l->blocks = third;
        third = NULL;
    }
    if (!unet) unet = third;
    if (unet && !read_weight(unet, l->name, "UNet", &l->unet, err)) return false;
    if (named(tag, "w")) l->blocks = named(tag, "w");
    if (named(tag, "lbw")) l->blocks = named(tag, "lbw");
    return true;
}

static bool read_dyn(struct prompt_lora *l, const struct prompt_tag *tag, struct tinct_err *err)
{
    const char *value = named(tag, "dyn") ? named(tag, "dyn") : l->blocks ? NULL : positional(tag, 3);
    double ranks = 0;

    if (!value) return true;
    if (!number_read(value, strlen(value), &ranks) || ranks < 1 || ranks > 65536 || ranks != (int)ranks)
        return tinct_fail(err, TINCT_ERR_ARG, "dyn of <lora:%.100s> is \"%.60s\", which is no count of ranks such as 8",
                          l->name, value);
    l->dyn = (int)ranks;
    return true;
}

enum { MOST_STEPS = 1000 };

static bool read_step(const char *text, size_t size, int *step)
{
    double number;

    if (!number_read(text, size, &number) || number < 1 || number > MOST_STEPS || number != (int)number) return false;
    *step = (int)number;
    return true;
}

static bool read_steps(struct prompt_lora *l, const struct prompt_tag *tag, struct tinct_err *err)
{
    const char *start = named(tag, "start"), *stop = named(tag, "stop"), *range = named(tag, "step");
    const char *dash = range ? strchr(range, '-') : NULL;
    bool ok = !range || (dash && read_step(range, (size_t)(dash - range), &l->start) && read_step(dash + 1, strlen(dash + 1), &l->stop));

    ok = ok && (!start || read_step(start, strlen(start), &l->start)) && (!stop || read_step(stop, strlen(stop), &l->stop));
    if (!ok)
        return tinct_fail(err, TINCT_ERR_ARG, "<lora:%.100s>: start= and stop= are steps in 1..%d, step= two of them as in step=3-10",
                          l->name, MOST_STEPS);
    if (l->stop && l->stop < l->start)
        return tinct_fail(err, TINCT_ERR_ARG, "<lora:%.100s>: it would stop with step %d, before it starts with step %d", l->name,
                          l->stop, l->start);
    return true;
}

static bool add_lora(struct prompt *p, const struct prompt_tag *tag, struct tinct_err *err)
{
    if (p->lora_count == PROMPT_MAX_LORAS)
        return tinct_fail(err, TINCT_ERR_ARG, "the prompt has more than %d LoRA tags; at most %d can be used",
                          PROMPT_MAX_LORAS, PROMPT_MAX_LORAS);
    struct prompt_lora *l = &p->loras[p->lora_count++];
    l->name = positional(tag, 0);
    l->tag = p->tag_count - 1;
    if (!l->name || !*l->name)
        return tinct_fail(err, TINCT_ERR_ARG, "a LoRA tag at byte %zu of the prompt has no name: write <lora:name:0.8>",
                          tag->begin);
    return read_weights(l, tag, err) && read_dyn(l, tag, err) && read_steps(l, tag, err);
}

bool tags_take(struct prompt *out, const char *text, size_t size, struct str *plain, struct tinct_err *err)
{
    const char *last = strrchr(text, '>');
    size_t kept = 0, args_used = 0, searched = last ? (size_t)(last - text) + 1 : 0, colon, close;

    if (!make_store(out, text, size)) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
    for (size_t at = 0; at < searched;) {
        if (text[at] != '<' || !find_tag(text, searched, at, &colon, &close)) {
            at++;
            continue;
        }
        str_add_bytes(plain, text + kept, at - kept);
        add_tag(out, &args_used, at, colon, close);
        kept = at = close + 1;

        const struct prompt_tag *tag = &out->tags[out->tag_count - 1];
        if ((!strcmp(tag->word, "lora") || !strcmp(tag->word, "lyco")) && !add_lora(out, tag, err)) return false;
    }
    str_add_bytes(plain, text + kept, size - kept);
    return true;
}

void tags_free(struct prompt *p)
{
    struct store *s = p->store;

    if (s) {
        free(s->text);
        free(s->args);
    }
    free(s);
    free(p->tags);
    free(p->loras);
}
