/* What ops ask of operands that other ops take along. */
#ifndef TINCT_OPS_FITS_H
#define TINCT_OPS_FITS_H

#include "ops/ops.h"

bool layer_norm_fits(struct pass *pass, struct tensor x, const struct norm *norm);
bool linear_fits(struct pass *pass, struct tensor y, struct tensor x, const struct weight *w, const struct epilogue *e);

#endif
