#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <spng.h>

#include "image/png_chunks.h"

/* What libspng is shown of a file: its signature, the chunks that pixels need, and
 * nothing else, so that no profile or animation is ever parsed. */
struct feed {
    const struct png_source *source;
    struct range {
        uint64_t offset, bytes;
    } ranges[PNG_MAX_CHUNKS + 2];
    int count, current;
    uint64_t done; /* of the current range */
    struct tinct_err *err;
    bool failed; /* err is set: reading, not decoding, went wrong */
};

static void add_range(struct feed *feed, uint64_t offset, uint64_t bytes)
{
    feed->ranges[feed->count++] = (struct range) { offset, bytes };
}

static void feed_from(struct feed *feed, const struct png_layout *layout)
{
    add_range(feed, 0, PNG_SIGNATURE_BYTES);
    for (int i = 0; i < layout->kept_count; i++) {
        const struct png_chunk *chunk = &layout->kept[i];
        if (i == layout->before_pixels) add_range(feed, layout->pixels_offset, layout->pixels_bytes);
        if (!png_is_text(chunk)) add_range(feed, chunk->offset, chunk->length + (uint64_t)PNG_CHUNK_EXTRA);
    }
}

static int feed_read(spng_ctx *ctx, void *user, void *out, size_t size)
{
    struct feed *feed = user;
    char *to = out;
    (void)ctx;

    while (size) {
        if (feed->current == feed->count) return SPNG_IO_EOF;
        struct range *range = &feed->ranges[feed->current];
        size_t take = range->bytes - feed->done < size ? (size_t)(range->bytes - feed->done) : size;
        if (!png_source_read(feed->source, to, range->offset + feed->done, take, feed->err)) {
            feed->failed = true;
            return SPNG_IO_ERROR;
        }
        to += take;
        size -= take;
        feed->done += take;
        if (feed->done == range->bytes) {
            feed->current++;
            feed->done = 0;
        }
    }
    return 0;
}

static int decode(spng_ctx *ctx, struct feed *feed, struct png *out)
{
    size_t size;
    int status = spng_set_crc_action(ctx, SPNG_CRC_ERROR, SPNG_CRC_ERROR);

    if (!status) status = spng_set_png_stream(ctx, feed_read, feed);
    if (!status) status = spng_decoded_image_size(ctx, SPNG_FMT_RGB8, &size);
    if (!status) out->rgb = malloc(size);
    if (!status && !out->rgb) status = SPNG_EMEM;
    if (!status) status = spng_decode_image(ctx, out->rgb, size, SPNG_FMT_RGB8, 0);
    return status;
}

static bool read_pixels(const struct png_source *source, const struct png_layout *layout, struct png *out,
                        struct tinct_err *err)
{
    struct feed *feed = calloc(1, sizeof *feed);
    spng_ctx *ctx = feed ? spng_ctx_new(0) : NULL;
    int status = SPNG_EMEM;

    if (ctx) {
        feed->source = source;
        feed->err = err;
        feed_from(feed, layout);
        status = decode(ctx, feed, out);
    }
    bool told = feed && feed->failed;
    spng_ctx_free(ctx);
    free(feed);
    if (status == SPNG_EMEM || status == SPNG_EZLIB_INIT) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for its pixels");
    if (status && !told) return tinct_fail(err, TINCT_ERR_FORMAT, "bad PNG: %s (in its pixels)", spng_strerror(status));
    return !status;
}

static bool read_source(const struct png_source *source, bool pixels, struct png *out, struct tinct_err *err)
{
    struct png_layout *layout = malloc(sizeof *layout);

    *out = (struct png) { 0 };
    if (!layout) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to read a PNG");
    bool fine = png_find_chunks(source, layout, err);
    if (fine) {
        out->width = (int)layout->width;
        out->height = (int)layout->height;
        fine = png_read_texts(source, layout, out, err) && (!pixels || read_pixels(source, layout, out, err));
    }
    free(layout);
    if (!fine) png_free(out);
    return fine;
}

bool png_read(const char *path, bool pixels, struct png *out, struct tinct_err *err)
{
    struct file *file = file_open(path, err);

    *out = (struct png) { 0 };
    if (!file) return false;
    struct png_source source = { .file = file, .size = file_size(file) };
    bool fine = read_source(&source, pixels, out, err);
    if (!fine && err && err->code != TINCT_ERR_IO) tinct_within(err, "%s", path); /* file_read names it itself */
    file_close(file);
    return fine;
}

bool png_read_memory(const void *bytes, size_t size, bool pixels, struct png *out, struct tinct_err *err)
{
    struct png_source source = { .bytes = bytes, .size = size };
    return read_source(&source, pixels, out, err);
}

void png_free(struct png *png)
{
    for (size_t i = 0; i < png->text_count; i++) {
        free(png->texts[i].key);
        free(png->texts[i].value);
    }
    free(png->texts);
    free(png->rgb);
    *png = (struct png) { 0 };
}
