/* Rewrites a SPIR-V module from SPV_NV_cooperative_matrix, which older compilers of GLSL know, to
 * SPV_KHR_cooperative_matrix, which drivers want.
 *
 * A KHR type also says what a matrix is used for, an NV type does not; so the module's source gives the scope of each
 * type as a specialisation constant, and its constant_id tells the use:
 *
 *     100  left factor (A)      101  right factor (B)      102  sum (accumulator)
 *
 * The scope becomes the constant 3, a subgroup. Everything else stays as it is: memory operands, specialisation
 * constants (those of the scopes are then used by nothing), names.
 *
 * Refused: what is no SPIR-V module of the machine's byte order; instructions that end beyond it; a matrix type whose
 * scope is not one of these constants; a layout that is no plain true or false.
 * Source: the registry's texts of both extensions, SPIR-V 1.6. */
#ifndef TINCT_KHR_MATRIX_H
#define TINCT_KHR_MATRIX_H

#include <stddef.h>
#include <stdint.h>

enum { KHR_MATRIX_A = 100, KHR_MATRIX_B = 101, KHR_MATRIX_SUM = 102 };

/* The rewritten module, *out_count words: free with free(). NULL on failure, *why then says in one sentence why. */
uint32_t *khr_matrix_rewrite(const uint32_t *words, size_t count, size_t *out_count, const char **why);

#endif
