/* A prompt from the argument, a file, or standard input ("-"). */
#ifndef TINCT_APP_PROMPT_TEXT_H
#define TINCT_APP_PROMPT_TEXT_H

#include "app.h"

enum { PROMPT_BYTES_MOST = 64 << 10 };

/* words of the command line (argv + 1) and the --prompt-file, one of which must name a prompt. *text
 * is allocated. Refused: none or two of them, over 64 KiB, a NUL inside, a file that cannot be read. */
enum exit_code prompt_text(char *const *words, int count, const char *file, char **text);

#endif
