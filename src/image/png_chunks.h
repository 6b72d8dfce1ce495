/* The chunks of a PNG: where they are and whether they stand as they must. Shared by
 * the reader's two halves; nobody else includes it. */
#ifndef TINCT_IMAGE_PNG_CHUNKS_H
#define TINCT_IMAGE_PNG_CHUNKS_H

#include <stdint.h>

#include "base/file.h"
#include "image/png.h"

enum { PNG_SIGNATURE_BYTES = 8, PNG_CHUNK_EXTRA = 12 }; /* length, type and CRC around the data */

/* Bytes of a file or of memory. */
struct png_source {
    const struct file *file; /* or NULL */
    const unsigned char *bytes;
    uint64_t size;
};

bool png_source_read(const struct png_source *source, void *out, uint64_t offset, size_t size, struct tinct_err *err);

struct png_chunk {
    char type[5];
    uint64_t offset; /* of its length field */
    uint32_t length; /* of its data */
};

/* What is read of a file: the header, the chunks that matter, and the run of IDATs. */
struct png_layout {
    uint32_t width, height;
    struct png_chunk kept[PNG_MAX_CHUNKS]; /* IHDR, PLTE, tRNS, tEXt, zTXt, iTXt, IEND, in order */
    int kept_count;
    int before_pixels; /* how many of them stand before the IDATs */
    uint64_t pixels_offset, pixels_bytes;
};

bool png_find_chunks(const struct png_source *source, struct png_layout *layout, struct tinct_err *err);

bool png_is_text(const struct png_chunk *chunk); /* tEXt, zTXt or iTXt */

/* The texts of a laid-out file, into out. */
bool png_read_texts(const struct png_source *source, const struct png_layout *layout, struct png *out,
                    struct tinct_err *err);

#endif
