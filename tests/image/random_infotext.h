/* Random recipes out of a stream of bytes, for the quick test and the fuzz entry alike. */
#ifndef TINCT_TESTS_RANDOM_INFOTEXT_H
#define TINCT_TESTS_RANDOM_INFOTEXT_H

#include <stdint.h>
#include <string.h>

#include "image/infotext.h"

struct byte_stream {
    const uint8_t *bytes; /* or NULL: from state */
    size_t left;
    uint64_t state;
};

static inline uint8_t next_byte(struct byte_stream *s)
{
    if (s->bytes) {
        if (!s->left) return 0;
        s->left--;
        return *s->bytes++;
    }
    s->state = s->state * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(s->state >> 56);
}

static inline uint64_t next_word(struct byte_stream *s)
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) word = word << 8 | next_byte(s);
    return word;
}

/* A string of pieces that the grammar could stumble over. */
static inline const char *random_text(struct byte_stream *s, char *out, bool lines)
{
    static const char *const pieces[] = {"a",
                                         "castle",
                                         " ",
                                         ", ",
                                         ": ",
                                         ":",
                                         ",",
                                         "\"",
                                         "\\",
                                         "Steps",
                                         "20",
                                         "\xc3\xa9",
                                         "\xf0\x9f\x8e\xa8",
                                         "\xe3\x80\x80",
                                         "\xc2\xa0",
                                         "\t",
                                         "\r",
                                         "<lora:x:0.5>",
                                         "512x512",
                                         "\x01",
                                         "\x7f",
                                         "-",
                                         "/",
                                         "(",
                                         ")",
                                         "{",
                                         "}",
                                         "SDCPP: {",
                                         "nan",
                                         "\xe7\x8c\xab",
                                         "Negative prompt:",
                                         "\n"};
    enum { PIECES = sizeof pieces / sizeof *pieces };
    char *at = out;
    for (int count = next_byte(s) % 8; count > 0; count--) {
        const char *piece = pieces[next_byte(s) % (lines ? PIECES : PIECES - 1)];
        memcpy(at, piece, strlen(piece));
        at += strlen(piece);
    }
    *at = '\0';
    return out;
}

enum { RANDOM_TEXTS = 16, RANDOM_TEXT_BYTES = 160, RANDOM_EXTRAS = 4 };

struct random_infotext {
    struct infotext info;
    struct infotext_pair extras[RANDOM_EXTRAS];
    char texts[RANDOM_TEXTS][RANDOM_TEXT_BYTES];
};

static inline float random_fraction(struct byte_stream *s)
{
    uint32_t bits = (uint32_t)next_word(s);
    float value;
    if (next_byte(s) % 2) return (float)(next_byte(s) % 40) / 2.0f;
    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? value : NAN;
}

static inline const char *random_value(struct byte_stream *s, char *out)
{
    return next_byte(s) % 3 ? random_text(s, out, true) : NULL;
}

/* At least steps, sampler and seed, so that the last line is one. */
static inline void random_infotext(struct byte_stream *s, struct random_infotext *r)
{
    static const char *const keys[] = {
        "Eta",       "Lora hashes",  "Hires upscale",    "Tiling",           "User",
        "TI hashes", "Hires resize", "Face restoration", "\xc3\xa9l-x/y z_1"};
    int text = 0;
    r->info = INFOTEXT_EMPTY;
    r->info.prompt = random_text(s, r->texts[text++], true);
    r->info.negative = random_text(s, r->texts[text++], true);
    r->info.steps = 1 + next_byte(s);
    r->info.sampler = random_text(s, r->texts[text++], true);
    r->info.scheduler = random_value(s, r->texts[text++]);
    r->info.cfg_scale = random_fraction(s);
    r->info.seed = (int64_t)(next_word(s) >> (1 + next_byte(s) % 60));
    r->info.width = 1 + next_byte(s) * 8;
    r->info.height = 1 + next_byte(s) * 8;
    r->info.model_hash = random_value(s, r->texts[text++]);
    r->info.model = random_value(s, r->texts[text++]);
    r->info.vae_hash = random_value(s, r->texts[text++]);
    r->info.vae = random_value(s, r->texts[text++]);
    r->info.variation_seed = (int64_t)(next_word(s) >> 1);
    r->info.variation_strength = random_fraction(s);
    r->info.denoising_strength = random_fraction(s);
    r->info.clip_skip = 1 + next_byte(s) % 4;
    r->info.ensd = (int64_t)(int8_t)next_byte(s);
    r->info.rng = next_byte(s) % 2 ? "GPU" : "CPU";
    r->info.version = random_value(s, r->texts[text++]);
    r->info.extras = r->extras;
    r->info.extra_count = next_byte(s) % (RANDOM_EXTRAS + 1);
    for (size_t i = 0; i < r->info.extra_count; i++) {
        r->extras[i].key = keys[next_byte(s) % (sizeof keys / sizeof *keys)];
        r->extras[i].value = random_text(s, r->texts[text++], true);
    }
}

/* NULL when what was written reads back as the same recipe and writes the same again; else
 * which part differs. text is what infotext_write gave. */
static inline const char *differs(const struct infotext *a, const struct infotext *b)
{
    const struct {
        const char *name, *a, *b;
    } texts[] = {
        {"sampler", a->sampler, b->sampler},
        {"scheduler", a->scheduler, b->scheduler},
        {"model hash", a->model_hash, b->model_hash},
        {"model", a->model, b->model},
        {"vae hash", a->vae_hash, b->vae_hash},
        {"vae", a->vae, b->vae},
        {"rng", a->rng, b->rng},
        {"version", a->version, b->version},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!texts[i].a != !texts[i].b || (texts[i].a && strcmp(texts[i].a, texts[i].b) != 0))
            return texts[i].name;
    const struct {
        const char *name;
        float a, b;
    } fractions[] = {
        {"cfg scale", a->cfg_scale, b->cfg_scale},
        {"variation strength", a->variation_strength, b->variation_strength},
        {"denoising strength", a->denoising_strength, b->denoising_strength},
    };
    for (size_t i = 0; i < sizeof fractions / sizeof *fractions; i++)
        if (!(isnan(fractions[i].a) && isnan(fractions[i].b)) && fractions[i].a != fractions[i].b)
            return fractions[i].name;
    if (a->steps != b->steps || a->width != b->width || a->height != b->height ||
        a->clip_skip != b->clip_skip)
        return "a count";
    if (a->seed != b->seed || a->variation_seed != b->variation_seed || a->ensd != b->ensd) return "a seed";
    if (a->extra_count != b->extra_count) return "the number of extras";
    for (size_t i = 0; i < a->extra_count; i++) {
        size_t found = 0, wanted = 0; /* extras move to A1111's order: same pairs, as often */
        for (size_t k = 0; k < a->extra_count; k++) {
            wanted += strcmp(a->extras[k].key, a->extras[i].key) == 0 &&
                      strcmp(a->extras[k].value, a->extras[i].value) == 0;
            found += strcmp(b->extras[k].key, a->extras[i].key) == 0 &&
                     strcmp(b->extras[k].value, a->extras[i].value) == 0;
        }
        if (found != wanted) return "an extra";
    }
    return NULL;
}

#endif
