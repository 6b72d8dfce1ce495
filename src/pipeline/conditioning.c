#include "pipeline/conditioning.h"

#include <stdlib.h>
#include <string.h>

#include "pipeline/embeddings.h"
#include "text/chunks.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

struct encoded {
    float *z;                           /* [tokens, width] */
    uint32_t tokens;
};

struct part {                           /* the negative prompt, or one of the positive parts */
    const struct prompt_part *said;
    struct encoded *texts;              /* [said->text_count]: one for each of its different texts */
};

struct conditioning {
    struct tinct *t;
    const struct tinct_txt2img *p;      /* while prompts are encoded */
    struct prompt negative, positive;
    struct embeddings *embeddings;
    struct part parts[GUIDANCE_PARTS];  /* in struct guidance's order */
    uint32_t part_count;
    float scale;
    size_t chosen[GUIDANCE_PARTS];      /* texts of the last evaluation; serial stands for them */
    uint64_t serial;
};

static bool no_memory(struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for an encoded prompt");
}

/* ---- one text ------------------------------------------------------------------- */

static struct chunk_options chunk_options(const struct conditioning *c)
{
    return (struct chunk_options) { .emphasis = c->p->emphasis, .pad = TOKEN_END,
                                    .find = embeddings_find, .user = c->embeddings };
}

/* Where embeddings' vectors stand in for tokens' own: [chunks, 77]. */
static const float **own_vectors(const struct chunks *chunks)
{
    const float **own = calloc((size_t)chunks->count * CHUNK_TOKENS, sizeof *own);

    for (size_t i = 0; own && i < chunks->insert_count; i++) {
        const struct chunk_insert *insert = &chunks->inserts[i];
        const struct embedding *e = insert->embedding;
        const float **at = own + (size_t)insert->chunk * CHUNK_TOKENS + insert->position;
        for (uint32_t v = 0; v < insert->vectors; v++) at[v] = e->vectors + (size_t)v * e->width;
    }
    return own;
}

static bool encode(const struct conditioning *c, struct encoded *e, const struct chunks *chunks, struct tinct_err *err)
{
    const struct model *m = c->t->model;
    const float **own = own_vectors(chunks);

    e->tokens = chunks->count * CLIP_TOKENS;
    e->z = malloc(sizeof *e->z * e->tokens * m->clip.width);
    bool ok = (own && e->z) || no_memory(err);
    ok = ok && text_encode(m, e->z, chunks->ids, own, chunks->count, (uint32_t)c->p->clip_skip, err);
    if (ok) chunks_weigh(chunks, c->p->emphasis, e->z, m->clip.width);
    free(own);
    return ok;
}

/* ---- one part: texts that take turns ---------------------------------------------- */

/* All of a part get the length of its longest text, with empty chunks (A1111). */
static bool chunk_texts(const struct conditioning *c, struct chunks *chunks, const struct prompt_part *said,
                        struct tinct_err *err)
{
    struct chunk_options options = chunk_options(c);
    uint32_t longest = 0;

    for (size_t i = 0; i < said->text_count; i++) {
        bool lenient = c->p->lenient || c->p->emphasis == TINCT_EMPHASIS_NONE;
        if (!lenient && !embeddings_expect(c->embeddings, said->texts[i], err)) return false;
        if (!chunks_make(&chunks[i], said->texts[i], &options, err) || !embeddings_sound(c->embeddings, err)) return false;
        if (chunks[i].count > longest) longest = chunks[i].count;
    }
    for (size_t i = 0; i < said->text_count; i++)
        if (!chunks_extend(&chunks[i], longest, &options, err)) return false;
    return true;
}

static bool encode_part(struct conditioning *c, struct part *part, struct tinct_err *err)
{
    size_t count = part->said->text_count;
    struct chunks *chunks = calloc(count, sizeof *chunks);

    part->texts = calloc(count, sizeof *part->texts);
    bool ok = chunks && part->texts ? chunk_texts(c, chunks, part->said, err) : no_memory(err);
    for (size_t i = 0; ok && i < count; i++) ok = encode(c, &part->texts[i], &chunks[i], err);
    for (size_t i = 0; chunks && i < count; i++) chunks_free(&chunks[i]);
    free(chunks);
    return ok;
}

/* ---- all ------------------------------------------------------------------------ */

/* Rows up to tokens, all like the last (A1111, for parts of different lengths). */
static bool repeat_last(struct encoded *e, uint32_t tokens, uint32_t width, struct tinct_err *err)
{
    float *z = tokens > e->tokens ? realloc(e->z, sizeof *z * tokens * width) : e->z;

    if (!z) return no_memory(err);
    e->z = z;
    for (; e->tokens < tokens; e->tokens++)
        memcpy(z + (size_t)e->tokens * width, z + (size_t)(e->tokens - 1) * width, width * sizeof *z);
    return true;
}

/* The positive parts get the length of the longest. The negative prompt keeps its own, and is evaluated by itself. */
static bool level_parts(struct conditioning *c, struct tinct_err *err)
{
    uint32_t longest = 0;

    for (uint32_t i = 1; i < c->part_count; i++)
        if (c->parts[i].texts[0].tokens > longest) longest = c->parts[i].texts[0].tokens;
    for (uint32_t i = 1; i < c->part_count; i++)
        for (size_t k = 0; k < c->parts[i].said->text_count; k++)
            if (!repeat_last(&c->parts[i].texts[k], longest, c->t->model->clip.width, err)) return false;
    return true;
}

static bool encode_all(struct conditioning *c, struct tinct_err *err)
{
    c->parts[c->part_count++].said = &c->negative.parts[0];
    for (size_t i = 0; i < c->positive.part_count; i++) c->parts[c->part_count++].said = &c->positive.parts[i];
    for (uint32_t i = 1; i < c->part_count; i++)    /* the recipe names their embeddings first */
        if (!encode_part(c, &c->parts[i], err)) return false;
    if (!encode_part(c, &c->parts[0], err)) return tinct_within(err, "negative prompt");
    return level_parts(c, err);
}

static bool parse(struct conditioning *c, bool second_order, struct tinct_err *err)
{
    struct prompt_options options = { .steps = second_order ? 2 * c->p->steps : c->p->steps };

    if (!prompt_parse(&c->positive, c->p->prompt, &options, err)) return false;
    options.negative = true;
    return prompt_parse(&c->negative, c->p->negative, &options, err) || tinct_within(err, "negative prompt");
}

static struct embeddings *open_embeddings(const struct tinct *t, const struct tinct_txt2img *p, const struct lora_stack *loras,
                                          struct tinct_err *err)
{
    const struct safetensors *files[TINCT_LORAS_MAX];
    size_t count = lora_stack_files(loras, files);

    return embeddings_open(&(struct embeddings_options) {
        .dir = t->embedding_dir, .models_dir = t->places.models_dir, .cache_dir = t->cache_dir, .hashes = p->embedding_hashes,
        .width = t->model->clip.width, .log = t }, files, count, err);
}

struct conditioning *conditioning_create(struct tinct *t, const struct tinct_txt2img *p, const struct lora_stack *loras,
                                         bool second_order, struct tinct_err *err)
{
    struct conditioning *c = calloc(1, sizeof *c);

    if (!c) {
        no_memory(err);
        return NULL;
    }
    c->t = t;
    c->p = p;
    c->scale = p->guidance;
    if (parse(c, second_order, err) && (c->embeddings = open_embeddings(t, p, loras, err)) && encode_all(c, err)) return c;
    conditioning_free(c);
    return NULL;
}

static void free_part(struct part *part)
{
    for (size_t i = 0; part->texts && i < part->said->text_count; i++) free(part->texts[i].z);
    free(part->texts);
}

void conditioning_free(struct conditioning *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->part_count; i++) free_part(&c->parts[i]);
    embeddings_close(c->embeddings);
    prompt_free(&c->positive);
    prompt_free(&c->negative);
    free(c);
}

void conditioning_expire(struct conditioning *c)
{
    c->serial = 0;
}

/* ---- choosing ------------------------------------------------------------------- */

void conditioning_at(struct conditioning *c, int evaluation, struct guidance *g)
{
    g->count = c->part_count;
    g->scale = c->scale;
    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct part *part = &c->parts[i];
        size_t text = prompt_segment_at(part->said, evaluation)->text;
        if (c->chosen[i] != text) c->serial = 0;    /* another text: another serial */
        c->chosen[i] = text;
        const struct encoded *e = &part->texts[text];
        g->part[i] = (struct guidance_part) { e->z, e->tokens, (float)part->said->weight };
    }
    if (!c->serial) c->serial = ++c->t->last_serial;
    g->serial = c->serial;
}

char *conditioning_embeddings(const struct conditioning *c, struct tinct_err *err)
{
    return embeddings_hashes(c->embeddings, err);
}
