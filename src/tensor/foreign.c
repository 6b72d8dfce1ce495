#include "tensor/foreign.h"

#include <string.h>

static const char convert[] = "convert it to .safetensors with a tool you trust, or get the .safetensors version";
static const char fetch_again[] = "fetch the file again, with the address of the file itself";

static const struct kind {
    const char *bytes;
    size_t size;
    const char *is, *advice;
} kinds[] = {
    { "PK\x03\x04", 4, "is a PyTorch pickle (a zip archive), which can run code when it is read; it is not opened",
      convert },
    { "\x80\x02", 2, "is a Python pickle, which can run code when it is read; it is not opened", convert },
    { "\x80\x03", 2, "is a Python pickle, which can run code when it is read; it is not opened", convert },
    { "\x80\x04", 2, "is a Python pickle, which can run code when it is read; it is not opened", convert },
    { "\x80\x05", 2, "is a Python pickle, which can run code when it is read; it is not opened", convert },
    { "GGUF", 4, "is a GGUF file; tinct reads .safetensors", "get the .safetensors version of this model" },
    { "GGML", 4, "is a GGML file; tinct reads .safetensors", "get the .safetensors version of this model" },
    { "lmgg", 4, "is a GGML file; tinct reads .safetensors", "get the .safetensors version of this model" },
    { "\x89PNG\r\n\x1a\n", 8, "is a PNG picture, not a model", "" },
    { "\xff\xd8\xff", 3, "is a JPEG picture, not a model", "" },
    { "RIFF", 4, "is a WebP picture or a sound, not a model", "" },
    { "version https://git-lfs", 23, "is a git-lfs pointer: it stands for the model, which was not fetched",
      "run git lfs pull" },
    { "<!DOCTYPE", 9, "is a web page saved in place of the model", fetch_again },
    { "<!doctype", 9, "is a web page saved in place of the model", fetch_again },
    { "<html", 5, "is a web page saved in place of the model", fetch_again },
    { "<HTML", 5, "is a web page saved in place of the model", fetch_again },
    { "<?xml", 5, "is an XML text saved in place of the model", fetch_again },
    { "{", 1, "is a JSON text, not a model", "name the .safetensors file itself, not its index or configuration" },
    { "7z\xbc\xaf\x27\x1c", 6, "is a 7-zip archive", "unpack it first" },
    { "Rar!", 4, "is a RAR archive", "unpack it first" },
    { "\x1f\x8b", 2, "is a gzip archive", "unpack it first" },
    { "\x28\xb5\x2f\xfd", 4, "is a zstd archive", "unpack it first" },
    { "\x89HDF\r\n\x1a\n", 8, "is an HDF5 file; tinct reads .safetensors",
      "get the .safetensors version of this model" },
};

/* A safetensors file may begin with some of these bytes by chance, as its header's length; '{' comes next then. */
static bool may_be_safetensors(const unsigned char *head, size_t size)
{
    static const unsigned char zero[4] = { 0 };
    return size > 8 && head[8] == '{' && !memcmp(head + 4, zero, sizeof zero);
}

bool foreign_refuse(const unsigned char *head, size_t size, struct tinct_err *err)
{
    size_t blank = 0;

    if (may_be_safetensors(head, size)) return true;
    while (blank < size && (head[blank] == ' ' || (head[blank] >= '\t' && head[blank] <= '\r'))) blank++;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *k = &kinds[i];
        bool text = k->bytes[0] == '<' || k->bytes[0] == '{';
        size_t skip = text ? blank : 0;
        if (size - skip < k->size || memcmp(head + skip, k->bytes, k->size)) continue;
        tinct_fail(err, TINCT_ERR_FORMAT, "%s", k->is);
        return tinct_advise(err, "%s", k->advice);
    }
    return true;
}
