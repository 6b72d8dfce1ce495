#include "tensor/describe.h"

#include "base/json.h"
#include "base/str.h"
#include "tensor/checkpoint.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_METADATA = 12, SHOWN_BYTES = 100, JSON_BYTES = 65536 };

/* ---- one sheet, two forms ----------------------------------------------- */

/* Facts are put once; json decides how they look. A NULL label is for JSON only, a NULL key for people only. */
struct sheet {
    bool json;
    struct json_writer writer;
    struct str text;
};

static void put_label(struct sheet *s, const char *label)
{
    str_addf(&s->text, "  %-10s ", label);
}

static void put_text(struct sheet *s, const char *key, const char *label, const char *value)
{
    if (s->json) {
        if (key) json_put_string(&s->writer, key, value);
    } else if (label) {
        put_label(s, label);
        str_add_printable(&s->text, value, SHOWN_BYTES * 4);
        str_add(&s->text, "\n");
    }
}

static void put_integer(struct sheet *s, const char *key, const char *label, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    if (s->json) json_put_integer(&s->writer, key, (int64_t)value);
    else put_text(s, key, label, digits);
}

static void put_range(struct sheet *s, const char *key, const char *label, double low, double high)
{
    char name[32];
    if (s->json) {
        snprintf(name, sizeof name, "%s_min", key);
        json_put_double(&s->writer, name, low);
        snprintf(name, sizeof name, "%s_max", key);
        json_put_double(&s->writer, name, high);
    } else if (high > 0) {
        put_label(s, label);
        if (low < high) str_addf(&s->text, "%g to %g\n", low, high);
        else str_addf(&s->text, "%g\n", high);
    }
}

/* ---- the facts ---------------------------------------------------------- */

static void put_parts(struct sheet *s, const struct checkpoint_about *about)
{
    const struct {
        bool there;
        const char *name;
    } parts[] = { { about->has_unet, "UNet" }, { about->has_text, "text encoder" }, { about->has_vae, "VAE" } };
    char joined[64] = "";

    if (s->json) json_begin(&s->writer, "parts", JSON_ARRAY);
    for (int i = 0; i < 3; i++) {
        if (!parts[i].there) continue;
        if (s->json) json_put_string(&s->writer, NULL, parts[i].name);
        if (joined[0]) strcat(joined, ", ");
        strcat(joined, parts[i].name);
    }
    if (s->json) json_end(&s->writer);
    if (joined[0]) put_text(s, NULL, "parts", joined);
}

static void put_kind(struct sheet *s, const struct checkpoint *ck)
{
    struct checkpoint_about about = checkpoint_about(ck);
    struct tinct_err why = { 0 };
    bool paints = checkpoint_expect_sd1(ck, &why);
    size_t path = strlen(checkpoint_path(ck)) + 2; /* the sentence begins with it */

    put_text(s, "kind", "kind", about.kind_name);
    put_parts(s, &about);
    if (s->json) json_put_bool(&s->writer, "paints", paints);
    if (!paints) put_text(s, "why_not", "paints", path < strlen(why.text) ? why.text + path : why.text);
    else put_text(s, NULL, "paints", "yes");
    if (!about.has_unet) return;
    put_integer(s, "context", "context", about.context);
    put_integer(s, "latent_channels", "channels", about.latent_channels);
    put_text(s, "prediction", "predicts", about.prediction == CHECKPOINT_PREDICTS_V ? "v" : "noise");
    if (s->json) json_put_bool(&s->writer, "zero_snr", about.zero_snr);
    else if (about.zero_snr) put_text(s, NULL, "schedule", "zero terminal SNR");
}

/* How many vectors of which width: those of both tensors side by side, where there are clip_l and clip_g. */
static void put_embedding(struct sheet *s, const struct safetensors *st)
{
    static const char *const names[] = { "emb_params", "string_to_param.*", "clip_l", "clip_g" };
    uint64_t width = 0, vectors = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct safetensors_tensor *t = safetensors_find(st, names[i]);
        if (!t && i == 0 && safetensors_count(st) == 1) t = safetensors_at(st, 0);
        if (!t || t->dims < 1 || t->dims > 2 || (width && i < 3)) continue;
        width += t->shape[t->dims - 1];
        vectors = t->dims == 2 ? t->shape[0] : 1;
    }
    const char *base = width <= UINT32_MAX ? checkpoint_base_of_width((uint32_t)width) : NULL;
    put_text(s, "base", "base", base ? base : "unknown");
    put_integer(s, "vectors", "vectors", vectors);
    put_integer(s, "width", "width", width);
}

static void put_sizes(struct sheet *s, const struct safetensors *st)
{
    uint64_t values = 0, of[DTYPE_COUNT] = { 0 };
    struct str types = { 0 };

    for (uint32_t i = 0; i < safetensors_count(st); i++) {
        const struct safetensors_tensor *t = safetensors_at(st, i);
        values += t->bytes * 8 / dtype_bits(t->dtype);
        of[t->dtype]++;
    }
    put_integer(s, "tensors", "tensors", safetensors_count(st));
    put_integer(s, "values", "values", values);
    if (s->json) {
        put_integer(s, "bytes", NULL, file_size(safetensors_file(st)));
        json_begin(&s->writer, "dtypes", JSON_OBJECT);
        for (int d = 0; d < DTYPE_COUNT; d++)
            if (of[d]) json_put_integer(&s->writer, dtype_file_name((enum dtype)d), (int64_t)of[d]);
        json_end(&s->writer);
        return;
    }
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (of[d])
            str_addf(&types, "%s%s %llu", types.length ? ", " : "", dtype_file_name((enum dtype)d),
                     (unsigned long long)of[d]);
    if (types.length) put_text(s, NULL, "types", types.bytes);
    str_free(&types);
    put_label(s, "size");
    str_addf(&s->text, "%.1f MiB\n", (double)file_size(safetensors_file(st)) / 1048576);
}

static void put_weight(struct sheet *s, const struct describe_lora *lora)
{
    if (s->json) {
        json_put_double(&s->writer, "weight", lora->weight);
        json_put_bool(&s->writer, "weight_told", lora->weight_told);
    } else if (lora->weight_told) {
        put_label(s, "weight");
        str_addf(&s->text, "%.2f\n", lora->weight);
    }
}

static void put_said(struct sheet *s, const char *key, const char *label, const char *value)
{
    if (s->json || value[0]) put_text(s, key, label, value);
}

static void put_lora(struct sheet *s, const struct describe_lora *lora)
{
    if (s->json) json_begin(&s->writer, "lora", JSON_OBJECT);
    put_text(s, "type", "type", lora->type);
    put_text(s, "base", "base", lora->base);
    put_integer(s, "modules", "modules", lora->modules);
    put_range(s, "rank", "rank", lora->rank_min, lora->rank_max);
    put_range(s, "alpha", "alpha", (double)lora->alpha_min, (double)lora->alpha_max);
    put_weight(s, lora);
    put_said(s, "alias", "alias", lora->alias);
    put_said(s, "triggers", "triggers", lora->triggers);
    put_said(s, "negative", "negative", lora->negative);
    put_said(s, "suggested", "hint", lora->hint);
    put_said(s, "description", "about", lora->description);
    put_said(s, "notes", "notes", lora->notes);
    put_said(s, "preview", "preview", lora->preview);
    put_said(s, "autov2", "AutoV2", lora->autov2);
    put_said(s, "autov3", "AutoV3", lora->autov3);
    if (s->json) json_end(&s->writer);
}

static void put_metadata_json(struct json_writer *w, const struct safetensors *st)
{
    json_begin(w, "metadata", JSON_OBJECT);
    for (uint32_t i = 0; i < safetensors_metadata_count(st); i++) {
        struct safetensors_metadata m = safetensors_metadata_at(st, i);
        size_t length = strlen(m.value);
        struct str value = { 0 };
        str_add_bytes(&value, m.value, str_utf8_prefix(m.value, length < JSON_BYTES ? length : JSON_BYTES));
        json_put_string(w, m.key, value.bytes);
        str_free(&value);
    }
    json_end(w);
}

static void put_metadata_text(struct sheet *s, const struct safetensors *st)
{
    uint32_t count = safetensors_metadata_count(st);

    for (uint32_t i = 0; i < count && i < SHOWN_METADATA; i++) {
        struct safetensors_metadata m = safetensors_metadata_at(st, i);
        put_label(s, i ? "" : "metadata");
        str_add_printable(&s->text, m.key, SHOWN_BYTES);
        str_add(&s->text, ": ");
        str_add_printable(&s->text, m.value, SHOWN_BYTES);
        str_add(&s->text, "\n");
    }
    if (count <= SHOWN_METADATA) return;
    put_label(s, "");
    str_addf(&s->text, "and %u more; --json shows all\n", (unsigned)(count - SHOWN_METADATA));
}

char *checkpoint_describe(const char *path, bool json, const struct describe_lora *lora, struct tinct_err *err)
{
    struct checkpoint *ck = checkpoint_open(path, NULL, err);
    struct sheet s = { .json = json };

    if (!ck) return NULL;
    if (json) {
        json_begin(&s.writer, NULL, JSON_OBJECT);
        json_put_string(&s.writer, "file", path);
    } else {
        str_add_printable(&s.text, path, 4096);
        str_add(&s.text, "\n");
    }
    put_kind(&s, ck);
    if (lora) put_lora(&s, lora);
    if (checkpoint_about(ck).kind == CHECKPOINT_EMBEDDING) put_embedding(&s, checkpoint_file(ck));
    put_sizes(&s, checkpoint_file(ck));
    if (json) put_metadata_json(&s.writer, checkpoint_file(ck));
    else put_metadata_text(&s, checkpoint_file(ck));
    checkpoint_close(ck);
    if (!json) return str_take(&s.text, err);
    json_end(&s.writer);
    return json_finish(&s.writer, err);
}
