/* JPEG and WebP: pixels are what the writer was given, and whatever a stranger made of a file has its sentence. */
#include "image/photo.h"

#include <stdlib.h>

#include "check.h"
#include "tinct.h"

#define GOLDEN TESTS_DIR "/golden/photo/"

enum { W = 32, H = 20 };

static unsigned char bytes[1 << 20];

static size_t slurp(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return size;
}

/* most: what quality 95 and halved colour leave of a smooth picture. */
static void check_pixels(const unsigned char *rgb, int most)
{
    int worst = 0;

    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            const unsigned char *p = rgb + 3 * (y * W + x);
            const int want[3] = { 8 * x, 12 * y, 128 };
            for (int c = 0; c < 3; c++) worst = abs(p[c] - want[c]) > worst ? abs(p[c] - want[c]) : worst;
        }
    printf("# worst %d\n", worst);
    assert_in_range(worst, 0, most);
}

static void pixels_are_read(void **state)
{
    static const struct { const char *name; int most; } pictures[] = {
        { "usual.jpg", 12 }, { "progressive.jpg", 12 }, { "lossless.webp", 0 }, { "lossy.webp", 16 }, { "clear.webp", 0 },
    };
    struct tinct_err err;
    (void)state;

    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) {
        struct tinct_image image;
        char path[512];
        snprintf(path, sizeof path, GOLDEN "%s", pictures[i].name);
        if (!tinct_image_load(path, &image, &err)) fail_msg("%s", err.text);
        assert_int_equal(image.width, W);
        assert_int_equal(image.height, H);
        assert_null(image.infotext);
        assert_int_equal(image.seed, -1);
        check_pixels(image.rgb, pictures[i].most);
        tinct_image_free(&image);
    }
}

static void grey_is_three_times_the_same(void **state)
{
    struct photo photo;
    struct tinct_err err;
    (void)state;

    assert_true(photo_read(GOLDEN "grey.jpg", &photo, &err));
    for (int i = 0; i < W * H; i++)
        assert_true(photo.rgb[3 * i] == photo.rgb[3 * i + 1] && photo.rgb[3 * i] == photo.rgb[3 * i + 2]);
    assert_true(photo.rgb[3 * (W * H - 1)] > photo.rgb[0] + 100);
    free(photo.rgb);
}

static void what_cannot_be_read_is_told(void **state)
{
    struct photo photo;
    struct tinct_err err;
    (void)state;

    check_refused(photo_read(GOLDEN "cmyk.jpg", &photo, &err), &err, TINCT_ERR_FORMAT, "CMYK");
    check_refused(photo_read(GOLDEN "film.webp", &photo, &err), &err, TINCT_ERR_FORMAT, "a WebP film");
    check_refused(photo_read(GOLDEN "make_photos.py", &photo, &err), &err, TINCT_ERR_FORMAT, "neither a JPEG nor a WebP");
    check_refused(photo_read(GOLDEN "nowhere.jpg", &photo, &err), &err, TINCT_ERR_IO, "nowhere.jpg");
    assert_null(photo.rgb);
}

static void every_shorter_file_is_refused(void **state)
{
    static const char *const names[] = { "usual.jpg", "progressive.jpg", "lossless.webp", "lossy.webp" };
    struct photo photo;
    struct tinct_err err;
    (void)state;

    for (size_t i = 0; i < 4; i++) {
        size_t size = slurp(names[i]), last = i < 2 ? size - 2 : size - 1;     /* a JPEG's end mark says nothing new */
        for (size_t cut = 0; cut < last; cut += 1 + cut / 40) {
            unsigned char *copy = malloc(cut + 1);     /* its own, so that reading beyond is seen */
            memcpy(copy, bytes, cut);
            bool ok = i < 2 ? jpeg_decode(copy, cut, &photo, &err) : webp_decode(copy, cut, &photo, &err);
            if (ok) fail_msg("%s: %zu of %zu bytes are a picture", names[i], cut, size);
            assert_int_equal(err.code, TINCT_ERR_FORMAT);
            free(copy);
        }
    }
}

static size_t find_last(size_t size, unsigned char marker)
{
    for (size_t at = size - 1; at-- > 0;)
        if (bytes[at] == 0xff && bytes[at + 1] == marker) return at;
    fail_msg("no marker");
    return 0;
}

static void a_huge_size_allocates_nothing(void **state)
{
    struct photo photo;
    struct tinct_err err;
    size_t size = slurp("usual.jpg"), frame = find_last(size, 0xc0);
    (void)state;

    memset(bytes + frame + 5, 0xff, 4);         /* 65535 x 65535 */
    check_refused(jpeg_decode(bytes, size, &photo, &err), &err, TINCT_ERR_FORMAT, "bad JPEG: ");
    bytes[frame + 5] = 0x40, bytes[frame + 6] = 0x00, bytes[frame + 7] = 0x40, bytes[frame + 8] = 0x00;     /* 16384 x 16384 */
    check_refused(jpeg_decode(bytes, size, &photo, &err), &err, TINCT_ERR_FORMAT, "64 megapixels");
}

/* The first scan again and again: little to store, much to do. */
static void endless_scans_are_refused(void **state)
{
    struct photo photo;
    struct tinct_err err;
    size_t size = slurp("progressive.jpg"), scan = 0, end, length, more = 2 * PHOTO_MAX_SCANS;
    (void)state;

    while (bytes[scan] != 0xff || bytes[scan + 1] != 0xda) scan++;
    for (end = scan + 2; bytes[end] != 0xff || !bytes[end + 1];) end++;         /* FF 00 is a byte of the data */
    length = end - scan;
    memmove(bytes + end + more * length, bytes + end, size - end);
    for (size_t i = 0; i < more; i++) memcpy(bytes + end + i * length, bytes + scan, length);
    check_refused(jpeg_decode(bytes, size + more * length, &photo, &err), &err, TINCT_ERR_FORMAT, "scans");
}

/* Any byte may be any other: no crash, and what is read has the size it says. */
static void damage_is_survived(void **state)
{
    static const char *const names[] = { "usual.jpg", "progressive.jpg", "lossless.webp", "lossy.webp" };
    uint32_t dice = 1;
    struct photo photo;
    struct tinct_err err;
    (void)state;

    for (int i = 0; i < 400; i++) {
        size_t size = slurp(names[i % 4]);
        for (int k = 0; k < 3; k++) {
            dice = dice * 1664525u + 1013904223u;
            size_t at = (dice >> 8) % size;
            if (i % 4 >= 2 || bytes[at] != 0xff) bytes[at] = (unsigned char)(dice >> 3);
        }
        bool ok = i % 4 < 2 ? jpeg_decode(bytes, size, &photo, &err) : webp_decode(bytes, size, &photo, &err);
        assert_true(ok == (photo.rgb != NULL));
        if (ok) photo.rgb[3 * (size_t)photo.width * (size_t)photo.height - 1] ^= 1;
        free(photo.rgb);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_read),
        cmocka_unit_test(grey_is_three_times_the_same),
        cmocka_unit_test(what_cannot_be_read_is_told),
        cmocka_unit_test(every_shorter_file_is_refused),
        cmocka_unit_test(a_huge_size_allocates_nothing),
        cmocka_unit_test(endless_scans_are_refused),
        cmocka_unit_test(damage_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
