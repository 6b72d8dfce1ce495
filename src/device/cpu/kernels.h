/* The kernels of the cpu device: what an instruction set's table offers.
 *
 * A kernel's work is cut into items that may run in any order on any thread; a thread brings working memory of its
 * own. An item's results depend on its operands alone, never on how the work was cut. */
#ifndef TINCT_CPU_KERNELS_H
#define TINCT_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device.h"

struct cpu_args {                          /* one dispatch with its operands found */
    const void *params;
    const void *reads[DISPATCH_READS];     /* NULL: absent */
    void *writes[DISPATCH_WRITES];
    uint32_t rows, columns, batch;
    uint32_t threads;                      /* how many share the items */
    bool f16;                              /* activations are f16; else f32 */
};

struct cpu_plan {                          /* how a dispatch is cut */
    uint32_t items;
    uint32_t rows;                         /* of one item; the last of its kind may be shorter */
    uint32_t panels;                       /* gemm: of 64 columns, of one item; attention: heads */
    size_t memory;                         /* bytes of a thread's working memory, on a page of its own */
};

struct cpu_kernel {
    const char *name, *variant;
    bool fast;                             /* bf16 products: taken first by a device opened with precision fast */
    struct cpu_plan (*plan)(const struct cpu_args *a);
    /* memory: the thread's, whatever its last item left there; the first 4 bytes are 0 at its first item of a dispatch. */
    void (*run)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory);
};

struct cpu_kernel_table {
    const struct cpu_kernel *const *kernels;
    uint32_t count;
    bool joins;                            /* gemm converts its inputs, so that one of another kind costs nothing more */
    /* A loop of multiply-adds on registers, for the peak: runs it `rounds` times, gives the FLOP done; *sink
     * takes the sums. NULL where the set has no such products. */
    double (*peak_f32)(uint32_t rounds, float *sink);
    double (*peak_bf16)(uint32_t rounds, float *sink);
};

struct cpu_args cpu_args_of(const struct dispatch *d, int threads);    /* which points at d's parameters */

/* With `fast` one with bf16 products where the set has one. NULL: there is none. */
const struct cpu_kernel *cpu_kernel_find(const struct cpu_kernel_table *table, const char *name, const char *variant, bool fast);

enum cpu_isa { CPU_GENERIC, CPU_AVX2, CPU_AVX512, CPU_BF16, CPU_AMX, CPU_ISAS };

const char *cpu_isa_name(enum cpu_isa isa);                         /* "avx512" */
bool cpu_isa_offered(enum cpu_isa isa);                             /* by this build, on this processor */
const struct cpu_kernel_table *cpu_isa_kernels(enum cpu_isa isa);   /* NULL where this build has none */

/* The best one offered (bf16 only where its dot products are faster than fp32's), or the one that TINCT_CPU names.
 * Refused: an unknown name, a set that is not offered. */
bool cpu_isa_choose(enum cpu_isa *isa, struct tinct_err *err);

static inline uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* How many parts of this size a whole takes. */
static inline uint32_t parts(uint32_t whole, uint32_t part)
{
    return (whole + part - 1) / part;
}

/* Treat denormals as zero on this thread, and undo it: gives and takes the former state. */
uint64_t cpu_denormals_off(void);
void cpu_denormals_restore(uint64_t state);

#endif
