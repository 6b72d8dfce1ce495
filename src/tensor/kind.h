/* What kind of model a file holds, told by its tensors' names and shapes. */
#ifndef TINCT_TENSOR_KIND_H
#define TINCT_TENSOR_KIND_H

#include "tensor/checkpoint.h"

/* Of ck's main file. */
struct checkpoint_about kind_of(const struct checkpoint *ck);

/* checkpoint_expect_sd1 without the path in front. */
bool kind_expect_sd1(const struct checkpoint_about *about, struct tinct_err *err);

#endif
