/* The recipe of a picture in the words of A1111's web UI, which every other program
 * reads: prompt, "Negative prompt: ...", and one line "Steps: 20, Sampler: Euler a, ...".
 *
 * Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, create_infotext and
 * parse_generation_parameters; reading and writing follow them to the letter. */
#ifndef TINCT_IMAGE_INFOTEXT_H
#define TINCT_IMAGE_INFOTEXT_H

#include <math.h> /* NAN */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct infotext_pair {
    const char *key, *value; /* UTF-8; value without the quotes it may have in the text */
};

/* Strings are borrowed when writing; after infotext_read they live in memory, until
 * infotext_free. Start from INFOTEXT_EMPTY: not every absent value is a zero. */
struct infotext {
    const char *prompt;   /* any number of lines, LoRA tags kept; NULL: "" */
    const char *negative; /* NULL: "" */
    int steps;                /* 0: absent, as for all whole numbers but seeds */
    const char *sampler;      /* A1111's name, or an old "DPM++ 2M Karras"; NULL: absent, as for all strings */
    const char *scheduler;    /* "Schedule type"; NULL: "Automatic" */
    float cfg_scale;          /* NAN: absent, as for all fractions */
    int64_t seed;             /* negative: absent */
    int width, height;        /* pixels */
    const char *model_hash;   /* AutoV2, 10 hex digits */
    const char *model;        /* the file's name without its ending */
    const char *vae_hash, *vae;
    int64_t variation_seed;   /* negative: absent */
    float variation_strength;
    float denoising_strength;
    int clip_skip;            /* written above 1; read as 1 when absent */
    int64_t ensd;             /* 0: absent */
    const char *rng;          /* "CPU", "NV"; written unless "GPU", read as "GPU" when absent */
    const char *version;      /* of the program that painted */
    const struct infotext_pair *extras; /* all other pairs in order: "Eta", "Lora hashes", "Hires upscale", ... */
    size_t extra_count;
    void *memory; /* of infotext_read */
};

#define INFOTEXT_EMPTY                                                                            \
    ((struct infotext) { .cfg_scale = NAN, .seed = -1, .variation_seed = -1,                      \
                         .variation_strength = NAN, .denoising_strength = NAN })

/* The text; the caller frees it. Keys stand in A1111's order, extras that it does not
 * know before Version. A value with ',' ':' or a line break is written as a JSON string, as
 * A1111 does, and so is one that would not come back raw (quotes or blanks at its ends, "").
 *
 * So that reading gives the same parts back, prompts lose the blanks at the ends of each
 * line and the empty lines at their own ends (CLIP does not see them), and a line that begins
 * with "Negative prompt:" loses these words. NULL with TINCT_ERR_MEMORY. */
char *infotext_write(const struct infotext *info, struct tinct_err *err);

/* Reads any text: one without a line of at least three pairs is all prompt. A value
 * that does not fit its field ("Steps: many") stays in extras. sd.cpp's "SDCPP: {...}" at the
 * end is left out. False only with TINCT_ERR_MEMORY; *out is then INFOTEXT_EMPTY. */
bool infotext_read(const char *text, size_t size, struct infotext *out, struct tinct_err *err);

void infotext_free(struct infotext *info);

/* The value of an extra, exact case; NULL when there is none. */
const char *infotext_extra(const struct infotext *info, const char *key);

/* A value "512x768" as its two numbers. */
bool infotext_size(const char *value, int *width, int *height);

/* Was it painted by an A1111 before this release ("v1.5.2-..." is before 1.6.0)? False
 * when the version is absent or another program's. Before 1.6.0 [a:b:n] ran on another timeline. */
bool infotext_before(const struct infotext *info, int major, int minor, int patch);

#endif
