/* The prompt grammar of A1111 (stable-diffusion-webui 1.6 and later): what a prompt says, step by step.
 *
 *     <lora:name:0.8>         extra networks: taken out of the text and listed
 *     a cat AND a dog :0.5    parts, each with the weight of its guidance
 *     [a:b:10] [a:0.5] [a|b]  text that changes with the steps
 *
 * in this order, so that a tag inside [ ] is not scheduled. What is left, segment by segment, is a text whose
 * emphasis text/chunks.h understands. Everything takes time linear in the prompt and in what it unrolls to.
 *
 * Steps here are evaluations of the model, twice the sampler's own for samplers of second order. A segment ends
 * with the evaluation of its end_step counted from 0, so the first lasts one longer than written: [a:b:10] gives
 * eleven times a. This is how A1111's pictures came to be, and recipes reproduce only so. */
#ifndef TINCT_TEXT_PROMPT_H
#define TINCT_TEXT_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
    PROMPT_MAX_BYTES = 64 * 1024,
    PROMPT_MAX_NESTING = 64,         /* brackets open at the same time */
    PROMPT_MAX_LORAS = 32,
    PROMPT_MAX_PARTS = 32,           /* between AND */
    PROMPT_MAX_WEIGHT = 16,          /* of anything, either sign */
    PROMPT_MAX_UNROLLED = 4 << 20,   /* bytes of all different segments */
};

/* An argument of a tag: "te=0.5" has key "te" and value "0.5", "0.5" has no key; "a=b=c" has none either. */
struct prompt_arg {
    const char *key;         /* NULL: positional */
    const char *value;
};

struct prompt_tag {                  /* <word:arg:arg...> */
    const char *word;
    const struct prompt_arg *args;   /* one at least, in order, as given */
    size_t arg_count;
    size_t begin, end;               /* bytes of the prompt: its '<', and behind its '>' */
};

/* <lora:name:te:unet:dyn>, also spelled lyco; te= unet= dyn= come before positions.
 * stop=10 has ten steps, where sd-webui-lora-block-weight has nine. */
struct prompt_lora {
    const char *name;
    double te, unet;         /* 1 and te, where not given */
    int dyn;                 /* ranks to use; 0: all */
    const char *blocks;      /* block weights: lbw= or w=, or a third position that is no number; NULL: none */
    int start, stop;         /* start= and stop=, or step=3-10: the sampler's steps, counted from 1 and both included, in
                                which the UNet's part is on; 0: from the first, to the last */
    size_t tag;              /* its tag, which has all arguments */
};

struct prompt_segment {
    int end_step;            /* 1-based, ascending; the last is the step count */
    size_t text;             /* index of its text in the part */
};

struct prompt_part {
    double weight;           /* of an AND part's guidance; 1 where none is given */
    char **texts;            /* all different ones, in order of first use */
    size_t text_count;
    struct prompt_segment *segments;
    size_t segment_count;    /* 1 at least */
};

struct prompt {
    struct prompt_tag *tags; /* all, in order; none in a negative prompt */
    size_t tag_count;
    struct prompt_lora *loras;
    size_t lora_count;
    struct prompt_part *parts;       /* one at least */
    size_t part_count;
    void *store;             /* what the strings above point into */
};

struct prompt_options {
    int steps;               /* evaluations of this pass, at least 1 */
    int base_steps;          /* evaluations of the pass before, when this is the hires pass; else 0 */
    bool negative;           /* a negative prompt: <...> and AND are text */
    bool old_schedule;       /* A1111 before 1.6: numbers below 1 are shares of the steps, others steps */
};

/* *out is zeroed on failure. Refused with TINCT_ERR_ARG, a sentence each: too long, invalid UTF-8, brackets too
 * deep, too many LoRAs or parts, a weight that is no number, not finite or beyond the limit, segments that unroll
 * to too much text. */
bool prompt_parse(struct prompt *out, const char *text, const struct prompt_options *options, struct tinct_err *err);

void prompt_free(struct prompt *p);      /* { 0 } is fine */

/* What part says at this evaluation, counted from 0. */
const struct prompt_segment *prompt_segment_at(const struct prompt_part *part, int evaluation);

#endif
