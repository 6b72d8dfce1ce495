/* What "tinct samplers" tells. */
#ifndef TINCT_SAMPLER_LIST_H
#define TINCT_SAMPLER_LIST_H

#include <stdbool.h>

#include "base/err.h"

/* Every sampler with its automatic schedule, those it takes besides, its eta, whether it draws noise,
 * its other names; then every schedule. Text for a person, or JSON:
 *
 *   { "samplers": [ { "name", "about", "aliases": [], "automatic", "schedules": [], "eta" (null: takes none),
 *                     "draws_noise", "evaluations" (a step) } ],
 *     "schedules": [ { "name", "about", "aliases": [] } ] }
 *
 * The caller frees it. NULL with TINCT_ERR_MEMORY. */
char *samplers_describe(bool json, struct tinct_err *err);

#endif
