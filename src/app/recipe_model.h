/* From what a recipe says of its model to a checkpoint. */
#ifndef TINCT_APP_RECIPE_MODEL_H
#define TINCT_APP_RECIPE_MODEL_H

#include "models.h"
#include "tinct.h"

enum recipe_model_found { RECIPE_MODEL_NONE, RECIPE_MODEL_NAMED, RECIPE_MODEL_SAME };

/* Looks through the models folder (NULL: as model_find has it): first for a checkpoint of the recipe's hash, those of its name
 * before others; else for one of its name (RECIPE_MODEL_NAMED: it has another hash, or the recipe has none). Hashes are
 * remembered in cache_dir. path is given unless none is found. */
enum recipe_model_found recipe_model_find(const struct tinct_recipe *recipe, const char *models, const char *cache_dir,
                                          char path[MODEL_PATH_BYTES]);

#endif
