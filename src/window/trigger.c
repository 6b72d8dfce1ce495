#include "window/trigger.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_word(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x80 || (u >= '0' && u <= '9') || (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') || u == '_';
}

bool trigger_find(const char *prompt, const char *words, size_t *begin)
{
    size_t bytes = strlen(words), tag = 0;

    for (size_t i = 0; bytes && prompt[i]; i++) {
        if (prompt[i] == '<' && prompt[i + strcspn(prompt + i, ">")]) tag = i + strcspn(prompt + i, ">") + 1;
        if (i < tag || strncasecmp(prompt + i, words, bytes) != 0) continue;
        bool before = i > 0 && is_word(prompt[i - 1]) && is_word(words[0]);
        bool after = is_word(words[bytes - 1]) && is_word(prompt[i + bytes]);
        if (before || after) continue;
        *begin = i;
        return true;
    }
    return false;
}

char *trigger_add(const char *prompt, const char *words)
{
    size_t bytes = strlen(prompt);
    while (bytes && strchr(" ,\n", prompt[bytes - 1])) bytes--;
    char *out = malloc(bytes + strlen(words) + 3);

    if (!out) return NULL;
    memcpy(out, prompt, bytes);
    strcpy(out + bytes, bytes ? ", " : "");
    return strcat(out, words);
}

char *trigger_remove(const char *prompt, const char *words)
{
    size_t begin, size = strlen(prompt), end;
    char *out = malloc(size + 1);

    if (!out) return NULL;
    strcpy(out, prompt);
    while (trigger_find(out, words, &begin)) {
        end = begin + strlen(words);
        size_t before = begin;
        while (before && out[before - 1] == ' ') before--;
        if (before && out[before - 1] == ',') {
            begin = before - 1;
        } else if (out[end] == ',') {
            end += 1;
            while (out[end] == ' ') end++;
        }
        memmove(out + begin, out + end, strlen(out + end) + 1);
    }
    return out;
}
