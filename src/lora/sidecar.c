#include "lora/sidecar.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TEXT_BYTES = 16384 };

static const char extension[] = ".safetensors";

/* lora_path with end for its ".safetensors", where such a plain file is; else NULL. */
static char *find_beside(const char *lora_path, const char *end)
{
    size_t length = strlen(lora_path), cut = sizeof extension - 1;
    struct stat st;

    if (length > cut && !strcmp(lora_path + length - cut, extension)) length -= cut;
    char *path = malloc(length + strlen(end) + 1);
    if (!path) return NULL;
    memcpy(path, lora_path, length);
    strcpy(path + length, end);
    if (!lstat(path, &st) && S_ISREG(st.st_mode) && st.st_size > 0) return path;
    free(path);
    return NULL;
}

/* The first most bytes of a file and NUL; NULL where it cannot be read. */
static char *read_head(const char *path, size_t most, size_t *size, struct tinct_err *err)
{
    struct file *file = file_open(path, err);
    char *text = NULL;

    if (!file) return NULL;
    *size = file_size(file) < most ? (size_t)file_size(file) : most;
    text = malloc(*size + 1);
    if (!text) tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory to read it", path);
    else if (!file_read(file, text, 0, *size, err)) {
        free(text);
        text = NULL;
    } else {
        text[*size] = '\0';
    }
    file_close(file);
    return text;
}

struct json *sidecar_json(const char *lora_path, const char *end, struct str *warnings)
{
    static const char mark[] = "\xef\xbb\xbf";
    char *path = find_beside(lora_path, end), *text;
    struct tinct_err err = { 0 };
    struct json *root = NULL;
    size_t size = 0;

    if (!path) return NULL;
    text = read_head(path, JSON_MAX_BYTES + 4, &size, &err);
    if (text) {
        size_t skip = strncmp(text, mark, 3) ? 0 : 3;
        root = json_parse(text + skip, size - skip, &err);
    }
    if (root && json_kind(root) != JSON_OBJECT) {
        tinct_fail(&err, TINCT_ERR_FORMAT, "is no JSON object");
        json_free(root);
        root = NULL;
    }
    bool named = !strncmp(err.text, path, strlen(path));
    if (!root) str_addf(warnings, "%s%s%s\n", named ? "" : path, named ? "" : ": ", err.text);
    free(text);
    free(path);
    return root;
}

char *sidecar_text(const char *lora_path, const char *end)
{
    char *path = find_beside(lora_path, end), *text = NULL;
    size_t size = 0;

    if (path) text = read_head(path, TEXT_BYTES, &size, NULL);
    if (text) text[str_utf8_prefix(text, strlen(text))] = '\0';
    free(path);
    return text;
}

char *sidecar_preview(const char *lora_path)
{
    static const char *const ends[] = { ".png", ".jpg", ".jpeg", ".webp", ".gif",
                                        ".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp",
                                        ".preview.gif" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *path = find_beside(lora_path, ends[i]);
        if (path) return path;
    }
    return NULL;
}
