/* Deltas that turn the weight's rows: Diag-OFT and BOFT.
 *
 * A block's rotation is Cayley's: Q = B - B^T, R = (I + Q) (I - Q)^-1, in double;
 * I - Q has an inverse for every skew Q. */
#include "lora/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct rotation {
    size_t n, b, stages; /* blocks of [b, b]; stages: BOFT's m, else 1 */
    double *r;           /* [stages, n, b, b] */
};

/* x [b, b] = x @ inverse of a [b, b], which is destroyed: a and x are reduced by columns, with pivots. */
static void divide(double *x, double *a, size_t b)
{
    for (size_t k = 0; k < b; k++) {
        size_t pivot = k;
        for (size_t c = k + 1; c < b; c++)
            if (fabs(a[k * b + c]) > fabs(a[k * b + pivot])) pivot = c;
        double inverse = 1 / a[k * b + pivot];
        for (size_t row = 0; row < b; row++) {
            double *ra = a + row * b, *rx = x + row * b;
            double va = ra[pivot] * inverse, vx = rx[pivot] * inverse;
            ra[pivot] = ra[k];
            rx[pivot] = rx[k];
            ra[k] = va;
            rx[k] = vx;
        }
        for (size_t c = 0; c < b; c++) {
            double factor = a[k * b + c];
            if (c == k || !(factor < 0 || factor > 0)) continue;
            for (size_t row = 0; row < b; row++) {
                a[row * b + c] -= factor * a[row * b + k];
                x[row * b + c] -= factor * x[row * b + k];
            }
        }
    }
}

/* What Q is multiplied by so that its norm over all blocks stays below the constraint, alpha * out. */
static double constrained(const struct lora_module *m, const float *blocks, size_t count, size_t b)
{
    double norm = 0, limit = (double)m->alpha * m->target->shape[0];

    if (!m->has_alpha || !(limit > 0)) return 1;
    for (size_t block = 0; block < count; block++)
        for (size_t i = 0; i < b; i++)
            for (size_t j = 0; j < b; j++) {
                const float *x = blocks + block * b * b;
                double q = (double)x[i * b + j] - (double)x[j * b + i];
                norm += q * q;
            }
    norm = sqrt(norm) + 1e-8;
    return norm > limit ? limit / norm : 1;
}

static bool cayley(struct rotation *rot, const struct lora_module *m, const float *blocks)
{
    size_t b = rot->b, square = b * b, count = rot->stages * rot->n;
    double shrink = constrained(m, blocks, count, b), *below = malloc(square * sizeof *below);

    if (!below) return false;
    for (size_t block = 0; block < count; block++) {
        const float *x = blocks + block * square;
        double *above = rot->r + block * square;
        for (size_t i = 0; i < b; i++)
            for (size_t j = 0; j < b; j++) {
                double q = shrink * ((double)x[i * b + j] - (double)x[j * b + i]), one = i == j;
                above[i * b + j] = one + q;
                below[i * b + j] = one - q;
            }
        divide(above, below, b);
    }
    free(below);
    return true;
}

static bool read_rotation(struct rotation *rot, const struct lora_module *m, const struct lora_parts *p)
{
    enum lora_part part = p->value[LORA_OFT] ? LORA_OFT : LORA_OFT_R;
    bool butterfly = m->type == LORA_BOFT;

    rot->stages = butterfly ? lora_axis_size(m, part, 0) : 1;
    rot->n = lora_axis_size(m, part, butterfly);
    rot->b = lora_axis_size(m, part, 1 + butterfly);
    size_t count = rot->stages * rot->n * rot->b * rot->b;
    rot->r = malloc(count * sizeof *rot->r);
    if (!rot->r) return false;
    if (part == LORA_OFT) return cayley(rot, m, p->value[part]);
    for (size_t i = 0; i < count; i++) rot->r[i] = (double)p->value[part][i];
    return true;
}

/* One column block of rows: y [b, n] = R^T x at strength s, or R x for a butterfly's stage. */
static void turn(double *y, const double *x, const double *r, size_t b, size_t cols, double s, bool transposed)
{
    for (size_t i = 0; i < b; i++) {
        double *to = y + i * cols;
        memset(to, 0, cols * sizeof *to);
        for (size_t j = 0; j < b; j++) {
            double factor = s * ((transposed ? r[j * b + i] : r[i * b + j]) - (i == j)) + (i == j);
            for (size_t c = 0; c < cols; c++) to[c] += factor * x[j * cols + c];
        }
    }
}

/* The row that comes to place `at` before stage i of a butterfly: pairs of rows 2^i b/2 apart come together. */
static size_t shuffled(size_t at, size_t half)
{
    size_t run = at / (2 * half), within = at % (2 * half);
    return run * 2 * half + within % 2 * half + within / 2;
}

/* x and y [out, cols]; the result is in x. */
static void butterfly(double *x, double *y, const struct rotation *rot, size_t cols, double s)
{
    size_t out = rot->n * rot->b, square = rot->b * rot->b;

    for (size_t stage = 0; stage < rot->stages; stage++) {
        size_t half = ((size_t)1 << stage) * (rot->b / 2);
        for (size_t row = 0; row < out; row++)
            memcpy(y + row * cols, x + shuffled(row, half) * cols, cols * sizeof *y);
        for (size_t block = 0; block < rot->n; block++)
            turn(x + block * rot->b * cols, y + block * rot->b * cols, rot->r + (stage * rot->n + block) * square,
                 rot->b, cols, s, false);
        for (size_t row = 0; row < out; row++)
            memcpy(y + shuffled(row, half) * cols, x + row * cols, cols * sizeof *y);
        memcpy(x, y, out * cols * sizeof *x);
    }
}

bool lora_delta_oft(float *delta, const struct lora_module *m, const struct lora_parts *p, double strength,
                    const float *w0)
{
    struct lora_sizes s = lora_sizes(m->target);
    size_t cols = s.in * s.taps, square;
    struct rotation rot = { 0 };
    double *x = malloc(s.total * sizeof *x), *y = malloc(s.total * sizeof *y), *turned = y;
    bool ok = x && y && read_rotation(&rot, m, p);

    square = rot.b * rot.b;
    if (ok) {
        for (size_t i = 0; i < s.total; i++) x[i] = (double)w0[i];
        if (m->type == LORA_BOFT) butterfly(turned = x, y, &rot, cols, strength);
        else
            for (size_t block = 0; block < rot.n; block++)
                turn(y + block * rot.b * cols, x + block * rot.b * cols, rot.r + block * square, rot.b, cols, strength,
                     true);
        for (size_t i = 0; i < s.total; i++) {
            double rescale = p->value[LORA_RESCALE] ? (double)p->value[LORA_RESCALE][i / cols] : 1;
            delta[i] = (float)(rescale * turned[i] - (double)w0[i]);
        }
    }
    free(rot.r);
    free(x);
    free(y);
    return ok;
}
