#include "prompt_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum exit_code refuse_long(void)
{
    return app_fail(EXIT_USAGE, "", "the prompt is over %d KiB", PROMPT_BYTES_MOST / 1024);
}

static enum exit_code read_stream(FILE *in, const char *name, char **text)
{
    char *read = malloc(PROMPT_BYTES_MOST + 2);
    size_t bytes = read ? fread(read, 1, PROMPT_BYTES_MOST + 1, in) : 0;
    enum exit_code code = EXIT_DONE;

    if (!read)
        code = app_fail(EXIT_MACHINE, "", "no memory for a prompt");
    else if (ferror(in))
        code = app_fail(EXIT_INPUT, "", "%s: cannot be read: %s", name, strerror(errno));
    else if (bytes > PROMPT_BYTES_MOST)
        code = refuse_long();
    else if (memchr(read, '\0', bytes))
        code = app_fail(EXIT_INPUT, "", "%s: not a text: there is a NUL in it", name);
    if (code != EXIT_DONE) {
        free(read);
        return code;
    }
    while (bytes && strchr("\r\n", read[bytes - 1])) bytes--;
    read[bytes] = '\0';
    *text = read;
    return EXIT_DONE;
}

static enum exit_code read_file(const char *path, char **text)
{
    FILE *in = fopen(path, "rb");

    if (!in) return app_fail(EXIT_INPUT, "", "%s: the prompt cannot be read: %s", path, strerror(errno));
    enum exit_code code = read_stream(in, path, text);
    fclose(in);
    return code;
}

enum exit_code prompt_text(char *const *words, int count, const char *file, char **text)
{
    *text = NULL;
    if (count > 1) return app_fail(EXIT_USAGE, "put quotes around the prompt", "more than one prompt: \"%.60s\" and \"%.60s\"", words[0], words[1]);
    if (count && file) return app_fail(EXIT_USAGE, "", "a prompt and a --prompt-file: which of them?");
    if (file) return strcmp(file, "-") == 0 ? read_stream(stdin, "standard input", text) : read_file(file, text);
    if (!count) return app_fail(EXIT_USAGE, "tinct \"a castle at dusk\"; see tinct --help", "no prompt");
    if (strcmp(words[0], "-") == 0) return read_stream(stdin, "standard input", text);

    size_t bytes = strlen(words[0]);
    if (bytes > PROMPT_BYTES_MOST) return refuse_long();
    if (!(*text = malloc(bytes + 1))) return app_fail(EXIT_MACHINE, "", "no memory for a prompt");
    memcpy(*text, words[0], bytes + 1);
    return EXIT_DONE;
}
