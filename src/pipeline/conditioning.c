#include "pipeline/conditioning.h"

#include <stdlib.h>
#include <string.h>

#include "text/chunks.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

struct encoded {
    const char *text;                   /* in a prompt's store */
    float *z;                           /* [tokens, width] */
    uint32_t tokens;
};

struct conditioning {
    struct tinct *t;
    struct prompt negative, positive;
    struct encoded *texts;              /* every different segment, once */
    uint32_t text_count;
    float scale;
    uint32_t chosen[GUIDANCE_PARTS];    /* texts of the last evaluation; serial stands for them */
    uint64_t serial;
};

/* ---- encoding ----------------------------------------------------------------- */

static bool encode(struct conditioning *c, struct encoded *e, const struct tinct_txt2img *p, struct tinct_err *err)
{
    const struct model *m = c->t->model;
    struct chunks chunks;

    if (!chunks_make(&chunks, e->text, &(struct chunk_options) { .emphasis = p->emphasis, .pad = TOKEN_END }, err))
        return false;
    e->tokens = chunks.count * CLIP_TOKENS;
    e->z = malloc(sizeof *e->z * e->tokens * m->clip.width);
    bool ok = e->z != NULL || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for an encoded prompt");
    ok = ok && text_encode(m, e->z, chunks.ids, chunks.count, (uint32_t)p->clip_skip, err);
    if (ok) chunks_weigh(&chunks, p->emphasis, e->z, m->clip.width);
    chunks_free(&chunks);
    return ok;
}

static int find_text(const struct conditioning *c, const char *text)
{
    for (uint32_t i = 0; i < c->text_count; i++)
        if (!strcmp(c->texts[i].text, text)) return (int)i;
    return -1;
}

static bool encode_texts(struct conditioning *c, const struct prompt_part *part, const struct tinct_txt2img *p,
                         struct tinct_err *err)
{
    for (size_t i = 0; i < part->text_count; i++) {
        if (find_text(c, part->texts[i]) >= 0) continue;
        struct encoded *more = realloc(c->texts, (c->text_count + 1) * sizeof *more);
        if (!more) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for an encoded prompt");
        c->texts = more;
        c->texts[c->text_count] = (struct encoded) { .text = part->texts[i] };
        if (!encode(c, &c->texts[c->text_count++], p, err)) return false;
    }
    return true;
}

static bool encode_prompt(struct conditioning *c, const struct prompt *prompt, const struct tinct_txt2img *p,
                          struct tinct_err *err)
{
    for (size_t i = 0; i < prompt->part_count; i++)
        if (!encode_texts(c, &prompt->parts[i], p, err)) return false;
    return true;
}

struct conditioning *conditioning_create(struct tinct *t, const struct tinct_txt2img *p, bool second_order,
                                         struct tinct_err *err)
{
    struct conditioning *c = calloc(1, sizeof *c);
    struct prompt_options options = { .steps = second_order ? 2 * p->steps : p->steps };

    if (!c) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
        return NULL;
    }
    c->t = t;
    c->scale = p->guidance;
    if (!prompt_parse(&c->positive, p->prompt, &options, err)) goto fail;
    options.negative = true;
    if (!prompt_parse(&c->negative, p->negative, &options, err)) {
        tinct_within(err, "negative prompt");
        goto fail;
    }
    if (!encode_prompt(c, &c->negative, p, err) || !encode_prompt(c, &c->positive, p, err)) goto fail;
    return c;
fail:
    conditioning_free(c);
    return NULL;
}

void conditioning_free(struct conditioning *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->text_count; i++) free(c->texts[i].z);
    free(c->texts);
    prompt_free(&c->positive);
    prompt_free(&c->negative);
    free(c);
}

void conditioning_expire(struct conditioning *c)
{
    c->serial = 0;
}

/* ---- choosing ------------------------------------------------------------------- */

static void choose(struct conditioning *c, const struct prompt_part *part, int evaluation, struct guidance *g)
{
    uint32_t text = (uint32_t)find_text(c, part->texts[prompt_segment_at(part, evaluation)->text]);

    if (!c->serial || c->chosen[g->count] != text) c->serial = 0;       /* another text: another serial */
    c->chosen[g->count] = text;
    g->part[g->count++] = (struct guidance_part) { c->texts[text].z, c->texts[text].tokens, (float)part->weight };
}

void conditioning_at(struct conditioning *c, int evaluation, struct guidance *g)
{
    g->count = 0;
    g->scale = c->scale;
    choose(c, &c->negative.parts[0], evaluation, g);
    for (size_t i = 0; i < c->positive.part_count; i++) choose(c, &c->positive.parts[i], evaluation, g);
    if (!c->serial) c->serial = ++c->t->last_serial;
    g->serial = c->serial;
}
