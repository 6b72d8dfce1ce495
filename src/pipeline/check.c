/* What can be refused before a model is loaded. */
#include <stdlib.h>

#include "base/save.h"
#include "pipeline/embeddings.h"
#include "pipeline/lora_stack.h"
#include "sampler/sampler.h"
#include "text/chunks.h"
#include "text/tokenizer.h"

enum { STEPS_DEFAULT = 20 };

/* Every text of every part, as the encoder would get it. */
static bool check_texts(const struct prompt *parsed, enum tinct_emphasis emphasis, struct tinct_err *err)
{
    for (size_t i = 0; i < parsed->part_count; i++)
        for (size_t k = 0; k < parsed->parts[i].text_count; k++) {
            struct chunks chunks;
            struct chunk_options options = { .emphasis = emphasis, .pad = TOKEN_END };
            if (!chunks_make(&chunks, parsed->parts[i].texts[k], &options, err)) return false;
            chunks_free(&chunks);
        }
    return true;
}

static bool check_loras(const struct prompt *parsed, const struct tinct_txt2img *p, struct tinct_err *err)
{
    size_t count;
    struct lora_wish *wishes = lora_wishes(NULL, parsed, p, &count, err);

    free(wishes);
    return wishes != NULL;
}

static bool check_prompt(const struct tinct_txt2img *p, bool negative, struct tinct_err *err)
{
    const char *text = negative ? p->negative : p->prompt;
    struct prompt_options options = { .steps = p->steps > 0 ? p->steps : STEPS_DEFAULT, .negative = negative };
    struct prompt parsed;

    if (!text) return true;
    bool ok = prompt_parse(&parsed, text, &options, err);
    if (ok) {
        ok = check_texts(&parsed, p->emphasis, err) && (negative || check_loras(&parsed, p, err));
        prompt_free(&parsed);
    }
    return ok || (negative && tinct_within(err, "negative prompt"));
}

bool tinct_check(const struct tinct_txt2img *p, struct tinct_err *err)
{
    enum schedule_kind kind;

    return (!p->sampler || sampler_find(p->sampler, &kind, err)) &&
           (!p->scheduler || schedule_find(&kind, p->scheduler, err)) && check_prompt(p, false, err) &&
           check_prompt(p, true, err);
}

/* Every "embedding:NAME" of every text. */
static bool expect_embeddings(struct embeddings *e, const struct prompt *parsed, struct tinct_err *err)
{
    for (size_t i = 0; i < parsed->part_count; i++)
        for (size_t k = 0; k < parsed->parts[i].text_count; k++)
            if (!embeddings_expect(e, parsed->parts[i].texts[k], err)) return false;
    return true;
}

/* wishes have their paths: a LoRA may bring embeddings. One that cannot be opened brings none; that is told later. */
static bool check_embeddings(const struct tinct_options *o, const struct tinct_txt2img *p, const struct prompt *positive,
                             const struct lora_wish *wishes, size_t count, struct tinct_err *err)
{
    struct safetensors *files[TINCT_LORAS_MAX];
    size_t opened = 0;
    bool negative = p->negative && embeddings_named(p->negative);
    struct prompt parsed = { 0 };

    if (p->lenient || p->emphasis == TINCT_EMPHASIS_NONE || (!negative && !embeddings_named(p->prompt))) return true;
    for (size_t i = 0; i < count; i++)
        if (wishes[i].path && (files[opened] = safetensors_open(wishes[i].path, NULL))) opened++;
    struct embeddings *e = embeddings_open(&(struct embeddings_options) {
        .dir = o->embedding_dir, .models_dir = o->models_dir, .cache_dir = o->cache_dir, .hashes = p->embedding_hashes },
        (const struct safetensors *const *)files, opened, err);
    bool ok = e && expect_embeddings(e, positive, err);
    if (ok && negative) {
        ok = (prompt_parse(&parsed, p->negative, &(struct prompt_options) { .steps = STEPS_DEFAULT, .negative = true }, err) &&
              expect_embeddings(e, &parsed, err)) || tinct_within(err, "negative prompt");
        prompt_free(&parsed);
    }
    embeddings_close(e);
    while (opened) safetensors_close(files[--opened]);
    return ok;
}

bool tinct_lora_check(const struct tinct_options *options, const struct tinct_txt2img *p, struct tinct_err *err)
{
    struct lora_places places = { 0 };
    struct prompt parsed;
    struct tinct_err own;
    size_t count = 0;

    if (!err) err = &own;
    if (!p->prompt) return tinct_fail(err, TINCT_ERR_ARG, "no prompt");
    if (!prompt_parse(&parsed, p->prompt, &(struct prompt_options) { .steps = p->steps > 0 ? p->steps : STEPS_DEFAULT }, err)) return false;
    struct lora_wish *wishes = lora_wishes(NULL, &parsed, p, &count, err);
    bool ok = wishes && (!count || lora_places_open(&places, options, err));
    for (size_t i = 0; ok && i < count; i++) ok = lora_wish_find(&wishes[i], NULL, &places, p, err);
    ok = ok && check_embeddings(options, p, &parsed, wishes, count, err);
    for (size_t i = 0; i < count; i++) free(wishes[i].path);
    free(wishes);
    lora_places_close(&places);
    prompt_free(&parsed);
    return ok;
}

bool tinct_image_check(const char *path, bool overwrite, struct tinct_err *err)
{
    return save_check(path, overwrite, err);
}
