/* What the window is about to paint: the settings as its panels hold them. */
#ifndef TINCT_WINDOW_FORM_H
#define TINCT_WINDOW_FORM_H

#include "tinct.h"

enum { FORM_PATH_BYTES = 4096, FORM_NAME_BYTES = 64, FORM_HASHES_BYTES = 2048 };

struct form {
    char *prompt, *negative;             /* allocated */
    char model[FORM_PATH_BYTES];         /* path */
    char sampler[FORM_NAME_BYTES];       /* "": the usual one */
    char scheduler[FORM_NAME_BYTES];     /* "": the sampler's own */
    int width, height;                   /* pixels; 0: the model's own */
    int steps, clip_skip, count;
    float guidance;
    int64_t seed;                        /* of the first picture */
    bool keep_seed;                      /* else each start draws a new one */
    bool eta_given;                      /* from here on: what only restored recipes change */
    float eta;
    enum tinct_rng rng;
    enum tinct_emphasis emphasis;
    uint32_t ensd;
    int64_t subseed;
    float subseed_strength;
    char lora_hashes[FORM_HASHES_BYTES];  /* "": none */
    char embedding_hashes[FORM_HASHES_BYTES];  /* "": none */
};

/* The usual settings with empty prompts. False without memory; form_free all the same. */
bool form_init(struct form *form);
void form_free(struct form *form);

/* to, which may be { 0 } or initialised, becomes from. False without memory: to keeps its texts. */
bool form_copy(struct form *to, const struct form *from);

bool form_set_text(char **text, const char *to);

/* Points into the form. */
struct tinct_txt2img form_picture(const struct form *form);

/* All that the recipe tells; what it does not tell becomes the usual, model and batch stay. False without memory. */
bool form_restore(struct form *form, const struct tinct_recipe *recipe);

/* 32 bits, as A1111 has them. */
int64_t form_random_seed(void);

#endif
