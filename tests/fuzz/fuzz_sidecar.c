/* Metadata, NAME.json and NAME.civitai.info from the input, cut at bytes of 0x1e: the card is always there, its JSON
 * is JSON, and its text holds no control character. */
#include "lora/card.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "tensor_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool promise)
{
    if (!promise) abort();
}

static const char *const keys[] = { "ss_tag_frequency", "ss_dataset_dirs", "ss_datasets", "modelspec.trigger_phrase",
                                    "ss_base_model_version", "ss_output_name", "sshs_model_hash", "lora_adapter_metadata",
                                    "modelspec.description" };
enum { KEYS = sizeof keys / sizeof *keys };

/* Pieces of the input; what is missing is empty. */
static void next_piece(const uint8_t **at, size_t *left, const uint8_t **piece, size_t *length)
{
    const uint8_t *end = *left ? memchr(*at, 0x1e, *left) : NULL;
    *piece = *at;
    *length = end ? (size_t)(end - *at) : *left;
    *left -= end ? *length + 1 : *length;
    *at += end ? *length + 1 : *length;
}

static void write_file(const char *folder, const char *name, const uint8_t *bytes, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    check(f && fwrite(bytes, 1, size, f) == size);
    check(fclose(f) == 0);
}

static void write_lora(const char *path, const char *metadata)
{
    struct tensor_file f;
    const uint32_t shape[] = { 1, 1 };
    tensor_file_begin_with(&f, metadata);
    tensor_file_add(&f, "lora_unet_conv_in.lora_up.weight", DTYPE_F32, 2, shape);
    tensor_file_add(&f, "lora_unet_conv_in.lora_down.weight", DTYPE_F32, 2, shape);
    check(tensor_file_save(&f, path));
    tensor_file_free(&f);
}

static char *make_metadata(const uint8_t **at, size_t *left)
{
    struct json_writer w = { .depth = 0 };
    json_begin(&w, NULL, JSON_OBJECT);
    for (int i = 0; i < KEYS; i++) {
        const uint8_t *piece;
        size_t length;
        next_piece(at, left, &piece, &length);
        char *value = malloc(length + 1);
        check(value != NULL);
        memcpy(value, piece, length);
        value[length] = '\0';
        if (length) json_put_string(&w, keys[i], value);
        free(value);
    }
    json_end(&w);
    char *text = json_finish(&w, NULL);
    check(text != NULL);
    return text;
}

static void check_card(const struct lora_card *card)
{
    char *text = lora_card_text(card, false, NULL), *json = lora_card_text(card, true, NULL);
    check(text && json);
    for (const char *c = text; *c; c++) check(*c == '\n' || ((unsigned char)*c >= 0x20 && *c != 0x7f));
    struct json *root = json_parse(json, strlen(json), NULL);
    check(root != NULL);
    check(json_count(json_member(root, "triggers")) == card->triggers.count);
    for (size_t i = 0; i < card->triggers.count; i++) check(lora_trigger_in(card->triggers.words[i], card->triggers.words[i]));
    json_free(root);
    free(text);
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char folder[64], lora[96];
    const uint8_t *piece;
    size_t length;

    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s/tinct-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
        check(mkdtemp(folder) != NULL);
        snprintf(lora, sizeof lora, "%s/a.safetensors", folder);
    }
    next_piece(&bytes, &size, &piece, &length);
    write_file(folder, "a.json", piece, length);
    next_piece(&bytes, &size, &piece, &length);
    write_file(folder, "a.civitai.info", piece, length);
    char *metadata = make_metadata(&bytes, &size);
    write_lora(lora, metadata);
    free(metadata);
    struct lora_card *card = lora_card_read("a", lora, false, NULL, NULL);
    if (card) check_card(card); /* without one: a header that the reader refuses, e.g. for its size */
    lora_card_free(card);
    return 0;
}
