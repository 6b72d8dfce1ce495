#include "pipeline/peak.h"

#include "text/chunks.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

/* Chunks of the longest text of a part; 0: it has mistakes. */
static uint32_t chunks_of(const struct prompt_part *part, const struct tinct_txt2img *p)
{
    const struct chunk_options options = { .emphasis = p->emphasis, .pad = TOKEN_END };
    uint32_t most = 0;

    for (size_t i = 0; i < part->text_count; i++) {
        struct chunks chunks;
        if (!chunks_make(&chunks, part->texts[i], &options, NULL)) return 0;
        if (chunks.count > most) most = chunks.count;
        chunks_free(&chunks);
    }
    return most;
}

struct said {                      /* both prompts: parts of the positive one, and chunks */
    uint32_t parts, chunks, negative_chunks;
};

static bool read_prompt(const char *text, bool negative, const struct tinct_txt2img *p, uint32_t *parts, uint32_t *chunks)
{
    const struct prompt_options options = { .steps = p->steps, .negative = negative };
    struct prompt prompt;
    bool ok = prompt_parse(&prompt, text, &options, NULL);

    *parts = *chunks = 0;
    for (size_t i = 0; ok && i < prompt.part_count; i++) {
        uint32_t count = chunks_of(&prompt.parts[i], p);
        ok = count != 0;
        if (count > *chunks) *chunks = count;
        ++*parts;
    }
    prompt_free(&prompt);
    return ok;
}

/* Of the steps, whose prompts have no texts yet. */
static struct stage_needs steps_need(const struct tinct *t, const struct tinct_txt2img *p, const struct said *said,
                                     uint32_t h, uint32_t w)
{
    struct guidance g = { .count = 1 + said->parts, .scale = p->guidance };

    for (uint32_t i = 0; i < g.count; i++)
        g.part[i] = (struct guidance_part) { NULL, (i ? said->chunks : said->negative_chunks) * CLIP_TOKENS, 1 };
    struct unet_run_size size = denoiser_size(&g, h, w);
    return denoiser_needs(t->model, &size);
}

bool peak_of(const struct tinct *t, const struct tinct_txt2img *p, struct peak *peak)
{
    uint32_t h = (uint32_t)p->height / t->model->vae.factor, w = (uint32_t)p->width / t->model->vae.factor, one;
    struct said said;

    if (!read_prompt(p->prompt, false, p, &said.parts, &said.chunks) ||
        !read_prompt(p->negative, true, p, &one, &said.negative_chunks))
        return false;
    struct stage_needs unet = steps_need(t, p, &said, h, w), vae = vae_decode_needs(t->model, h, w);
    uint64_t host = device_about(t->device)->kind == DEVICE_CPU ? (uint64_t)p->width * (uint64_t)p->height * 3 * 5 : 0;
    uint64_t scratch = unet.scratch > vae.scratch ? unet.scratch : vae.scratch;

    *peak = (struct peak) { unet.scratch + unet.own, vae.scratch + vae.own, scratch, scratch + unet.own + vae.own + host };
    return true;
}

/* What is free, and what is held and will be used again. */
static uint64_t to_be_had(struct tinct *t)
{
    return device_memory_free(t->device) + device_scratch_bytes(t->device);
}

static bool advise(struct tinct_err *err)
{
    return tinct_advise(err, "a smaller picture, or --precision fast on a GPU, takes less");
}

bool peak_fits(struct tinct *t, const struct tinct_txt2img *p, struct tinct_err *err)
{
    const double mib = 1024.0 * 1024.0;
    uint64_t most = device_max_buffer(t->device);
    struct peak peak;

    if (!peak_of(t, p, &peak)) return true;
    if (peak.scratch > most) {
        tinct_fail(err, TINCT_ERR_MEMORY, "%dx%d takes %.0f MiB of working memory at once, the device's driver gives %.0f MiB",
                   p->width, p->height, (double)peak.scratch / mib, (double)most / mib);
        return advise(err);
    }
    if (peak.all > to_be_had(t)) context_drop_runs(t);
    uint64_t have = to_be_had(t);
    if (peak.all <= have) return true;
    tinct_fail(err, TINCT_ERR_MEMORY,
               "%dx%d takes %.0f MiB beside the model (steps %.0f, decoding %.0f), %.0f MiB are free: %.0f MiB missing", p->width,
               p->height, (double)peak.all / mib, (double)peak.unet / mib, (double)peak.vae / mib, (double)have / mib,
               (double)(peak.all - have) / mib);
    return advise(err);
}
