/* Which instruction set's kernels run: asked of the processor once, or forced by TINCT_CPU. */
#define _DEFAULT_SOURCE /* syscall */
#include "device/cpu/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(TINCT_ISA_amx)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const char *const names[CPU_ISAS] = { "generic", "avx2", "avx512", "bf16", "amx" };

extern const struct cpu_kernel_table cpu_generic_table, cpu_avx2_table, cpu_avx512_table, cpu_bf16_table, cpu_amx_table;

/* NULL: not compiled (cmake/CpuKernels.cmake). */
static const struct cpu_kernel_table *const tables[CPU_ISAS] = {
    [CPU_GENERIC] = &cpu_generic_table,
#if defined(TINCT_ISA_avx2)
    [CPU_AVX2] = &cpu_avx2_table,
#endif
#if defined(TINCT_ISA_avx512)
    [CPU_AVX512] = &cpu_avx512_table,
#endif
#if defined(TINCT_ISA_bf16)
    [CPU_BF16] = &cpu_bf16_table,
#endif
#if defined(TINCT_ISA_amx)
    [CPU_AMX] = &cpu_amx_table,
#endif
};

const struct cpu_kernel_table *cpu_isa_kernels(enum cpu_isa isa)
{
    return tables[isa];
}

const struct cpu_kernel *cpu_kernel_find(const struct cpu_kernel_table *table, const char *name, const char *variant, bool fast)
{
    const struct cpu_kernel *found = NULL;

    for (uint32_t i = 0; i < table->count; i++) {
        const struct cpu_kernel *k = table->kernels[i];
        if (strcmp(k->name, name) || strcmp(k->variant, variant) || (k->fast && !fast)) continue;
        if (!found || k->fast) found = k;
    }
    return found;
}

const char *cpu_isa_name(enum cpu_isa isa)
{
    return names[isa];
}

/* The processor has tiles of bf16, and the kernel lends this process the registers: they must be asked for, once, since
 * they make every thread's saved state 8 KiB larger. */
static bool tiles_are_lent(void)
{
#if defined(TINCT_ISA_amx)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d = 0;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_BF16) && (d & AMX_TILE) &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

bool cpu_isa_offered(enum cpu_isa isa)
{
    if (!tables[isa]) return false;
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512cd");
    switch (isa) {
    case CPU_AVX2:   return avx2;       /* every processor with these has F16C too */
    case CPU_AVX512: return avx512;
    case CPU_BF16:   return avx512 && __builtin_cpu_supports("avx512bf16");
    case CPU_AMX:    return avx512 && __builtin_cpu_supports("avx512bf16") && tiles_are_lent();
    default:         return isa == CPU_GENERIC;
    }
#else
    return isa == CPU_GENERIC;
#endif
}

/* Intel's processors take bf16 dot products at half the rate of fp32 multiply-adds (they have tiles for them), AMD's
 * at twice that rate. */
static bool bf16_pays(void)
{
#if defined(__x86_64__)
    return !__builtin_cpu_is("intel");
#else
    return false;
#endif
}

static enum cpu_isa best(void)
{
    int isa = CPU_AMX;
    while (!cpu_isa_offered((enum cpu_isa)isa) || (isa == CPU_BF16 && !bf16_pays())) isa--;
    return (enum cpu_isa)isa;
}

bool cpu_isa_choose(enum cpu_isa *isa, struct tinct_err *err)
{
    const char *wanted = getenv("TINCT_CPU");

    *isa = best();
    if (!wanted || !*wanted) return true;
    for (int i = 0; i < CPU_ISAS; i++) {
        if (strcmp(wanted, names[i])) continue;
        if (!cpu_isa_offered((enum cpu_isa)i))
            return tinct_fail(err, TINCT_ERR_DEVICE, "TINCT_CPU=%s: this %s does not offer it; the best is %s", wanted,
                              tables[i] ? "processor" : "build", names[*isa]);
        *isa = (enum cpu_isa)i;
        return true;
    }
    return tinct_fail(err, TINCT_ERR_ARG, "TINCT_CPU=%s is unknown; there are generic, avx2, avx512, bf16 and amx", wanted);
}

uint64_t cpu_denormals_off(void)
{
#if defined(__SSE2__)
    uint64_t state = _mm_getcsr();
    _mm_setcsr((unsigned)state | 0x8040);      /* flush to zero, denormals are zero */
    return state;
#elif defined(__aarch64__)
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    __asm__ volatile("msr fpcr, %0" : : "r"(state | (1u << 24)));
    return state;
#else
    return 0;
#endif
}

void cpu_denormals_restore(uint64_t state)
{
#if defined(__SSE2__)
    _mm_setcsr((unsigned)state);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(state));
#else
    (void)state;
#endif
}
