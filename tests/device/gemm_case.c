#include "device/gemm_case.h"

#include <math.h>
#include <stdlib.h>

#include "check.h"

#include "tensor/convert.h"

static uint32_t seed = 1;

static float uniform(void)     /* (-1, 1) */
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(int32_t)seed / 2147483648.0f;
}

void random_begin(uint32_t first)
{
    seed = first;
}

float *random_floats(size_t count, float scale)
{
    float *v = malloc((count ? count : 1) * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < count; i++) v[i] = uniform() * scale;
    return v;
}

static uint32_t taps_k(const struct gemm_case *g)
{
    return g->p.kernel_h * g->p.kernel_w * g->p.c1;
}

static uint32_t all_k(const struct gemm_case *g)
{
    return taps_k(g) + g->p.c2 + g->p.c3;
}

static void pack(struct gemm_case *g)
{
    uint32_t panels = (g->p.cols + 63) / 64;

    g->packed_count = (size_t)panels * g->p.k * 64;
    g->packed = calloc(g->packed_count, sizeof *g->packed);
    g->w = random_floats((size_t)all_k(g) * g->p.cols, 1.0f);
    assert_non_null(g->packed);
    for (uint32_t k = 0; k < all_k(g); k++)
        for (uint32_t c = 0; c < g->p.cols; c++) {
            uint16_t half = convert_f32_to_f16(g->w[k * g->p.cols + c]);
            g->packed[((size_t)(c / 64) * g->p.k + k) * 64 + c % 64] = half;
            g->w[k * g->p.cols + c] = convert_f16_to_f32(half);
        }
}

/* To the 16 high bits of a float, to nearest even. */
static float round_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, 4);
    return x;
}

static double activated(double x, uint32_t act)
{
    switch (act) {
    case ACT_SILU:       return x / (1 + exp(-x));
    case ACT_GELU:       return x * (1 + erf(x / sqrt(2.0))) / 2;
    case ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    default:             return x;
    }
}

static double input(const struct gemm_case *g, uint32_t image, int64_t y, int64_t x, uint32_t c)
{
    const struct gemm_params *p = &g->p;
    if (y < 0 || x < 0 || y >= p->in_h * p->upsample || x >= p->in_w * p->upsample) return 0;
    size_t pixel = ((size_t)image * p->in_h + (size_t)y / p->upsample) * p->in_w + (size_t)x / p->upsample;
    return g->x1[pixel * p->x1_stride + c];
}

/* Of x2 and x3 side by side. */
static double own_input(const struct gemm_case *g, uint32_t row, uint32_t c)
{
    const struct gemm_params *p = &g->p;
    return c < p->c2 ? g->x2[(size_t)row * p->x2_stride + c] : g->x3[(size_t)row * p->x3_stride + c - p->c2];
}

static double product(const struct gemm_case *g, uint32_t row, uint32_t column)
{
    const struct gemm_params *p = &g->p;
    uint32_t pixel = row % (p->out_h * p->out_w), image = row / (p->out_h * p->out_w);
    double sum = 0;

    for (uint32_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++)
        for (uint32_t c = 0; c < p->c1; c++) {
            int64_t y = (int64_t)(pixel / p->out_w) * p->stride + tap / p->kernel_w - p->pad_top;
            int64_t x = (int64_t)(pixel % p->out_w) * p->stride + tap % p->kernel_w - p->pad_left;
            sum += input(g, image, y, x, c) * g->w[(size_t)(tap * p->c1 + c) * p->cols + column];
        }
    for (uint32_t c = 0; c < p->c2 + p->c3; c++)
        sum += own_input(g, row, c) * g->w[(size_t)(taps_k(g) + c) * p->cols + column];
    sum *= p->scale;
    if (p->flags & GEMM_BIAS) sum += g->bias[column];
    if (p->flags & GEMM_PER_IMAGE) sum += g->per_image[(size_t)image * p->per_image_stride + column];
    return sum;
}

void gemm_case_make(struct gemm_case *g)
{
    struct gemm_params *p = &g->p;
    uint32_t outputs = p->act == ACT_GEGLU ? p->cols / 2 : p->cols;
    size_t pixels = (size_t)g->images * p->in_h * p->in_w;

    p->rows = g->images * p->out_h * p->out_w;
    p->k = (all_k(g) + 31) / 32 * 32;
    p->x1_stride = p->c1 + 4;
    p->x2_stride = p->c2;
    p->x3_stride = p->c3 + 8;
    p->y_stride = p->residual_stride = (outputs + 3) / 4 * 4 + 8;
    p->per_image_stride = p->cols + 4;
    p->scale = 0.75f;
    g->x1 = random_floats(g->x1_count = pixels * p->x1_stride, 1.0f);
    g->x2 = random_floats(g->x2_count = (size_t)p->rows * p->x2_stride, 1.0f);
    g->x3 = random_floats(g->x3_count = (size_t)p->rows * p->x3_stride, 1.0f);
    g->bias = random_floats(p->cols, 1.0f);
    g->per_image = random_floats((size_t)g->images * p->per_image_stride, 1.0f);
    g->residual = random_floats(g->y_count = (size_t)p->rows * p->y_stride, 1.0f);
    g->want = calloc(g->y_count, sizeof *g->want);
    assert_non_null(g->want);
    pack(g);
    for (size_t i = 0; g->bf16_x && i < g->x1_count; i++) g->x1[i] = round_bf16(g->x1[i]);
    for (size_t i = 0; g->bf16_own && i < g->x2_count; i++) g->x2[i] = round_bf16(g->x2[i]);
    for (size_t i = 0; g->bf16_own && i < g->x3_count; i++) g->x3[i] = round_bf16(g->x3[i]);
    for (size_t i = 0; g->bf16_w && i < (size_t)(g->bf16_own ? all_k(g) : taps_k(g)) * p->cols; i++)
        g->w[i] = round_bf16(g->w[i]);
    for (uint32_t row = 0; row < p->rows; row++)
        for (uint32_t o = 0; o < outputs; o++) {
            double v = p->act == ACT_GEGLU ? product(g, row, o / 4 * 8 + o % 4) *
                                                 activated(product(g, row, o / 4 * 8 + 4 + o % 4), ACT_GELU)
                                           : activated(product(g, row, o), p->act);
            if (p->flags & GEMM_RESIDUAL) v += g->residual[(size_t)row * p->residual_stride + o];
            g->want[(size_t)row * p->y_stride + o] = (float)v;
        }
}

void gemm_case_free(struct gemm_case *g)
{
    float *all[] = { g->x1, g->x2, g->x3, g->w, g->bias, g->per_image, g->residual, g->want };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
    free(g->packed);
}

struct gemm_case gemm_case_linear(uint32_t rows, uint32_t cols, uint32_t c, uint32_t flags, uint32_t act)
{
    return (struct gemm_case) { .images = 1, .p = { .cols = cols, .c1 = c, .kernel_h = 1, .kernel_w = 1, .stride = 1,
        .upsample = 1, .in_h = 1, .in_w = rows, .out_h = 1, .out_w = rows, .flags = flags, .act = act } };
}

struct gemm_case gemm_case_conv(uint32_t images, uint32_t h, uint32_t w, uint32_t c1, uint32_t cols)
{
    return (struct gemm_case) { .images = images, .p = { .cols = cols, .c1 = c1, .kernel_h = 3, .kernel_w = 3,
        .stride = 1, .pad_top = 1, .pad_left = 1, .upsample = 1, .in_h = h, .in_w = w, .out_h = h, .out_w = w,
        .flags = GEMM_BIAS } };
}

static struct gemm_case conv_strided(struct gemm_case g, uint32_t pad)
{
    g.p.stride = 2;
    g.p.pad_top = g.p.pad_left = pad;
    g.p.out_h = (g.p.in_h + 1) / 2;
    g.p.out_w = (g.p.in_w + 1) / 2;
    return g;
}

static struct gemm_case conv_upsampled(struct gemm_case g)
{
    g.p.upsample = 2;
    g.p.out_h *= 2;
    g.p.out_w *= 2;
    return g;
}

static struct gemm_case conv_1x1(struct gemm_case g)
{
    g.p.kernel_h = g.p.kernel_w = 1;
    g.p.pad_top = g.p.pad_left = 0;
    return g;
}

struct gemm_case gemm_case_shortcut(struct gemm_case g, uint32_t c2, uint32_t c3)
{
    g.p.c2 = c2;
    g.p.c3 = c3;
    return g;
}

static struct gemm_case with(struct gemm_case g, uint32_t flags, uint32_t act)
{
    g.p.flags = flags;
    g.p.act = act;
    return g;
}

struct gemm_case gemm_case(int i)
{
    const uint32_t all = GEMM_BIAS | GEMM_PER_IMAGE | GEMM_RESIDUAL;
    switch (i) {
    case 0:  return gemm_case_linear(1, 64, 32, 0, ACT_NONE);
    case 1:  return gemm_case_linear(2, 320, 1280, GEMM_BIAS, ACT_SILU);
    case 2:  return gemm_case_linear(77, 100, 68, all, ACT_GELU);
    case 3:  return gemm_case_linear(154, 128, 768, GEMM_BIAS | GEMM_RESIDUAL, ACT_NONE);
    case 4:  return gemm_case_linear(13, 80, 4, GEMM_BIAS, ACT_QUICK_GELU);
    case 5:  return gemm_case_linear(31, 136, 320, GEMM_BIAS, ACT_GEGLU);
    case 6:  return gemm_case_linear(1009, 24, 36, all, ACT_NONE);
    case 7:  return gemm_case_linear(6, 64, 644, 0, ACT_NONE);               /* three blocks of k, the last short */
    case 8:  return gemm_case_conv(1, 9, 13, 4, 64);
    case 9:  return with(gemm_case_conv(2, 8, 8, 36, 72), all, ACT_SILU);
    case 10: return gemm_case_shortcut(gemm_case_conv(1, 7, 5, 40, 64), 28, 12);
    case 11: return gemm_case_conv(2, 11, 6, 8, 3);
    case 12: return conv_strided(gemm_case_conv(1, 9, 12, 12, 20), 1);
    case 13: return conv_strided(gemm_case_conv(2, 8, 6, 12, 20), 0);
    case 14: return conv_upsampled(gemm_case_conv(2, 5, 4, 16, 68));
    case 15: return gemm_case_shortcut(conv_1x1(gemm_case_conv(2, 9, 8, 64, 72)), 36, 0);
    case 16: return gemm_case_linear(130, 96, 96, GEMM_BIAS, ACT_NONE);
    case 17: return with(gemm_case_shortcut(gemm_case_conv(2, 9, 14, 32, 132), 192, 64), all, ACT_NONE);     /* blocks of pixels */
    case 18: return gemm_case_shortcut(gemm_case_conv(2, 9, 8, 32, 64), 64, 160);
    default: return with(gemm_case_shortcut(gemm_case_conv(3, 4, 4, 100, 4), 4, 0), all, ACT_NONE);
    }
}
