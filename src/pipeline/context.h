/* The context behind struct tinct: a device, a model and what is kept between pictures. */
#ifndef TINCT_PIPELINE_CONTEXT_H
#define TINCT_PIPELINE_CONTEXT_H

#include "base/hash.h"
#include "pipeline/denoise.h"
#include "pipeline/lora_places.h"

enum { CONTEXT_RUNS = 4 };

struct tinct {
    struct device *device;
    struct model *model;
    struct denoiser *runs[CONTEXT_RUNS];    /* most recently used first; NULL behind the last */
    struct unet_run_size sizes[CONTEXT_RUNS];
    uint64_t last_serial;                   /* given to a guidance */
    struct lora_places places;
    struct adapters *adapters;              /* NULL until the first LoRA */
    struct held_lora { struct tinct_lora lora; char *path; } *held;    /* [held_count], set for all pictures */
    size_t held_count;
    char *told;                             /* which LoRAs the log has heard of last; NULL: none */
    bool told_unkept;                       /* that packed weights could not be kept */
    int threads;
    struct tinct_about about;
    char *vae_path, *cache_dir, *embedding_dir;      /* NULL: none */
    char model_hash[HASH_HEX], vae_hash[HASH_HEX];   /* "" until the first recipe asks */
    void (*log)(void *user, enum tinct_log_level level, const char *line);
    void *log_user;
};

/* The steps of this size, kept for the next picture of that size. Belongs to t. */
struct denoiser *context_run(struct tinct *t, struct unet_run_size size, struct tinct_err *err);

/* Give back the memory of all kept runs: before a VAE that would not fit beside them. */
void context_drop_runs(struct tinct *t);

bool context_adapters(struct tinct *t, struct tinct_err *err);  /* see that there are adapters */
void context_drop_held(struct tinct *t);

void context_log(const struct tinct *t, enum tinct_log_level level, const char *fmt, ...) TINCT_PRINTF(3, 4);

double context_now_ms(void);                /* a clock that only goes forward */

#endif
