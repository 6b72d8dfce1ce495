/* tinct: Stable Diffusion with style LoRAs. The only header an application includes.
 *
 *     #include <stdio.h>
 *     #include <tinct.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         struct tinct_err err;
 *         struct tinct_image picture;
 *         struct tinct *t = tinct_open(&(struct tinct_options) { .model = argc > 1 ? argv[1] : NULL }, &err);
 *         bool ok = t && tinct_txt2img(t, &(struct tinct_txt2img) { .prompt = "a castle at dusk" }, &picture, &err) &&
 *                   tinct_image_save(&picture, "castle.png", false, &err);
 *
 *         if (!ok) fprintf(stderr, "%s\n", err.text);
 *         if (t) tinct_image_free(&picture);
 *         tinct_close(t);
 *         return ok ? 0 : 1;
 *     }
 *
 * tinct does not: load pickles, fetch anything from a network, print, exit,
 * install signal handlers, or keep state outside the handle. A context is used
 * by one thread at a time; two contexts are independent. Parameter structs need
 * live only for the call. A field that is zero means its default.
 *
 * Every function that can fail takes a struct tinct_err last (or NULL) and
 * returns false or NULL. */
#ifndef TINCT_H
#define TINCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TINCT_VERSION "0.1.0"

#if defined(__GNUC__)
#define TINCT_API __attribute__((visibility("default")))
#else
#define TINCT_API
#endif

/* ---- errors ------------------------------------------------------------ */

enum tinct_code {
    TINCT_OK = 0,
    TINCT_ERR_INTERNAL,  /* a mistake of ours */
    TINCT_ERR_ARG,       /* a parameter is out of range or unknown */
    TINCT_ERR_FORMAT,    /* an input file is not what it should be */
    TINCT_ERR_IO,        /* an input file cannot be read */
    TINCT_ERR_OUTPUT,    /* the result cannot be written */
    TINCT_ERR_MEMORY,    /* host or device memory */
    TINCT_ERR_DEVICE,    /* no such device, its driver failed or was lost */
    TINCT_ERR_NAN,       /* the model gave NaN or Inf */
    TINCT_ERR_CANCELLED, /* on_step returned false */
};

struct tinct_err {
    enum tinct_code code;
    char text[1024];  /* "<file>: <what is wrong> (<where>)", one line, UTF-8 */
    char advice[512]; /* at most one line, or "" */
};

/* ---- a context: a device and a model ----------------------------------- */

enum tinct_precision {
    TINCT_PRECISION_DEFAULT, /* fast on GPUs, fp32 on the processor and on software drivers */
    TINCT_PRECISION_FP32,    /* activations fp32 */
    TINCT_PRECISION_FAST,    /* activations fp16 on GPUs; bf16 products on the processor */
};

enum tinct_log_level { TINCT_LOG_ERROR, TINCT_LOG_WARN, TINCT_LOG_INFO, TINCT_LOG_DEBUG };

struct tinct_options {
    const char *model;      /* a .safetensors checkpoint; required */
    const char *vae;        /* a .safetensors with a VAE to use instead; may be NULL */
    const char *device;     /* "cpu", "vulkan", an index or part of a name as tinct_devices() lists
                               them; NULL: the best GPU, else "cpu" */
    enum tinct_precision precision;
    int threads;            /* for the processor; 0: the number of physical cores */
    int no_winograd;        /* on the processor: 1 keeps 3x3 convolutions from Winograd's way, which is faster and off by
                               some 2e-6; 0: it is taken where it pays */
    const char *lora_dir;   /* LoRAs (.safetensors) and the subfolders they lie in; NULL: none */
    const char *models_dir; /* a models folder, in whose Lora, LyCORIS and loras more of them are looked for, where A1111
                               and ComfyUI keep them; NULL: none */
    const char *embedding_dir; /* embeddings (textual inversions): a prompt that holds one's file name means it, as does
                               "embedding:NAME"; models_dir's own embeddings folder counts too; NULL: none */
    const char *cache_dir;  /* pipeline cache, files' hashes, and on the processor a large model's weights as they are
                               used, for the next start (those of the last 4 models); NULL: none are kept */
    bool no_weights_cache;  /* not the weights */
    void (*log)(void *user, enum tinct_log_level level, const char *line);   /* may be NULL */
    void *log_user;
};

struct tinct;

/* Open a device and load a model. NULL on failure. Close with tinct_close. */
TINCT_API struct tinct *tinct_open(const struct tinct_options *options, struct tinct_err *err);

/* Frees everything; NULL is fine. Pictures live on. */
TINCT_API void tinct_close(struct tinct *t);

/* What was opened; strings live as long as t. */
struct tinct_about {
    const char *device;       /* "cpu: AMD EPYC ... (avx512, 2 threads)" */
    const char *model;        /* path */
    const char *model_kind;   /* "SD1.x" */
    int width, height;        /* pixels: the model's own size */
    uint64_t weights_bytes;   /* on the device */
    double load_ms;
    bool has_latent_rgb;      /* the model's header says how its latents look ("tinct.latent_rgb") */
    float latent_rgb[5][3];   /* then: RGB in -1..1 = latent [4] x the first four rows + the last */
};
TINCT_API struct tinct_about tinct_about(const struct tinct *t);

/* ---- LoRAs --------------------------------------------------------------

 * Small files that change a model's style or teach it a subject. A prompt names them in tags, <lora:arcane:0.8>; or a
 * picture does in its parameters; or they are set on the open model and stay for all pictures. What names the same
 * file adds up. Weights are rebuilt from the model's own, so what is taken away leaves no trace. */

struct tinct_lora {
    const char *name;       /* as a tag names it: a file below the folders, its alias or its hash; never a path */
    float te, unet;         /* strengths for text encoder and UNet, -16..16; as given: 0 leaves that part alone */
    const char *blocks;     /* strengths of blocks, as lbw= has them: "OUTD", or 12, 17, 20 or 26 numbers "1,0,..."; NULL: 1 */
    int dyn;                /* use only so many ranks; 0: all */
    int start, stop;        /* steps, counted from 1 and both included, in which the UNet's part is on; 0: first, last */
};

enum { TINCT_LORAS_MAX = 32 };  /* of a picture, from all three places */

/* Add a LoRA to all pictures that follow, or give it other strengths. The file is read and compared with the model now,
 * its weights change with the next picture. Refused: a name that is not there, with those nearest to it; a file that
 * was made for another base model; numbers out of range. */
TINCT_API bool tinct_lora_set(struct tinct *t, const struct tinct_lora *lora, struct tinct_err *err);

/* Refused: none of that name is set. */
TINCT_API bool tinct_lora_remove(struct tinct *t, const char *name, struct tinct_err *err);

/* What is set, in the order of setting; strings live until one is set or removed. */
TINCT_API size_t tinct_lora_count(const struct tinct *t);
TINCT_API struct tinct_lora tinct_lora_at(const struct tinct *t, size_t index);

/* ---- painting ---------------------------------------------------------- */

enum tinct_rng { TINCT_RNG_GPU, TINCT_RNG_CPU };          /* Philox as CUDA; mt19937 as torch's CPU */
enum tinct_emphasis { TINCT_EMPHASIS_ORIGINAL, TINCT_EMPHASIS_NO_NORM, TINCT_EMPHASIS_IGNORE, TINCT_EMPHASIS_NONE };

struct tinct_progress {
    int image, images;      /* 0-based, count */
    int step, steps;        /* finished sampler steps, count */
    double step_ms;         /* the last step's time */
    const float *latent;    /* [h, w, 4] the current denoised estimate; valid during the call; NULL unless latents are asked for */
    int latent_width, latent_height;
};

struct tinct_txt2img {
    const char *prompt;     /* UTF-8, required; A1111 grammar */
    const char *negative;   /* UTF-8; NULL means ""; LoRA tags in it are left out */
    const struct tinct_lora *loras;   /* [lora_count], beside those of the prompt's tags and those that are set */
    size_t lora_count;
    const char *lora_hashes;/* a recipe's "Lora hashes", "arcane: 0123456789ab, ...": finds files by them that have other
                               names now; may be NULL */
    const char *embedding_hashes;   /* a recipe's "TI hashes", likewise */
    bool lenient;           /* a LoRA that is not there is left out, which the recipe tells, and an "embedding:NAME" stays
                               words; else they are refused */
    bool triggers;          /* add the trigger words that the prompt lacks */
    int width, height;      /* pixels, multiples of 8, 64..4096; 0: the model's own */
    int steps;              /* 1..1000; 0 means 20 */
    float guidance;         /* classifier-free scale; 0 means 7; 1 turns it off */
    int64_t seed;           /* the same seed, settings and device give the same picture; negative: random */
    const char *sampler;    /* any name tinct_samplers() knows; NULL: "DPM++ 2M" */
    const char *scheduler;  /* any name tinct_schedulers() knows; NULL: the sampler's own */
    int clip_skip;          /* 1: the last layer; 0 means 1 */
    const float *eta;       /* NULL: the sampler's own */
    enum tinct_rng rng;
    enum tinct_emphasis emphasis;
    uint32_t ensd;          /* eta noise seed delta */
    int64_t subseed;        /* variation seed */
    float subseed_strength; /* 0..1; 0 turns variation off */
    const float *sigmas;    /* steps + 1 noise levels to use instead of a schedule; may be NULL */
    const float *noise;     /* [4, h, w] start noise to use instead of the seed's, as A1111 orders it; may be NULL */
    bool (*on_step)(void *user, const struct tinct_progress *progress);   /* false cancels; may be NULL */
    bool latents;           /* on_step looks at the latent: a GPU then waits for it at every step, where it would go on */
    void *user;
};

struct tinct_image {
    int width, height;
    unsigned char *rgb;     /* [height, width, 3] */
    char *infotext;         /* the recipe as A1111 writes it, UTF-8; may be NULL */
    int64_t seed;           /* the one that was used */
};

/* Draw one picture. Blocks; on_step is called on this thread between steps. On
 * success *out is filled; free it with tinct_image_free. On failure *out is zeroed. */
TINCT_API bool tinct_txt2img(struct tinct *t, const struct tinct_txt2img *p, struct tinct_image *out,
                             struct tinct_err *err);

/* Would these settings be taken? Tells of unknown samplers and schedulers, with the names
 * nearest to them, and of both prompts' mistakes, before minutes go into loading a model. */
TINCT_API bool tinct_check(const struct tinct_txt2img *p, struct tinct_err *err);

/* Are all LoRAs and embeddings there that the picture names? Reads folders, hashes and the embeddings, before a model is
 * loaded. options: only the folders count. */
TINCT_API bool tinct_lora_check(const struct tinct_options *options, const struct tinct_txt2img *p,
                                struct tinct_err *err);

/* Would tinct_image_save work at path now? Tries it with an empty temporary file. */
TINCT_API bool tinct_image_check(const char *path, bool overwrite, struct tinct_err *err);

/* Read the pixels of a PNG, JPEG or WebP, and a PNG's recipe where it has one that we can read (infotext, seed; else NULL and
 * -1). Free it with tinct_image_free. On failure *out is zeroed. */
TINCT_API bool tinct_image_load(const char *path, struct tinct_image *out, struct tinct_err *err);

/* Write a PNG with its recipe: to a temporary name, synced, then renamed. An
 * existing file is refused unless overwrite. */
TINCT_API bool tinct_image_save(const struct tinct_image *image, const char *path, bool overwrite,
                                struct tinct_err *err);

TINCT_API void tinct_image_free(struct tinct_image *image);

/* ---- the LoRAs that there are ------------------------------------------- */

struct tinct_lora_list_options {
    const char *lora_dir;   /* a folder of LoRAs, subfolders included; NULL: none */
    const char *models_dir; /* a models folder: A1111's Lora and LyCORIS, ComfyUI's loras below it; NULL: none */
    const char *cache_dir;  /* where hashes are remembered; NULL: nowhere */
    const char *model;      /* a checkpoint: cards then say whether they fit it; NULL: they do not */
};

/* What a LoRA is, what calls it, how strong it is meant to be. Texts are UTF-8, "" where nobody says,
 * and may hold control characters: they come from strangers. */
struct tinct_lora_card {
    const char *name;       /* what <lora:name:1> takes: below its folder, without ".safetensors" */
    const char *path;
    const char *why;        /* why it cannot be read, or does not fit the model; "" */
    bool readable;          /* false: nothing below is known */
    bool fits;              /* the model; where none was asked about: readable */
    const char *alias;      /* what its trainer called it */
    const char *base;       /* "SD1.x", "SDXL (Pony)"; "unknown" */
    const char *type;       /* "LoRA", "LoCon", "LoHa", "DoRA" ... */
    uint32_t modules, matched;     /* layers it changes; how many of them the model has, 0 where none was asked about */
    uint32_t rank_min, rank_max;   /* 0: it has no ranks */
    float alpha_min, alpha_max;    /* 0: none stored */
    float weight;           /* suggested strength; 1 where nobody says */
    bool weight_told;       /* somebody says */
    const char *const *triggers;   /* [trigger_count] words that call it, best first */
    size_t trigger_count;
    const char *triggers_by;       /* "sidecar", "modelspec", "civitai", "training folders", "training tags"; "none" */
    const char *negative, *description, *notes, *hint;
    const char *preview;    /* path of a picture, or "embedded" in the file */
    const char *hash;       /* AutoV3, 12 hex digits, where the file stores it */
};

struct tinct_loras;

/* List the folders, sorted by name; files are not opened yet. One thread at a time.
 * A folder that is not there holds nothing. Refused: a folder that cannot be read or holds more than
 * 16,384 LoRAs; a model that is no checkpoint. Close with tinct_loras_close. */
TINCT_API struct tinct_loras *tinct_loras_open(const struct tinct_lora_list_options *options, struct tinct_err *err);
TINCT_API void tinct_loras_close(struct tinct_loras *loras);    /* NULL is fine; ends its cards */

TINCT_API size_t tinct_loras_count(const struct tinct_loras *loras);
TINCT_API const char *tinct_loras_name(const struct tinct_loras *loras, size_t index);   /* reads nothing */

/* The card, read from the file's header and sidecars when it is first asked for (about a millisecond).
 * A file that cannot be read has a card that says why; NULL only without memory. */
TINCT_API const struct tinct_lora_card *tinct_loras_card(struct tinct_loras *loras, size_t index,
                                                         struct tinct_err *err);

/* The index of the LoRA that a prompt means by name (a name below the folder, a file name, an alias, a hash).
 * Refused with TINCT_ERR_ARG: none, with the nearest names; several, which are listed. */
TINCT_API bool tinct_loras_find(struct tinct_loras *loras, const char *name, size_t *index, struct tinct_err *err);

/* ---- recipes ------------------------------------------------------------ */

/* What a picture was painted with. Strings live as long as the recipe does. */
struct tinct_recipe {
    struct tinct_txt2img picture; /* what the recipe does not say is 0 or NULL, the seed then -1 */
    const char *model;            /* the checkpoint's name without its ending; NULL: not told */
    const char *model_hash;       /* AutoV2, 10 hex digits; NULL: not told */
    const char *program;          /* the one that wrote it, or its version; NULL: not told */
};

/* Out of a picture's PNG, or out of the text itself as A1111 writes it (any text is a recipe: a prompt at least). NULL on failure; a
 * picture without a recipe that can be read is refused with TINCT_ERR_FORMAT. Free it with tinct_recipe_free. */
TINCT_API struct tinct_recipe *tinct_recipe_read(const char *path, struct tinct_err *err);
TINCT_API struct tinct_recipe *tinct_recipe_parse(const char *text, struct tinct_err *err);
TINCT_API void tinct_recipe_free(struct tinct_recipe *recipe);

/* A checkpoint's hash as recipes have it (AutoV2, 10 hex digits): of all its bytes, which takes seconds, and is remembered in
 * cache_dir (NULL: is not). Refused: a file that cannot be read. */
enum { TINCT_MODEL_HASH_BYTES = 11 };
TINCT_API bool tinct_model_hash(const char *path, const char *cache_dir, char hash[TINCT_MODEL_HASH_BYTES], struct tinct_err *err);

/* ---- prompts ------------------------------------------------------------ */

struct tinct_prompt_lora {
    const char *name;
    double te, unet;              /* weights */
    size_t begin, end;            /* bytes of the prompt: its '<', and behind its '>' */
};

/* A prompt as it is understood. Strings live as long as it does. */
struct tinct_prompt {
    const struct tinct_prompt_lora *loras;
    size_t lora_count;
    int tokens;                   /* of its longest text, where it changes with the steps; as A1111 counts */
    int chunks;                   /* of 75 tokens, 1 at least */
};

/* The embeddings that there are in the folders of options, for what reads prompts before a model is open. One thread at a time.
 * Refused: a folder that cannot be read. Close with tinct_embeddings_close; NULL is fine. */
struct tinct_embeddings;
TINCT_API struct tinct_embeddings *tinct_embeddings_open(const struct tinct_options *options, struct tinct_err *err);
TINCT_API void tinct_embeddings_close(struct tinct_embeddings *embeddings);

/* Refuses what painting it would refuse, with the same words. In a negative prompt tags are text. embeddings are counted
 * with all their vectors; NULL: there are none. Free it with tinct_prompt_free. */
TINCT_API struct tinct_prompt *tinct_prompt_read(const char *prompt, bool negative, struct tinct_embeddings *embeddings,
                                                 struct tinct_err *err);
TINCT_API void tinct_prompt_free(struct tinct_prompt *prompt);

/* The prompt with this LoRA's weight: its first tag rewritten (further ones taken out, other arguments kept), or
 * a tag added at the end. weight NULL: without it. Free it with tinct_text_free; NULL on failure, as
 * tinct_prompt_read fails; also TINCT_ERR_ARG for a name that no tag can hold. */
TINCT_API char *tinct_prompt_set_lora(const char *prompt, const char *name, const double *weight, struct tinct_err *err);

/* Names in the order A1111 lists them, from index 0; NULL behind the last. */
TINCT_API const char *tinct_sampler_name(int index);
TINCT_API const char *tinct_scheduler_name(int index);

/* ---- telling ------------------------------------------------------------ */

/* Each gives a text for a person, or JSON; free it with tinct_text_free. */
TINCT_API char *tinct_describe_file(const char *path, bool json, struct tinct_err *err);     /* what a file is */
TINCT_API char *tinct_describe_prompt(const char *prompt, int steps, struct tinct_embeddings *embeddings /* NULL: none */,
                                      bool json, struct tinct_err *err);
TINCT_API char *tinct_describe_devices(bool json, struct tinct_err *err);
TINCT_API char *tinct_describe_samplers(bool json, struct tinct_err *err);

/* All LoRAs, a line each, or the card of the one that name means, with its hashes and, where a model is named,
 * what of it matches. JSON: an array of cards, one card. */
TINCT_API char *tinct_describe_loras(const struct tinct_lora_list_options *options, const char *name, bool json,
                                     struct tinct_err *err);
TINCT_API void tinct_text_free(char *text);

/* Times the open model's stages and the device's own peak. */
struct tinct_bench {
    int width, height, steps; /* 0: 512x512, 3 */
    bool kernels_only;        /* only the GEMM and convolution table; the model may be NULL */
};
TINCT_API char *tinct_benchmark(const struct tinct_options *options, const struct tinct_bench *bench, bool json,
                                struct tinct_err *err);

#ifdef __cplusplus
}
#endif
#endif
