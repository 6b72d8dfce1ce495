/* The matrix of previews: known, a model's own, or fitted to a VAE that nobody knows. */
#include "window/preview.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { W = 16, H = 12 };

static float value(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static void latent_of(float *latent, unsigned seed)
{
    for (int i = 0; i < 4 * W * H; i++) latent[i] = value(&seed);
}

/* A VAE that is linear: 8x8 pixels of one colour for each of the latent. */
static void decode(const float *latent, const float matrix[5][3], unsigned char *rgb)
{
    for (int y = 0; y < 8 * H; y++)
        for (int x = 0; x < 8 * W; x++) {
            const float *l = latent + 4 * (y / 8 * W + x / 8);
            for (int c = 0; c < 3; c++) {
                float v = matrix[4][c];
                for (int k = 0; k < 4; k++) v += l[k] * matrix[k][c];
                rgb[3 * (y * 8 * W + x) + c] = (unsigned char)((v + 1.0f) * 127.5f + 0.5f);
            }
        }
}

static const float strange[5][3] = { { 0.2f, -0.1f, 0 }, { 0, 0.25f, 0.1f }, { -0.1f, 0, 0.2f }, { 0.15f, 0.1f, -0.2f }, { 0.1f, -0.2f, 0.05f } };

static void a_known_matrix_first(void **state)
{
    static const float latent[4] = { 1, 0, 0, 0 };
    struct preview p;
    unsigned char rgb[3];

    (void)state;
    preview_init(&p, NULL);
    preview_paint(&p, latent, 1, 1, rgb);
    assert_int_equal(rgb[0], 172);      /* (0.3512 + 1) * 127.5 */
    assert_int_equal(rgb[1], 157);      /* 0.2297 */
    assert_int_equal(rgb[2], 169);      /* 0.3227 */
}

/* Two pictures; a third is then foretold to what 8 bits and the prior, 40 pixels among 384, leave. */
static void another_vae_is_learnt(void **state)
{
    static float latent[4 * W * H];
    static unsigned char rgb[64 * W * H * 3], shown[W * H * 3];
    struct preview p;

    (void)state;
    preview_init(&p, NULL);
    for (unsigned i = 0; i < 8; i++) {
        latent_of(latent, i);
        decode(latent, strange, rgb);
        preview_learn(&p, latent, W, H, rgb);
    }
    latent_of(latent, 99);
    decode(latent, strange, rgb);
    preview_paint(&p, latent, W, H, shown);
    for (int i = 0; i < W * H; i++)
        for (int c = 0; c < 3; c++)
            assert_in_range(abs(shown[3 * i + c] - rgb[3 * (i / W * 8 * 8 * W + i % W * 8) + c]), 0, 10);
}

static void a_models_own_stays(void **state)
{
    static float latent[4 * W * H];
    static unsigned char rgb[64 * W * H * 3];
    struct preview p, before;

    (void)state;
    preview_init(&p, strange);
    before = p;
    latent_of(latent, 1);
    memset(rgb, 200, sizeof rgb);
    preview_learn(&p, latent, W, H, rgb);
    assert_memory_equal(p.matrix, before.matrix, sizeof p.matrix);
    assert_memory_equal(p.matrix, strange, sizeof p.matrix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_matrix_first),
        cmocka_unit_test(another_vae_is_learnt),
        cmocka_unit_test(a_models_own_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
