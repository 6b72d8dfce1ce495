/* One module of a LoRA file as a term of model/merge.h, its tensors turned as the model stores them. */
#ifndef TINCT_PIPELINE_ADAPTER_TERMS_H
#define TINCT_PIPELINE_ADAPTER_TERMS_H

#include "lora/delta.h"
#include "model/merge.h"

struct adapter_term {                  /* lives until merge_apply has run */
    const struct lora_module *module;
    struct lora_use use;
};

/* Does the model hold what the module changes? */
bool adapter_term_fits(const struct merge *merge, const struct lora_module *m);

/* Add the terms of weight and bias; what the model does not hold is passed over. key: see merge_term. */
bool adapter_term_add(struct merge *merge, struct adapter_term *t, uint64_t key, struct tinct_err *err);

#endif
