/* Prompts for programs that edit them, the embeddings that they may name, and the names that settings are chosen from. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "pipeline/embeddings.h"
#include "sampler/sampler.h"
#include "text/chunks.h"
#include "text/prompt.h"
#include "text/tag_edit.h"
#include "text/tokenizer.h"
#include "tinct.h"

struct read_prompt {
    struct tinct_prompt about; /* first: the caller holds its address */
    struct prompt parsed;
    struct tinct_prompt_lora loras[PROMPT_MAX_LORAS];
};

static bool count_tokens(struct read_prompt *r, struct tinct_embeddings *embeddings, struct tinct_err *err)
{
    struct chunk_options options = { .pad = TOKEN_END, .find = embeddings ? embeddings_find : NULL, .user = embeddings };

    r->about.chunks = 1;
    for (size_t i = 0; i < r->parsed.part_count; i++) {
        const struct prompt_part *part = &r->parsed.parts[i];
        for (size_t j = 0; j < part->text_count; j++) {
            struct chunks c;
            if (!chunks_make(&c, part->texts[j], &options, err)) return false;
            if ((int)c.own_tokens > r->about.tokens) r->about.tokens = (int)c.own_tokens;
            if ((int)c.count > r->about.chunks) r->about.chunks = (int)c.count;
            chunks_free(&c);
        }
    }
    return true;
}

struct tinct_prompt *tinct_prompt_read(const char *prompt, bool negative, struct tinct_embeddings *embeddings,
                                       struct tinct_err *err)
{
    struct read_prompt *r = calloc(1, sizeof *r);

    if (!r) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
        return NULL;
    }
    if (!prompt_parse(&r->parsed, prompt, &(struct prompt_options) { .steps = 20, .negative = negative }, err) ||
        !count_tokens(r, embeddings, err)) {
        tinct_prompt_free(&r->about);
        return NULL;
    }
    for (size_t i = 0; i < r->parsed.lora_count; i++) {
        const struct prompt_lora *lora = &r->parsed.loras[i];
        const struct prompt_tag *tag = &r->parsed.tags[lora->tag];
        r->loras[i] = (struct tinct_prompt_lora) { lora->name, lora->te, lora->unet, tag->begin, tag->end };
    }
    r->about.loras = r->loras;
    r->about.lora_count = r->parsed.lora_count;
    return &r->about;
}

/* struct tinct_embeddings is what is outside, struct embeddings inside: one pointer. */
struct tinct_embeddings *tinct_embeddings_open(const struct tinct_options *o, struct tinct_err *err)
{
    return (struct tinct_embeddings *)embeddings_open(&(struct embeddings_options) {
        .dir = o->embedding_dir, .models_dir = o->models_dir, .cache_dir = o->cache_dir }, NULL, 0, err);
}

void tinct_embeddings_close(struct tinct_embeddings *embeddings)
{
    embeddings_close((struct embeddings *)embeddings);
}

void tinct_prompt_free(struct tinct_prompt *prompt)
{
    if (!prompt) return;
    prompt_free(&((struct read_prompt *)prompt)->parsed);
    free(prompt);
}

char *tinct_prompt_set_lora(const char *prompt, const char *name, const double *weight, struct tinct_err *err)
{
    return tag_edit_lora(prompt, name, weight, err);
}

const char *tinct_sampler_name(int index)
{
    return index >= 0 && index < SAMPLER_COUNT ? sampler_at(index)->name : NULL;
}

const char *tinct_scheduler_name(int index)
{
    return index >= 0 && index < SCHEDULE_COUNT ? schedule_name((enum schedule_kind)index) : NULL;
}
