/* Errors: a code a program can act on and a sentence for a person.
 *
 * A function that can fail takes a struct tinct_err * last and returns false
 * or NULL. Each layer may put its words in front with tinct_within(), so that
 * the user reads "models/a.safetensors: unet: input_blocks.1...: wanted [320]". */
#ifndef TINCT_BASE_ERR_H
#define TINCT_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#include "tinct.h" /* enum tinct_code, struct tinct_err */

#if defined(__GNUC__)
#define TINCT_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define TINCT_PRINTF(fmt, first)
#endif

/* Set code and sentence; err may be NULL. Returns false, so that a caller can
 * write: return tinct_fail(err, ...). A sentence longer than the room is cut at
 * its end. Any control character that came in with a file's name is shown as '?'. */
bool tinct_fail(struct tinct_err *err, enum tinct_code code, const char *fmt, ...) TINCT_PRINTF(3, 4);
bool tinct_failv(struct tinct_err *err, enum tinct_code code, const char *fmt, va_list args);

/* Put "words: " in front of the sentence, keeping the code. Returns false. */
bool tinct_within(struct tinct_err *err, const char *fmt, ...) TINCT_PRINTF(2, 3);

/* The one line of advice that may follow the sentence. Returns false. */
bool tinct_advise(struct tinct_err *err, const char *fmt, ...) TINCT_PRINTF(2, 3);

#endif
