/* Writing files so that nobody ever sees half of one.
 *
 * The bytes go to ".NAME.tmp.PID" in the target's own folder, are synced to the
 * disk, and only then take the target's name; so the name holds the old file or
 * the whole new one, whatever is killed or fails in between. Temporary files that
 * a killed process left behind are removed by the next write in that folder.
 *
 * Refused with TINCT_ERR_OUTPUT, one sentence that begins with the path, and no
 * file left: no such folder, no permission, a full disk, a folder of that name,
 * an existing file unless overwrite. Devices and pipes ("/dev/stdout") are
 * written straight through. A symbolic link is replaced, not followed. */
#ifndef TINCT_BASE_SAVE_H
#define TINCT_BASE_SAVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Write size bytes under path (UTF-8). Without overwrite an existing file is
 * never replaced, not even one that appears at the last moment. */
bool save_file(const char *path, const void *bytes, size_t size, bool overwrite, struct tinct_err *err);

/* The same for a file that comes piece by piece. path lives until the end; a device or pipe is refused. */
struct save;
struct save *save_open(const char *path, bool overwrite, struct tinct_err *err);
bool save_put(struct save *s, const void *bytes, size_t size, struct tinct_err *err);    /* behind what is there */
bool save_close(struct save *s, struct tinct_err *err);   /* syncs it and gives it its name; ends s either way */
void save_abandon(struct save *s);                        /* ends s, and nothing is left; NULL is fine */

/* Would save_file work now? Tries with an empty temporary file, so that minutes of
 * work are not lost to a folder that cannot be written. */
bool save_check(const char *path, bool overwrite, struct tinct_err *err);

#endif
