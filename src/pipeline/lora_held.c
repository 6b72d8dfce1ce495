/* LoRAs that are set on the open model. */
#include <stdlib.h>
#include <string.h>

#include "pipeline/lora_stack.h"

size_t tinct_lora_count(const struct tinct *t)
{
    return t->held_count;
}

struct tinct_lora tinct_lora_at(const struct tinct *t, size_t index)
{
    return t->held[index].lora;
}

static void free_held(struct held_lora *h)
{
    free((char *)h->lora.name);
    free((char *)h->lora.blocks);
    free(h->path);
}

void context_drop_held(struct tinct *t)
{
    for (size_t i = 0; i < t->held_count; i++) free_held(&t->held[i]);
    free(t->held);
    t->held = NULL;
    t->held_count = 0;
}

static char *copy(const char *text)
{
    char *to = malloc(strlen(text) + 1);
    return to ? strcpy(to, text) : NULL;
}

/* h: the LoRA with strings of its own and its file, opened and compared with the model. */
static bool hold(struct tinct *t, struct held_lora *h, const struct tinct_lora *lora, struct tinct_err *err)
{
    struct lora_wish wish = { .name = lora->name };

    *h = (struct held_lora) { .lora = *lora };
    h->lora.name = copy(lora->name);
    h->lora.blocks = lora->blocks ? copy(lora->blocks) : NULL;
    bool ok = (h->lora.name && (h->lora.blocks || !lora->blocks)) || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a LoRA");
    ok = ok && lora_wish_find(&wish, t, &t->places, &(struct tinct_txt2img) { 0 }, err);
    h->path = wish.path;
    ok = ok && context_adapters(t, err) && adapters_open(t->adapters, h->path, err);
    if (!ok) free_held(h);
    return ok;
}

bool tinct_lora_set(struct tinct *t, const struct tinct_lora *lora, struct tinct_err *err)
{
    struct tinct_err own;
    struct held_lora h, *more;

    if (!err) err = &own;
    if (!lora_wish_check(lora, err) || !hold(t, &h, lora, err)) return false;
    for (size_t i = 0; i < t->held_count; i++) {
        if (strcmp(t->held[i].path, h.path)) continue;
        free_held(&t->held[i]);
        t->held[i] = h;
        return true;
    }
    more = t->held_count < TINCT_LORAS_MAX ? realloc(t->held, (t->held_count + 1) * sizeof *more) : NULL;
    if (!more) {
        free_held(&h);
        if (t->held_count < TINCT_LORAS_MAX) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a LoRA");
        return tinct_fail(err, TINCT_ERR_ARG, "%d LoRAs are set already, and no more can be", TINCT_LORAS_MAX);
    }
    t->held = more;
    t->held[t->held_count++] = h;
    return true;
}

bool tinct_lora_remove(struct tinct *t, const char *name, struct tinct_err *err)
{
    for (size_t i = 0; name && i < t->held_count; i++) {
        if (strcmp(t->held[i].lora.name, name)) continue;
        free_held(&t->held[i]);
        memmove(&t->held[i], &t->held[i + 1], (--t->held_count - i) * sizeof *t->held);
        return true;
    }
    return tinct_fail(err, TINCT_ERR_ARG, "LoRA \"%s\" is not set", name ? name : "");
}
