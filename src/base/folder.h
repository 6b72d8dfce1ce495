/* The files below a folder, subfolders included.
 *
 * Symbolic links are told of but not followed: they lead out of the folder, or to what is listed anyway. Names with a
 * backslash, a control character or invalid UTF-8, and hidden ones, are passed over; so are folders more
 * than 16 deep, and subfolders without permission. */
#ifndef TINCT_BASE_FOLDER_H
#define TINCT_BASE_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct folder_file {
    const char *path;       /* what opens it */
    const char *name;       /* below the folder: "styles/arcane.safetensors" */
    uint64_t device, inode; /* the same for a file that is reached twice */
    bool is_link;           /* a symbolic link, to whatever: not to be opened */
};

/* Told every plain file and every link; what it points to ends with the call. False stops, with err set. */
typedef bool folder_tell(void *user, const struct folder_file *file, struct tinct_err *err);

/* In no order. A folder that is not there has no files. Refused: TINCT_ERR_IO one that cannot be read, no
 * memory, what tell refuses. */
bool folder_walk(const char *path, folder_tell *tell, void *user, struct tinct_err *err);

/* "folder/name" of one path and another; NULL without memory. The caller frees it. */
char *folder_join(const char *folder, const char *name);

#endif
