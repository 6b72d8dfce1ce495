#include "lora/keys.h"

#include <string.h>

/* By what they end with; lora_key_split takes the longest that fits. */
static const struct {
    const char *text;
    enum lora_part part;
} suffixes[] = {
    { ".lora_up.weight", LORA_UP },
    { ".lora_down.weight", LORA_DOWN },
    { ".lora_mid.weight", LORA_MID },
    { ".lora_linear_layer.up.weight", LORA_UP },
    { ".lora_linear_layer.down.weight", LORA_DOWN },
    { ".lora.up.weight", LORA_UP },
    { ".lora.down.weight", LORA_DOWN },
    { "_lora.up.weight", LORA_UP },
    { "_lora.down.weight", LORA_DOWN },
    { ".lora_B.weight", LORA_UP },
    { ".lora_A.weight", LORA_DOWN },
    { ".lora_B.default.weight", LORA_UP },
    { ".lora_A.default.weight", LORA_DOWN },
    { ".lora_B.default_0.weight", LORA_UP },
    { ".lora_A.default_0.weight", LORA_DOWN },
    { ".lora_B", LORA_UP },
    { ".lora_A", LORA_DOWN },
    { ".lora_B.bias", LORA_UP_BIAS },
    { ".lora_B.default.bias", LORA_UP_BIAS },
    { ".bias", LORA_FIXED },
    { ".alpha", LORA_ALPHA },
    { ".scale", LORA_SCALE },
    { ".dora_scale", LORA_DORA },
    { ".lora_magnitude_vector", LORA_DORA_OUT },
    { ".lora_magnitude_vector.weight", LORA_DORA_OUT },
    { ".lora_magnitude_vector.default.weight", LORA_DORA_OUT },
    { ".magnitude", LORA_DORA_OUT },
    { ".hada_w1_a", LORA_HADA_1A },
    { ".hada_w1_b", LORA_HADA_1B },
    { ".hada_w2_a", LORA_HADA_2A },
    { ".hada_w2_b", LORA_HADA_2B },
    { ".hada_t1", LORA_HADA_T1 },
    { ".hada_t2", LORA_HADA_T2 },
    { ".lokr_w1", LORA_LOKR_1 },
    { ".lokr_w1_a", LORA_LOKR_1A },
    { ".lokr_w1_b", LORA_LOKR_1B },
    { ".lokr_w2", LORA_LOKR_2 },
    { ".lokr_w2_a", LORA_LOKR_2A },
    { ".lokr_w2_b", LORA_LOKR_2B },
    { ".lokr_t2", LORA_LOKR_T2 },
    { ".a1.weight", LORA_GLORA_A1 },
    { ".a2.weight", LORA_GLORA_A2 },
    { ".b1.weight", LORA_GLORA_B1 },
    { ".b2.weight", LORA_GLORA_B2 },
    { ".bm.weight", LORA_GLORA_BM },
    { ".diff", LORA_DIFF },
    { ".diff_b", LORA_DIFF_B },
    { ".w_norm", LORA_NORM_W },
    { ".b_norm", LORA_NORM_B },
    { ".set_weight", LORA_SET },
    { ".reshape_weight", LORA_RESHAPE },
    { ".oft_blocks", LORA_OFT },
    { ".oft_diag", LORA_OFT_R },
    { ".rescale", LORA_RESCALE },
    { ".weight", LORA_IA3 },
    { ".on_input", LORA_ON_INPUT },
};

static bool ends(const char *text, size_t length, const char *suffix, size_t wanted)
{
    return length > wanted && !memcmp(text + length - wanted, suffix, wanted);
}

/* Take every "name" that stands between dots, or between a dot and the end, out of text. */
static void drop_component(char *text, const char *name)
{
    size_t length = strlen(name);
    char *at = text;

    while ((at = strstr(at, name))) {
        if (at > text && at[-1] == '.' && (at[length] == '.' || !at[length]))
            memmove(at - 1, at + length, strlen(at + length) + 1);
        else
            at++;
    }
}

bool lora_key_split(struct lora_key *out, const char *key)
{
    static const char peft[] = "base_model.model.";
    size_t length = strlen(key), longest = 0;

    if (length >= sizeof out->module) return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t wanted = strlen(suffixes[i].text);
        if (wanted <= longest || !ends(key, length, suffixes[i].text, wanted)) continue;
        longest = wanted;
        out->part = suffixes[i].part;
    }
    if (!longest) return false;
    if (!strncmp(key, peft, sizeof peft - 1) && length - longest > sizeof peft - 1) {
        key += sizeof peft - 1;
        length -= sizeof peft - 1;
    }
    memcpy(out->module, key, length - longest);
    out->module[length - longest] = '\0';
    drop_component(out->module, "processor");
    drop_component(out->module, "base_model.model"); /* behind "unet.", as some trainers wrote it */
    return true;
}

const char *lora_part_name(enum lora_part part)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (suffixes[i].part == part) return suffixes[i].text + 1;
    return "";
}
