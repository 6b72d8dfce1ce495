#include "tensor/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    const char *from, *to; /* beginnings of paths; "" ends a table */
};

/* ---- small tools -------------------------------------------------------- */

static const char *after(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) ? NULL : text + length;
}

/* A number and the point behind it: "12.rest" gives 12 and "rest"; NULL if there is none. */
static const char *read_index(const char *text, unsigned *index)
{
    size_t digits = strspn(text, "0123456789");
    if (digits < 1 || digits > 4 || text[digits] != '.') return NULL;
    *index = (unsigned)strtoul(text, NULL, 10);
    return text + digits + 1;
}

static bool join(char out[NAMES_BYTES], const char *a, const char *b, const char *c)
{
    return snprintf(out, NAMES_BYTES, "%s%s%s", a, b, c) < NAMES_BYTES;
}

/* rest with its beginning replaced as the table says, or as it is; behind head. */
static bool translate(char out[NAMES_BYTES], const char *head, const char *rest, const struct pair *table)
{
    for (; *table->from; table++) {
        const char *tail = after(rest, table->from);
        if (tail) return join(out, head, table->to, tail);
    }
    return join(out, head, "", rest);
}

/* ---- UNet --------------------------------------------------------------- */

static const struct pair unet_ends[] = {
    { "input_blocks.0.0.", "conv_in." },
    { "time_embed.0.", "time_embedding.linear_1." },
    { "time_embed.2.", "time_embedding.linear_2." },
    { "label_emb.0.0.", "add_embedding.linear_1." },
    { "label_emb.0.2.", "add_embedding.linear_2." },
    { "out.0.", "conv_norm_out." },
    { "out.2.", "conv_out." },
    { "", "" },
};

static const struct pair unet_resnet[] = {
    { "in_layers.0.", "norm1." },          { "in_layers.2.", "conv1." },  { "emb_layers.1.", "time_emb_proj." },
    { "out_layers.0.", "norm2." },         { "out_layers.3.", "conv2." }, { "skip_connection.", "conv_shortcut." },
    { "", "" },
};

static const struct pair nothing[] = { { "", "" } };

/* A resnet or an attention; which one it is shows in what follows: "in_layers..." or "transformer_blocks...". */
static bool unet_element(char out[NAMES_BYTES], const char *side, unsigned i, unsigned element, unsigned j,
                         const char *rest)
{
    char head[64];
    snprintf(head, sizeof head, "%s.%u.%s.%u.", side, i, element ? "attentions" : "resnets", j);
    return translate(out, head, rest, element ? nothing : unet_resnet);
}

static bool unet_down(char out[NAMES_BYTES], unsigned block, unsigned element, const char *rest)
{
    unsigned i = (block - 1) / 3, j = (block - 1) % 3;
    const char *op = after(rest, "op.");
    char head[64];

    if (block == 0) return false;
    if (j < 2) return element < 2 && unet_element(out, "down_blocks", i, element, j, rest);
    snprintf(head, sizeof head, "down_blocks.%u.downsamplers.0.conv.", i);
    return op && join(out, head, "", op);
}

static bool unet_up(char out[NAMES_BYTES], unsigned block, unsigned element, const char *rest)
{
    const char *conv = element && block % 3 == 2 ? after(rest, "conv.") : NULL;   /* the last of a level goes up */
    char head[64];

    snprintf(head, sizeof head, "up_blocks.%u.upsamplers.0.conv.", block / 3);
    if (conv) return join(out, head, "", conv);
    return element < 2 && unet_element(out, "up_blocks", block / 3, element, block % 3, rest);
}

static bool unet_middle(char out[NAMES_BYTES], unsigned element, const char *rest)
{
    static const char *const heads[] = { "mid_block.resnets.0.", "mid_block.attentions.0.", "mid_block.resnets.1." };
    return element < 3 && translate(out, heads[element], rest, element == 1 ? nothing : unet_resnet);
}

bool names_unet_diffusers(char out[NAMES_BYTES], const char *path)
{
    unsigned block, element;
    const char *rest;

    for (const struct pair *end = unet_ends; *end->from; end++)
        if ((rest = after(path, end->from))) return join(out, end->to, "", rest);
    if ((rest = after(path, "middle_block."))) {
        rest = read_index(rest, &element);
        return rest && unet_middle(out, element, rest);
    }
    bool up = after(path, "output_blocks.") != NULL;
    rest = after(path, up ? "output_blocks." : "input_blocks.");
    if (!rest || !(rest = read_index(rest, &block)) || !(rest = read_index(rest, &element))) return false;
    return up ? unet_up(out, block, element, rest) : unet_down(out, block, element, rest);
}

/* ---- VAE ---------------------------------------------------------------- */

static const struct pair vae_ends[] = {
    { "conv_in.", "conv_in." },   { "norm_out.", "conv_norm_out." }, { "conv_out.", "conv_out." },
    { "mid.block_1.", "mid_block.resnets.0." }, { "mid.block_2.", "mid_block.resnets.1." },
    { "mid.attn_1.", "mid_block.attentions.0." }, { "", "" },
};

static const struct pair vae_resnet[] = { { "nin_shortcut.", "conv_shortcut." }, { "", "" } };

/* Three spellings of the attention's layers, each with the norm's name. */
static const struct pair vae_attention[3][6] = {
    { { "norm.", "norm." }, { "q.", "to_q." }, { "k.", "to_k." }, { "v.", "to_v." },
      { "proj_out.", "to_out.0." }, { "", "" } },
    { { "norm.", "group_norm." }, { "q.", "to_q." }, { "k.", "to_k." }, { "v.", "to_v." },
      { "proj_out.", "to_out.0." }, { "", "" } },
    { { "norm.", "group_norm." }, { "q.", "query." }, { "k.", "key." }, { "v.", "value." },
      { "proj_out.", "proj_attn." }, { "", "" } },
};

/* "down.i.block.j.rest", "down.i.downsample.conv.rest" and the same of up, behind coder ("decoder."). */
static bool vae_level(char out[NAMES_BYTES], const char *coder, bool up, const char *rest, unsigned levels)
{
    unsigned i, j;
    const char *tail;
    char head[96];

    if (!(rest = read_index(rest, &i)) || i >= levels) return false;
    if (up) i = levels - 1 - i;
    if ((tail = after(rest, "block.")) && (tail = read_index(tail, &j))) {
        snprintf(head, sizeof head, "%s%s_blocks.%u.resnets.%u.", coder, up ? "up" : "down", i, j);
        return translate(out, head, tail, vae_resnet);
    }
    if (!(tail = after(rest, up ? "upsample.conv." : "downsample.conv."))) return false;
    snprintf(head, sizeof head, "%s%s_blocks.%u.%ssamplers.0.conv.", coder, up ? "up" : "down", i, up ? "up" : "down");
    return join(out, head, "", tail);
}

/* With the attention's layers spelled as this table says. */
static bool vae_diffusers(char out[NAMES_BYTES], const char *path, unsigned levels, const struct pair *attention)
{
    const char *coder = after(path, "encoder.") ? "encoder." : "decoder.", *rest = after(path, coder), *tail;

    if (!rest) return join(out, path, "", ""); /* quant_conv, post_quant_conv: the same in both */
    if ((tail = after(rest, "up.")) || (tail = after(rest, "down.")))
        return vae_level(out, coder, rest[0] == 'u', tail, levels);
    for (const struct pair *end = vae_ends; *end->from; end++) {
        char head[96];
        if (!(tail = after(rest, end->from))) continue;
        snprintf(head, sizeof head, "%s%s", coder, end->to);
        bool is_attention = after(end->from, "mid.attn_1.") != NULL;
        return translate(out, head, tail, is_attention ? attention : vae_resnet);
    }
    return false;
}

bool names_vae_diffusers(char out[NAMES_BYTES], const char *path, unsigned vae_levels)
{
    return vae_diffusers(out, path, vae_levels, vae_attention[1]);
}

/* ---- all spellings ------------------------------------------------------ */

static void add(struct names *names, const char *prefix, const char *path)
{
    char *to = names->spelling[names->count];

    if (names->count == NAMES_MAX || !join(to, prefix, path, "")) return;
    for (unsigned i = 0; i < names->count; i++)
        if (!strcmp(names->spelling[i], to)) return;
    names->count++;
}

static void add_unet(struct names *names, const char *path)
{
    static const char *const prefixes[] = { NAMES_UNET, "unet.", "diffusion_model.", "" };
    char diffusers[NAMES_BYTES];
    bool known = names_unet_diffusers(diffusers, path);

    for (unsigned i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        add(names, prefixes[i], path);
        if (known) add(names, prefixes[i], diffusers);
    }
}

static void add_text(struct names *names, const char *path)
{
    static const char *const prefixes[] = {
        NAMES_TEXT, "cond_stage_model.transformer.", "text_encoder.text_model.", "text_encoder.", "text_model.",
        "text_encoders.clip_l.transformer.text_model.",
    };
    for (unsigned i = 0; i < sizeof prefixes / sizeof *prefixes; i++) add(names, prefixes[i], path);
}

static void add_vae(struct names *names, const char *path, unsigned levels)
{
    static const char *const prefixes[] = { NAMES_VAE, "vae.", "" };
    static const char attention[] = ".mid.attn_1.";
    const char *in_attention = strstr(path, attention);

    for (unsigned i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        char other[NAMES_BYTES];
        add(names, prefixes[i], path);
        for (unsigned a = 0; a < 3; a++) {
            if (vae_diffusers(other, path, levels, vae_attention[a])) add(names, prefixes[i], other);
            if (!in_attention) continue;
            char head[NAMES_BYTES];
            snprintf(head, sizeof head, "%.*s", (int)(in_attention - path + (int)sizeof attention - 1), path);
            if (translate(other, head, in_attention + sizeof attention - 1, vae_attention[a]))
                add(names, prefixes[i], other);
        }
    }
}

void names_of(struct names *names, const char *canonical, unsigned vae_levels)
{
    const char *path;

    names->count = 0;
    if ((path = after(canonical, NAMES_UNET))) add_unet(names, path);
    else if ((path = after(canonical, NAMES_TEXT))) add_text(names, path);
    else if ((path = after(canonical, NAMES_VAE))) add_vae(names, path, vae_levels);
    else add(names, "", canonical);
}
