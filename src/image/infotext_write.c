#include "image/infotext_fields.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

/* Lines of one prompt, each stripped, without empty ones at either end. */
static void add_prompt(struct str *out, const char *prompt)
{
    const size_t mark_bytes = strlen(infotext_negative_mark);
    size_t begin = out->length;
    int breaks = 0;

    while (*prompt) {
        const char *line = prompt;
        size_t bytes = strcspn(prompt, "\n");
        prompt += bytes + (prompt[bytes] == '\n');

        bytes = infotext_strip(&line, bytes);
        while (bytes >= mark_bytes && memcmp(line, infotext_negative_mark, mark_bytes) == 0) {
            line += mark_bytes;
            bytes = infotext_strip(&line, bytes - mark_bytes);
        }
        if (bytes) {
            if (out->length > begin)
                for (; breaks; breaks--) str_add(out, "\n");
            str_add_bytes(out, line, bytes);
            breaks = 0;
        }
        breaks++;
    }
}

static bool comes_back_raw(const char *value)
{
    const char *stripped = value;
    size_t bytes = strlen(value);

    return bytes && !strpbrk(value, ",:\n") && value[0] != '"' && infotext_strip(&stripped, bytes) == bytes;
}

static void add_pair(struct str *line, const char *key, const char *value)
{
    str_addf(line, "%s%s: ", line->length ? ", " : "", key);
    if (comes_back_raw(value))
        str_add(line, value);
    else
        json_quote(line, value);
}

static const void *member(const struct infotext *info, const struct infotext_field *field)
{
    return (const char *)info + field->offset;
}

static void add_number(struct str *line, const struct infotext *info, const struct infotext_field *field)
{
    struct str value = { 0 };
    int count;
    int64_t whole;
    float fraction;

    switch (field->kind) {
    case INFOTEXT_COUNT:
        memcpy(&count, member(info, field), sizeof count);
        if (count >= field->least) str_addf(&value, "%d", count);
        break;
    case INFOTEXT_FRACTION:
        memcpy(&fraction, member(info, field), sizeof fraction);
        if (isfinite(fraction)) str_add_float(&value, fraction);
        break;
    default:
        memcpy(&whole, member(info, field), sizeof whole);
        if (field->kind == INFOTEXT_SEED ? whole >= 0 : whole != 0) str_addf(&value, "%" PRId64, whole);
    }
    if (value.length) add_pair(line, field->key, value.bytes);
    line->failed |= value.failed;
    str_free(&value);
}

static void add_extras(struct str *line, const struct infotext *info, const char *key)
{
    for (size_t i = 0; i < info->extra_count; i++)
        if (strcmp(info->extras[i].key, key) == 0) add_pair(line, key, info->extras[i].value);
}

static void add_field(struct str *line, const struct infotext *info, const struct infotext_field *field)
{
    const char *text;

    add_extras(line, info, field->key); /* also what did not fit its field when it was read */
    if (field->kind == INFOTEXT_TEXT) {
        memcpy(&text, member(info, field), sizeof text);
        if (text && (!field->usual || strcmp(text, field->usual) != 0)) add_pair(line, field->key, text);
    } else if (field->kind == INFOTEXT_SIZE) {
        if (info->width > 0 && info->height > 0)
            str_addf(line, "%s%s: %dx%d", line->length ? ", " : "", field->key, info->width, info->height);
    } else if (field->kind != INFOTEXT_EXTRA) {
        add_number(line, info, field);
    }
}

char *infotext_write(const struct infotext *info, struct tinct_err *err)
{
    struct str text = { 0 }, line = { 0 }, negative = { 0 };

    add_prompt(&text, info->prompt ? info->prompt : "");
    add_prompt(&negative, info->negative ? info->negative : "");
    if (negative.length)
        str_addf(&text, "%s%s %s", text.length ? "\n" : "", infotext_negative_mark, negative.bytes);

    for (int i = 0; i < infotext_field_count; i++) {
        if (i == infotext_middle)
            for (size_t k = 0; k < info->extra_count; k++)
                if (!infotext_field_of(info->extras[k].key))
                    add_pair(&line, info->extras[k].key, info->extras[k].value);
        add_field(&line, info, &infotext_fields[i]);
    }
    if (line.length) str_addf(&text, "%s%s", text.length ? "\n" : "", line.bytes);
    text.failed |= line.failed | negative.failed;
    str_free(&line);
    str_free(&negative);
    return str_take(&text, err);
}
