/* A prompt's whole way. The first two bytes choose steps, the hires pass, the old rule and the emphasis; the rest is
 * the prompt. Whatever is understood can be told, and both readings have ends that ascend to the last step. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lora/blocks.h"
#include "text/describe.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const struct prompt *p, int steps)
{
    for (size_t i = 0; i < p->lora_count; i++) {
        struct lora_blocks blocks;
        struct tinct_err err = { 0 };
        if (p->loras[i].blocks && !lora_blocks_read(&blocks, p->loras[i].blocks, &err) && !err.text[0]) abort();
    }
    for (size_t i = 0; i < p->part_count; i++) {
        const struct prompt_part *part = &p->parts[i];
        if (!part->segment_count || part->segments[part->segment_count - 1].end_step != steps) abort();
        for (size_t j = 0; j < part->segment_count; j++) {
            if (part->segments[j].text >= part->text_count) abort();
            if (j && part->segments[j].end_step <= part->segments[j - 1].end_step) abort();
        }
        for (int evaluation = 0; evaluation <= steps; evaluation++)
            if (!part->texts[prompt_segment_at(part, evaluation)->text]) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct prompt p;
    struct tinct_err err;

    if (size < 2) return 0;
    struct prompt_options options = {1 + bytes[0] % 40, bytes[1] & 1 ? 7 : 0, bytes[1] >> 1 & 1, bytes[1] >> 2 & 1};
    char *text = malloc(size - 1);
    if (!text) return 0;
    memcpy(text, bytes + 2, size - 2);
    text[size - 2] = '\0';
    if (prompt_parse(&p, text, &options, &err)) check(&p, options.steps);
    prompt_free(&p);
    free(prompt_describe(text, &options, (enum tinct_emphasis)(bytes[1] >> 4 & 3), NULL, bytes[1] >> 3 & 1, &err));
    free(text);
    return 0;
}
