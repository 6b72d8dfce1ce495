#include "window/preview.h"

#include <string.h>

enum { FACTOR = 8, PRIOR = 40 }; /* PRIOR: the known matrix counts as so many pixels */

void preview_init(struct preview *p, const float matrix[PREVIEW_TERMS][3])
{
    /* Source: ComfyUI, latent_formats.py, SD15 (as facts: the best linear fit to that VAE). */
    static const float sd15[PREVIEW_TERMS][3] = {
        { 0.3512f, 0.2297f, 0.3227f }, { 0.3250f, 0.4974f, 0.2350f }, { -0.2829f, 0.1762f, 0.2721f }, { -0.2120f, -0.2616f, -0.7177f },
    };

    memset(p, 0, sizeof *p);
    if (matrix) {
        memcpy(p->matrix, matrix, sizeof p->matrix);
        p->own = true;
        return;
    }
    memcpy(p->matrix, sd15, sizeof sd15);
    for (int i = 0; i < PREVIEW_TERMS; i++) {
        p->xx[i][i] = PRIOR;
        for (int c = 0; c < 3; c++) p->xy[i][c] = PRIOR * (double)sd15[i][c];
    }
}

void preview_paint(const struct preview *p, const float *latent, int width, int height, unsigned char *rgb)
{
    for (int i = 0; i < width * height; i++, latent += 4) {
        for (int c = 0; c < 3; c++) {
            float v = p->matrix[4][c];
            for (int k = 0; k < 4; k++) v += latent[k] * p->matrix[k][c];
            v = (v + 1.0f) * 127.5f + 0.5f;
            rgb[3 * i + c] = v > 255.0f ? 255 : v > 0.0f ? (unsigned char)v : 0;
        }
    }
}

/* Gauss and Jordan without pivots: the prior keeps xx positive definite. */
static void solve(struct preview *p)
{
    double a[PREVIEW_TERMS][PREVIEW_TERMS + 3];

    for (int i = 0; i < PREVIEW_TERMS; i++) {
        memcpy(a[i], p->xx[i], sizeof p->xx[i]);
        memcpy(a[i] + PREVIEW_TERMS, p->xy[i], sizeof p->xy[i]);
    }
    for (int i = 0; i < PREVIEW_TERMS; i++)
        for (int row = 0; row < PREVIEW_TERMS; row++) {
            double factor = row == i ? 0.0 : a[row][i] / a[i][i];
            for (int k = i; factor != 0.0 && k < PREVIEW_TERMS + 3; k++) a[row][k] -= factor * a[i][k];
        }
    for (int i = 0; i < PREVIEW_TERMS; i++)
        for (int c = 0; c < 3; c++) p->matrix[i][c] = (float)(a[i][PREVIEW_TERMS + c] / a[i][i]);
}

static float mean_of_square(const unsigned char *rgb, int stride)
{
    int sum = 0;

    for (int y = 0; y < FACTOR; y++)
        for (int x = 0; x < FACTOR; x++) sum += rgb[y * stride + 3 * x];
    return (float)sum / (FACTOR * FACTOR * 127.5f) - 1.0f;
}

void preview_learn(struct preview *p, const float *latent, int width, int height, const unsigned char *rgb)
{
    int stride = 3 * FACTOR * width;

    if (p->own) return;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, latent += 4) {
            double term[PREVIEW_TERMS] = { latent[0], latent[1], latent[2], latent[3], 1.0 };
            const unsigned char *square = rgb + (long)y * FACTOR * stride + 3 * FACTOR * x;
            const double mean[3] = { mean_of_square(square, stride), mean_of_square(square + 1, stride), mean_of_square(square + 2, stride) };
            for (int i = 0; i < PREVIEW_TERMS; i++) {
                for (int k = 0; k < PREVIEW_TERMS; k++) p->xx[i][k] += term[i] * term[k];
                for (int c = 0; c < 3; c++) p->xy[i][c] += term[i] * mean[c];
            }
        }
    solve(p);
}
