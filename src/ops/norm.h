/* What layer norm asks of its operands, also where a linear layer takes it along. */
#ifndef TINCT_OPS_NORM_H
#define TINCT_OPS_NORM_H

#include "ops/ops.h"

bool layer_norm_fits(struct pass *pass, struct tensor x, const struct norm *norm);

#endif
