/* What a file is that is not a safetensors file, by its first bytes. */
#ifndef TINCT_TENSOR_FOREIGN_H
#define TINCT_TENSOR_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Fails with TINCT_ERR_FORMAT, a sentence such as "is a PyTorch pickle, which can
 * run code when it is read" and advice, when the file's first bytes (up to 512)
 * are those of a kind that is known; else does nothing and returns true. */
bool foreign_refuse(const unsigned char *head, size_t size, struct tinct_err *err);

#endif
