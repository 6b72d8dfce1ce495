#include "window/form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool form_set_text(char **text, const char *to)
{
    char *copy = malloc(strlen(to) + 1);

    if (!copy) return false;
    strcpy(copy, to);
    free(*text);
    *text = copy;
    return true;
}

bool form_init(struct form *form)
{
    *form = (struct form) { .steps = 20, .clip_skip = 1, .count = 1, .guidance = 7.0f, .seed = form_random_seed() };
    return form_set_text(&form->prompt, "") && form_set_text(&form->negative, "");
}

void form_free(struct form *form)
{
    free(form->prompt);
    free(form->negative);
    *form = (struct form) { 0 };
}

bool form_copy(struct form *to, const struct form *from)
{
    bool ok = form_set_text(&to->prompt, from->prompt) && form_set_text(&to->negative, from->negative);
    char *prompt = to->prompt, *negative = to->negative;

    *to = *from;
    to->prompt = prompt;
    to->negative = negative;
    return ok;
}

struct tinct_txt2img form_picture(const struct form *form)
{
    return (struct tinct_txt2img) {
        .prompt = form->prompt,
        .negative = form->negative,
        .lora_hashes = *form->lora_hashes ? form->lora_hashes : NULL,
        .embedding_hashes = *form->embedding_hashes ? form->embedding_hashes : NULL,
        .width = form->width,
        .height = form->height,
        .steps = form->steps,
        .guidance = form->guidance,
        .seed = form->seed,
        .sampler = *form->sampler ? form->sampler : NULL,
        .scheduler = *form->scheduler ? form->scheduler : NULL,
        .clip_skip = form->clip_skip,
        .eta = form->eta_given ? &form->eta : NULL,
        .rng = form->rng,
        .emphasis = form->emphasis,
        .ensd = form->ensd,
        .subseed = form->subseed,
        .subseed_strength = form->subseed_strength,
    };
}

bool form_restore(struct form *form, const struct tinct_recipe *recipe)
{
    const struct tinct_txt2img *p = &recipe->picture;

    if (!form_set_text(&form->prompt, p->prompt) || !form_set_text(&form->negative, p->negative ? p->negative : "")) return false;
    snprintf(form->sampler, sizeof form->sampler, "%s", p->sampler ? p->sampler : "");
    snprintf(form->scheduler, sizeof form->scheduler, "%s", p->scheduler ? p->scheduler : "");
    form->width = p->width;
    form->height = p->height;
    form->steps = p->steps > 0 ? p->steps : 20;
    form->guidance = p->guidance > 0 ? p->guidance : 7.0f;
    form->clip_skip = p->clip_skip > 0 ? p->clip_skip : 1;
    if (p->seed >= 0) form->seed = p->seed;
    form->keep_seed = p->seed >= 0;
    form->eta_given = p->eta != NULL;
    form->eta = p->eta ? *p->eta : 0.0f;
    form->rng = p->rng;
    form->emphasis = p->emphasis;
    form->ensd = p->ensd;
    form->subseed = p->subseed;
    form->subseed_strength = p->subseed_strength;
    snprintf(form->lora_hashes, sizeof form->lora_hashes, "%s", p->lora_hashes ? p->lora_hashes : "");
    snprintf(form->embedding_hashes, sizeof form->embedding_hashes, "%s", p->embedding_hashes ? p->embedding_hashes : "");
    return true;
}

int64_t form_random_seed(void)
{
    static const char source[] = "/dev/urandom";
    uint32_t seed = (uint32_t)time(NULL) * 2654435761u ^ (uint32_t)clock();
    FILE *random = fopen(source, "rb");

    if (random) {
        uint32_t drawn;
        if (fread(&drawn, sizeof drawn, 1, random) == 1) seed = drawn;
        fclose(random);
    }
    return seed;
}
