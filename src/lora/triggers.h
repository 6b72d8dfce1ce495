/* Trigger words: what calls a LoRA, by those who know, best first (spec/lora.md 4.5). */
#ifndef TINCT_LORA_TRIGGERS_H
#define TINCT_LORA_TRIGGERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "tensor/safetensors.h"

enum lora_trigger_source {
    LORA_TRIGGERS_NONE,
    LORA_TRIGGERS_USER,      /* "activation text" of the sidecar NAME.json */
    LORA_TRIGGERS_MODELSPEC, /* modelspec.trigger_phrase */
    LORA_TRIGGERS_CIVITAI,   /* trainedWords of NAME.civitai.info: choices, not all to be used at once */
    LORA_TRIGGERS_CLASS,     /* kohya's class_tokens, or the training folders' names */
    LORA_TRIGGERS_TAGS,      /* tags of nine out of ten training pictures */
};

struct lora_triggers {
    enum lora_trigger_source source;
    char **words; /* [count] UTF-8, trimmed, without "<lora:...>", no two alike; a phrase with commas is cut at them */
    size_t count;
};

enum { LORA_TRIGGERS_MAX = 64 };

/* From the first source that has any. The sidecars may be NULL. False without memory. */
bool lora_triggers_find(struct lora_triggers *triggers, const struct json *user, const struct json *civitai,
                        const struct safetensors *st);
void lora_triggers_free(struct lora_triggers *triggers);

/* The most frequent tags of kohya's training captions with how many pictures have each: "solo (20), 1girl (19)",
 * 12 at most; "" where the file tells none. NULL without memory. The caller frees it. */
char *lora_training_tags(const struct safetensors *st);

/* "modelspec", "training folders" ... */
const char *lora_trigger_source_name(enum lora_trigger_source source);

/* Does the prompt hold the words, whole and whatever the case of ASCII letters? */
bool lora_trigger_in(const char *prompt, const char *words);

#endif
