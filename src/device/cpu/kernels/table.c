/* What one instruction set offers. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/peak.h"

extern const struct cpu_kernel CPU_NAME(gemm), CPU_NAME(attention), CPU_NAME(layer_norm), CPU_NAME(group_norm_stats),
    CPU_NAME(group_norm_finish), CPU_NAME(group_norm_apply), CPU_NAME(lora_merge), CPU_NAME(mix), CPU_NAME(winograd_in),
    CPU_NAME(winograd_out);
extern const struct cpu_kernel_table CPU_NAME(table);

#if VEC_AMX
extern const struct cpu_kernel CPU_NAME(gemm_amx), CPU_NAME(gemm_amx_fast), CPU_NAME(attention_amx),
    CPU_NAME(attention_amx_fast), CPU_NAME(gemm_amx_f16), CPU_NAME(attention_amx_f16), CPU_NAME(layer_norm_f16),
    CPU_NAME(group_norm_stats_f16), CPU_NAME(group_norm_apply_f16), CPU_NAME(mix_f16);
#elif VEC_BF16
extern const struct cpu_kernel CPU_NAME(gemm_bf16), CPU_NAME(attention_bf16);
#endif

static const struct cpu_kernel *const kernels[] = {
#if !VEC_AMX                   /* tiles are faster without it, and 16 bits are too few for it */
    &CPU_NAME(winograd_in), &CPU_NAME(winograd_out),
#endif
#if VEC_AMX
    &CPU_NAME(gemm_amx),   &CPU_NAME(gemm_amx_fast),    &CPU_NAME(attention_amx),    &CPU_NAME(attention_amx_fast),
    &CPU_NAME(gemm_amx_f16), &CPU_NAME(attention_amx_f16), &CPU_NAME(layer_norm_f16),  &CPU_NAME(group_norm_stats_f16),
    &CPU_NAME(group_norm_apply_f16), &CPU_NAME(mix_f16),
#elif VEC_BF16
    &CPU_NAME(gemm_bf16), &CPU_NAME(attention_bf16),
#endif
#if !VEC_AMX
    &CPU_NAME(gemm),       &CPU_NAME(attention),
#endif
    &CPU_NAME(group_norm_stats), &CPU_NAME(group_norm_finish),
    &CPU_NAME(group_norm_apply), &CPU_NAME(layer_norm),       &CPU_NAME(lora_merge),
    &CPU_NAME(mix),
};

const struct cpu_kernel_table CPU_NAME(table) = {
    .kernels = kernels, .count = sizeof kernels / sizeof kernels[0],
    .joins = VEC_AMX, .peak_f32 = CPU_NAME(peak_f32), .peak_bf16 = PEAK_BF16,
};
