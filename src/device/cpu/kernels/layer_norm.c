/* layer_norm on the processor (shaders/layer_norm.h): an item is a block of rows. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/vec.h"

#include <math.h>

#include "layer_norm.h"

enum { ROWS = 32 };

static struct cpu_plan plan(const struct cpu_args *a)
{
    return (struct cpu_plan) { .items = parts(a->rows, ROWS), .rows = ROWS };
}

static void normalise(const struct layer_norm_params *p, const float *x, const float *gamma, const float *beta,
                      float *y)
{
    float sum = 0, squares = 0;

#pragma omp simd reduction(+ : sum)
    for (uint32_t c = 0; c < p->channels; c++) sum += x[c];
    float mean = sum / (float)p->channels;
#pragma omp simd reduction(+ : squares)
    for (uint32_t c = 0; c < p->channels; c++) squares += (x[c] - mean) * (x[c] - mean);
    float rstd = 1.0f / sqrtf(squares / (float)p->channels + p->eps);
#pragma omp simd
    for (uint32_t c = 0; c < p->channels; c++) y[c] = (x[c] - mean) * rstd * gamma[c] + beta[c];
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct layer_norm_params *p = a->params;
    uint32_t first = item * plan->rows, end = first + plan->rows < p->rows ? first + plan->rows : p->rows;

    (void)memory;
    for (size_t row = first; row < end; row++)
        normalise(p, (const float *)a->reads[0] + row * p->channels, a->reads[1], a->reads[2],
                  (float *)a->writes[0] + row * p->channels);
}

const struct cpu_kernel CPU_NAME(layer_norm) = { "layer_norm", "f32", false, plan, run_item };
