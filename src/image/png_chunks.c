#include "image/png_chunks.h"

#include <inttypes.h>
#include <string.h>

#include <zlib.h>

enum { IDAT_MAX = 1 << 17 }; /* 64 Mpx of 64 bits in pieces of 8 KiB, and some */

static const unsigned char signature[PNG_SIGNATURE_BYTES] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };

bool png_claimed(const void *bytes, size_t size)
{
    return size >= sizeof signature && memcmp(bytes, signature, sizeof signature) == 0;
}

bool png_source_read(const struct png_source *source, void *out, uint64_t offset, size_t size, struct tinct_err *err)
{
    if (source->file) return file_read(source->file, out, offset, size, err);
    if (offset > source->size || size > source->size - offset)
        return tinct_fail(err, TINCT_ERR_FORMAT, "bad PNG: it ends too early (byte %" PRIu64 ")", source->size);
    memcpy(out, source->bytes + offset, size);
    return true;
}

static bool refuse(const struct png_chunk *chunk, const char *what, struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_FORMAT, "bad PNG: %s (chunk %s at byte %" PRIu64 ")", what, chunk->type,
                      chunk->offset);
}

static uint32_t big_endian(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool is_type(const struct png_chunk *chunk, const char *type)
{
    return memcmp(chunk->type, type, 4) == 0;
}

bool png_is_text(const struct png_chunk *chunk)
{
    return is_type(chunk, "tEXt") || is_type(chunk, "zTXt") || is_type(chunk, "iTXt");
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Over type and data; libspng leaves the last IDAT's unread once it has its pixels. */
static bool check_sum(const struct png_source *source, const struct png_chunk *chunk, struct tinct_err *err)
{
    unsigned char piece[16384], stored[4];
    uint64_t at = chunk->offset + 4, end = chunk->offset + 8 + chunk->length;
    uLong crc = crc32(0, NULL, 0);

    while (at < end) {
        size_t take = end - at < sizeof piece ? (size_t)(end - at) : sizeof piece;
        if (!png_source_read(source, piece, at, take, err)) return false;
        crc = crc32(crc, piece, (uInt)take);
        at += take;
    }
    if (!png_source_read(source, stored, end, sizeof stored, err)) return false;
    return crc == big_endian(stored) || refuse(chunk, "a chunk's checksum is wrong", err);
}

static bool read_chunk(const struct png_source *source, uint64_t offset, struct png_chunk *chunk,
                       struct tinct_err *err)
{
    unsigned char head[8];

    *chunk = (struct png_chunk) { .type = "?", .offset = offset };
    if (source->size - offset < PNG_CHUNK_EXTRA) return refuse(chunk, "it ends without an IEND chunk", err);
    if (!png_source_read(source, head, offset, sizeof head, err)) return false;
    for (int i = 0; i < 4; i++)
        if (!is_letter((char)head[4 + i])) return refuse(chunk, "a chunk's type is not four letters", err);
    memcpy(chunk->type, head + 4, 4);
    chunk->length = big_endian(head);
    if (chunk->length > INT32_MAX) return refuse(chunk, "a chunk's length is over 2^31", err);
    if (chunk->length > source->size - offset - PNG_CHUNK_EXTRA)
        return refuse(chunk, "a chunk goes beyond the end of the file", err);
    return check_sum(source, chunk, err);
}

/* Colour types and the bit depths that go with them: PNG 11.2.2. */
static bool is_pixel_format(int depth, int colour)
{
    static const unsigned char depths[7] = { 1 | 2 | 4 | 8 | 16, 0, 8 | 16, 1 | 2 | 4 | 8, 8 | 16, 0, 8 | 16 };

    return colour < 7 && (depth & (depth - 1)) == 0 && (depths[colour] & depth);
}

static bool read_header(const struct png_source *source, struct png_layout *layout, const struct png_chunk *chunk,
                        struct tinct_err *err)
{
    unsigned char header[13];

    if (!is_type(chunk, "IHDR")) return refuse(chunk, "the first chunk is not IHDR", err);
    if (chunk->length != 13) return refuse(chunk, "the header is not 13 bytes", err);
    if (!png_source_read(source, header, chunk->offset + 8, sizeof header, err)) return false;
    layout->width = big_endian(header);
    layout->height = big_endian(header + 4);
    if (layout->width == 0 || layout->height == 0) return refuse(chunk, "a side is 0 pixels", err);
    if ((uint64_t)layout->width * layout->height > PNG_MAX_PIXELS)
        return tinct_fail(err, TINCT_ERR_FORMAT,
                          "the picture is %" PRIu32 "x%" PRIu32 ", more than the 64 Mpx that are read "
                          "(chunk IHDR at byte %" PRIu64 ")", layout->width, layout->height, chunk->offset);
    if (!is_pixel_format(header[8], header[9])) return refuse(chunk, "no such bit depth and colour type", err);
    if (header[10] || header[11]) return refuse(chunk, "an unknown compression or filter method", err);
    return header[12] < 2 || refuse(chunk, "an unknown way of interlacing", err);
}

static bool is_kept(const struct png_chunk *chunk)
{
    return is_type(chunk, "IHDR") || is_type(chunk, "PLTE") || is_type(chunk, "tRNS") || is_type(chunk, "IEND") ||
           png_is_text(chunk);
}

/* One of the IDATs, which must follow each other. */
static bool add_pixels(struct png_layout *layout, const struct png_chunk *chunk, uint32_t *count,
                       struct tinct_err *err)
{
    uint64_t bytes = chunk->length + (uint64_t)PNG_CHUNK_EXTRA;

    if (++*count > IDAT_MAX) return refuse(chunk, "over 131072 IDAT chunks", err);
    if (*count == 1) {
        layout->pixels_offset = chunk->offset;
        layout->before_pixels = layout->kept_count;
    } else if (chunk->offset != layout->pixels_offset + layout->pixels_bytes) {
        return refuse(chunk, "IDAT chunks with others between them", err);
    }
    layout->pixels_bytes += bytes;
    return true;
}

static bool add_chunk(struct png_layout *layout, const struct png_chunk *chunk, struct tinct_err *err)
{
    if (is_type(chunk, "IHDR") && layout->kept_count) return refuse(chunk, "a second IHDR", err);
    if (!is_kept(chunk)) return (chunk->type[0] & 0x20) || refuse(chunk, "an unknown chunk that is critical", err);
    layout->kept[layout->kept_count++] = *chunk;
    return true;
}

bool png_find_chunks(const struct png_source *source, struct png_layout *layout, struct tinct_err *err)
{
    unsigned char start[PNG_SIGNATURE_BYTES];
    uint64_t offset = sizeof start;
    uint32_t pixel_chunks = 0;
    struct png_chunk chunk;

    *layout = (struct png_layout) { 0 };
    if (source->size < sizeof start) return tinct_fail(err, TINCT_ERR_FORMAT, "not a PNG file (it is too short)");
    if (!png_source_read(source, start, 0, sizeof start, err)) return false;
    if (!png_claimed(start, sizeof start))
        return tinct_fail(err, TINCT_ERR_FORMAT, "not a PNG file (its first 8 bytes are not a PNG's)");
    if (!read_chunk(source, offset, &chunk, err) || !read_header(source, layout, &chunk, err)) return false;

    for (int others = 0;; others++) {
        if (is_type(&chunk, "IDAT")) {
            if (!add_pixels(layout, &chunk, &pixel_chunks, err)) return false;
            others--;
        } else if (others >= PNG_MAX_CHUNKS) {
            return refuse(&chunk, "over 1000 chunks", err);
        } else if (!add_chunk(layout, &chunk, err)) {
            return false;
        }
        if (is_type(&chunk, "IEND")) break;
        offset += chunk.length + (uint64_t)PNG_CHUNK_EXTRA;
        if (!read_chunk(source, offset, &chunk, err)) return false;
    }
    return pixel_chunks > 0 || refuse(&chunk, "it holds no pixels, no IDAT chunk", err);
}
