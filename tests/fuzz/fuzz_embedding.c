/* An embedding from the input: a whole file, a file of some tensors, a picture's base64, or the JSON inside one. Refused
 * with a sentence, or finite vectors of the width that was asked for. */
#include "text/embedding.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tensor/safetensors.h"
#include "tensor_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { WIDTH = 4 };

static void check(bool promise)
{
    if (!promise) abort();
}

static void check_result(bool ok, struct embedding *e, const struct tinct_err *err)
{
    check(ok == (e->vectors != NULL));
    if (!ok) check(err->text[0] != '\0');
    check(!ok || (e->width == WIDTH && e->count >= 1 && e->count <= EMBEDDING_VECTORS));
    for (size_t i = 0; ok && i < (size_t)e->count * e->width; i++) check(isfinite(e->vectors[i]));
    embedding_free(e);
}

static void write_raw(const uint8_t *bytes, size_t size, const char *path)
{
    FILE *f = fopen(path, "wb");
    check(f && fwrite(bytes, 1, size, f) == size);
    check(fclose(f) == 0);
}

/* Tensors of known names and small sizes, four bytes of input each, values from what is left. */
static void write_tensors(const uint8_t *bytes, size_t size, const char *path)
{
    static const char *const names[] = { "emb_params", "string_to_param.*", "clip_l", "clip_g", "<cat>", "step",
                                         "bundle_emb.a.string_to_param.*", "bundle_emb.a.clip_l", "bundle_emb.b.clip_g",
                                         "bundle_emb.." };
    static const enum dtype types[] = { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_I64, DTYPE_BOOL, DTYPE_F8_E4M3 };
    struct tensor_file f;
    unsigned used = 0;

    tensor_file_begin(&f);
    for (unsigned i = 0; i < 3 && size >= 4; i++, bytes += 4, size -= 4) {
        unsigned name = bytes[0] % 10;
        uint32_t shape[] = { bytes[2] % 80, bytes[3] % 8, 2 };
        if (used & 1u << name) continue;
        used |= 1u << name;
        enum dtype type = types[bytes[1] / 4 % 7];
        size_t room = dtype_size(type), values = 1;
        for (unsigned d = 0; d < bytes[1] % 4; d++) values *= shape[d];
        unsigned char *to = tensor_file_add(&f, names[name], type, bytes[1] % 4, shape);
        size_t copied = values * room < size - 4 ? values * room : size - 4;
        if (copied) memcpy(to, bytes + 4, copied);
    }
    if (!used) tensor_file_add(&f, "nothing", DTYPE_U8, 0, NULL);
    check(tensor_file_save(&f, path));
    tensor_file_free(&f);
}

static char *encode(const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((size + 2) / 3 * 4 + 1), *at = text;

    check(text != NULL);
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++) bits = bits << 8 | (i + k < size ? bytes[i + k] : 0);
        for (size_t k = 0; k < 4; k++) *at++ = i + k > size ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    *at = '\0';
    return text;
}

static void decode(const uint8_t *bytes, size_t size, bool wrap)
{
    struct embedding e;
    struct tinct_err err = { 0 };
    char *text = wrap ? encode(bytes, size) : malloc(size + 1);

    check(text != NULL);
    if (!wrap) {
        memcpy(text, bytes, size);
        text[size] = '\0';
    }
    bool ok = embedding_decode(&e, "p.png", text, WIDTH, &err);
    check_result(ok, &e, &err);
    free(text);
}

/* Every one that a LoRA file would bring. */
static void read_bundled(const char *path)
{
    struct tinct_err err = { 0 };
    struct safetensors *st = safetensors_open(path, &err);
    struct embedding e;

    for (uint32_t i = 0; st && i < safetensors_count(st); i++) {
        size_t length = 0;
        const char *name = embedding_bundled_name(safetensors_at(st, i)->name, &length);
        if (!name) continue;
        bool ok = embedding_read_bundled(&e, st, name, length, WIDTH, &err);
        check_result(ok, &e, &err);
    }
    safetensors_close(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char path[64];
    struct embedding e;
    struct tinct_err err = { 0 };

    if (size < 1) return 0;
    if (!path[0])
        snprintf(path, sizeof path, "%s/tinct-fuzz-embedding-%ld.safetensors", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
                 (long)getpid());
    unsigned form = bytes[0] % 4;
    if (form >= 2) {
        decode(bytes + 1, size - 1, form == 3);
        return 0;
    }
    if (form) write_tensors(bytes + 1, size - 1, path);
    else write_raw(bytes + 1, size - 1, path);
    bool ok = embedding_read(&e, path, WIDTH, &err);
    check_result(ok, &e, &err);
    read_bundled(path);
    unlink(path);
    return 0;
}
