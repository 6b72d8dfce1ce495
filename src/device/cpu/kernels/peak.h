/* Loops that measure the processor's peak (struct cpu_kernel_table). */
#ifndef TINCT_CPU_PEAK_H
#define TINCT_CPU_PEAK_H

#include "device/cpu/kernels/bf16.h"

double CPU_NAME(peak_f32)(uint32_t rounds, float *sink);

#if VEC_BF16
double CPU_NAME(peak_bf16)(uint32_t rounds, float *sink);
#define PEAK_BF16 CPU_NAME(peak_bf16)
#else
#define PEAK_BF16 0
#endif

#endif
