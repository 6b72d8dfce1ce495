/* The keys of an infotext in A1111's order, and where each lives in the struct. Shared
 * by reading and writing; nobody else includes it. */
#ifndef TINCT_IMAGE_INFOTEXT_FIELDS_H
#define TINCT_IMAGE_INFOTEXT_FIELDS_H

#include "image/infotext.h"

enum infotext_kind {
    INFOTEXT_EXTRA,    /* not a field of ours: kept among the extras */
    INFOTEXT_COUNT,    /* int, absent below least */
    INFOTEXT_SEED,     /* int64_t, absent when negative */
    INFOTEXT_DELTA,    /* int64_t, absent when 0 */
    INFOTEXT_FRACTION, /* float, absent when NAN */
    INFOTEXT_TEXT,     /* const char *, absent when NULL or usual */
    INFOTEXT_SIZE,     /* width and height */
};

struct infotext_field {
    const char *key;
    enum infotext_kind kind;
    size_t offset; /* in struct infotext */
    int least;
    const char *usual;
};

extern const struct infotext_field infotext_fields[];
extern const int infotext_field_count;
extern const int infotext_middle; /* extras that are not in the list stand before this field */

const struct infotext_field *infotext_field_of(const char *key); /* NULL: none */

/* Blanks as Python's str.strip knows them: the bytes of one at text, 0 when there is none. */
size_t infotext_blank(const char *text, size_t size);

/* The part of size bytes at *text without the blanks at both ends. */
size_t infotext_strip(const char **text, size_t size);

static const char infotext_negative_mark[] = "Negative prompt:";

#endif
