/* mix on the processor (shaders/mix.h): an item is a block of elements, of which the thread's memory holds all results. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/stored.h"

#include "mix.h"

enum { ELEMENTS = 512 };

struct memory {
    float sums[MIX_RESULTS][ELEMENTS];
    float operand[ELEMENTS];
};

static struct cpu_plan plan(const struct cpu_args *a)
{
    const struct mix_params *p = a->params;
    return (struct cpu_plan) { .items = parts(p->count, ELEMENTS), .memory = sizeof(struct memory) };
}

static void add(float *sum, float weight, const float *x, uint32_t count)
{
#pragma omp simd
    for (uint32_t i = 0; i < count; i++) sum[i] += weight * x[i];
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct mix_params *p = a->params;
    bool y_f16 = a->f16 && !(p->flags & MIX_Y_FLOAT);
    void *y = p->flags & MIX_Y_FLOAT ? a->writes[1] : a->writes[0];
    const float *weights = a->reads[2];
    struct memory *m = memory;
    size_t first = (size_t)item * ELEMENTS;
    uint32_t count = least(p->count - item * ELEMENTS, ELEMENTS);

    (void)plan;
    memset(m->sums, 0, p->results * sizeof m->sums[0]);
    for (size_t k = 0; k < p->operands; k++) {
        const float *operand = k < p->floats
            ? (const float *)a->reads[0] + k * p->float_stride + first
            : row_read(stored_at(a->reads[1], (k - p->floats) * p->x_stride + first, a->f16), a->f16, count, m->operand);
        for (uint32_t r = 0; r < p->results; r++)
            if (weights[k * MIX_RESULTS + r] != 0) add(m->sums[r], weights[k * MIX_RESULTS + r], operand, count);
    }
    for (size_t r = 0; r < p->results; r++) {
        void *row = stored_place(y, r * p->y_stride + first, y_f16);
        if (y_f16) row_written(row, true, count, m->sums[r]);
        else memcpy(row, m->sums[r], count * sizeof(float));
    }
}

const struct cpu_kernel CPU_NAME(mix) = { "mix", "f32", false, plan, run_item };
#if VEC_AMX
const struct cpu_kernel CPU_NAME(mix_f16) = { "mix", "f16", true, plan, run_item };
#endif
