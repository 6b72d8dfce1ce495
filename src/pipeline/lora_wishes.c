/* Which LoRAs a picture asks for, and how strong. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/lora_stack.h"

/* ---- one wish ----------------------------------------------------------------- */

static struct lora_wish of_tag(const struct prompt_lora *l)
{
    return (struct lora_wish) {
        .name = l->name, .te = (float)l->te, .unet = (float)l->unet, .blocks_text = l->blocks, .keep = (uint32_t)l->dyn,
        .start = l->start, .stop = l->stop, .tagged = true,
    };
}

static bool of_struct(struct lora_wish *w, const struct tinct_lora *l, struct tinct_err *err)
{
    const float most = PROMPT_MAX_WEIGHT;

    *w = (struct lora_wish) { .name = l->name, .te = l->te, .unet = l->unet, .blocks_text = l->blocks,
                              .keep = (uint32_t)l->dyn, .start = l->start, .stop = l->stop };
    if (!l->name || !*l->name) return tinct_fail(err, TINCT_ERR_ARG, "a LoRA without a name");
    if (!(fabsf(l->te) <= most && fabsf(l->unet) <= most))
        return tinct_fail(err, TINCT_ERR_ARG, "LoRA \"%s\": strengths %g and %g are not both in -%d..%d", l->name, (double)l->te,
                          (double)l->unet, PROMPT_MAX_WEIGHT, PROMPT_MAX_WEIGHT);
    if (l->dyn < 0) return tinct_fail(err, TINCT_ERR_ARG, "LoRA \"%s\": dyn is %d, which is no count of ranks", l->name, l->dyn);
    if (l->start < 0 || l->stop < 0 || (l->stop && l->stop < l->start))
        return tinct_fail(err, TINCT_ERR_ARG, "LoRA \"%s\": steps %d to %d are none", l->name, l->start, l->stop);
    return true;
}

bool lora_wish_check(const struct tinct_lora *l, struct tinct_err *err)
{
    struct lora_wish wish;

    return of_struct(&wish, l, err) && (!l->blocks || lora_blocks_read(&wish.blocks, l->blocks, err) ||
                                        tinct_within(err, "LoRA \"%s\"", l->name));
}

void lora_wish_tag(struct str *out, const struct lora_wish *w)
{
    bool plain = !strpbrk(w->name, ":<>=");        /* what a tag cannot hold is called by its hash */

    str_addf(out, "<lora:%s:", plain || !w->adapter ? w->name : w->adapter->hash);
    str_add_float(out, w->te);
    if (w->te < w->unet || w->te > w->unet) {
        str_add(out, ":");
        str_add_float(out, w->unet);
    }
    if (w->keep) str_addf(out, ":dyn=%u", (unsigned)w->keep);
    if (w->blocks_text) str_addf(out, ":lbw=%s", w->blocks_text);
    if (w->start) str_addf(out, ":start=%d", w->start);
    if (w->stop) str_addf(out, ":stop=%d", w->stop);
    str_add(out, ">");
}

/* ---- all of a picture ----------------------------------------------------------- */

static bool read_blocks(struct lora_wish *wishes, size_t count, struct tinct_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (wishes[i].blocks_text && !lora_blocks_read(&wishes[i].blocks, wishes[i].blocks_text, err))
            return tinct_within(err, "LoRA \"%s\"", wishes[i].name);
    return true;
}

struct lora_wish *lora_wishes(const struct tinct *t, const struct prompt *parsed, const struct tinct_txt2img *p,
                              size_t *count, struct tinct_err *err)
{
    size_t held = t ? tinct_lora_count(t) : 0, all = parsed->lora_count + p->lora_count + held;
    struct lora_wish *wishes;
    bool ok = true;

    *count = 0;
    if (all > TINCT_LORAS_MAX) {
        tinct_fail(err, TINCT_ERR_ARG, "%zu LoRAs; at most %d can be used together", all, TINCT_LORAS_MAX);
        return NULL;
    }
    wishes = calloc(all + 1, sizeof *wishes);
    if (!wishes) tinct_fail(err, TINCT_ERR_MEMORY, "no memory for %zu LoRAs", all);
    if (!wishes) return NULL;
    for (size_t i = 0; i < parsed->lora_count; i++) wishes[(*count)++] = of_tag(&parsed->loras[i]);
    for (size_t i = 0; ok && i < p->lora_count; i++) ok = of_struct(&wishes[(*count)++], &p->loras[i], err);
    for (size_t i = 0; ok && i < held; i++) {
        struct tinct_lora lora = tinct_lora_at(t, i);
        ok = of_struct(&wishes[(*count)++], &lora, err);
    }
    if (ok && read_blocks(wishes, *count, err)) return wishes;
    free(wishes);
    *count = 0;
    return NULL;
}
