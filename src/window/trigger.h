/* Trigger words in a prompt: are they there, put in, taken out. */
#ifndef TINCT_WINDOW_TRIGGER_H
#define TINCT_WINDOW_TRIGGER_H

#include <stdbool.h>
#include <stddef.h>

/* As words of their own, whatever their case; where they begin. Inside <tags> does not count. */
bool trigger_find(const char *prompt, const char *words, size_t *begin);

/* The prompt with them added behind a comma, or taken out with theirs. The caller frees it; NULL without memory. */
char *trigger_add(const char *prompt, const char *words);
char *trigger_remove(const char *prompt, const char *words);

#endif
