/* gemm with GEMM_WINOGRAD, a plan and a run of its own. */
#ifndef TINCT_CPU_GEMM_WINOGRAD_H
#define TINCT_CPU_GEMM_WINOGRAD_H

#include "device/cpu/kernels.h"
#include "device/cpu/kernels/vec.h"

struct cpu_plan CPU_NAME(gemm_winograd_plan)(const struct cpu_args *a);
void CPU_NAME(gemm_winograd_run)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory);

#endif
