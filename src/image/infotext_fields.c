#include "image/infotext_fields.h"

#include <string.h>

#include <utf8proc.h>

#define FIELD(name, what, member) { .key = name, .kind = what, .offset = offsetof(struct infotext, member) }
#define KEPT(name) { .key = name, .kind = INFOTEXT_EXTRA }

const struct infotext_field infotext_fields[] = {
    { .key = "Steps", .kind = INFOTEXT_COUNT, .offset = offsetof(struct infotext, steps), .least = 1 },
    FIELD("Sampler", INFOTEXT_TEXT, sampler),
    FIELD("Schedule type", INFOTEXT_TEXT, scheduler),
    FIELD("CFG scale", INFOTEXT_FRACTION, cfg_scale),
    KEPT("Image CFG scale"),
    FIELD("Seed", INFOTEXT_SEED, seed),
    KEPT("Face restoration"),
    FIELD("Size", INFOTEXT_SIZE, width),
    FIELD("Model hash", INFOTEXT_TEXT, model_hash),
    FIELD("Model", INFOTEXT_TEXT, model),
    KEPT("FP8 weight"),
    KEPT("Cache FP16 weight for LoRA"),
    FIELD("VAE hash", INFOTEXT_TEXT, vae_hash),
    FIELD("VAE", INFOTEXT_TEXT, vae),
    FIELD("Variation seed", INFOTEXT_SEED, variation_seed),
    FIELD("Variation seed strength", INFOTEXT_FRACTION, variation_strength),
    KEPT("Seed resize from"),
    FIELD("Denoising strength", INFOTEXT_FRACTION, denoising_strength),
    KEPT("Conditional mask weight"),
    { .key = "Clip skip", .kind = INFOTEXT_COUNT, .offset = offsetof(struct infotext, clip_skip), .least = 2 },
    FIELD("ENSD", INFOTEXT_DELTA, ensd),
    KEPT("Token merging ratio"),
    KEPT("Token merging ratio hr"),
    KEPT("Init image hash"),
    { .key = "RNG", .kind = INFOTEXT_TEXT, .offset = offsetof(struct infotext, rng), .usual = "GPU" },
    KEPT("Tiling"),
    FIELD("Version", INFOTEXT_TEXT, version),
    KEPT("User"),
};

enum { FIELDS = sizeof infotext_fields / sizeof *infotext_fields };
const int infotext_field_count = FIELDS;
const int infotext_middle = FIELDS - 2;

const struct infotext_field *infotext_field_of(const char *key)
{
    for (int i = 0; i < FIELDS; i++)
        if (strcmp(infotext_fields[i].key, key) == 0) return &infotext_fields[i];
    return NULL;
}

static bool is_blank(utf8proc_int32_t c)
{
    return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

size_t infotext_blank(const char *text, size_t size)
{
    utf8proc_int32_t point;
    utf8proc_ssize_t bytes;

    if (!size) return 0;
    bytes = utf8proc_iterate((const utf8proc_uint8_t *)text, size < 4 ? (utf8proc_ssize_t)size : 4, &point);
    return bytes > 0 && is_blank(point) ? (size_t)bytes : 0;
}

size_t infotext_strip(const char **text, size_t size)
{
    size_t blank, end = 0;

    while ((blank = infotext_blank(*text, size))) {
        *text += blank;
        size -= blank;
    }
    for (size_t at = 0; at < size;) { /* forward, since UTF-8 reads that way */
        blank = infotext_blank(*text + at, size - at);
        at += blank ? blank : 1;
        if (!blank) end = at;
    }
    return end;
}
