/* Do a module's parts fit each other, and the layer? */
#ifndef TINCT_LORA_FIT_H
#define TINCT_LORA_FIT_H

#include "lora/file.h"

enum { LORA_WHY_BYTES = 256 };

enum lora_fit {
    LORA_FITS,
    LORA_MISFIT, /* whole in itself, but the layer has another shape */
    LORA_BROKEN, /* parts are missing, empty or of different ranks */
};

/* why gets a sentence without the module's name unless it fits. After LORA_FITS,
 * lora/delta.h may rely on every size it uses. */
enum lora_fit lora_fit(const struct lora_module *m, const struct lora_target *target, char why[LORA_WHY_BYTES]);

enum lora_axis { LORA_AXIS_NONE, LORA_AXIS_OUT, LORA_AXIS_IN };

/* Over which axis a DoRA's magnitudes go: one an output row, or one an input column.
 * LORA_AXIS_NONE where they fit neither. */
enum lora_axis lora_dora_axis(const struct lora_module *m, const struct lora_target *target);

/* The factors' orientation of GLoRA files: true for [in, r], [r, in] (today's), false for the old one. */
bool lora_glora_current(const struct lora_module *m, const struct lora_target *target);

#endif
