/* Ctrl-C: the first asks for an end within a step, the second leaves at once; so does the first
 * while there is nothing yet to keep. The exit code is 130 each time. */
#ifndef TINCT_APP_INTERRUPT_H
#define TINCT_APP_INTERRUPT_H

#include <stdbool.h>

/* From the program's start: leave at once. Pipes that close and file size limits become
 * ordinary write errors. */
void interrupt_install(void);

/* From here on the first Ctrl-C only sets the mark. */
void interrupt_defer(void);

bool interrupted(void);

#endif
