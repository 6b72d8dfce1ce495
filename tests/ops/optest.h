/* Runs each case of an op's test on every device, core and storage type there is.
 *
 *     static void in_place(struct optest *t)
 *     {
 *         float *x = optest_random(t, 13 * 20, 0, 1);
 *         struct tensor xt = optest_tensor(t, t->dtype, 2, (uint32_t[]) { 13, 20 }, x);
 *         op_something(optest_pass(t), xt, xt);
 *         optest_run(t);
 *         optest_close(t, optest_read(t, xt), want, tolerance, 13, 20);
 *     }
 *
 *     int main(void)
 *     {
 *         static const struct optest_case cases[] = { { "in place", in_place } };
 *         return optest_main(cases, sizeof cases / sizeof *cases);
 *     }
 *
 * A combination that this machine lacks is skipped with its reason. What a case takes here is given back after it,
 * also when it fails. Every tensor lies between guard bytes that read as NaN, so that what is read outside spoils the
 * result; a case fails when one of them was written, and when a validation layer spoke. TINCT_TEST_VULKAN names the
 * Vulkan device (default: llvmpipe), TINCT_TEST_ONLY a part of the names of cases to run. */
#ifndef TINCT_TESTS_OPTEST_H
#define TINCT_TESTS_OPTEST_H

#include "check.h"

#include "ops/ops.h"

struct optest {
    const char *combination;        /* "cpu/avx2", "vulkan/soft/f16" */
    struct device *device;
    enum dtype dtype;               /* of activations here: DTYPE_F32 or DTYPE_F16 */
    bool bf16;                      /* products are taken of operands rounded to bf16 */
    bool half_sums;                 /* weights of taps that see the same pixel are added up and rounded to f16 */
    bool split;                     /* products are taken of operands that are sums of two bf16 numbers, but low by low */
    uint64_t random;                /* state of the generator; the same at the start of every case */
    struct pass *pass;
    struct optest_memory *memory;
};

struct optest_case {
    const char *name;
    void (*run)(struct optest *t);
};

/* One test a case and combination. What main returns. */
int optest_main(const struct optest_case *cases, size_t count);

/* ---- operands ----------------------------------------------------------- */

/* Gives back what was taken; false if a guard was written. After every case this is done for it. */
bool optest_give_back(struct optest *t);

/* Gives back what was taken and opens the same device again with so many threads: nothing taken before is valid. The
 * random numbers begin anew. */
void optest_reopen(struct optest *t, int threads);

/* A GPU's workgroups on a software driver: a coroutine a lane, so that tens of thousands of them take a minute. */
bool optest_groups_are_slow(const struct optest *t);

/* Uniform in mean +- spread, rounded to the type of activations, so that a reference sees what the op sees.
 * Beyond a million values they repeat. */
float *optest_random(struct optest *t, size_t count, float mean, float spread);
float *optest_random_f32(struct optest *t, size_t count, float mean, float spread);    /* not rounded */
uint32_t optest_below(struct optest *t, uint32_t end);                                  /* 0 .. end - 1 */
void *optest_host(struct optest *t, size_t bytes);                                      /* zeroed host memory */

/* Dense, in a buffer of its own. values in its own order, or NULL: every element NaN, as an output must begin. */
struct tensor optest_tensor(struct optest *t, enum dtype dtype, uint32_t dims, const uint32_t *shape,
                            const float *values);
struct tensor optest_vector(struct optest *t, uint32_t count, const float *values);     /* f32 [count] */

/* Columns [first, first + channels) of a tensor with rows of `stride`. Around them lie guards, too. */
struct tensor optest_columns(struct optest *t, enum dtype dtype, uint32_t dims, const uint32_t *shape,
                             uint32_t first, uint32_t stride, const float *values);

/* A layer's weight [outputs][inputs][kernel][kernel] rounded to f16, and bias; both sides of it. */
struct optest_weight {
    struct weight device;           /* as ops take it */
    const float *values;            /* [outputs][inputs][kernel * kernel], file order: GEGLU values, then gates */
    const float *bias;              /* [outputs], or NULL */
    const float *shortcut, *shortcut_bias;      /* [outputs][shortcut], [outputs]: of a 1x1 convolution that is added */
};
enum { OPTEST_BIAS = 1, OPTEST_GEGLU = 2 };
struct optest_weight optest_weight(struct optest *t, uint32_t outputs, uint32_t inputs, uint32_t kernel, int flags);
struct optest_weight optest_weight_and_shortcut(struct optest *t, uint32_t outputs, uint32_t inputs, uint32_t kernel,
                                                uint32_t shortcut, int flags);

/* ---- running and comparing ---------------------------------------------- */

struct pass *optest_pass(struct optest *t);                     /* a new one; the last one is freed */
void optest_run(struct optest *t);                              /* ends and runs it; fails the test if it fails */
void optest_refused(struct optest *t, const char *words);       /* pass_end must fail, with these words */
float *optest_read(struct optest *t, struct tensor tensor);     /* all elements, dense, as fp32 */
void optest_all_written(struct optest *t, const float *got, size_t count);     /* no element is NaN or Inf */

/* |got - want| <= tolerance everywhere (NaN fails); says the worst share of the tolerance, and where. */
void optest_close(struct optest *t, const float *got, const double *want, const double *tolerance, uint32_t rows,
                  uint32_t columns);

/* Rows to compare where the definition takes row_cost steps for one: all if that takes no longer than about 2e7
 * steps, else as many, chosen at random beside the first and the last. */
uint32_t optest_samples(uint32_t rows, double row_cost);
uint32_t optest_sample(struct optest *t, uint32_t index, uint32_t samples, uint32_t rows);

/* What storing a value as an activation may add: half a step of its type at this magnitude. */
double optest_store(const struct optest *t, double value);

/* What fp32 sums of k products may be off, of which sum |x w| and sum (x w)^2 are given: rounding errors of 2^-24
 * a partial sum behave as a random walk, so sqrt(k) 2^-24 sum |x w| is several deviations even where nothing
 * cancels. Operands in bf16 (8 bits) are off by up to 2^-8 each, at most 2^-8 / sqrt(3) as a deviation: 2^-6 of the
 * root of sum (x w)^2 is five deviations or more of a sum of such products. Split in two they are off by up to 2^-16 each,
 * and the product left out is as large: 2^-14 is four deviations or more. */
double optest_dot(const struct optest *t, double k, double absolute, double squares);

#endif
