#include "lora/aliases.h"

#include "tensor/names.h"

#include <stdio.h>
#include <string.h>

enum { ALIAS_BYTES = NAMES_BYTES + 64 };

/* prefix and path; with underscored the path's dots become underscores, as kohya writes names. */
static bool tell_one(const char *prefix, const char *path, bool underscored, lora_tell_alias *tell, void *user)
{
    char alias[ALIAS_BYTES];
    int length = snprintf(alias, sizeof alias, "%s%s", prefix, path);

    if (length < 0 || length >= (int)sizeof alias) return true;
    for (char *c = alias + strlen(prefix); underscored && *c; c++)
        if (*c == '.') *c = '_';
    return tell(user, alias);
}

struct prefixes {
    const char *dotted[8], *underscored[4]; /* NULL ends each */
};

static bool tell_all(const struct prefixes *p, const char *path, lora_tell_alias *tell, void *user)
{
    for (int i = 0; p->dotted[i]; i++)
        if (!tell_one(p->dotted[i], path, false, tell, user)) return false;
    for (int i = 0; p->underscored[i]; i++)
        if (!tell_one(p->underscored[i], path, true, tell, user)) return false;
    return true;
}

/* head and tail, where path is "<something><from>"; false where it does not end so. */
static bool replace_end(char out[ALIAS_BYTES], const char *path, const char *from, const char *to)
{
    size_t length = strlen(path), wanted = strlen(from);

    if (length < wanted || strcmp(path + length - wanted, from)) return false;
    return snprintf(out, ALIAS_BYTES, "%.*s%s", (int)(length - wanted), path, to) < ALIAS_BYTES;
}

/* ---- UNet --------------------------------------------------------------- */

static const struct prefixes unet_prefixes = {
    { "unet.", "diffusion_model.", NAMES_UNET, "", NULL }, /* "": an adapter of the UNet alone */
    { "lora_unet_", "oft_unet_", "lycoris_", NULL },
};

/* The path itself, and with "to_out" for "to_out.0" as the oldest files have it. */
static bool tell_unet_path(const char *path, lora_tell_alias *tell, void *user)
{
    char shorter[ALIAS_BYTES];

    if (!tell_all(&unet_prefixes, path, tell, user)) return false;
    return !replace_end(shorter, path, ".to_out.0", ".to_out") || tell_all(&unet_prefixes, shorter, tell, user);
}

bool lora_unet_aliases(const char *path, lora_tell_alias *tell, void *user)
{
    static const char added[] = "add_embedding.";
    char with_end[NAMES_BYTES], diffusers[NAMES_BYTES], other[ALIAS_BYTES];

    if (!tell_unet_path(path, tell, user)) return false;
    if (snprintf(with_end, sizeof with_end, "%s.weight", path) >= NAMES_BYTES) return true;
    if (!names_unet_diffusers(diffusers, with_end)) return true;
    diffusers[strlen(diffusers) - strlen(".weight")] = '\0';
    if (!tell_unet_path(diffusers, tell, user)) return false;
    if (strncmp(diffusers, added, sizeof added - 1)) return true;
    snprintf(other, sizeof other, "class_embedding.%s", diffusers + sizeof added - 1);
    return tell_unet_path(other, tell, user);
}

/* ---- text encoders ------------------------------------------------------ */

static const struct prefixes text_prefixes = {
    { "text_encoder.", "text_encoders.clip_l.transformer.", "clip_l.transformer.", "cond_stage_model.transformer.", "",
      NULL },
    { "lora_te_", "lora_te1_", NULL },
};
static const struct prefixes text_prefixes_sd2 = {
    { "text_encoder.", "text_encoders.clip_h.transformer.", "clip_h.transformer.", "", NULL },
    { "lora_te_", "lora_te1_", NULL },
};
static const struct prefixes text_prefixes_sdxl[2] = {
    { { "text_encoder.", "text_encoders.clip_l.transformer.", "clip_l.transformer.",
        "conditioner.embedders.0.transformer.", "", NULL },
      { "lora_te1_", NULL } },
    { { "text_encoder_2.", "text_encoders.clip_g.transformer.", "clip_g.transformer.", NULL },
      { "lora_te2_", NULL } },
};

static const struct prefixes *text_prefixes_of(enum lora_base base, enum lora_model model)
{
    if (base == LORA_SDXL) return &text_prefixes_sdxl[model == LORA_TEXT_2];
    return base == LORA_SD2 ? &text_prefixes_sd2 : &text_prefixes;
}

/* With and without "text_model.", which newer transformers leave out. */
static bool tell_text_path(const struct prefixes *p, const char *path, lora_tell_alias *tell, void *user)
{
    char longer[ALIAS_BYTES + 16];

    snprintf(longer, sizeof longer, "text_model.%s", path);
    return tell_all(p, longer, tell, user) && tell_all(p, path, tell, user);
}

bool lora_text_aliases(enum lora_base base, enum lora_model model, const char *path, lora_tell_alias *tell,
                       void *user)
{
    /* the oldest diffusers files name the text encoder's layers as the UNet's */
    static const char *const oldest[][2] = {
        { ".q_proj", ".to_q" }, { ".k_proj", ".to_k" }, { ".v_proj", ".to_v" }, { ".out_proj", ".to_out" },
        { ".out_proj", ".to_out.0" },
        /* and for a while wrote all four into each of them, of which one is used */
        { ".q_proj", ".q_proj.to_q" }, { ".k_proj", ".k_proj.to_k" }, { ".v_proj", ".v_proj.to_v" },
        { ".out_proj", ".out_proj.to_out" },
    };
    const struct prefixes *p = text_prefixes_of(base, model);
    char other[ALIAS_BYTES];

    if (!tell_text_path(p, path, tell, user)) return false;
    for (size_t i = 0; i < sizeof oldest / sizeof *oldest; i++)
        if (replace_end(other, path, oldest[i][0], oldest[i][1]) && !tell_text_path(p, other, tell, user)) return false;
    return true;
}
