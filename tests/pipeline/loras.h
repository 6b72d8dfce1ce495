/* A tiny model with three LoRAs beside it, and pictures painted with them. */
#ifndef TINCT_TESTS_PIPELINE_LORAS_H
#define TINCT_TESTS_PIPELINE_LORAS_H

#include "check.h"
#include "pipeline/lora_files.h"
#include "tiny_checkpoint.h"

enum { SIDE = 64, BYTES = SIDE * SIDE * 3 };

static char tiny[512], said[16384];
static struct tinct *t;

static inline void on_log(void *user, enum tinct_log_level level, const char *line)
{
    (void)user, (void)level;
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s\n", line);
}

static inline struct tinct *open_tiny(void)
{
    struct tinct_err err;
    struct tinct *opened = tinct_open(&(struct tinct_options) {
        .model = tiny, .device = "cpu", .threads = 1, .lora_dir = temporary_folder, .log = on_log }, &err);

    if (!opened) fail_msg("%s", err.text);
    return opened;
}

static inline int set_up(void **state)
{
    if (temporary_make(state)) return -1;
    snprintf(tiny, sizeof tiny, "%s", temporary_path("tiny.ckpt"));      /* not a name that is listed */
    if (!tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", tiny)) return -1;
    lora_write(tiny, "arcane", &(struct lora_plan) {
        .metadata = "{\"modelspec.trigger_phrase\":\"arcane style\",\"ss_output_name\":\"arc\"}", .seed = 1, .rank = 8, .size = 0.05f,
        .attention = true });
    lora_write(tiny, "ink", &(struct lora_plan) { .seed = 2, .rank = 3, .size = 0.05f, .convs = true, .norms = true });
    lora_write(tiny, "clay", &(struct lora_plan) { .seed = 3, .rank = 5, .size = 0.05f, .convs = true, .no_text = true });
    t = open_tiny();
    return 0;
}

static inline int tear_down(void **state)
{
    tinct_close(t);
    return temporary_remove(state);
}

static inline struct tinct_txt2img quick(const char *prompt)
{
    return (struct tinct_txt2img) { .prompt = prompt, .negative = "blurry", .width = SIDE, .height = SIDE, .steps = 2,
                                    .sampler = "Euler", .seed = 5 };
}

static inline struct tinct_image paint_on(struct tinct *on, const struct tinct_txt2img *p)
{
    struct tinct_image image;
    struct tinct_err err;

    said[0] = '\0';
    if (!tinct_txt2img(on, p, &image, &err)) fail_msg("%s: %s", p->prompt, err.text);
    return image;
}

static inline struct tinct_image paint(const char *prompt)
{
    struct tinct_txt2img p = quick(prompt);
    return paint_on(t, &p);
}

static inline bool are_same(const struct tinct_image *a, const struct tinct_image *b)
{
    return memcmp(a->rgb, b->rgb, BYTES) == 0;
}

/* Both prompts give the same pixels, or (differ) not. */
static inline void compare(const char *one, const char *other, bool differ)
{
    struct tinct_image a = paint(one), b = paint(other);

    if (are_same(&a, &b) == differ) fail_msg("\"%s\" and \"%s\" are %s", one, other, differ ? "the same" : "different");
    tinct_image_free(&a);
    tinct_image_free(&b);
}

static inline void says(const char *words)
{
    if (!strstr(said, words)) fail_msg("said: %s\nwanted: %s", said, words);
}

static inline void must(bool ok, const struct tinct_err *err)
{
    if (!ok) fail_msg("%s", err->text);
}

#endif
