#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "image/photo.h"

struct reader {
    struct jpeg_decompress_struct jpeg; /* first two: libjpeg's callbacks find the rest behind them */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf out;                        /* libjpeg leaves by a jump; nothing of ours is between here and there */
    char why[JMSG_LENGTH_MAX];
    unsigned char *rgb;
};

static struct reader *reader_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

static void leave(j_common_ptr jpeg)
{
    struct reader *r = reader_of(jpeg);

    if (!*r->why) jpeg->err->format_message(jpeg, r->why);
    longjmp(r->out, 1);
}

/* Most warnings are of harmless disorder; data that ends early is none of them. */
static void heed(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;

    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) leave(jpeg);
}

static void count_scans(j_common_ptr jpeg)
{
    struct reader *r = reader_of(jpeg);

    if (r->jpeg.input_scan_number <= PHOTO_MAX_SCANS) return;
    snprintf(r->why, sizeof r->why, "more than %d scans", PHOTO_MAX_SCANS);
    leave(jpeg);
}

static void refuse(struct reader *r, const char *why)
{
    snprintf(r->why, sizeof r->why, "%s", why);
    longjmp(r->out, 1);
}

static void read_pixels(struct reader *r, const void *bytes, size_t size)
{
    struct jpeg_decompress_struct *jpeg = &r->jpeg;

    jpeg_create_decompress(jpeg);
    jpeg->client_data = r;
    jpeg->progress = &r->progress;
    jpeg_mem_src(jpeg, bytes, (unsigned long)size);
    jpeg_read_header(jpeg, TRUE);
    if ((uint64_t)jpeg->image_width * jpeg->image_height > PHOTO_MAX_PIXELS) refuse(r, "more than 64 megapixels");
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK) refuse(r, "its colours are CMYK; RGB and grey are read");
    jpeg->out_color_space = JCS_RGB;
    jpeg_start_decompress(jpeg);
    size_t row = 3 * (size_t)jpeg->output_width;
    r->rgb = malloc(row * jpeg->output_height);
    if (!r->rgb) refuse(r, "");
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW line = r->rgb + row * jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, &line, 1);
    }
    jpeg_finish_decompress(jpeg);
}

bool jpeg_claimed(const void *bytes, size_t size)
{
    return size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0;
}

bool jpeg_decode(const void *bytes, size_t size, struct photo *out, struct tinct_err *err)
{
    struct reader *r = calloc(1, sizeof *r);

    *out = (struct photo) { 0 };
    if (!r) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory to read a JPEG");
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = leave;
    r->errors.emit_message = heed;
    r->progress.progress_monitor = count_scans;
    r->jpeg.client_data = r;
    bool failed = setjmp(r->out) != 0;
    if (!failed) {
        read_pixels(r, bytes, size);
        *out = (struct photo) { (int)r->jpeg.output_width, (int)r->jpeg.output_height, r->rgb };
    } else {
        free(r->rgb);
        if (*r->why) tinct_fail(err, TINCT_ERR_FORMAT, "bad JPEG: %s", r->why);
        else tinct_fail(err, TINCT_ERR_MEMORY, "no memory for its pixels");
    }
    jpeg_destroy_decompress(&r->jpeg);
    free(r);
    return !failed;
}
