/* layer_norm on the processor (shaders/layer_norm.h): an item is a block of rows. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/stored.h"

#include <math.h>

#include "layer_norm.h"

enum { ROWS = 32 };

static struct cpu_plan plan(const struct cpu_args *a)
{
    const struct layer_norm_params *p = a->params;
    return (struct cpu_plan) { .items = parts(a->rows, ROWS), .rows = ROWS, .memory = row_room(p->channels) * sizeof(float) };
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

    for (size_t row = first; row < end; row++) {
        const void *x = stored_at(a->reads[0], row * p->channels, a->f16);
        void *y = stored_place(a->writes[0], row * p->channels, a->f16);
        normalise(p, row_read(x, a->f16, p->channels, memory), a->reads[1], a->reads[2], row_to_write(y, a->f16, memory));
        row_written(y, a->f16, p->channels, memory);
    }
}

const struct cpu_kernel CPU_NAME(layer_norm) = { "layer_norm", "f32", false, plan, run_item };
#if VEC_AMX
const struct cpu_kernel CPU_NAME(layer_norm_f16) = { "layer_norm", "f16", true, plan, run_item };
#endif
