/* The LoRAs of one picture: from its prompt's tags, its parameters and what is set on the model, to files that are open,
 * words in the prompt, weights step by step, and what the recipe says. */
#ifndef TINCT_PIPELINE_LORA_STACK_H
#define TINCT_PIPELINE_LORA_STACK_H

#include "pipeline/adapters.h"
#include "pipeline/context.h"
#include "pipeline/lora_places.h"
#include "text/prompt.h"

struct lora_stack;

/* Every name is looked up before any file is opened, every file is opened before a weight is touched.
 *
 * p is settled. Refused: the prompt's own mistakes; a name that is not there, unless p->lenient; more than
 * TINCT_LORAS_MAX; strengths, block weights or steps out of range; what adapters_open refuses. */
struct lora_stack *lora_stack_create(struct tinct *t, const struct tinct_txt2img *p, struct tinct_err *err);
void lora_stack_free(struct lora_stack *l);                  /* NULL is fine; weights stay as they are */

/* The prompt with a tag for each LoRA from elsewhere and, where asked for, the trigger words it lacks; the negative one
 * without LoRA tags. Live as long as l. */
const char *lora_stack_prompt(const struct lora_stack *l);
const char *lora_stack_negative(const struct lora_stack *l);

/* Make the weights those of this sampler step, counted from 1. The text encoder's are the same in all steps. *changed:
 * whether keys and values of the text are out of date. Refused as adapters_apply. */
bool lora_stack_apply(struct lora_stack *l, int step, bool *changed, struct tinct_err *err);

/* The files in use, each once; NULL: none are. Returns how many. */
size_t lora_stack_files(const struct lora_stack *l, const struct safetensors *files[TINCT_LORAS_MAX]);

/* For the recipe: "arcane: 0123456789ab, ..." and "name, ..."; "" where there are none. */
const char *lora_stack_hashes(const struct lora_stack *l);
const char *lora_stack_not_found(const struct lora_stack *l);

/* ---- for the files of this bridge -------------------------------------------- */

struct lora_wish {
    const char *name;                              /* as it was called */
    float te, unet;
    const char *blocks_text;                       /* NULL: none */
    struct lora_blocks blocks;
    uint32_t keep;
    int start, stop;                               /* 0: first, last */
    bool tagged;                                   /* by a tag of the prompt */
    char *path;                                    /* NULL: not there, and that is forgiven */
    const struct adapter *adapter;
    double ms;                                     /* to open it; next to nothing where it was open */
};

/* lora_wishes.c: the list [*count] of a picture, checked. The caller frees it; its strings belong to parsed, p and t.
 * t may be NULL. */
struct lora_wish *lora_wishes(const struct tinct *t, const struct prompt *parsed, const struct tinct_txt2img *p,
                              size_t *count, struct tinct_err *err);
bool lora_wish_check(const struct tinct_lora *lora, struct tinct_err *err);
void lora_wish_tag(struct str *out, const struct lora_wish *wish);     /* "<lora:arcane:0.8>" */

/* Gives path its value; "" is a name that is not there, where p->lenient. */
bool lora_wish_find(struct lora_wish *wish, struct tinct *t, struct lora_places *places, const struct tinct_txt2img *p,
                    struct tinct_err *err);

/* lora_words.c: lines for the log. */
void lora_tell(const struct tinct *t, const struct lora_wish *wish, int steps);
void lora_tell_tags(const struct tinct *t, const struct prompt *parsed);   /* words and arguments that nobody knows */

/* The trigger words of wish that text lacks, at *out with ", " between them: all of a list, the first of a choice of
 * which text holds none. False without memory. */
bool lora_missing_words(const struct tinct *t, const struct lora_wish *wish, const char *text, struct str *out);

/* text without its <lora:...> and <lyco:...>; any_tag: without all <word:...>. */
void lora_strip(struct str *out, const char *text, const struct prompt *parsed, bool any_tag);

#endif
